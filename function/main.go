// Command bootstrap is the function as Lambda runs it: it makes a handler of
// the environment and starts it. This is the only room that knows environment
// variables.
package main

import (
	"fmt"
	"log/slog"
	"os"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"cbr-replicator/internal/cbr"
)

// version is set by the linker.
var version = "dev"

func main() {
	log := slog.New(lambdacontext.NewLogHandler())
	log.Info("starting", "version", version)
	s, err := load()
	if err != nil {
		log.Error("the configuration is wrong", "error", err.Error())
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	s.boundConcurrency(descriptors(), log)
	client := cbr.NewHTTPClient(s.BatchConcurrency.value)
	h := newHandler(s, client, os.Stdout, log)
	if err := s.connectAhead(client); err != nil {
		log.Debug("not connected ahead of the first call", "error", h.Redact.Text(err.Error()))
	}
	lambda.Start(h)
}
