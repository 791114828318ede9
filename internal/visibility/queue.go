package visibility

import (
	"errors"
	"regexp"

	"cbr-replicator/internal/queue"
)

// functionForm is that of a function's ARN, as far as a queue shares it:
// partition, region, account.
var functionForm = regexp.MustCompile(`^arn:(aws[a-z-]*):lambda:([a-z]+(?:-[a-z0-9]+)+):([0-9]{12}):`)

// home is where a function runs. An event may name any queue, so only those of
// the function's own partition, region and account are ever written to.
type home struct{ partition, region, account string }

// homeOf returns where the function with this ARN runs.
func homeOf(arn string) (home, error) {
	m := functionForm.FindStringSubmatch(arn)
	if m == nil {
		return home{}, errors.New("the function's ARN is not known")
	}
	return home{m[1], m[2], m[3]}, nil
}

// url returns the URL of the queue with this ARN, if it is at home.
func (h home) url(arn string) (url string, ok bool) {
	n, err := queue.Parse(arn)
	if err != nil || h != (home{n.Partition, n.Region, n.Account}) {
		return "", false
	}
	return n.URL(), true
}
