// Package moto runs moto, another project's model of AWS, for `make integration` and `make chain`. MOTO_PYTHON names a Python
// with the packages of internal/sandbox/integration/requirements.txt.
package moto

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// program starts moto on a free port, after the setup. It ends with its standard input, which the operating system closes when
// the test's process ends.
const program = `
import os, sys, threading
from moto.server import main
exec(os.environ["MOTO_SETUP"])
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
main(["-H", "127.0.0.1", "-p", "0"])
`

// Start starts moto, waits until it answers and returns its URL. setup is Python that runs before it starts. Its output must not
// matter: once moto runs, the output of its threads is mixed. moto ends with the test.
func Start(t testing.TB, setup string) (url string) {
	t.Helper()
	python := os.Getenv("MOTO_PYTHON")
	if python == "" {
		t.Fatal("MOTO_PYTHON is not set: run make integration or make chain")
	}
	moto := exec.Command(python, "-c", program)
	moto.Env = append(os.Environ(), "MOTO_SETUP="+setup)
	stdin, err := moto.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := moto.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := moto.Start(); err != nil {
		t.Fatalf("starting moto: %v", err)
	}
	ready, read := make(chan string, 1), make(chan struct{})
	var said strings.Builder // until it is ready
	go func() {
		defer close(read)
		defer close(ready)
		for lines := bufio.NewScanner(stderr); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if _, address, ok := strings.Cut(lines.Text(), "Running on http://"); ok {
				ready <- "http://" + strings.TrimSpace(address)
				break
			}
		}
		_, _ = io.Copy(io.Discard, stderr)
	}()
	t.Cleanup(func() {
		_ = stdin.Close()
		<-read
		if err := moto.Wait(); err != nil {
			t.Errorf("moto ended with %v", err)
		}
	})
	url, ok := <-ready
	if !ok {
		t.Fatalf("moto does not run:\n%s", &said)
	}
	return url
}
