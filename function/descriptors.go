package main

import "log/slog"

// sideBySide returns how many deliveries may run at once with this many file
// descriptors. Lambda has 1,024 ("Lambda quotas"). Each delivery has a connection
// to CBR and may leave one idle, if the next delivery is for another region. Up to
// ten share a connection to the topic. SMN takes one result a call, but a delivery
// calls it when it no longer calls CBR. 32 descriptors are for the process itself,
// the runtime, the queue, IAM and Secrets Manager.
func sideBySide(descriptors uint64) int {
	const others = 32
	if descriptors <= others {
		return 1
	}
	// A count is at most 10,000, see maxCount.
	return int(min(max((descriptors-others)/5*2, 1), 10_000))
}

// connections returns how many deliveries the process handles at once, in all of
// its invocations. Each has a connection to CBR.
func (s *settings) connections() int { return s.BatchConcurrency * s.MaxConcurrency }

// boundConcurrency bounds BATCH_CONCURRENCY, so that file descriptors are left for
// calling the topic. If the topic cannot be called, every delivery is handed back,
// although CBR has accepted its request.
func (s *settings) boundConcurrency(descriptors uint64, log *slog.Logger) {
	most := max(sideBySide(descriptors)/s.MaxConcurrency, 1)
	if s.BatchConcurrency <= most {
		return
	}
	log.Warn("BATCH_CONCURRENCY is more than there are file descriptors for and is bounded",
		"batch_concurrency", s.BatchConcurrency, "bounded_to", most, "file_descriptors", descriptors)
	s.BatchConcurrency = most
}
