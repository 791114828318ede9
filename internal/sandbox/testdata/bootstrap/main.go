// Command bootstrap is the function that the tests of package sandbox run. It does what the invocation's payload says,
// and before its first poll what the environment variable INIT says.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

func main() {
	switch os.Getenv("INIT") {
	case "exit":
		fmt.Println("no token is configured")
		os.Exit(2)
	case "report":
		_, _ = http.Post("http://"+os.Getenv("AWS_LAMBDA_RUNTIME_API")+"/2018-06-01/runtime/init/error", "application/json",
			strings.NewReader(`{"errorMessage":"no token is configured","errorType":"Function.ConfigError"}`))
		os.Exit(1)
	case "hang":
		fmt.Println("hanging")
		time.Sleep(time.Hour)
	}
	pair := newPair()
	lambda.Start(func(ctx context.Context, payload json.RawMessage) (any, error) {
		var order struct {
			Do   string
			Size int
		}
		_ = json.Unmarshal(payload, &order) // any other payload is echoed
		switch order.Do {
		case "environ":
			return os.Environ(), nil
		case "context":
			lc, _ := lambdacontext.FromContext(ctx)
			deadline, _ := ctx.Deadline()
			return map[string]any{
				"PID": os.Getpid(), "RequestID": lc.AwsRequestID, "ARN": lc.InvokedFunctionArn,
				"Deadline": deadline, "TraceID": os.Getenv("_X_AMZN_TRACE_ID"),
			}, nil
		case "fail":
			return nil, &busyError{}
		case "panic":
			panic("boom")
		case "exit":
			os.Exit(0)
		case "print and exit":
			for i := range 25 {
				fmt.Println("line", i)
			}
			fmt.Fprint(os.Stderr, "an open line")
			os.Exit(3)
		case "print":
			fmt.Print("one line ")
			fmt.Fprint(os.Stderr, "from two writers\n")
			fmt.Print("two lines\nin one write\n")
		case "large":
			return strings.Repeat("x", order.Size), nil
		case "hang":
			fmt.Println("hanging")
			time.Sleep(time.Hour)
		case "meet":
			return "met", pair.meet(ctx)
		case "stay":
			fmt.Println("in")
			time.Sleep(5 * time.Millisecond) // time for another to come in, if it can
			fmt.Println("out")
		}
		return payload, nil
	})
}

type busyError struct{}

func (*busyError) Error() string { return "the vault is busy" }

// pair lets two invocations go on only together.
type pair struct {
	once  sync.Once
	first chan struct{}
	both  chan struct{}
}

func newPair() *pair { return &pair{first: make(chan struct{}, 1), both: make(chan struct{})} }

func (p *pair) meet(ctx context.Context) error {
	select {
	case p.first <- struct{}{}:
	default:
		p.once.Do(func() { close(p.both) })
	}
	select {
	case <-p.both:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
