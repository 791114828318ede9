// Package cbrtest is a stand-in of Cloud Backup and Recovery that runs in the process, as net/http/httptest runs a web server:
// for tests, and for the sandbox on a developer's machine.
//
// It answers CopyCheckpoint (POST /v3/{project_id}/checkpoints/replicate), CopyBackup, ListBackups, ShowBackup, ListVault,
// ShowVault and ShowReplicationCapabilities as the CBR API reference and the OTC error code table describe them, behind a gateway that checks the path, the header and the token
// as the API Gateway error code table describes. A request may have a signature in place of a token ([CBR.AddKey]). At the same
// address is an IAM that issues tokens to users ([CBR.AddUser]). A script of faults ([CBR.Script]) makes any of it fail.
//
// It is a second reading of those documents. It shares no code with the client that it tests, so that a mistake in one is not
// repeated in the other. What the documents leave open is marked "inferred" where it is decided; nothing here was compared
// with the live service. A request that is not modelled gets 501, and no wrong answer: see [CBR.ServeHTTP].
//
// Every id is a hash of what it names, and every time comes from one clock ([WithClock]), so the same calls get the same
// answers.
package cbrtest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"time"
)

// The operations' ids in the CBR and the IAM API references, as [Call.Operation] names them.
const (
	CreateToken = "KeystoneCreateUserTokenByPassword"

	CopyCheckpoint = "CopyCheckpoint"
	CopyBackup     = "CopyBackup"
	ListBackups    = "ListBackups"
	ShowBackup     = "ShowBackup"
	ListVault      = "ListVault"
	ShowVault      = "ShowVault"

	ShowReplicationCapabilities = "ShowReplicationCapabilities"
)

// DefaultCopyTime is how long a copy takes without [WithCopyTime]. A person at a prompt has time for a second call, which finds
// the vault busy (BackupService.6130), and need not wait long before a third call finds the copy done (BackupService.1009).
const DefaultCopyTime = 20 * time.Second

// object is a JSON object of an answer.
type object map[string]any

// A CBR is the service as an http.Handler: all projects and regions of one account behind one address. It is safe for
// concurrent use. Use [NewServer] to have it listen.
type CBR struct {
	now      func() time.Time
	copyTime time.Duration
	latency  time.Duration
	late     time.Duration
	format   Format
	observe  func(Call)
	copyEnds func(Copy) string

	tokenSize  int
	tokenLife  time.Duration
	loginLimit int

	mu       sync.Mutex
	tokens   map[string]token
	issued   []string // tokens
	users    map[string]*user
	logins   []Login
	keys     map[string]*key
	badSigns map[string]int    // by access key
	regions  map[string]string // of projects, by id
	vaults   map[string]Vault
	backups  map[string][]*backup // of a source vault, in the order they were added
	byID     map[string]*backup
	records  []*record            // in the order they were added
	replicas map[string][]*record // copies into a destination vault
	script   map[string][]Fault
	calls    []Call
	requests int
	inFlight map[string]int
	peak     map[string]int
}

// An Option changes a [CBR] from its defaults.
type Option func(*CBR)

// WithClock makes now the only clock: it dates answers and decides how far a copy is. It is called from many goroutines at once.
// The default is time.Now. Delays of answers are in real time, whatever the clock says.
func WithClock(now func() time.Time) Option {
	return func(c *CBR) { c.now = now }
}

// WithCopyTime sets how long each copy takes, from its request to its end. The copies of one request run side by side. With 0
// they have ended when the request is answered.
func WithCopyTime(d time.Duration) Option {
	return func(c *CBR) { c.copyTime = d }
}

// WithLatency sets how long every CopyCheckpoint and CopyBackup takes to answer. A fault's delay is added. The default is 0.
func WithLatency(d time.Duration) Option {
	return func(c *CBR) { c.latency = d }
}

// WithObserver calls see with every request, lookups and refused requests too, when its answer is decided and before it is sent.
// see is called from many goroutines at once. Its request waits until it returns.
func WithObserver(see func(Call)) Option {
	return func(c *CBR) { c.observe = see }
}

