// Package integration holds tests of the function's built binary, and of the
// redrive command, with the wire protocols of SQS, SNS, EventBridge, Secrets
// Manager and CloudFormation as moto, a model of AWS that is not this project's,
// speaks them: `make integration`. CBR is the one of package cbrtest. They have a
// build tag, so that `go test ./...` needs no Python.
//
// moto runs no functions. The binary runs under package sandbox's Runtime API,
// and a small poller stands in for Lambda's event source mapping: it receives up
// to ten messages, invokes the function, and deletes what the answer does not
// hand back.
//
// What moto 5.2 does not do as AWS does, so that nothing here shows it:
//   - Permissions and signatures are not checked.
//   - A publication or a send beyond the limits of size in all is accepted.
//   - A message of a FIFO queue keeps the time of its sending when it is moved to
//     the dead-letter queue.
//   - A secret's new version is read at once.
package integration
