// Package integration tests the function's built binary and the redrive command
// against moto, another project's model of AWS: `make integration`. moto speaks the
// wire protocols of SQS, SNS, EventBridge, Secrets Manager and CloudFormation. CBR
// is the one of package cbrtest. The tests have a build tag, so that
// `go test ./...` needs no Python.
//
// moto runs no functions. The binary runs under package sandbox's Runtime API,
// and a small poller stands in for Lambda's event source mapping: it receives up
// to ten messages, invokes the function, and deletes what the answer does not
// hand back.
//
// moto 5.2 differs from AWS, so these tests show nothing of the following:
//   - Permissions and signatures are not checked.
//   - A batch above the limit of its total size is accepted.
//   - A message of a FIFO queue keeps the time it was sent when it is moved to the
//     dead-letter queue.
//   - A secret's new version is read at once.
package integration
