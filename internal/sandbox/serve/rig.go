package serve

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/account"
)

const (
	// timeout is the template's, for one invocation.
	timeout = 120 * time.Second
	// maxReceives is the queue's maxReceiveCount.
	maxReceives = 3
	// pollInterval is how often the queues are looked at.
	pollInterval = 200 * time.Millisecond
)

// pace is how fast things go.
type pace struct {
	copyTime time.Duration // of CBR's copies
	delay    time.Duration // for which a message that was handed back stays invisible
	look     time.Duration // between looks at copies, and before the first one; zero: as in the template
	followed time.Duration // for how long copies are followed; zero: as in the template
}

// watchable is a pace that a person can follow. If a message is sent twice, the second one finds the vault busy at first. Within
// its deliveries the copies end, and there is nothing left to copy.
var watchable = pace{copyTime: 10 * time.Second, delay: 6 * time.Second, look: 2 * time.Second, followed: time.Minute}

// The user whom the function gets tokens for.
const (
	userDomain   = "sandbox"
	userName     = "replicator"
	userPassword = "correct-horse-battery-staple"
)

// rig is the function in its sandbox: Lambda, two queues for requests and one for following copies, a topic, and a CBR with its IAM that can be made to fail. All of it is
// safe for concurrent use.
type rig struct {
	pace        pace
	journal     *journal
	function    *sandbox.Function
	stack       *sandbox.Stack // rejected bodies are in it until they are shown
	queues      []*queue       // for requests
	follow      *queue
	trackers    trackers
	plans       plans
	ahead       atomic.Int64 // by which CBR's time is ahead
	account     atomic.Pointer[account.Account]
	cbrFaults   faultSwitch[cbrtest.Fault]
	topicFaults faultSwitch[sandbox.TopicFault]

	// An invocation goes on if its caller is gone, as Lambda's does, and ends with the rig.
	life context.Context
	end  context.CancelFunc
	work sync.WaitGroup
	// turn is held by the one invocation that runs. So what happens meanwhile belongs to it.
	turn    chan struct{}
	current atomic.Int64 // its number, or 0
	numbers atomic.Int64
	logged  chan struct{} // its log is complete

	showing sync.Mutex // so that the last state is shown last

	servers []*httptest.Server
	toTopic http.Transport
}

// newRig starts everything around the function's binary, and delivers the messages of the queues.
func newRig(binary string, pace pace) (*rig, error) {
	r := &rig{
		pace:        pace,
		journal:     newJournal(),
		cbrFaults:   faultSwitch[cbrtest.Fault]{Faults: cbrFaults()},
		topicFaults: faultSwitch[sandbox.TopicFault]{Faults: topicFaults()},
		turn:        make(chan struct{}, 1),
		logged:      make(chan struct{}, 1),
	}
	var err error
	r.stack, err = sandbox.NewStack(sandbox.StackConfig{
		Topic: "cbr-replication-results", Observe: r.seeResult, MaxReceiveCount: maxReceives, Impatient: true, FollowDelay: pace.look,
	})
	if err != nil {
		return nil, err
	}
	topicURL, err := url.Parse(r.stack.Topic.URL())
	if err != nil {
		r.stack.Close()
		return nil, fmt.Errorf("the topic's address: %w", err)
	}
	for _, q := range r.stack.Queues() {
		r.queues = append(r.queues, &queue{Queue: q, delay: pace.delay})
	}
	r.follow = &queue{Queue: r.stack.Follow, delay: cmp.Or(pace.look, time.Hour), follows: true}
	r.life, r.end = context.WithCancel(context.Background())
	r.newAccount()
	cbr := httptest.NewServer(http.HandlerFunc(r.serveCBR))
	sns := httptest.NewServer(r.topicFront(topicURL))
	r.servers = []*httptest.Server{cbr, sns}
	env := r.stack.Env(cbrtest.Env(cbr.URL), map[string]string{
		"HW_AUTH_TOKEN":          "",
		"HW_USER_NAME":           userName,
		"HW_USER_PASSWORD":       userPassword,
		"HW_DOMAIN_NAME":         userDomain,
		"ALLOWED_DESTINATIONS":   "*/*",
		"AWS_ENDPOINT_URL_SNS":   sns.URL,
		"CBR_TIMEOUT":            "3s",
		"FOLLOW_FOR":             cmp.Or(pace.followed, 72*time.Hour).String(),
		"RETRY_INITIAL_INTERVAL": "500ms",
		"RETRY_MAX_ELAPSED":      "5s",
	})
	r.function = sandbox.NewFunction(sandbox.FunctionConfig{Path: binary, Env: env, Logs: r})
	r.showState()
	r.work.Go(r.poll)
	r.work.Go(r.watchCopies)
	return r, nil
}

