// Package contract holds docs/openapi.yaml and docs/asyncapi.yaml, which other
// programs rely on, to the code: to the schemas and samples of package events, to
// the golden results, and to what the built function answers and publishes. It has
// only tests.
package contract
