// Package demo shows the function at work on this machine: its real binary
// under a Lambda Runtime API, a queue, a result topic and a CBR, all on
// loopback, and then under FunctionGraph. It exits 0 only if every delivery ended as it should.
//
// With -event it sends one payload of the user's own instead, and with -live
// the binary gets the user's own HW_* environment and calls the real CBR.
package demo

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/account"
)

// Run runs the demo that args choose, and shows it on out.
func Run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("run", flag.ExitOnError)
	event := flags.String("event", "", "a `file` with the payload to send instead of the samples")
	live := flags.Bool("live", false, "call the real CBR of the HW_* environment; needs -event")
	dryRun := flags.String("dry-run", "", "with -live: 0 carries out a plan, 1 takes nothing but a plan; a plan is only shown without it, too")
	_ = flags.Parse(args) // it exits
	return run(ctx, out, *event, *live, *dryRun)
}

func run(ctx context.Context, out io.Writer, event string, live bool, dryRun string) error {
	var payload []byte
	if event != "" {
		var err error
		if payload, err = os.ReadFile(event); err != nil {
			return fmt.Errorf("reading the event: %w", err)
		}
	} else if live {
		return errors.New("say what to send: make live EVENT=my.json")
	}
	carryOut := false
	if live {
		var err error
		if payload, carryOut, err = livePayload(payload, dryRun); err != nil {
			return err
		}
	}

	binary, err := sandbox.BuildFunction(ctx)
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(binary))
	clock := &clock{}
	stack, err := sandbox.NewStack(sandbox.StackConfig{Topic: "cbr-replication-results", MaxReceiveCount: maxReceiveCount, Impatient: true, Now: clock.now})
	if err != nil {
		return err
	}
	defer stack.Close()
	show := show{screen: newScreen(out), binary: binary, clock: clock, stack: stack, address: newAddress()}
	if live {
		return show.sendLive(ctx, payload, carryOut)
	}
	defer show.address.close()
	show.env = stack.Env(cbrtest.Env(show.address.url()), map[string]string{
		"RETRY_INITIAL_INTERVAL": "200ms",
		"RETRY_MAX_ELAPSED":      "5s",
	})
	show.heading("cbr-replicator on this machine. Both clouds' parts are on loopback.")
	show.line("The function is its real binary; nothing here leaves this machine.")
	if payload != nil {
		return show.sendOwn(ctx, payload)
	}
	return show.samples(ctx)
}

// maxReceiveCount is the queues': nobody at a prompt wants to wait for more.
const maxReceiveCount = 3

// show is the function with its surroundings.
type show struct {
	*screen
	binary  string
	env     map[string]string
	clock   *clock
	stack   *sandbox.Stack
	address *address // CBR's
}

// function is a new process, once it is invoked.
func (s *show) function() *sandbox.Function {
	return sandbox.NewFunction(sandbox.FunctionConfig{Path: s.binary, Env: s.env, Logs: s.screen})
}

// sendOwn sends the user's payload to a CBR that has all the vaults it names.
func (s *show) sendOwn(ctx context.Context, payload []byte) error {
	service := account.New(cbrtest.WithCopyTime(copyTime), cbrtest.WithClock(s.clock.now))
	project, region := service.Furnish(payload)
	service.AddEstate(cmp.Or(project, cbrtest.SourceProject), s.clock.now())
	if project != "" {
		s.env["HW_PROJECT_ID"] = project
		service.AddToken(cbrtest.Token, project)
	}
	s.env["ALLOWED_DESTINATIONS"] = "*/*"
	// A token is for one project, and this endpoint for one region: the payload's.
	s.env["HW_REGION_NAME"] = cmp.Or(region, cbrtest.SourceRegion)
	if err := s.address.open(service.CBR); err != nil {
		return err
	}
	function := s.function()
	defer function.Close()
	if err := s.send(ctx, function, payload); err != nil {
		return err
	}
	if len(s.stack.Requests.Messages()) > 0 {
		if err := s.carryOut(ctx, function); err != nil {
			return err
		}
	}
	if len(s.stack.Follow.Messages()) > 0 {
		s.heading("The copies, by a clock that is put forward")
	}
	if err := s.follow(ctx, func(ctx context.Context, payload []byte) (sandbox.Response, error) {
		return s.invoke(ctx, function, payload)
	}); err != nil {
		return err
	}
	s.results(s.stack.Topic.Messages())
	return s.failures()
}

// timeout is the template's.
const timeout = 120 * time.Second

// send invokes the function once with the user's payload and shows the answer.
func (s *show) send(ctx context.Context, function *sandbox.Function, payload []byte) error {
	response, err := s.invoke(ctx, function, payload)
	if err != nil {
		return err
	}
	s.document("The function's answer", response.Payload)
	if response.Error != nil && response.Error.Type != "" {
		s.fault(response.Error.Message)
	}
	return nil
}
