package serve

import (
	"bytes"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io"
	"io/fs"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
	"cbr-replicator/internal/sandbox/account"
)

//go:embed page
var page embed.FS

// policy lets the page load its own files and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// handler is everything on the sandbox's port: the page, what it calls, and the function's own addresses. samples holds
// the payloads that the page offers.
func (r *rig) handler(samples fs.FS) (http.Handler, error) {
	names, err := sampleNames(samples)
	if err != nil {
		return nil, fmt.Errorf("reading the samples: %w", err)
	}
	estate := account.Estate()
	plans, err := sampleNames(estate)
	if err != nil {
		return nil, fmt.Errorf("reading the samples of an estate: %w", err)
	}
	index, err := r.index(names, plans)
	if err != nil {
		return nil, fmt.Errorf("preparing the page: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(index)
	})
	for _, file := range []string{"page.css", "page.js", "icon.svg"} {
		mux.HandleFunc("GET /"+file, func(w http.ResponseWriter, req *http.Request) {
			http.ServeFileFS(w, req, page, "page/"+file)
		})
	}
	mux.HandleFunc("GET /samples/{name}", func(w http.ResponseWriter, req *http.Request) {
		switch name := req.PathValue("name"); {
		case slices.Contains(names, name):
			http.ServeFileFS(w, req, samples, name+".json")
		case slices.Contains(plans, name):
			http.ServeFileFS(w, req, estate, name+".json")
		default:
			serveUnknown(w, req)
		}
	})
	mux.HandleFunc("GET /events", r.serveEvents)
	mux.HandleFunc("POST /queue", r.serveQueue)
	mux.HandleFunc("POST /faults", r.serveFaults)
	mux.HandleFunc("POST /copies", r.serveCopies)
	mux.HandleFunc("POST /redrive", r.serveAct(r.redrive))
	mux.HandleFunc("POST /backups", r.serveAct(r.backUp))
	mux.HandleFunc("POST /time", r.serveAct(r.moveOn))
	mux.HandleFunc("POST /revoke-token", r.serveAct(r.revokeToken))
	mux.HandleFunc("POST /start-over", r.serveAct(r.startOver))

	mux.HandleFunc("POST /2015-03-31/functions/function/invocations", r.serveInvocation)
	mux.HandleFunc("POST /v3/{project_id}/checkpoints/replicate", r.serveAPI)
	mux.HandleFunc("POST /v3/{project_id}/backups/{backup_id}/replicate", r.serveAPI)
	mux.HandleFunc("POST /{$}", func(w http.ResponseWriter, req *http.Request) { r.serveRoute(w, req, "POST /", "/") })
	// The page has the address of the function's health check.
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, req *http.Request) { r.serveRoute(w, req, "GET /", "/") })
	mux.HandleFunc("/", serveUnknown)
	return guard(mux), nil
}

// sampleNames lists the payloads in a folder, without the schemas.
func sampleNames(samples fs.FS) ([]string, error) {
	files, err := fs.Glob(samples, "*.json")
	if err != nil {
		return nil, err
	}
	var names []string
	for _, file := range files {
		if !strings.HasSuffix(file, ".schema.json") {
			names = append(names, strings.TrimSuffix(file, ".json"))
		}
	}
	return names, nil
}

// guard refuses other sites. The server has no accounts: without guard, every page in the browser could send to it, and a page
// with a name that resolves to 127.0.0.1 could read from it.
func guard(next http.Handler) http.Handler {
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(w, http.StatusForbidden, apiFault{"Forbidden", "this sandbox answers to its own page alone, and to clients that are no browser"})
	}))
	sameOrigin := protection.Handler(next)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cache-Control", "no-store")
		if !isLoopback(req.Host) {
			answer(w, http.StatusMisdirectedRequest, apiFault{"MisdirectedRequest", "this sandbox answers to 127.0.0.1 and localhost alone"})
			return
		}
		sameOrigin.ServeHTTP(w, req)
	})
}

