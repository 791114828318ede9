package main

import (
	"fmt"
	"math"
	"strings"
)

// panel is one plot, both axes logarithmic.
type panel struct {
	title, unit string
	y           []float64
	// ideal is drawn dashed beside y.
	ideal []float64
}

const (
	panelWidth, panelHeight = 300, 250
	left, right             = 52, 26
	top, bottom             = 34, 44
)

// plot draws panels side by side over the same x.
func plot(of string, x []float64, panels ...panel) string {
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11" fill="#333">`+"\n",
		panelWidth*len(panels), panelHeight)
	fmt.Fprintf(&s, `<rect width="100%%" height="100%%" fill="#fff"/>`+"\n")
	for i, p := range panels {
		fmt.Fprintf(&s, `<g transform="translate(%d 0)">`+"\n", i*panelWidth)
		p.draw(&s, of, x)
		s.WriteString("</g>\n")
	}
	s.WriteString("</svg>\n")
	return s.String()
}

func (p panel) draw(s *strings.Builder, of string, x []float64) {
	toX := scale(x, left, panelWidth-right)
	toY := scale(append(append([]float64{}, p.y...), p.ideal...), panelHeight-bottom, top)
	fmt.Fprintf(s, `<text x="%d" y="18" font-weight="bold">%s, %s</text>`+"\n", left, p.title, p.unit)
	for _, v := range decades(x) {
		fmt.Fprintf(s, `<path d="M%.1f %dV%d" stroke="#ddd"/><text x="%.1f" y="%d" text-anchor="middle">%s</text>`+"\n",
			toX(v), top, panelHeight-bottom, toX(v), panelHeight-bottom+16, tick(v))
	}
	for _, v := range decades(append(append([]float64{}, p.y...), p.ideal...)) {
		fmt.Fprintf(s, `<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>`+"\n",
			left, toY(v), panelWidth-right, left-6, toY(v)+4, tick(v))
	}
	fmt.Fprintf(s, `<text x="%d" y="%d" text-anchor="middle">%s</text>`+"\n", (left+panelWidth-right)/2, panelHeight-8, of)
	path := func(y []float64, style string) {
		var d strings.Builder
		for i := range y {
			fmt.Fprintf(&d, "%s%.1f %.1f", map[bool]string{true: "M", false: "L"}[i == 0], toX(x[i]), toY(y[i]))
		}
		fmt.Fprintf(s, `<path d="%s" fill="none" %s/>`+"\n", d.String(), style)
	}
	if p.ideal != nil {
		path(p.ideal, `stroke="#888" stroke-dasharray="4 3"`)
	}
	path(p.y, `stroke="#1664c0" stroke-width="2"`)
	for i, y := range p.y {
		fmt.Fprintf(s, `<circle cx="%.1f" cy="%.1f" r="3" fill="#1664c0"/>`+"\n", toX(x[i]), toY(y))
	}
}

// bounds are the decades around v, as powers of ten.
func bounds(v []float64) (low, high float64) {
	low, high = math.Inf(1), math.Inf(-1)
	for _, y := range v {
		low, high = min(low, math.Floor(math.Log10(y))), max(high, math.Ceil(math.Log10(y)))
	}
	return low, max(high, low+1)
}

func scale(v []float64, from, to float64) func(float64) float64 {
	low, high := bounds(v)
	return func(y float64) float64 { return from + (math.Log10(y)-low)/(high-low)*(to-from) }
}

func decades(v []float64) (ticks []float64) {
	low, high := bounds(v)
	for e := low; e <= high; e++ {
		ticks = append(ticks, math.Pow(10, e))
	}
	return ticks
}

func tick(v float64) string {
	if v >= 1000 {
		return fmt.Sprintf("%.0f,000", v/1000)
	}
	return fmt.Sprintf("%g", v)
}
