package demo

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"cbr-replicator/internal/sandbox"
)

// screen shows what happens, in 80 columns. It is the function's log, and shows its
// lines as they come.
type screen struct {
	mu      sync.Mutex
	out     io.Writer
	ended   chan struct{} // one for each invocation whose metrics were seen
	onRetry func()        // called when a try has failed
	faulty  []string      // what did not end well
	hushed  bool          // rows are not shown
}

func newScreen(out io.Writer) *screen {
	return &screen{out: out, ended: make(chan struct{}, 1000), onRetry: func() {}}
}

func (s *screen) heading(text string) {
	s.line("")
	s.line(text)
}

func (s *screen) line(text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	fmt.Fprintln(s.out, text)
}

// hush leaves out the rows of single vaults, for a plan that has many.
func (s *screen) hush(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hushed = on
}

// columns is the width of a screen.
const columns = 80

// row shows a text about a vault, with a tail in its own column if there is room. What does not fit into the line goes below
// it, without breaking words.
func (s *screen) row(vault, what, text, tail string) {
	s.mu.Lock()
	hushed := s.hushed
	s.mu.Unlock()
	if hushed {
		return
	}
	head := fmt.Sprintf("  %-8.8s  %-9s ", vault, what)
	line := head + text
	if tail != "" {
		line = fmt.Sprintf("%s%-38s %s", head, text, tail)
	}
	if utf8.RuneCountInString(line) <= columns {
		s.line(line)
		return
	}
	indent := strings.Repeat(" ", utf8.RuneCountInString(head))
	lines := []string{head}
	for word := range strings.FieldsSeq(text) {
		last := &lines[len(lines)-1]
		switch {
		case strings.HasSuffix(*last, " "):
			*last += word
		case utf8.RuneCountInString(*last+" "+word) <= columns:
			*last += " " + word
		default:
			lines = append(lines, indent+word)
		}
	}
	if tail != "" {
		lines = append(lines, indent+tail)
	}
	s.line(strings.Join(lines, "\n"))
}

// fault keeps what did not end well.
func (s *screen) fault(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faulty = append(s.faulty, what)
}

// wellEnded are the statuses of deliveries that are no fault, those of copies that go on included.
func wellEnded() []string {
	return []string{"accepted", "unchanged", "copying", "completed", "planned", "current"}
}

// failures is nil if every delivery ended well, its copies are there, and its results
// are on the topic.
func (s *screen) failures() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.faulty) == 0 {
		return nil
	}
	return errors.New("not all went well:\n  " + strings.Join(s.faulty, "\n  "))
}

// Write takes a line of the function's log.
func (s *screen) Write(line []byte) (int, error) {
	l, ok := sandbox.ParseLogLine(line)
	if !ok {
		return len(line), nil // Go's own log, which repeats an error that is answered
	}
	reason, _, _ := strings.Cut(l.Error, ":")
	why := strings.TrimSpace(l.Kind + " " + cmp.Or(l.Code, reason))
	if ended := l.Message == "delivery"; ended && (l.Kind == "PublishFailed" || !slices.Contains(wellEnded(), l.Status)) {
		s.fault(fmt.Sprintf("vault %.8s %s, %s: %s", cmp.Or(l.VaultID, "unknown"), l.Status, strings.TrimSpace(l.Kind+" "+l.Code), l.Error))
	}
	tries := fmt.Sprintf("%d tries", l.Attempts)
	if l.Attempts == 1 {
		tries = "1 try"
	}
	switch {
	case l.IsLast():
		s.ended <- struct{}{}
	case l.Metrics != nil, l.Message == "metrics", ofCopies(l):
	case l.Message == "retrying":
		try := "retrying" // not a call to CBR
		if l.Attempts > 0 {
			try = fmt.Sprintf("try %d", l.Attempts)
		}
		s.row(l.VaultID, try, why, fmt.Sprintf("again in %.1f s", float64(l.WaitMS)/1000))
		s.onRetry()
	case l.Message == "delivery" && l.Attempts == 0 && l.Status == "redelivered":
		s.row(l.VaultID, "not sent", why, "")
	case l.Message == "delivery" && l.Status == "redelivered":
		s.row(l.VaultID, fmt.Sprintf("try %d", l.Attempts), why+": handed back", "")
	case l.Message == "delivery":
		s.row(l.VaultID, "=>", strings.Join(strings.Fields(l.Status+" "+l.Kind+" "+l.Code), " "), fmt.Sprintf("%s, %.1f s", tries, float64(l.DurationMS)/1000))
	default:
		s.row(l.VaultID, l.Message, cmp.Or(l.Error, l.Verdict), "")
	}
	return len(line), nil
}

// invoke invokes the function and returns when its log is shown, too. The end of the process is an error: its output says why.
func (s *screen) invoke(ctx context.Context, function *sandbox.Function, payload []byte) (sandbox.Response, error) {
	response, err := function.Invoke(ctx, payload, timeout)
	if err != nil {
		return response, err
	}
	return response, s.await(ctx, response)
}

// await returns once the log of an invocation that was answered is shown.
func (s *screen) await(ctx context.Context, response sandbox.Response) error {
	if response.Error != nil && response.Error.Ended {
		return response.Error
	}
	select {
	case <-s.ended:
	case <-ctx.Done():
	}
	return nil
}

// results lists the results on the topic, and shows the first one in full.
func (s *screen) results(messages []sandbox.Published) {
	if len(messages) == 0 {
		return // a health check, or a delivery that was handed back
	}
	s.heading("Results on the topic")
	s.line(fmt.Sprintf("  %-9s  %-8s  %-18s %-5s %s", "status", "vault", "kind", "tries", "event id"))
	for _, m := range messages {
		var event struct {
			ID   string
			Data struct{ Attempts int }
		}
		_ = json.Unmarshal([]byte(m.Message), &event) // an event that cannot be read shows as empty
		tries := ""                                   // nothing was posted
		if event.Data.Attempts > 0 {
			tries = strconv.Itoa(event.Data.Attempts)
		}
		s.line(fmt.Sprintf("  %-9s  %-8.8s  %-18s %-5s %s", m.Attributes["status"], m.Attributes["vault_id"],
			m.Attributes["kind"], tries, event.ID))
	}
	s.document("The first of them", []byte(messages[0].Message))
}

// document shows a JSON document, indented.
func (s *screen) document(title string, text []byte) {
	var pretty bytes.Buffer
	if json.Indent(&pretty, text, "", "  ") != nil {
		pretty.Write(text)
	}
	s.heading(title)
	s.line(pretty.String())
}