// New returns a CBR with no projects, tokens or vaults.
func New(options ...Option) *CBR {
	c := &CBR{
		now:      time.Now,
		copyTime: DefaultCopyTime,
		observe:  func(Call) {},

		tokenSize:  DefaultTokenSize,
		tokenLife:  DefaultTokenLife,
		loginLimit: DefaultLoginLimit,

		tokens:   map[string]token{},
		users:    map[string]*user{},
		keys:     map[string]*key{},
		badSigns: map[string]int{},
		regions:  map[string]string{},
		vaults:   map[string]Vault{},
		backups:  map[string][]*backup{},
		byID:     map[string]*backup{},
		replicas: map[string][]*record{},
		script:   map[string][]Fault{},
		inFlight: map[string]int{},
		peak:     map[string]int{},
	}
	for _, option := range options {
		option(c)
	}
	return c
}

// A Server is a [CBR] that listens on 127.0.0.1.
type Server struct {
	*CBR
	URL string // http://127.0.0.1:port, without a slash at the end

	http *httptest.Server
	stop context.CancelFunc
}

// NewServer starts a server. The caller closes it.
func NewServer(options ...Option) *Server {
	ctx, stop := context.WithCancel(context.Background())
	s := &Server{CBR: New(options...), stop: stop}
	s.http = httptest.NewUnstartedServer(s.CBR)
	s.http.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	s.http.Start()
	s.URL = s.http.URL
	return s
}

// Client returns an HTTP client whose connections [Server.Close] closes.
func (s *Server) Client() *http.Client { return s.http.Client() }

// Close stops the server. Delays that are under way end, and their requests get no answer.
func (s *Server) Close() {
	s.stop()
	s.http.Close()
}

// ServeHTTP answers one request.
//
// Every answer has X-Request-Id (32 hex digits), Date and Server, as recorded answers of the service have. A query parameter of
// a list or a field of a login that is not modelled gets 501, so that no test passes because it was ignored.
func (c *CBR) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := Call{
		Time:   c.now(),
		Method: r.Method,
		Path:   r.URL.RequestURI(),
		Header: r.Header.Clone(),
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	if err != nil {
		reset(w)
		return
	}
	call.Body = string(body)

	req := route(r.Method, r.URL.Path)
	req.from, req.query, req.body = r, r.URL.Query(), body
	call.Operation = req.operation
	wait := time.Duration(0)
	switch call.Operation {
	case CopyCheckpoint:
		call.Vault = sourceVault(body)
		wait = c.latency
	case CopyBackup:
		call.Backup = req.id
		wait = c.latency
	case CreateToken:
		call.Body = ""
	}
	leave := c.enter(call.targets())
	defer leave()

	fault, ans := c.decide(&call, req)
	c.observe(call)

	if !pause(r.Context(), wait+fault.Delay) {
		reset(w)
		return
	}
	// A client may send its next request as soon as it has its answer. This one must not count any more then.
	leave()
	if fault.Reset {
		reset(w)
		return
	}
	c.write(w, call.RequestID, ans, fault)
}

// decide gives req its effect, unless a fault prevents that, completes call and keeps it. It holds the lock all the time, so calls
// are kept in the order of their effects.
func (c *CBR) decide(call *Call, req request) (Fault, answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests++
	call.RequestID = hexID("request", strconv.Itoa(c.requests))
	fault := c.nextFault(*call)
	call.Fault = fault

	var ans answer
	if fault.reachesCBR() {
		result, refused := c.handle(req)
		if refused != nil {
			ans = refused.answer(call.RequestID)
		} else {
			ans = result
			call.Taken = call.copies()
		}
	}
	if fault.Status != 0 {
		ans = fault.answer(call.RequestID)
	}
	if !fault.Reset {
		call.Status, call.Code = ans.status, ans.code
	}
	c.calls = append(c.calls, *call)
	return fault, ans
}
