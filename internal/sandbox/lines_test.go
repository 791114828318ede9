package sandbox

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writes keeps what it is given, call by call.
type writes []string

func (w *writes) Write(p []byte) (int, error) {
	*w = append(*w, string(p))
	return len(p), nil
}

func TestLineWriter(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", maxLine+1)
	tests := []struct {
		name   string
		chunks []string
		want   []string
	}{
		{"a line a write", []string{"a\n", "b\n"}, []string{"a\n", "b\n"}},
		{"two lines in one write", []string{"a\nb\n"}, []string{"a\n", "b\n"}},
		{"a line in three writes", []string{"a", "b", "c\nd\n"}, []string{"abc\n", "d\n"}},
		{"an empty line", []string{"\n"}, []string{"\n"}},
		{"an open line at the end", []string{"a\nb"}, []string{"a\n", "b\n"}},
		{"nothing", nil, nil},
		{"a line that is too long", []string{long, "a\n"}, []string{long + "\n", "a\n"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got writes
			w := &lineWriter{out: &got}
			for _, chunk := range tt.chunks {
				if n, err := w.Write([]byte(chunk)); n != len(chunk) || err != nil {
					t.Errorf("Write = %d, %v", n, err)
				}
			}
			w.flush()
			if diff := cmp.Diff(tt.want, []string(got)); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func TestLineWriterTail(t *testing.T) {
	t.Parallel()
	var want []string
	w := &lineWriter{} // the tail is kept without a writer as well
	for i := range tailLines + 5 {
		fmt.Fprintln(w, i)
		want = append(want, fmt.Sprint(i))
	}
	if diff := cmp.Diff(want[5:], w.tail); diff != "" {
		t.Errorf("tail (-want +got):\n%s", diff)
	}
}
