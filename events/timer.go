package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"time"
)

// timer is a timer trigger of FunctionGraph (FunctionGraph user guide, "Using a
// Timer Trigger"). It has no message id: a tick is named by its trigger and its
// time. The request is in user_event, a text; without one it is that of the
// defaults.
var timer = trigger{
	samples: []string{"functiongraph/timer"},
	is:      func(f form) bool { return f.functionGraph && f.triggerType == timerType },
	decode:  decodeGraph,
}

// timerType is the trigger_type of timers.
const timerType = "TIMER"

func readTimer(payload []byte) ([]graphMessage, error) {
	var tick struct {
		Name  string          `json:"trigger_name"`
		Time  string          `json:"time"`
		Event json.RawMessage `json:"user_event"`
	}
	if err := json.Unmarshal(payload, &tick); err != nil {
		return nil, err
	}
	if tick.Time == "" {
		return nil, errors.New("no time")
	}
	m := graphMessage{id: tick.Name + "/" + tick.Time, body: textOf(tick.Event)}
	if len(bytes.TrimSpace(m.body)) == 0 {
		m.body = []byte("{}")
	}
	m.requestedAt, _ = time.Parse(time.RFC3339, tick.Time)
	return []graphMessage{m}, nil
}
