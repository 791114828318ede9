// Package contract holds the documents that other programs rely on,
// docs/openapi.yaml and docs/asyncapi.yaml, to the schemas and samples of
// package events, to the golden results, and to what the function's built binary
// answers and publishes. It has only tests.
package contract
