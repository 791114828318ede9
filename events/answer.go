package events

import (
	"slices"

	"cbr-replicator/internal/delivery"
)

// What the takers of answers take, in bytes.
const (
	// maxAnswer is for a result: Step Functions takes 256 KiB of a task's result
	// (AWS Step Functions developer guide, "Service quotas"), with what it writes
	// around it. It ends an execution that gets more, and nothing can catch that.
	maxAnswer = 240 << 10
	// maxReply is for a whole reply: Lambda takes 6 MB (AWS Lambda developer
	// guide, "Lambda quotas"), and a process that has more to say ends.
	maxReply = 6_000_000
	// maxALBReply is what a load balancer takes (Elastic Load Balancing user guide,
	// "Use Lambda functions as targets of an Application Load Balancer").
	maxALBReply = 1_000_000
)

// answerOf is a direct caller's answer, at most limit bytes of it: the result, and
// whether it is on the topic where it is not.
func answerOf(o delivery.Outcome, limit int) ([]byte, error) {
	const unpublished = `,"result_published":false}`
	switch {
	case o.Data.Status == "":
		return marshal(nil)
	case o.PublishErr == nil:
		return o.Data.Within(limit)
	}
	text, err := o.Data.Within(limit - len(unpublished))
	if err != nil {
		return nil, err
	}
	return append(text[:len(text)-len("}")], unpublished...), nil
}

// replies is the array of the answers of a batch. All are in it: where they are
// too long together, the longest are cut to a length that is the same for them.
func replies(outcomes []delivery.Outcome) ([]byte, error) {
	room := maxReply - len("[]") - len(",")*len(outcomes)
	limit, sizes := maxAnswer, make([]int, len(outcomes))
	for {
		out, left := []byte{'['}, room
		for i, o := range outcomes {
			text, err := answerOf(o, limit)
			if err != nil {
				return nil, err
			}
			sizes[i] = len(text)
			if left -= len(text); left < 0 {
				out = nil // only the sizes count from here on
				continue
			}
			if i > 0 {
				out = append(out, ',')
			}
			out = append(out, text...)
		}
		if left >= 0 {
			return append(out, ']'), nil
		}
		limit = fairShare(sizes, room)
	}
}

// fairShare returns the length to which all that are longer must be cut, so that
// together they are at most room long. It sorts sizes.
func fairShare(sizes []int, room int) int {
	slices.Sort(sizes)
	for i, size := range sizes {
		share := room / (len(sizes) - i)
		if size > share {
			return share
		}
		room -= size
	}
	return room
}
