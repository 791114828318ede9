package events

import (
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"cbr-replicator/internal/jsonscan"
)

// warmUp is a member of the calls by which a tool keeps a function warm.
type warmUp struct {
	name string
	// values are its values, in JSON, that make a call a warm-up. Without them the
	// member may have any value, but makes no warm-up by itself.
	values []string
}

// warmUps are the members that serverless-plugin-warmup,
// serverless-plugin-lambda-warmup and lambda-warmer send, the latter also to its
// copies, and what people often write by hand (their READMEs).
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
// anything else in it does not: it may be a request with a mistake, which must be
// reported. Neither do {} and the event of a schedule: with all defaults set they
// are requests.
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
