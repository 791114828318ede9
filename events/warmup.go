package events

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/jsonscan"
)

// warmUp is a member of the calls by which a tool keeps a function warm.
type warmUp struct {
	name string
	// values are its values in JSON, of which one makes a call a warm-up. Without
	// them it may stand beside one that does, with any value.
	values []string
}

// warmUps are those of serverless-plugin-warmup and serverless-plugin-lambda-warmup,
// of lambda-warmer, with what it sends to the copies of itself, and what is written
// by hand most often (their READMEs).
var warmUps = []warmUp{
	{"source", []string{`"serverless-plugin-warmup"`, `"serverless-plugin-lambda-warmup"`}},
	{"warmer", []string{"true"}},
	{"warmup", []string{"true"}},
	{"concurrency", nil},
	{"__WARMER_INVOCATION__", nil},
	{"__WARMER_CONCURRENCY__", nil},
	{"__WARMER_CORRELATIONID__", nil},
}

// isWarmUp reports whether a direct call only keeps the function warm. A call with
// anything else in it does not: a request with a mistake must be told. Neither do {}
// and the event of a schedule, which are requests where all defaults are set.
func isWarmUp(payload []byte) bool {
	found := false
	r := jsonscan.New(payload)
	if r.Peek() != jsontext.KindBeginObject {
		return false
	}
	for name := range r.Members {
		i := slices.IndexFunc(warmUps, func(w warmUp) bool { return w.name == string(name) })
		if i < 0 {
			return false
		}
		if values := warmUps[i].values; values != nil {
			if !slices.Contains(values, string(r.Value())) {
				return false
			}
			found = true
		}
	}
	return r.End() == nil && found
}
