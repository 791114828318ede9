package visibility

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"cbr-replicator/internal/awsjson"
)

// maxName is the longest name of a queue, in bytes. A repetition of as many in
// queueForm would cost time at each start.
const maxName = 80

var (
	// functionForm is that of a function's ARN, as far as a queue shares it:
	// partition, region, account.
	functionForm = regexp.MustCompile(`^arn:(aws[a-z-]*):lambda:([a-z]+(?:-[a-z0-9]+)+):([0-9]{12}):`)
	// queueForm is that of a queue's name (SQS developer guide, "Amazon SQS
	// queue and message identifiers").
	queueForm = regexp.MustCompile(`^[A-Za-z0-9_-]+(\.fifo)?$`)
)

// home is where a function runs. An event may name any queue, so only those of
// the function's own partition, region and account are ever written to.
type home struct {
	prefix string // of its queues' ARNs
	base   string // of its queues' URLs
}

// homeOf returns where the function with this ARN runs.
func homeOf(arn string) (home, error) {
	m := functionForm.FindStringSubmatch(arn)
	if m == nil {
		return home{}, errors.New("the function's ARN is not known")
	}
	partition, region, account := m[1], m[2], m[3]
	return home{
		prefix: fmt.Sprintf("arn:%s:sqs:%s:%s:", partition, region, account),
		base:   fmt.Sprintf("https://sqs.%s.%s/%s/", region, awsjson.DNSSuffix(region), account),
	}, nil
}

// url returns the URL of the queue with this ARN, if it is at home.
func (h home) url(arn string) (url string, ok bool) {
	name, ok := strings.CutPrefix(arn, h.prefix)
	return h.base + name, ok && len(name) <= maxName && queueForm.MatchString(name)
}
