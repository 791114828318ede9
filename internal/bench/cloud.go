package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// topicLatency is short, which favours a function that publishes one by one. It is
// not zero: on loopback an answer could come before the end of the SDK's own
// request, and the SDK would lose its connection.
const topicLatency = time.Millisecond

// cloud is the CBR and the topic that one process talks to. Both do as little as
// possible, since they run on the processors that are measured.
type cloud struct {
	place
	cbr    *http.Server
	topic  *http.Server
	cbrURL string
	snsURL string

	mu        sync.Mutex
	vaults    map[string]int // calls of replicate, by vault
	published int            // results
	tally     tally
}

// tally is what the servers have counted.
type tally struct {
	cbrConnections, snsConnections int
	snsCalls                       int
	snsBilled                      int // requests, of 64 KB each (AWS, "Amazon SNS pricing")
}

func newCloud(at place) (*cloud, error) {
	c := &cloud{place: at, vaults: map[string]int{}}
	var err error
	if c.cbr, c.cbrURL, err = c.serve(c.replicate, &c.tally.cbrConnections); err != nil {
		return nil, err
	}
	if c.topic, c.snsURL, err = c.serve(c.publish, &c.tally.snsConnections); err != nil {
		_ = c.cbr.Close()
		return nil, err
	}
	return c, nil
}

func (c *cloud) close() {
	_ = c.cbr.Close()
	_ = c.topic.Close()
}

// serve starts a server, which counts its connections.
func (c *cloud) serve(h http.HandlerFunc, connections *int) (*http.Server, string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	s := &http.Server{Handler: h, ConnState: func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			c.mu.Lock()
			defer c.mu.Unlock()
			*connections++
		}
	}}
	if c.authority == nil {
		go func() { _ = s.Serve(l) }() // ends with Close
		return s, "http://" + l.Addr().String(), nil
	}
	before, err := far(l.Addr().String())
	if err != nil {
		_ = l.Close()
		return nil, "", err
	}
	s.TLSConfig = c.authority.server.Clone()
	s.Protocols = new(http.Protocols) // SNS offers no HTTP/2
	s.Protocols.SetHTTP1(true)
	go func() {
		_ = s.ServeTLS(l, "", "") // ends with Close
		_ = before.Close()
	}()
	return s, "https://" + before.Addr().String(), nil
}

// replicate is CBR's CopyCheckpoint (CBR API reference): every vault has two
// backups to copy.
func (c *cloud) replicate(w http.ResponseWriter, r *http.Request) {
	timer := time.NewTimer(c.latency)
	defer timer.Stop()
	var asked struct {
		Replicate struct {
			VaultID string `json:"vault_id"`
		} `json:"replicate"`
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &asked) != nil || asked.Replicate.VaultID == "" ||
		r.Header.Get("X-Auth-Token") == "" && r.Header.Get("Authorization") == "" {
		http.Error(w, `{"error_code":"BackupService.9900","error_msg":"no request to replicate"}`, http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	c.vaults[asked.Replicate.VaultID]++
	c.mu.Unlock()
	<-timer.C
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	w.Header().Set("X-Request-Id", "e8ce426dc05c2416330d890b6f989ff3")
	fmt.Fprintf(w, `{"replication":{"backups":[{"backup_id":"63b49f6d-5cdb-4f4c-a8c1-4e7ac2ef4ae3","replication_record_id":"4d8ee6ea-c1f5-4e9c-a0b9-b4dd0a6a3c1f"},`+
		`{"backup_id":"79d4b5ee-d93c-4d48-b0a4-3e2f5b0a5b7a","replication_record_id":"8b7d3d3c-0f0c-4d6c-8a0c-2b8b9d5b4d0b"}],`+
		`"destination_project_id":"`+destinationProject+`","destination_region":"region2","destination_vault_id":"`+destinationVault+`",`+
		`"project_id":"`+project+`","provider_id":"0daac4c5-6707-4851-97ba-169e36266b66","source_region":"region1","vault_id":"%s"}}`, asked.Replicate.VaultID)
}

// publish is SNS's Publish and PublishBatch, in its query protocol.
func (c *cloud) publish(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	results, size := 0, 0
	var answer strings.Builder
	answer.WriteString(`<Response><` + r.Form.Get("Action") + `Result>`)
	if message := r.Form.Get("Message"); message != "" {
		results, size = 1, len(message)
		answer.WriteString(`<MessageId>m</MessageId>`)
	} else {
		answer.WriteString(`<Successful>`)
		for {
			entry := "PublishBatchRequestEntries.member." + strconv.Itoa(results+1) + "."
			id := r.Form.Get(entry + "Id")
			if id == "" {
				break
			}
			results, size = results+1, size+len(r.Form.Get(entry+"Message"))
			answer.WriteString(`<member><Id>` + id + `</Id><MessageId>m</MessageId></member>`)
		}
		answer.WriteString(`</Successful><Failed/>`)
	}
	answer.WriteString(`</` + r.Form.Get("Action") + `Result><ResponseMetadata><RequestId>r</RequestId></ResponseMetadata></Response>`)
	c.mu.Lock()
	c.published += results
	c.tally.snsCalls++
	c.tally.snsBilled += (size + 64<<10 - 1) / (64 << 10)
	c.mu.Unlock()
	time.Sleep(topicLatency)
	w.Header().Set("Content-Type", "text/xml")
	_, _ = io.WriteString(w, answer.String()) // fails only if the caller is gone
}

// collect returns what was counted since its last call. It is an error if not each
// of n requests was made once, and its result published once.
func (c *cloud) collect(n int) (tally, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := 0
	for _, times := range c.vaults {
		calls += times
	}
	if len(c.vaults) != n || calls != n || c.published != n {
		return tally{}, fmt.Errorf("of %d requests %d reached CBR, in %d calls, and %d results reached the topic", n, len(c.vaults), calls, c.published)
	}
	counted := c.tally
	c.vaults, c.published, c.tally = map[string]int{}, 0, tally{}
	return counted, nil
}
