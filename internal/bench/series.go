package main

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// series are the values of one figure.
type series []float64

func (s series) median() float64 {
	if len(s) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(s))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// text is the median. If there is noise, the least and the most follow.
func (s series) text(unit string) string {
	m := s.median()
	low, high := slices.Min(s), slices.Max(s)
	if number(low) == number(high) {
		return strings.TrimSpace(number(m) + " " + unit)
	}
	return fmt.Sprintf("%s (%s–%s)", strings.TrimSpace(number(m)+" "+unit), number(low), number(high))
}

// number writes v with three significant digits.
func number(v float64) string {
	switch a := math.Abs(v); {
	case a == math.Trunc(a) && a < 1e6, a >= 100:
		return fmt.Sprintf("%.0f", v)
	case a >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}

// slope is the exponent k of y ~ x^k, by least squares: 1 is linear.
func slope(x, y []float64) float64 {
	var sx, sy, sxx, sxy float64
	for i := range x {
		lx, ly := math.Log(x[i]), math.Log(y[i])
		sx, sy, sxx, sxy = sx+lx, sy+ly, sxx+lx*lx, sxy+lx*ly
	}
	n := float64(len(x))
	return (n*sxy - sx*sy) / (n*sxx - sx*sx)
}
