package follow

import "time"

// A look comes after a quarter of the time that has passed, from 2 to 30 minutes.
// It comes earlier if CBR's progress promises an end before that, but then after a
// minute and a twentieth of that time at least.
const (
	shortest = 2 * time.Minute
	longest  = 30 * time.Minute
	soonest  = time.Minute
)

// Wait returns how long an accepted event of an age stays out of sight. promise is
// after which time the copies may have ended, zero if CBR does not say. A tenth
// more or less is random, so that events of one time are not redelivered together,
// but no bound below is undercut. rand is a number in [0, 1).
func Wait(age, promise time.Duration, rand float64) time.Duration {
	w, floor := min(max(age/4, shortest), longest), shortest
	if promise > 0 && promise < w {
		floor = max(soonest, age/20)
		w = min(max(promise, floor), w)
	}
	spread := time.Duration(float64(w) * (0.9 + rand/5))
	return max(spread, min(floor, w))
}
