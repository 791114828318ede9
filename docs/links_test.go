package docs_test

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"unicode"
)

// TestREADMEIsShort: what is longer than this is not read. A question that needs
// more has a document of its own here. What is not proven comes first.
func TestREADMEIsShort(t *testing.T) {
	t.Parallel()
	const most, status = 14_000, "Not tried on the live service"
	readme := read(t, "../README.md")
	if n := len(readme); n > most {
		t.Errorf("README.md has %d bytes, want at most %d", n, most)
	}
	if lines := strings.SplitN(readme, "\n", 11); !strings.Contains(strings.Join(lines[:10], "\n"), status) {
		t.Errorf("the first ten lines of README.md do not say %q", status)
	}
}

// TestLinks: each link of each Markdown file leads to a file of the project and
// to a heading in it.
func TestLinks(t *testing.T) {
	t.Parallel()
	files := project(t)
	documents := 0
	for name := range files {
		if strings.HasSuffix(name, ".md") {
			documents++
			for _, problem := range broken(files, name) {
				t.Errorf("%s: %s", name, problem)
			}
		}
	}
	for _, name := range []string{
		"README.md", "CHANGELOG.md", ".github/CONTRIBUTING.md", ".github/SECURITY.md", "docs/operations.md", "examples/README.md",
	} {
		if _, ok := files[name]; !ok {
			t.Errorf("%s was not read", name)
		}
	}
	t.Logf("%d documents", documents)
}

// TestEveryDocumentIsInTheREADME: a document that nobody is led to is not read.
func TestEveryDocumentIsInTheREADME(t *testing.T) {
	t.Parallel()
	readme := read(t, "../README.md")
	documents, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range documents {
		if !strings.Contains(readme, "](docs/"+name+")") {
			t.Errorf("README.md has no link to docs/%s", name)
		}
	}
}

// TestLinksThatAreBroken: the check above can fail.
func TestLinksThatAreBroken(t *testing.T) {
	t.Parallel()
	files := map[string]string{
		"other.md": "Set\n===\n\n## A `kind`, and *what* follows\n\n## Twice\n\n## Twice\n\n```\n# no heading\n```\n\n<a id=\"placed\"></a>\n\n## [Linked](x) 1.2\n",
		"sub/a.go": "",
	}
	for _, tt := range []struct{ text, want string }{
		{"[a](other.md)", ""},
		{"[a](./sub/../other.md)", ""},
		{"[a](sub)", ""},
		{"[a](sub/)", ""},
		{"[a](https://example.com/no.md#no)", ""},
		{"[a](mailto:someone@example.com)", ""},
		{"[a](other.md#a-kind-and-what-follows)", ""},
		{"[a](other.md#set)", ""},
		{"[a](other.md#twice-1)", ""},
		{"[a](other.md#placed)", ""},
		{"[a](other.md#linked-12)", ""},
		{"[a](#here)\n\n## Here", ""},
		{"`[a](no.md)` and\n\n```\n[a](no.md)\n```", ""},
		{"[a](no.md)", "no.md: there is no such file"},
		{"[a](Other.md)", "Other.md: there is no such file"},
		{"[a](../other.md)", "../other.md: there is no such file"},
		{"[a](/other.md)", "/other.md: a link starts from the file that it is in"},
		{"[a](bin/serve)", "bin/serve: there is no such file"},
		{"![a](no.png)", "no.png: there is no such file"},
		{"[a]( <no.md> \"title\" )", "no.md: there is no such file"},
		{"[a][ref]\n\n[ref]: no.md", "no.md: there is no such file"},
		{"<img src=\"no.png\">", "no.png: there is no such file"},
		{"[![a](no.png)](other.md)", "no.png: there is no such file"},
		{"[a](other.md#twice-2)", "other.md#twice-2: there is no such heading"},
		{"[a](other.md#no-heading)", "other.md#no-heading: there is no such heading"},
		{"[a](other.md#Twice)", "other.md#Twice: there is no such heading"},
		{"[a](#nowhere)", "#nowhere: there is no such heading"},
		{"[a](sub/a.go#L1)", "sub/a.go#L1: only Markdown has headings"},
	} {
		files["a.md"] = tt.text
		if got := strings.Join(broken(files, "a.md"), "; "); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.text, got, tt.want)
		}
	}
}

// TestIgnored: a file that git ignores is on nobody else's machine.
func TestIgnored(t *testing.T) {
	t.Parallel()
	rules, err := ignoreRules("", "# said\n\n/bin/\n*.local.json\ntestdata/rapid/\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{
		"bin/": true, "cmd/bin/": false, "bin": false, "my.local.json": true, "events/my.local.json": true,
		"events/sqs.json": false, "testdata/rapid/": true, "testdata/": false,
	} {
		if got := ignored(rules, name); got != want {
			t.Errorf("%s: ignored %t, want %t", name, got, want)
		}
	}
	for _, line := range []string{"!kept", "**/deep", `\#odd`} {
		if _, err := ignoreRules("", line); err == nil {
			t.Errorf("%s: a rule of this form is not understood here, and passes", line)
		}
	}
}

