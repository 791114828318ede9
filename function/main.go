// Command bootstrap is the function as Lambda and FunctionGraph run it. It makes a handler of the
// environment and starts it. No other room knows environment variables.
package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"cbr-replicator/internal/huawei"
)

// version is set by the linker.
var version = "dev"

func main() {
	cloud, err := cloudOf()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	log := slog.New(cloud.LogHandler())
	log.Info("starting", "version", version)
	s, err := load()
	if err != nil {
		log.Error("the configuration is wrong", "error", err.Error())
		os.Exit(1)
	}
	s.boundConcurrency(descriptors(), log)
	client := huawei.NewHTTPClient(s.connections())
	h := newHandler(s, client, os.Stdout, cloud.Metrics(), log)
	if err := s.connectAhead(client); err != nil {
		log.Debug("not connected ahead of the first call", "error", h.Redact.Text(err.Error()))
	}
	cloud.Serve(context.Background(), h, h.Redact)
}
