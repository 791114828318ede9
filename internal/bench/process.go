package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// timeout is the function's, as template.yaml has it.
const timeout = 120 * time.Second

var errTimedOut = errors.New("timed out")

// process is one execution environment: a contestant's process, the Runtime API
// that it polls, and a cloud of its own.
type process struct {
	cloud *cloud
	cmd   *exec.Cmd
	api   *http.Server
	// start is from exec to the first poll.
	start time.Duration

	work    chan *invocation
	current *invocation
	polls   chan time.Time
	logged  atomic.Int64
	exited  chan struct{}
	stopped sync.Once
}

// invocation is one payload on its way through a process.
type invocation struct {
	payload []byte
	began   time.Time
	answer  chan answer
}

type answer struct {
	body []byte
	at   time.Time
	err  error
}

// usage is what an invocation used.
type usage struct {
	tally
	wall time.Duration // from sending the payload to receiving the answer
	cpu  time.Duration // of the process with all its threads, until its next poll
	logs int           // bytes
}

// launch starts a contestant and returns when it polls.
func launch(c *contestant, at place, env ...string) (_ *process, err error) {
	p := &process{work: make(chan *invocation), polls: make(chan time.Time, 1), exited: make(chan struct{})}
	if p.cloud, err = newCloud(at); err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.cloud.close()
		return nil, err
	}
	const root = "/2018-06-01/runtime/invocation/"
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+root+"next", p.serveNext)
	mux.HandleFunc("POST "+root+"{id}/response", p.serveAnswer)
	mux.HandleFunc("POST "+root+"{id}/error", p.serveAnswer)
	p.api = &http.Server{Handler: mux}
	go func() { _ = p.api.Serve(listener) }() // ends with Close

	p.cmd = exec.Command(c.command[0], c.command[1:]...)
	p.cmd.Env = slices.Concat(environment(p.cloud, listener.Addr().String()), c.env, env)
	if at.authority != nil {
		p.cmd.Env = append(p.cmd.Env, at.authority.env...)
	}
	p.cmd.Stdout, p.cmd.Stderr = &lastWords{logged: &p.logged}, &lastWords{logged: &p.logged}
	// The process must not outlive the bench.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began := time.Now()
	if err := p.cmd.Start(); err != nil {
		_ = p.api.Close()
		p.cloud.close()
		return nil, err
	}
	go func() {
		_ = p.cmd.Wait() // how it ends does not matter
		close(p.exited)
	}()
	select {
	case polled := <-p.polls:
		p.start = polled.Sub(began)
		return p, nil
	case <-p.exited:
		err = errors.New("ended before its first poll")
	case <-time.After(30 * time.Second):
		err = errors.New("no poll within 30 seconds")
	}
	p.stop()
	return nil, fmt.Errorf("%s: %w\n%s", c.name, err, p.cmd.Stderr.(*lastWords).tail)
}

// environment has the variables that Lambda sets and those that configure the
// contestants. Each reads those that it knows. The credentials are the examples of
// AWS's documentation.
func environment(c *cloud, api string) []string {
	return []string{
		"AWS_LAMBDA_RUNTIME_API=" + api,
		"_HANDLER=bootstrap",
		"AWS_REGION=eu-central-1",
		"AWS_LAMBDA_FUNCTION_NAME=cbr-replicator",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=" + strconv.Itoa(memorySize),
		"AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_LOG_FORMAT=JSON",
		"AWS_LAMBDA_LOG_LEVEL=INFO",
		"AWS_ACCESS_KEY_ID=ASIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
		"AWS_SESSION_TOKEN=example-session-token",
		"PATH=/usr/local/bin:/usr/bin:/bin",
		"HOME=" + os.TempDir(), // Huawei's SDK writes an id of its own there
		"TZ=:UTC",

		"AWS_ENDPOINT_URL_SNS=" + c.snsURL,
		"RESULT_TOPIC_ARN=arn:aws:sns:eu-central-1:123456789012:results",
		"HW_CBR_ENDPOINT=" + c.cbrURL,
		"HW_PROJECT_ID=" + project,
		"HW_REGION_NAME=region1",
		"ALLOWED_DESTINATIONS=region2/" + destinationProject,
	}
}

// stop kills the process and waits for its end.
func (p *process) stop() {
	p.stopped.Do(func() {
		_ = p.cmd.Process.Kill() // fails only if it has ended
		<-p.exited
		_ = p.api.Close()
		p.cloud.close()
	})
}

// invoke gives the process a batch of n records and returns at its next poll, when
// all of them are done.
func (p *process) invoke(payload []byte, n int) (usage, error) {
	before, logged := p.cpu(), p.logged.Load()
	inv := &invocation{payload: payload, answer: make(chan answer, 1)}
	select {
	case p.work <- inv:
	case <-p.exited:
		return usage{}, errors.New("the process ended")
	}
	limit := time.NewTimer(timeout)
	defer limit.Stop()
	var u usage
	select {
	case a := <-inv.answer:
		if a.err != nil {
			return u, a.err
		}
		u.wall = a.at.Sub(inv.began)
	case <-limit.C:
		p.stop()
		return u, errTimedOut
	case <-p.exited:
		return u, errors.New("the process ended")
	}
	select {
	case <-p.polls:
	case <-p.exited:
		return u, errors.New("the process ended")
	}
	u.cpu, u.logs = p.cpu()-before, int(p.logged.Load()-logged)
	var err error
	u.tally, err = p.cloud.collect(n)
	return u, err
}

func (p *process) serveNext(w http.ResponseWriter, r *http.Request) {
	p.polls <- time.Now()
	var inv *invocation
	select {
	case inv = <-p.work:
	case <-r.Context().Done(): // the process ended
		return
	}
	p.current = inv
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Lambda-Runtime-Aws-Request-Id", "8476a536-e9f4-11e8-9739-2dfe598c3fcd")
	header.Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:eu-central-1:123456789012:function:cbr-replicator")
	header.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(timeout).UnixMilli(), 10))
	inv.began = time.Now()
	_, _ = w.Write(inv.payload) // fails if the process ended; invoke sees that
}

func (p *process) serveAnswer(w http.ResponseWriter, r *http.Request) {
	a := answer{at: time.Now()}
	a.body, a.err = io.ReadAll(r.Body)
	switch {
	case a.err != nil:
	case strings.HasSuffix(r.URL.Path, "/error"), !bytes.Contains(a.body, []byte(`"batchItemFailures":[]`)):
		a.err = fmt.Errorf("the function answered %.500s", a.body)
	}
	p.current.answer <- a
	w.WriteHeader(http.StatusAccepted)
}

// cpu is the CPU time of the process: of all its threads, also those that have
// ended (clock_getcpuclockid(3)).
func (p *process) cpu() time.Duration {
	const perProcess = 2 // CPUCLOCK_SCHED
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^p.cmd.Process.Pid<<3|perProcess), &t); err != nil {
		return 0 // it has ended, and so has the measurement
	}
	return time.Duration(t.Nano())
}

// peak is the most resident memory that the process has had, in bytes.
func (p *process) peak() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, err := strconv.Atoi(kilobytes)
	return n << 10, err
}

// lastWords counts the bytes that a process prints and keeps the last ones.
type lastWords struct {
	logged *atomic.Int64
	tail   []byte
}

func (l *lastWords) Write(b []byte) (int, error) {
	l.logged.Add(int64(len(b)))
	l.tail = append(l.tail, b...)
	l.tail = bytes.Clone(l.tail[max(0, len(l.tail)-2000):])
	return len(b), nil
}
