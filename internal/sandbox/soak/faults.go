package soak

import (
	"math/rand/v2"
	"net/http"
	"time"

	"cbr-replicator/internal/cbr/cbrtest"
	"cbr-replicator/internal/sandbox"
)

// cbrTimeout is the function's CBR_TIMEOUT. An answer twice as late is lost.
const cbrTimeout = 100 * time.Millisecond

// A chance is how many of a thousand calls meet a fault.
type chance[F any] struct {
	name   string
	permil int
	fault  F
}

// copyChances are CopyCheckpoint's. Of a hundred calls 8 are throttled, 12 meet an
// error that passes, 4 are reset before CBR accepts the request, and 22 lose the
// answer after that.
var copyChances = []chance[cbrtest.Fault]{
	{"throttled", 60, cbrtest.Throttled(0)},
	{"throttled, for longer than the function waits in place", 20, cbrtest.Throttled(40 * time.Second)},
	{"503", 30, cbrtest.Raw(http.StatusServiceUnavailable, "")},
	{"APIG.0613", 30, cbrtest.Unavailable()},
	{"BackupService.4005", 30, cbrtest.Refusal(http.StatusInternalServerError, "BackupService.4005", "Checking the destination vault failed.")},
	{"BackupService.6118", 30, cbrtest.Refusal(http.StatusBadRequest, "BackupService.6118", "Checking the destination vault failed.")},
	{"reset before accepted", 40, cbrtest.ResetBefore()},
	{"accepted, then reset", 60, cbrtest.ResetAfter()},
	{"accepted, answer cut short", 50, cbrtest.CutShort()},
	{"accepted, then 502", 40, cbrtest.Fault{Status: http.StatusBadGateway, Body: "<html>Bad Gateway</html>", Taken: true}},
	{"accepted, then BackupService.9910", 30, cbrtest.Fault{Status: http.StatusInternalServerError, Code: "BackupService.9910", Message: "Unknown error.", Taken: true}},
	{"accepted, answer too late", 40, cbrtest.Late(2 * cbrTimeout)},
}

var lookupChances = []chance[cbrtest.Fault]{
	{"503", 30, cbrtest.Raw(http.StatusServiceUnavailable, "")},
	{"throttled", 20, cbrtest.Throttled(0)},
	{"reset", 30, cbrtest.ResetBefore()},
	{"cut short", 20, cbrtest.CutShort()},
	{"slow", 30, cbrtest.Late(cbrTimeout / 4)},
	{"too late", 10, cbrtest.Late(2 * cbrTimeout)},
}

var topicChances = []chance[sandbox.TopicFault]{
	{"entry failed", 40, sandbox.TopicFault{Entries: map[int]bool{0: false}}},
	{"entry refused", 20, sandbox.TopicFault{Entries: map[int]bool{0: true}}},
	{"500", 30, sandbox.TopicFault{Status: http.StatusInternalServerError, Code: "InternalError"}},
	{"reset", 30, sandbox.TopicFault{Reset: true}},
	{"published, answer lost", 30, sandbox.TopicFault{AnswerLost: true}},
}

// queueChances are SQS's, when a visibility is changed or a body is kept.
var queueChances = []chance[sandbox.SQSFault]{
	{"500", 20, sandbox.SQSFault{Status: http.StatusInternalServerError, Code: "InternalError"}},
	{"reset", 15, sandbox.SQSFault{Reset: true}},
	{"entry failed", 15, sandbox.SQSFault{Entries: map[int]bool{0: false}}},
	{"done, answer lost", 15, sandbox.SQSFault{AnswerLost: true}},
}

// drawn is the faults of a service's calls, in their order.
type drawn[F any] struct {
	faults []F
	names  []string // "" for none
}

// draw draws the faults of n calls.
func draw[F any](rng *rand.Rand, chances []chance[F], n int) drawn[F] {
	d := drawn[F]{make([]F, n), make([]string, n)}
	for i := range n {
		at := rng.IntN(1000)
		for _, c := range chances {
			if at -= c.permil; at < 0 {
				d.faults[i], d.names[i] = c.fault, c.name
				break
			}
		}
	}
	return d
}

// count adds the faults of the first n calls, which were made, to counts.
func (d drawn[F]) count(counts map[string]int, service string, n int) {
	for _, name := range d.names[:min(n, len(d.names))] {
		if name != "" {
			counts[service+": "+name]++
		}
	}
}
