package sandbox

import (
	"bytes"
	"io"
)

const (
	// tailLines is how much of a process's output is kept for the report of its end.
	tailLines = 20
	// maxLine bounds a line that does not end, and with it the memory: CloudWatch Logs cuts an event at 1 MiB.
	maxLine = 1 << 20
)

// lineWriter hands on complete lines, one a call, and keeps the last ones. It is for one goroutine at a time.
type lineWriter struct {
	out     io.Writer // may be nil
	partial []byte
	tail    []string
}

// Write never fails: an error would end the process whose output this is.
func (w *lineWriter) Write(p []byte) (int, error) {
	w.partial = append(w.partial, p...)
	for {
		end := bytes.IndexByte(w.partial, '\n')
		if end < 0 {
			break
		}
		w.line(w.partial[:end+1])
		w.partial = w.partial[end+1:]
	}
	if len(w.partial) > maxLine {
		w.flush()
	}
	return len(p), nil
}

// flush ends a line that the process left open.
func (w *lineWriter) flush() {
	if len(w.partial) > 0 {
		w.line(append(w.partial, '\n'))
		w.partial = nil
	}
}

func (w *lineWriter) line(line []byte) {
	if len(w.tail) == tailLines {
		w.tail = append(w.tail[:0], w.tail[1:]...)
	}
	w.tail = append(w.tail, string(line[:len(line)-1]))
	if w.out != nil {
		_, _ = w.out.Write(line)
	}
}
