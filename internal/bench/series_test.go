package main

import (
	"math"
	"testing"
)

func TestSeriesText(t *testing.T) {
	for _, tt := range []struct {
		name string
		s    series
		unit string
		want string
	}{
		{"odd", series{3, 1, 2}, "ms", "2 ms (1–3)"},
		{"even", series{4, 1, 2, 3}, "", "2.50 (1–4)"},
		{"no noise", series{7.123, 7.124}, "MB", "7.12 MB"},
		{"large", series{1234.5}, "ms", "1234 ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.s.text(tt.unit); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestGrowth(t *testing.T) {
	g := &growth{x: []float64{1, 10, 100, 1000, 10_000}}
	for _, ms := range []float64{8, 9, 70, 700, 7000} {
		g.wall = append(g.wall, series{ms})
	}
	if got := g.exponent(g.wall); math.Abs(got-1) > 1e-9 {
		t.Errorf("it grows as the batch to the power of %v, want 1", got)
	}
	if got := g.batchKnee(); got != 10 {
		t.Errorf("the knee is at %v, want 10", got)
	}

	c := &growth{x: []float64{1, 10, 100}}
	for i, late := range []float64{1.02, 1.2, 1.9} {
		c.wall = append(c.wall, series{c.idealWalls()[i] * late})
	}
	if got := c.concurrencyKnee(); got != 10 {
		t.Errorf("the knee of the concurrency is at %v, want 10", got)
	}
}
