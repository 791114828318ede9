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
)

// version is set by the linker.
var version = "dev"

func main() {
	log := slog.New(lambdacontext.NewLogHandler())
	log.Info("starting", "version", version)
	h, err := newHandler(os.Stdout, log)
	if err != nil {
		log.Error("the configuration is wrong", "error", err.Error())
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	lambda.Start(h)
}
