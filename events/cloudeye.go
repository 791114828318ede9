package events

import (
	"encoding/json"
	"slices"
)

// started returns the request of the defaults where body is a notification of
// Cloud Eye that an event of StartOnEvents has come, else body. Nothing else is
// read of it: which vault its ids speak of is nowhere written down (Cloud Eye user
// guide, "Events Supported by Event Monitoring"; the form is that of recorded
// alarms).
func (d *Decoder) started(body []byte) []byte {
	if len(d.StartOnEvents) == 0 || !detect(body).keys["message_type"] {
		return body
	}
	var alarm struct {
		Type   string `json:"message_type"`
		Status string `json:"alarm_status"`
		Metric string `json:"metric_name"`
	}
	if json.Unmarshal(body, &alarm) != nil || alarm.Type != "alarm" || alarm.Status != "alarm" || !slices.Contains(d.StartOnEvents, alarm.Metric) {
		return body
	}
	return []byte("{}")
}
