package sandbox

import (
	"cmp"
	"maps"
	"strconv"
	"time"
)

// StackConfig describes a [Stack]. Its zero value is as template.yaml has it.
type StackConfig struct {
	// Topic is the topic's name, Observe and TopicOptions are for [NewTopic]; empty: results.
	Topic        string
	Observe      func(Published)
	TopicOptions []TopicOption
	// VisibilityTimeout, MaxReceiveCount and Impatient are the queues' (see [QueueConfig]); zero: 12 minutes, 10.
	VisibilityTimeout time.Duration
	MaxReceiveCount   int
	Impatient         bool
	// FollowDelay is how long an accepted result waits for the first look at its copies; zero: five minutes.
	FollowDelay time.Duration
	// Now is the queues' clock; nil: time.Now.
	Now func() time.Time
}

// Stack is what template.yaml makes around the function: two queues for requests, each with its dead letters, the queue of
// rejected bodies, the queue for following copies, the SQS that they are in, and the topic of results, to which that queue is
// subscribed. Safe for concurrent use.
type Stack struct {
	Requests *Queue
	FIFO     *Queue
	Rejected *Queue
	// Follow gets the accepted results of the topic, whose copies are followed.
	Follow *Queue
	SQS    *SQS
	Topic  *Topic
}

// NewStack starts a stack. Close it after use.
func NewStack(config StackConfig) (*Stack, error) {
	now := config.Now
	if now == nil {
		now = time.Now
	}
	queue := func(suffix string) *Queue {
		return NewQueue(QueueConfig{
			Name:              "requests" + suffix,
			VisibilityTimeout: cmp.Or(config.VisibilityTimeout, 12*time.Minute),
			DeadLetters:       NewQueue(QueueConfig{Name: "dead-letters" + suffix, Now: now}),
			MaxReceiveCount:   cmp.Or(config.MaxReceiveCount, 10),
			Impatient:         config.Impatient,
			Now:               now,
		})
	}
	s := &Stack{Requests: queue(""), FIFO: queue(".fifo"), Rejected: NewQueue(QueueConfig{Name: "rejected", Now: now})}
	s.Follow = NewQueue(QueueConfig{
		Name:              "follow",
		Delay:             cmp.Or(config.FollowDelay, 5*time.Minute),
		VisibilityTimeout: cmp.Or(config.VisibilityTimeout, 12*time.Minute),
		DeadLetters:       NewQueue(QueueConfig{Name: "follow-dead-letters", Now: now}),
		MaxReceiveCount:   1000,
		Impatient:         config.Impatient,
		Now:               now,
	})
	var err error
	if s.Topic, err = NewTopic(cmp.Or(config.Topic, "results"), func(p Published) {
		if p.Attributes["status"] == "accepted" { // the subscription's filter
			s.Follow.Send(p.Message, p.Attributes, "")
		}
		if config.Observe != nil {
			config.Observe(p)
		}
	}, config.TopicOptions...); err != nil {
		return nil, err
	}
	if s.SQS, err = NewSQS(s.Requests, s.FIFO, s.Rejected, s.Follow); err != nil {
		s.Topic.Close()
		return nil, err
	}
	return s, nil
}

// Close ends the servers; queues and what was published stay.
func (s *Stack) Close() {
	s.SQS.Close()
	s.Topic.Close()
}

// Queues are those for requests.
func (s *Stack) Queues() []*Queue { return []*Queue{s.Requests, s.FIFO} }

// QueueOf is the queue that a message of this group is sent to: the standard queue for one without.
func (s *Stack) QueueOf(group string) *Queue {
	if group == "" {
		return s.Requests
	}
	return s.FIFO
}

// Env returns the variables by which the function finds the stack, and those given. If a variable is given more than once, the
// last value counts. An empty value counts as not set.
func (s *Stack) Env(more ...map[string]string) map[string]string {
	env := map[string]string{
		"RESULT_TOPIC_ARN":      s.Topic.ARN(),
		"REJECTED_QUEUE_ARN":    s.Rejected.ARN(),
		"REQUEST_QUEUE_ARN":     s.Requests.ARN(),
		"FOLLOW_QUEUE_ARN":      s.Follow.ARN(),
		"MAX_RECEIVE_COUNT":     strconv.Itoa(s.Requests.config.MaxReceiveCount),
		"AWS_ENDPOINT_URL_SNS":  s.Topic.URL(),
		"AWS_ENDPOINT_URL_SQS":  s.SQS.URL(),
		"AWS_LAMBDA_LOG_FORMAT": "JSON",
	}
	for _, m := range more {
		maps.Copy(env, m)
	}
	return env
}
