// Package release makes the parts of a release: zips of the function, their SHA-256 sums,
// and the notes, which are the version's section of CHANGELOG.md. The zips of the same
// binaries always have the same bytes. `make package` and `make release` run it.
package release

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
)

// Run does what args say: "zip DIR VERSION", or "notes VERSION", which reads CHANGELOG.md
// in the working directory.
func Run(_ context.Context, args []string, out io.Writer) error { return run(args, out) }

func run(args []string, out io.Writer) error {
	switch {
	case len(args) == 3 && args[0] == "zip":
		return pack(args[1], args[2], out)
	case len(args) == 2 && args[0] == "notes":
		changelog, err := os.ReadFile("CHANGELOG.md")
		if err != nil {
			return err
		}
		text, err := notes(string(changelog), args[1])
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, text)
		return err
	}
	return errors.New("usage: release zip DIR VERSION, or release notes VERSION")
}
