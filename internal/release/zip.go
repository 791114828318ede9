package release

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

// platforms are those of Lambda, as GOOS_GOARCH.
var platforms = [...]string{"linux_amd64", "linux_arm64"}

// packable matches versions that may be part of a file's name. `git describe` makes no
// others from tags like v1.0.0.
var packable = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+-]*$`)

// pack zips DIR/PLATFORM/bootstrap for each platform. It writes the zips and SHA256SUMS,
// in the form that sha256sum -c reads, into dir, and prints the sizes in bytes.
func pack(dir, version string, out io.Writer) error {
	if !packable.MatchString(version) {
		return fmt.Errorf("the version %q cannot be part of a file's name", version)
	}
	var sums bytes.Buffer
	for _, platform := range platforms {
		binary, err := os.ReadFile(filepath.Join(dir, platform, "bootstrap"))
		if err != nil {
			return fmt.Errorf("pack %s: %w", platform, err)
		}
		archive, err := bootstrapZip(binary)
		if err != nil {
			return fmt.Errorf("pack %s: %w", platform, err)
		}
		name := "cbr-replicator_" + version + "_" + platform + ".zip"
		if err := os.WriteFile(filepath.Join(dir, name), archive, 0o644); err != nil {
			return fmt.Errorf("pack %s: %w", platform, err)
		}
		fmt.Fprintf(&sums, "%x  %s\n", sha256.Sum256(archive), name)
		fmt.Fprintf(out, "%9d bytes  %s (bootstrap: %d)\n", len(archive), name, len(binary))
	}
	if err := os.WriteFile(filepath.Join(dir, "SHA256SUMS"), sums.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the sums: %w", err)
	}
	return nil
}

// bootstrapZip returns a zip of binary, under the name that Lambda's provided runtimes
// start, executable for everyone (AWS Lambda developer guide, "Deploy Go Lambda functions
// with .zip file archives"). Its bytes depend only on binary.
func bootstrapZip(binary []byte) ([]byte, error) {
	header := &zip.FileHeader{
		Name:   "bootstrap",
		Method: zip.Deflate,
		// The earliest time that a zip can have.
		Modified: time.Date(1980, time.January, 1, 0, 0, 0, 0, time.UTC),
	}
	header.SetMode(0o755)
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	w.RegisterCompressor(zip.Deflate, func(out io.Writer) (io.WriteCloser, error) {
		return flate.NewWriter(out, flate.BestCompression)
	})
	file, err := w.CreateHeader(header)
	if err != nil {
		return nil, err
	}
	if _, err := file.Write(binary); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return archive.Bytes(), nil
}
