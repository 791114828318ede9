package release

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	// releasable matches the versions of semver.org with a v before them, as in this
	// project's tags, but without build metadata.
	releasable = regexp.MustCompile(`^v(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?$`)
	// sectionEnd matches the next version's heading or the links at the end.
	sectionEnd = regexp.MustCompile(`(?m)^(## |\[[^\]]+\]: )`)
)

// notes returns the section of a version in a changelog in the form of
// keepachangelog.com. If it has no date or is empty, the version is not ready to be
// released, and there is an error.
func notes(changelog, version string) (string, error) {
	if !releasable.MatchString(version) {
		return "", fmt.Errorf("%q is no version to release: give VERSION=v1.2.3, or v1.2.3-rc.1", version)
	}
	number := strings.TrimPrefix(version, "v")
	heading := regexp.MustCompile(`(?m)^## \[` + regexp.QuoteMeta(number) + `\] - \d{4}-\d{2}-\d{2}$`)
	found := heading.FindStringIndex(changelog)
	if found == nil {
		return "", fmt.Errorf("CHANGELOG.md has no heading \"## [%s] - YYYY-MM-DD\"", number)
	}
	text := changelog[found[1]:]
	if end := sectionEnd.FindStringIndex(text); end != nil {
		text = text[:end[0]]
	}
	if text = strings.TrimSpace(text); text == "" {
		return "", fmt.Errorf("CHANGELOG.md says nothing of %s", number)
	}
	return text, nil
}