// close ends everything and returns when it has ended.
func (r *rig) close() {
	r.end()
	r.function.Close()
	r.work.Wait()
	for _, s := range r.servers {
		s.Close()
	}
	r.toTopic.CloseIdleConnections()
	r.stack.Close()
}

// alone runs do while no other invocation runs.
func (r *rig) alone(do func()) error {
	select {
	case r.turn <- struct{}{}:
	case <-r.life.Done():
		return sandbox.ErrClosed
	}
	defer func() { <-r.turn }()
	do()
	return nil
}

// invoke sends a payload to the function and keeps what happens. Its error is the sandbox's own.
func (r *rig) invoke(title string, payload []byte) (response sandbox.Response, err error) {
	if e := r.alone(func() { response, err = r.invokeAlone(entry{Text: title}, payload) }); e != nil {
		return response, e
	}
	return response, err
}

// invokeAlone is invoke for a caller whose turn it is, with the entry that begins the invocation.
func (r *rig) invokeAlone(begin entry, payload []byte) (sandbox.Response, error) {
	r.account.Load().Furnish(payload)
	r.current.Store(r.numbers.Add(1))
	defer r.current.Store(0)
	select {
	case <-r.logged: // from an invocation that was killed after its last line
	default:
	}
	begin.Step, begin.Detail = stepInvoked, string(payload)
	r.add(begin)
	response, err := r.function.Invoke(r.life, payload, timeout)
	if err != nil {
		r.add(entry{Step: stepAnswered, Status: "error", Text: err.Error()})
		return response, err
	}
	answered := entry{Step: stepAnswered, Text: oneLine(response.Payload), Detail: string(response.Payload)}
	if response.Error != nil {
		answered.Status, answered.Text = "error", response.Error.Error()
	}
	if response.Error == nil || !response.Error.Ended {
		// Its log comes on another way than its answer.
		select {
		case <-r.logged:
		case <-r.life.Done():
		}
	}
	r.showRejected()
	r.add(answered)
	return response, nil
}

// showRejected shows what is in the queue for rejected bodies, and empties it.
func (r *rig) showRejected() {
	for _, m := range r.stack.Rejected.Receive(maxMessages) {
		r.add(entry{Step: stepQueue, Vault: vaultOf(m.Body), Text: "Body kept in the queue for rejected ones: " + m.Attributes["kind"], Detail: m.Body})
		r.stack.Rejected.Delete(m.Receipt)
	}
}

// add keeps an entry of the invocation that runs.
func (r *rig) add(e entry) {
	e.Invocation = r.current.Load()
	r.journal.add(e)
}

// Write takes a line of the function's log: the structured lines of the contract.
func (r *rig) Write(line []byte) (int, error) {
	l, ok := sandbox.ParseLogLine(line)
	if !ok {
		return len(line), nil // Go's own log, which repeats an error that is answered
	}
	e := entry{Vault: l.VaultID, Detail: string(line)}
	why := strings.TrimSpace(l.Kind + " " + cmp.Or(l.Code, l.Error))
	switch {
	case l.IsLast():
		select {
		case r.logged <- struct{}{}:
		default:
		}
		return len(line), nil
	case l.Metrics != nil:
		return len(line), nil
	case l.Message == "retrying":
		e.Step, e.Text = stepRetry, fmt.Sprintf("%s. Again in %.1f s", why, float64(l.WaitMS)/1000)
		if l.Attempts > 0 { // only tries of calls to CBR are counted
			e.Text = fmt.Sprintf("Try %d: %s", l.Attempts, e.Text)
		}
	case l.Message == "delivery":
		e.Step, e.Status, e.Text = stepOutcome, l.Status, why
		if l.Status == "redelivered" {
			r.plans.handedBack(l.VaultID, why)
		}
		if l.Attempts > 0 {
			e.Text = strings.TrimPrefix(why+", after "+tries(l.Attempts), ", ")
		}
	default:
		e.Step, e.Text = stepLog, l.Message
		for _, text := range []string{l.Verdict, cmp.Or(l.Error, why)} {
			if text != "" {
				e.Text += ": " + text
			}
		}
	}
	r.add(e)
	return len(line), nil
}

func tries(n int) string {
	if n == 1 {
		return "1 try"
	}
	return fmt.Sprintf("%d tries", n)
}

// seeResult is called with each message on the topic.
func (r *rig) seeResult(p sandbox.Published) {
	var e resultEvent
	_ = json.Unmarshal([]byte(p.Message), &e) // what cannot be read shows without its id
	r.trackers.see(&e)
	r.plans.see(p.Message, r.now())
	text := strings.TrimSpace(p.Attributes["kind"] + " event " + e.ID)
	if e.Data.Stage == stageCopy {
		text = e.Data.Copies.String() + ", " + text
	}
	r.add(entry{
		Step:   stepResult,
		Status: p.Attributes["status"],
		Vault:  p.Attributes["vault_id"],
		Text:   text,
		Detail: p.Message,
	})
}

