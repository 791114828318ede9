// Command hello is the floor: the least that a Go function on Lambda can be.
package main

import (
	"context"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(context.Context) (string, error) { return "Hello, world", nil })
}
