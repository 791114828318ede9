package sandbox

import "encoding/json"

// LogLine is a line that the function prints: its log in Lambda's JSON format, or its metrics. It has the fields that the
// sandbox shows.
type LogLine struct {
	Message    string `json:"message"`
	Status     string `json:"status"`
	Kind       string `json:"kind"`
	Code       string `json:"code"`
	Error      string `json:"error"`
	Attempts   int    `json:"attempts"`
	WaitMS     int    `json:"wait_ms"`
	DurationMS int    `json:"duration_ms"`
	VaultID    string `json:"vault_id"`
	Verdict    string `json:"verdict"` // of a lookup

	// Metrics is set in a line of metrics on Lambda, which has nothing of the above. On FunctionGraph the message says so.
	Metrics json.RawMessage `json:"_aws"`
	// Duration is in one line of an invocation's metrics, in milliseconds.
	Duration *int
}

// IsLast reports whether a line is the last that an invocation prints.
func (l LogLine) IsLast() bool {
	return (l.Metrics != nil || l.Message == "metrics") && l.Duration != nil
}

// ParseLogLine reads a line. ok is false for a line that is not shown: one that is no JSON, such as those of Go's own log, and
// the one in which a process names its version.
func ParseLogLine(line []byte) (l LogLine, ok bool) {
	err := json.Unmarshal(line, &l)
	return l, err == nil && l.Message != "starting"
}