// serveCBR is CBR, which fails if a fault is switched on.
func (r *rig) serveCBR(w http.ResponseWriter, req *http.Request) {
	service := r.account.Load()
	if strings.HasSuffix(req.URL.Path, "/replicate") {
		if f, ok := r.cbrFaults.take(); ok {
			// Of two requests at once, either may meet it. The call has the fault that it met.
			service.Script(cbrtest.AnyVault, f.how)
			r.showState()
		}
	}
	service.ServeHTTP(w, req)
}

// seeCall is called with each request to CBR or IAM, before its answer.
func (r *rig) seeCall(c cbrtest.Call) {
	e := entry{Step: stepCBR, Vault: c.Vault, Text: "connection reset"}
	if c.Status != 0 {
		e.Text = strings.TrimSpace(fmt.Sprintf("%d %s %s", c.Status, http.StatusText(c.Status), c.Code))
	}
	note := noteOf(c.Fault)
	if note != "" {
		e.Text += ", " + note
	}
	if c.Status == 0 || c.Status >= http.StatusBadRequest || note != "" {
		e.Status = "error"
	}
	switch c.Operation {
	case cbrtest.CreateToken:
		e.Step, e.Text = stepLogin, "Login: "+e.Text
	case cbrtest.ListVault:
		e.Text = "Vaults: " + e.Text
	case cbrtest.ListBackups, cbrtest.ShowBackup:
		e.Text = "Lookup: " + e.Text
		if c.Status == http.StatusOK {
			e.Vault, e.Text = r.found(c.Path, e.Text)
		}
	}
	if c.Taken {
		e.Text += ", copies started"
	}
	// Not the header: the token is in it.
	e.Detail = string(encode(map[string]any{
		"request": map[string]any{"method": c.Method, "path": c.Path, "body": c.Body},
		"answer":  map[string]any{"status": c.Status, "error_code": c.Code, "x_request_id": c.RequestID},
		"taken":   c.Taken,
	}))
	r.add(e)
}

// topicFront is the topic's address. A call may meet a fault there.
func (r *rig) topicFront(topic *url.URL) http.Handler {
	proxy := &httputil.ReverseProxy{
		Transport: &r.toTopic,
		Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(topic) },
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) {
			panic(http.ErrAbortHandler) // the topic cut the connection, so this one is cut
		},
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if f, ok := r.topicFaults.take(); ok {
			r.stack.Topic.Script(f.how)
			r.add(entry{Step: stepTopic, Status: "error", Text: f.Label})
			r.showState()
		}
		proxy.ServeHTTP(w, req)
	})
}

// newAccount gives CBR a new account, without copies and logins.
func (r *rig) newAccount() {
	a := account.New(cbrtest.WithCopyTime(r.pace.copyTime), cbrtest.WithObserver(r.seeCall), cbrtest.WithClock(r.now))
	a.AddEstate(cbrtest.SourceProject, r.now())
	a.AddUser(cbrtest.User{Domain: userDomain, Name: userName, Password: userPassword})
	r.account.Store(a)
}

// startOver removes everything: what happened, messages, copies, faults, and the function's process with its token.
func (r *rig) startOver() error {
	return r.alone(func() {
		r.function.Kill()
		for _, q := range append(r.queues, r.follow) {
			q.clear()
		}
		_ = r.cbrFaults.set("", 0) // off can always be set
		_ = r.topicFaults.set("", 0)
		r.ahead.Store(0)
		r.newAccount()
		r.trackers.clear()
		r.plans.clear()
		r.journal.clear()
		r.showState()
		r.showCopies()
	})
}

// showState tells the pages what is in the queues and which faults are on.
func (r *rig) showState() {
	r.showing.Lock()
	defer r.showing.Unlock()
	state := struct {
		Queue  []queued           `json:"queue"`
		Dead   []queued           `json:"dead"`
		Faults map[string]setting `json:"faults"`
	}{
		Queue:  []queued{},
		Dead:   []queued{},
		Faults: map[string]setting{"cbr": r.cbrFaults.setting(), "topic": r.topicFaults.setting()},
	}
	for _, q := range r.queues {
		state.Queue = append(state.Queue, q.waiting()...)
		state.Dead = append(state.Dead, q.dead()...)
	}
	r.journal.show("state", state)
}

// oneLine is a JSON document on one line.
func oneLine(document []byte) string {
	var line bytes.Buffer
	if json.Compact(&line, document) != nil {
		return string(document)
	}
	const longest = 160
	if line.Len() <= longest {
		return line.String()
	}
	return strings.ToValidUTF8(line.String()[:longest], "") + "…"
}
