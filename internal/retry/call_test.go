package retry_test

import (
	"fmt"
	"time"

	"cbr-replicator/internal/kind"
	"cbr-replicator/internal/retry"
)

func ExamplePolicy_Begin() {
	policy := retry.Policy{
		Initial:     500 * time.Millisecond,
		Max:         20 * time.Second,
		MaxAttempts: 6,
		MaxElapsed:  20 * time.Second,
		MinTry:      2 * time.Second,
		Rand:        func() float64 { return 0.5 },
		Budget:      retry.NewBudget(),
	}
	down := &kind.Error{Kind: kind.Unavailable}
	call := policy.Begin()
	fmt.Println(call.Next(down, time.Minute))
	fmt.Println(call.Next(down, time.Minute))
	fmt.Println(call.Next(down, 2*time.Second)) // too little for the wait and a try
	call.End(down)
	// Output:
	// 250ms true
	// 500ms true
	// 0s false
}
