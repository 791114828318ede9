package visibility

import (
	"errors"
	"fmt"

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

// url returns the URL of the queue with this ARN. Its error tells why the queue is
// not at home.
func (h home) url(arn string) (string, error) {
	n, err := queue.Parse(arn)
	switch {
	case err != nil:
		return "", errors.New("the event names no queue")
	case n.Region != h.region:
		return "", fmt.Errorf("the queue is in the region %s, the function in %s", n.Region, h.region)
	case n.Account != h.account, n.Partition != h.partition:
		return "", errors.New("the queue is of another account than the function")
	}
	return n.URL(), nil
}
