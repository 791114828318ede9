// Package sandbox holds the parts of AWS around the function, on this machine: Lambda's execution environment
// ([Function]), an SQS queue with its event source mapping ([Queue], [Mapping]) and its API ([SQS]), an SNS topic
// ([Topic]), an EventBridge bus ([EventBus]) and Secrets Manager ([Secrets]); and what template.yaml makes of them ([Stack]). Of
// Huawei Cloud, beside the CBR of package cbrtest, it holds FunctionGraph ([FunctionGraph]) and an SMN topic ([SMNTopic]).
//
// It is for running and testing the function's built binary. The binary gets what it gets in Lambda: the Runtime API,
// environment variables and the wire protocols of SNS, EventBridge, SQS and Secrets Manager. The package imports no code of
// the function, so that both cannot make the same mistake.
//
// The parts do what AWS documents, also where it is unpleasant: an empty list of batch item failures deletes the batch, a
// time-out kills the process, an attribute without a value is refused. The servers listen on 127.0.0.1 only.
package sandbox

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// Region is the AWS region of everything in the sandbox.
	Region = "eu-central-1"
	// Account is the AWS account of everything in the sandbox, the one in AWS's documentation.
	Account = "123456789012"
)

func arn(service, resource string) string {
	return fmt.Sprintf("arn:aws:%s:%s:%s:%s", service, Region, Account, resource)
}

// newUUID makes an id of the form AWS gives to requests and messages.
func newUUID() string {
	id := randomHex(16)
	return fmt.Sprintf("%s-%s-4%s-a%s-%s", id[:8], id[8:12], id[13:16], id[17:20], id[20:])
}

func randomHex(bytes int) string {
	b := make([]byte, bytes)
	_, _ = rand.Read(b) // documented never to fail
	return hex.EncodeToString(b)
}

// server is an HTTP server on a free port of 127.0.0.1.
type server struct {
	http    http.Server
	addr    string
	stopped chan struct{}
	conns   sync.WaitGroup
}

func serve(handler http.Handler) (*server, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listening on 127.0.0.1: %w", err)
	}
	s := &server{
		http:    http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second},
		addr:    listener.Addr().String(),
		stopped: make(chan struct{}),
	}
	// A connection is closed after its handler has returned. A new one is counted before Serve returns.
	s.http.ConnState = func(_ net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.conns.Add(1)
		case http.StateClosed:
			s.conns.Done()
		}
	}
	go func() {
		defer close(s.stopped)
		_ = s.http.Serve(listener) // always http.ErrServerClosed or the consequence of a broken machine
	}()
	return s, nil
}

// close cuts every connection, which ends the contexts of requests under way. It returns when every handler has returned.
func (s *server) close() {
	_ = s.http.Close()
	<-s.stopped
	s.conns.Wait()
}
