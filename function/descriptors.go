package main

import "log/slog"

// sideBySide is how many deliveries may run at once with so many file
// descriptors, 1,024 on Lambda ("Lambda quotas"). Each has a connection to CBR,
// leaves one idle where the next goes to another region, and shares one to the
// topic with others: a call takes up to ten results. 32 are for the process
// itself, the runtime, the queue, IAM and Secrets Manager.
func sideBySide(descriptors uint64) int {
	const others = 32
	if descriptors <= others {
		return 1
	}
	// Nobody has as many as overflow, and a count is at most 10,000.
	return int(min(max((descriptors-others)/5*2, 1), 10_000))
}

// connections is how many deliveries the process handles at once, in all of its
// invocations, each with a connection to CBR.
func (s *settings) connections() int { return s.BatchConcurrency * s.MaxConcurrency }

// boundConcurrency sees to it that connections for deliveries leave some for
// their results: a topic that cannot be called has every delivery handed back
// that CBR has taken.
func (s *settings) boundConcurrency(descriptors uint64, log *slog.Logger) {
	most := max(sideBySide(descriptors)/s.MaxConcurrency, 1)
	if s.BatchConcurrency <= most {
		return
	}
	log.Warn("BATCH_CONCURRENCY is more than there are file descriptors for and is bounded",
		"batch_concurrency", s.BatchConcurrency, "bounded_to", most, "file_descriptors", descriptors)
	s.BatchConcurrency = most
}
