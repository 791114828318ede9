package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"

	"cbr-replicator/internal/sandbox"
)

// livePayload returns the payload for the user's own account. A plan is only shown there, unless dryRun is 0: its dry_run is
// set whatever it says. carryOut is whether a plan is carried out. If dryRun is 1, a payload that is no plan is an error, since
// it would be carried out.
//
// A plan in an envelope is sent as it is. It is not carried out either, since the function has no queue to send its requests to.
func livePayload(payload []byte, dryRun string) (_ []byte, carryOut bool, err error) {
	var object map[string]json.RawMessage
	isPlan := json.Unmarshal(payload, &object) == nil && object["select"] != nil
	switch {
	case dryRun != "" && dryRun != "0" && dryRun != "1":
		return nil, false, errors.New("DRY_RUN is 0 or 1")
	case !isPlan && dryRun != "":
		return nil, false, errors.New("DRY_RUN is for a plan, a JSON object with select. This is none, and would be carried out")
	case !isPlan:
		return payload, false, nil
	}
	object["dry_run"] = json.RawMessage("true")
	if carryOut = dryRun == "0"; carryOut {
		object["dry_run"] = json.RawMessage("false")
	}
	payload, err = json.Marshal(object)
	return payload, carryOut, err
}

// sendLive sends the user's payload with the user's own environment. carryOut is whether it is a plan to be carried out: its
// requests go through the sandbox's queue.
func (s *show) sendLive(ctx context.Context, payload []byte, carryOut bool) error {
	s.env = sandbox.UserEnv(os.Environ())
	// CBR is the real one; the queues of the function's account are the sandbox's.
	s.env["AWS_LAMBDA_LOG_FORMAT"], s.env["AWS_ENDPOINT_URL_SQS"] = "JSON", s.stack.SQS.URL()
	topic := s.env["RESULT_TOPIC_ARN"] + s.env["RESULT_TOPIC_URN"]
	if topic == "" {
		s.env["RESULT_TOPIC_ARN"], s.env["AWS_ENDPOINT_URL_SNS"] = s.stack.Topic.ARN(), s.stack.Topic.URL()
	}
	if carryOut {
		s.env["REQUEST_QUEUE_ARN"], s.env["MAX_RECEIVE_COUNT"] = s.stack.Requests.ARN(), strconv.Itoa(maxReceiveCount)
	}
	s.heading("cbr-replicator against the real CBR.")
	function := s.function()
	defer function.Close()
	if err := s.send(ctx, function, payload); err != nil {
		return err
	}
	if carryOut {
		if err := s.carryOut(ctx, function); err != nil {
			return err
		}
	}
	if topic != "" {
		s.line("Results go to " + topic + ".")
	} else {
		s.results(s.stack.Topic.Messages())
	}
	return s.failures()
}

// carryOut delivers the requests of a plan. One that is handed back is delivered again at once, up to the queue's limit.
func (s *show) carryOut(ctx context.Context, function *sandbox.Function) error {
	s.heading("The plan's requests")
	mapping := sandbox.Mapping{Queue: s.stack.Requests, Invoke: func(ctx context.Context, payload []byte) (sandbox.Response, error) {
		return s.invoke(ctx, function, payload)
	}}
	err := mapping.Drain(ctx)
	if n := len(s.stack.Requests.DeadLetters().Messages()); n > 0 {
		s.fault(fmt.Sprintf("%d requests were given up", n))
	}
	return err
}
