package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"cbr-replicator/internal/cbr/cbrtest"
)

// door is a proxy before a server. It holds one request until its sender is gone.
type door struct {
	url string

	to       *url.URL      // the server
	holds    string        // a text in the body or the URL of the request to hold; empty: none
	answered bool          // hold it after the server has answered, not before
	held     chan struct{} // closed when it is held
	once     atomic.Bool   // it was held
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{held: make(chan struct{})}
	transport := &http.Transport{}
	proxy := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(d.to) },
		ModifyResponse: func(resp *http.Response) error {
			if resp.Request.Context().Value(d) != nil {
				d.hold(resp.Request.Context())
				return errors.New("held")
			}
			return nil
		},
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		if d.holds != "" && strings.Contains(string(body)+r.URL.String(), d.holds) && d.once.CompareAndSwap(false, true) {
			if !d.answered {
				d.hold(r.Context())
				return
			}
			r = r.WithContext(context.WithValue(r.Context(), d, true))
		}
		proxy.ServeHTTP(w, r)
	}))
	d.url = server.URL
	t.Cleanup(func() {
		server.Close()
		transport.CloseIdleConnections()
	})
	return d
}

func (d *door) hold(ctx context.Context) {
	close(d.held)
	<-ctx.Done()
}

func (d *door) leadsTo(t *testing.T, address string) {
	t.Helper()
	var err error
	if d.to, err = url.Parse(address); err != nil {
		t.Fatal(err)
	}
}

// TestDeath kills the process at each step from the request to the reply. The message
// is redelivered and ends as without that: CBR accepts one request, and there is one
// result. Another message's first delivery is handed back, so that there is a
// visibility to change.
func TestDeath(t *testing.T) {
	t.Parallel()
	const cbr, topic, sqs, reply = "cbr", "topic", "sqs", "reply"
	for name, tt := range map[string]struct {
		at       string
		holds    string
		answered bool
		fault    cbrtest.Fault // of the first request
	}{
		"the request is on its way":                          {at: cbr, holds: vaultB},
		"CBR has answered the request":                       {at: cbr, holds: vaultB, answered: true},
		"the answer is lost, the lookup is on its way":       {at: cbr, holds: "/backups", fault: cbrtest.ResetAfter()},
		"the answer is lost, the lookup is answered":         {at: cbr, holds: "/backups", answered: true, fault: cbrtest.Fault{Status: http.StatusBadGateway, Taken: true}},
		"CBR has answered, the result is on its way":         {at: topic, holds: vaultB},
		"the topic has the result":                           {at: topic, holds: vaultB, answered: true},
		"the result is published, the visibility on its way": {at: sqs, holds: "requests"},
		"the visibility is changed":                          {at: sqs, holds: "requests", answered: true},
		"the reply is on its way":                            {at: reply},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			doors := map[string]*door{cbr: newDoor(t), topic: newDoor(t), sqs: newDoor(t)}
			r := newRig(t, "results", map[string]string{
				"HW_CBR_ENDPOINT": doors[cbr].url, "AWS_ENDPOINT_URL_SNS": doors[topic].url, "AWS_ENDPOINT_URL_SQS": doors[sqs].url,
			}, cbrtest.WithCopyTime(0))
			r.cbr.Script(vaultB, tt.fault)
			r.cbr.Script(vaultC, cbrtest.Refusal(http.StatusBadRequest, "BackupService.6130", "The vault is being replicated."))
			doors[cbr].leadsTo(t, r.cbr.URL)
			doors[topic].leadsTo(t, r.topic.URL())
			doors[sqs].leadsTo(t, r.stack.SQS.URL())
			if d := doors[tt.at]; d != nil {
				d.holds, d.answered = tt.holds, tt.answered
			}

			queue := r.stack.Requests
			queue.Send(request(vaultB), nil, "")
			queue.Send(request(vaultC), nil, "")
			payload := r.batch()
			reached := r.seen // the metrics, the last line before the reply
			if d := doors[tt.at]; d != nil {
				reached = d.held
			}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				// If an answer got out, the test drops it.
				response, err := r.function.Invoke(t.Context(), payload, time.Minute)
				if err != nil || response.Error == nil && tt.at != reply {
					t.Errorf("the process was not killed: %s, error %v", response.Payload, err)
				}
			}()
			select {
			case <-reached:
			case <-ended:
			}
			r.function.Kill()
			<-ended

			// Two rounds: the other message may not have had its first delivery.
			for round := 0; round < 2 && len(queue.Messages()) > 0; round++ {
				r.slept.Add(int64(2 * time.Hour))
				r.deliver()
			}
			if left := queue.Messages(); len(left) > 0 {
				t.Errorf("%d messages are left", len(left))
			}
			made := copiesOf(t, r, vaultB)
			if len(made) != 1 {
				t.Errorf("CBR made the copies %v, want one", made)
			}
			var requests int
			for _, call := range r.cbr.Calls() {
				if call.Vault == vaultB {
					requests++
				}
			}
			if requests != 1 {
				t.Errorf("CBR had %d requests, want 1", requests)
			}
			results := map[string][]string{} // vaults by event id
			for _, m := range r.topic.Messages() {
				e := decode[event](t, m.Message)
				results[e.ID] = append(results[e.ID], m.Attributes["vault_id"])
				if e.Data.Status != "accepted" {
					t.Errorf("result %s", m.Message)
				}
				if m.Attributes["vault_id"] == vaultB {
					if diff := cmp.Diff(made, e.Data.Replication.Backups); diff != "" {
						t.Errorf("copies in the result (-made +published):\n%s", diff)
					}
				}
			}
			if len(results) != 2 {
				t.Errorf("results of %v, want one for each vault", results)
			}
			for id, vaults := range results {
				if len(slices.Compact(vaults)) != 1 {
					t.Errorf("event %s is of the vaults %v", id, vaults)
				}
			}
		})
	}
}

// copiesOf returns the copies of a vault's backups, as a result has them.
func copiesOf(t *testing.T, r *rig, vault string) []map[string]string {
	t.Helper()
	req := httptest.NewRequest(http.MethodGet, "/v3/"+cbrtest.SourceProject+"/backups?show_replication=true&vault_id="+vault, nil)
	req.Header.Set("X-Auth-Token", cbrtest.Token)
	w := httptest.NewRecorder()
	r.cbr.ServeHTTP(w, req)
	var made []map[string]string
	for _, b := range decode[struct {
		Backups []struct {
			ID      string
			Records []struct{ ID string } `json:"replication_records"`
		}
	}](t, w.Body.String()).Backups {
		for _, record := range b.Records {
			made = append(made, map[string]string{"backup_id": b.ID, "replication_record_id": record.ID})
		}
	}
	return made
}
