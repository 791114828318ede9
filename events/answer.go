package events

import (
	"slices"

	"cbr-replicator/internal/delivery"
)

// How long answers may be, in bytes.
const (
	// maxAnswer is for one result: Step Functions takes 256 KiB, with what it
	// writes around the result (AWS Step Functions developer guide, "Service
	// quotas"). An execution that gets more ends, and cannot catch that error.
	maxAnswer = 240 << 10
	// maxReply is for a reply: Lambda takes 6 MB (AWS Lambda developer guide,
	// "Lambda quotas"). A process that replies with more is ended.
	maxReply = 6_000_000
	// maxALBReply is what a load balancer takes (Elastic Load Balancing user guide,
	// "Use Lambda functions as targets of an Application Load Balancer").
	maxALBReply = 1_000_000
)

// answerOf returns a direct caller's answer, of at most limit bytes: the result,
// with result_published if it could not be published.
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

// replies returns the array of all answers of a batch. If they are too long
// together, the longest ones are cut, all to the same length.
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
				out = nil // from here only the sizes are needed
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

// fairShare returns the length to which all longer ones must be cut, so that all
// together fit into room. It sorts sizes.
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