func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		host = hostPort
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// index is the page, with the names of samples, also of an estate, and of faults in it.
func (r *rig) index(samples, estate []string) ([]byte, error) {
	content := struct {
		Samples     []string
		Estate      []string
		CBRFaults   []fault[cbrtest.Fault]
		TopicFaults []fault[sandbox.TopicFault]
		Project     string
		Region      string
		MaxReceives int
		Again       time.Duration
		CopyTime    time.Duration
		Look        time.Duration
		Followed    time.Duration
	}{
		Samples: samples, Estate: estate, CBRFaults: r.cbrFaults.Faults, TopicFaults: r.topicFaults.Faults,
		Project: cbrtest.SourceProject, Region: cbrtest.SourceRegion,
		MaxReceives: maxReceives, Again: r.pace.delay, CopyTime: r.pace.copyTime, Look: r.pace.look, Followed: r.pace.followed,
	}
	layout, err := template.ParseFS(page, "page/index.html")
	if err != nil {
		return nil, err
	}
	var index bytes.Buffer
	if err := layout.Execute(&index, content); err != nil {
		return nil, err
	}
	return index.Bytes(), nil
}

// serveEvents sends the history, the present state and then what happens, as server-sent events.
func (r *rig) serveEvents(w http.ResponseWriter, req *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	history, next, leave := r.journal.listen()
	defer leave()
	out := http.NewResponseController(w)
	for _, e := range history {
		fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.name, e.data)
	}
	for out.Flush() == nil {
		select {
		case e, ok := <-next:
			if !ok {
				return // too far behind: the page connects anew
			}
			fmt.Fprintf(w, "event: %s\ndata: %s\n\n", e.name, e.data)
		case <-req.Context().Done():
			return
		case <-r.life.Done():
			return
		}
	}
}

// serveQueue puts the body, an SQS event or one message's body, into the queue.
func (r *rig) serveQueue(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxRequest))
	if err != nil {
		refuse(w, err)
		return
	}
	sent, err := r.enqueue(string(body))
	if err != nil {
		answer(w, http.StatusTooManyRequests, apiMessage{err.Error()})
		return
	}
	answer(w, http.StatusOK, map[string]int{"sent": sent})
}

// serveFaults turns one of the two switches.
func (r *rig) serveFaults(w http.ResponseWriter, req *http.Request) {
	var turn struct {
		Of    string `json:"of"`
		Name  string `json:"name"`
		Times int    `json:"times"`
	}
	err := json.NewDecoder(http.MaxBytesReader(w, req.Body, maxDetail)).Decode(&turn)
	switch {
	case err != nil:
	case turn.Of == "cbr":
		err = r.cbrFaults.set(turn.Name, turn.Times)
	case turn.Of == "topic":
		err = r.topicFaults.set(turn.Name, turn.Times)
	default:
		err = errors.New("of: expected cbr or topic")
	}
	if err != nil {
		answer(w, http.StatusBadRequest, apiMessage{err.Error()})
		return
	}
	what := map[string]string{"cbr": "CBR", "topic": "Topic"}[turn.Of]
	switch {
	case turn.Name == "":
		what += ": fault switched off"
	case turn.Times == untilSwitchedOff:
		what += ": fault until switched off: " + turn.Name
	default:
		what += fmt.Sprintf(": fault for the next %d: %s", turn.Times, turn.Name)
	}
	r.journal.add(entry{Step: stepSwitch, Text: what})
	r.showState()
	w.WriteHeader(http.StatusNoContent)
}

// serveAct does what a button asks for that sends no body.
func (r *rig) serveAct(act func() error) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		if err := act(); err != nil {
			answer(w, http.StatusServiceUnavailable, apiMessage{err.Error()})
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}
}

// backUp gives each vault another backup, so that there is something to copy.
func (r *rig) backUp() error {
	r.account.Load().BackUp()
	r.journal.add(entry{Step: stepSwitch, Text: "A new backup in each source vault"})
	return nil
}

// revokeToken ends the life of the function's token, as a change of its user's permissions does.
func (r *rig) revokeToken() error {
	service := r.account.Load()
	issued := service.IssuedTokens()
	for _, token := range issued {
		service.RevokeToken(token)
	}
	what := "The function's token is revoked"
	if len(issued) == 0 {
		what = "No token to revoke: the function logs in when it first needs one"
	}
	r.journal.add(entry{Step: stepSwitch, Text: what})
	return nil
}
