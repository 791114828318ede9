package visibility

import (
	"errors"

	"cbr-replicator/internal/arn"
	"cbr-replicator/internal/queue"
)

// home is where the function runs. An event may name any queue, so only queues of
// the function's own partition, region and account are called.
type home struct{ partition, region, account string }

// homeOf returns where the function with this ARN runs.
func homeOf(function string) (home, error) {
	a, err := arn.Parse(function, "lambda")
	if err != nil {
		return home{}, errors.New("the function's ARN is not known")
	}
	return home{a.Partition, a.Region, a.Account}, nil
}

// url returns the URL of the queue with this ARN, if it is at home.
func (h home) url(arn string) (url string, ok bool) {
	n, err := queue.Parse(arn)
	if err != nil || h != (home{n.Partition, n.Region, n.Account}) {
		return "", false
	}
	return n.URL(), true
}