var (
	fenced    = regexp.MustCompile("(?ms)^[ \t]*(```|~~~).*?^[ \t]*(```|~~~)[ \t]*$")
	code      = regexp.MustCompile("`+[^`\n]*`+")
	linked    = regexp.MustCompile(`\]\(\s*<?([^\s<>()]+)>?(?:\s+"[^"]*")?\s*\)`)
	reference = regexp.MustCompile(`(?m)^ {0,3}\[[^\]\n]+\]:\s*<?([^\s<>]+)`)
	attribute = regexp.MustCompile(`<\w[^>]*\b(?:href|src)="([^"]*)"`)
	heading   = regexp.MustCompile(`(?m)^ {0,3}#{1,6}[ \t]+(.*?)[ \t#]*$|^(\S.*)\n(?:=+|-+)[ \t]*$`)
	placed    = regexp.MustCompile(`<\w[^>]*\b(?:id|name)="([^"]*)"`)
	textOf    = regexp.MustCompile(`!?\[([^\]]*)\](?:\([^)]*\)|\[[^\]]*\])`)
)

// broken returns what is wrong with the links of a document, for each link once.
func broken(files map[string]string, name string) (problems []string) {
	text := code.ReplaceAllString(fenced.ReplaceAllString(files[name], ""), "")
	for _, form := range []*regexp.Regexp{linked, reference, attribute} {
		for _, link := range form.FindAllStringSubmatch(text, -1) {
			if problem := follow(files, name, link[1]); problem != "" {
				problems = append(problems, link[1]+": "+problem)
			}
		}
	}
	return problems
}

// follow returns what is wrong with a link of a document. Addresses of other
// sites are not looked at: the tests need no network.
func follow(files map[string]string, from, link string) string {
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return err.Error()
	case u.Scheme != "":
		return ""
	case strings.HasPrefix(link, "/"):
		return "a link starts from the file that it is in"
	}
	to := from
	if u.Path != "" {
		to = path.Join(path.Dir(from), u.Path)
	}
	text, ok := files[to]
	switch {
	case !ok && !isFolder(files, to):
		return "there is no such file"
	case u.Fragment == "":
		return ""
	case !ok: // GitHub shows a folder with its README
		text = files[path.Join(to, "README.md")]
	case !strings.HasSuffix(to, ".md"):
		return "only Markdown has headings"
	}
	if !anchors(text)[u.Fragment] {
		return "there is no such heading"
	}
	return ""
}

func isFolder(files map[string]string, name string) bool {
	for file := range files {
		if strings.HasPrefix(file, name+"/") {
			return true
		}
	}
	return false
}

// anchors returns the anchors of a document as GitHub makes them: the heading in
// lower case without punctuation, hyphens for spaces, and a number where a
// heading is there already (github.com/gjtorikian/html-pipeline, TOC filter).
func anchors(text string) map[string]bool {
	text = fenced.ReplaceAllString(text, "")
	found := map[string]bool{}
	times := map[string]int{}
	for _, h := range heading.FindAllStringSubmatch(text, -1) {
		slug := slug(h[1] + h[2])
		if n := times[slug]; n > 0 {
			found[fmt.Sprintf("%s-%d", slug, n)] = true
		} else {
			found[slug] = true
		}
		times[slug]++
	}
	for _, p := range placed.FindAllStringSubmatch(text, -1) {
		found[p[1]] = true
	}
	return found
}

func slug(heading string) string {
	heading = textOf.ReplaceAllString(heading, "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsNumber(r), unicode.IsMark(r):
			return unicode.ToLower(r)
		}
		return -1
	}, heading)
}

// project returns the files of the project by their names, Markdown with its
// text. What git ignores is no part of it.
func project(t *testing.T) map[string]string {
	t.Helper()
	const root = ".."
	files := map[string]string{}
	var rules []ignoreRule
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // another test's, gone meanwhile
			}
			return err
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if entry.IsDir() {
			if name == ".git" || ignored(rules, name+"/") {
				return fs.SkipDir
			}
			text, err := os.ReadFile(filepath.Join(file, ".gitignore"))
			if err != nil {
				return nil //nolint:nilerr // a folder without one
			}
			more, err := ignoreRules(strings.TrimPrefix(name, "."), string(text))
			rules = append(rules, more...)
			return err
		}
		if name == ".git" || ignored(rules, name) {
			return nil
		}
		files[name] = ""
		if strings.HasSuffix(name, ".md") {
			files[name] = read(t, file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// ignoreRule is a line of a .gitignore. It is for the folder that this is in and,
// unless it is anchored, for those below.
type ignoreRule struct {
	folder, pattern   string
	anchored, folders bool
}

// ignoreRules reads a .gitignore (gitignore(5), "PATTERN FORMAT"), as far as the
// project uses it: with git itself the test would need a clone.
func ignoreRules(folder, text string) (rules []ignoreRule, err error) {
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.ContainsAny(line, `!\`) || strings.Contains(line, "**") {
			return nil, fmt.Errorf(".gitignore: %s: the test of links does not know this form", line)
		}
		pattern, folders := strings.CutSuffix(line, "/")
		rules = append(rules, ignoreRule{
			folder: folder, pattern: strings.TrimPrefix(pattern, "/"),
			anchored: strings.Contains(pattern, "/"), folders: folders,
		})
	}
	return rules, nil
}

// ignored reports whether a rule is for the file, or for the folder, whose name
// ends in a slash.
func ignored(rules []ignoreRule, name string) bool {
	name, isFolder := strings.CutSuffix(name, "/")
	for _, rule := range rules {
		below := name
		if rule.folder != "" {
			var ok bool
			if below, ok = strings.CutPrefix(name, rule.folder+"/"); !ok {
				continue
			}
		}
		if !rule.anchored {
			below = path.Base(below)
		}
		if match, _ := path.Match(rule.pattern, below); match && (isFolder || !rule.folders) {
			return true
		}
	}
	return false
}
