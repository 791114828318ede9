package fleet

import "time"

// clock is a simulation's time. It runs tasks in the order of their times, and
// tasks of the same time in the order in which they were added, so that a seed
// gives the same night each time.
type clock struct {
	now   time.Duration // since the night began
	asked uint64
	due   []task // a binary heap
}

type task struct {
	at    time.Duration
	asked uint64
	do    func()
}

func (t *task) before(o *task) bool {
	return t.at < o.at || t.at == o.at && t.asked < o.asked
}

// after runs do when d has passed.
func (c *clock) after(d time.Duration, do func()) {
	c.asked++
	c.due = append(c.due, task{c.now + d, c.asked, do})
	// Its own heap: container/heap would allocate for every task.
	for i := len(c.due) - 1; i > 0; {
		parent := (i - 1) / 2
		if !c.due[i].before(&c.due[parent]) {
			break
		}
		c.due[i], c.due[parent] = c.due[parent], c.due[i]
		i = parent
	}
}

// run runs tasks until there are none.
func (c *clock) run() {
	for len(c.due) > 0 {
		first := c.due[0]
		last := len(c.due) - 1
		c.due[0], c.due[last] = c.due[last], task{}
		c.due = c.due[:last]
		for i := 0; ; {
			least := i
			for child := 2*i + 1; child <= 2*i+2 && child < last; child++ {
				if c.due[child].before(&c.due[least]) {
					least = child
				}
			}
			if least == i {
				break
			}
			c.due[i], c.due[least] = c.due[least], c.due[i]
			i = least
		}
		c.now = first.at
		first.do()
	}
}
