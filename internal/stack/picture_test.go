package stack_test

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"testing"
)

// samples are made-up values of each metric, by the hour: backups at two, some of
// them throttled, and a vault that is busy until five.
var samples = map[string][24]float64{
	"Deliveries":      {2: 48, 3: 9, 4: 3, 5: 2, 14: 2},
	"Accepted":        {2: 36, 3: 5, 5: 2},
	"Unchanged":       {2: 3, 14: 1},
	"InProgress":      {2: 3, 3: 2, 4: 2},
	"Rejected":        {2: 1, 14: 1},
	"NotCovered":      {2: 1},
	"Failed":          {},
	"Unauthorized":    {},
	"Misconfigured":   {},
	"Throttled":       {2: 5, 3: 2},
	"Unknown":         {4: 1},
	"LookupsRefused":  {},
	"PublishFailures": {},
	"Errors":          {},
	"Retries":         {2: 31, 3: 8, 4: 1},
	"Redelivered":     {2: 8, 3: 4, 4: 3},
	"RedeliveredBusy": {2: 3, 3: 2, 4: 2},
	"Completed":       {3: 24, 4: 12, 6: 4, 7: 1},
	"Partial":         {5: 1},
	"CopyFailed":      {},
	"NotFollowed":     {},
	"NotMine":         {},
	"Followed":        {2: 86, 3: 141, 4: 62, 5: 31, 6: 18, 7: 4},
	"FollowFaults":    {2: 3, 3: 1},
	"NothingSelected": {},
	"PlanSkipped":     {2: 2},
	"StaleReplicas":   {5: 1, 6: 1},
	"NeverReplicated": {},
	"VaultsChecked":   {38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38, 38},
	"Duration p50":    {2: 640, 3: 410, 4: 380, 5: 390, 14: 350},
	"Duration p99":    {2: 8200, 3: 5100, 4: 2400, 5: 900, 14: 700},

	// The age of yesterday's replicas, until the night's copies are there.
	"ReplicaAge": {
		79200, 82800, 86400, 90000, 93600, 108900, 112500, 20700, 24300, 27900, 31500, 35100,
		38700, 42300, 45900, 49500, 53100, 56700, 60300, 63900, 67500, 71100, 74700, 78300,
	},

	"CopyDuration p50":     {3: 3100, 4: 5200, 5: 9800, 6: 14200, 7: 17900},
	"CopyDuration Maximum": {3: 3600, 4: 7100, 5: 10700, 6: 14300, 7: 17900},
	"FollowAge":            {2: 3000, 3: 6600, 4: 10200, 5: 13800, 6: 17400},

	"ApproximateNumberOfMessagesVisible ${Queue.QueueName}":           {2: 34},
	"ApproximateNumberOfMessagesVisible ${DeadLetterQueue.QueueName}": {},
	"ApproximateNumberOfMessagesVisible ${RejectedQueue.QueueName}":   {2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1},
	"ApproximateNumberOfMessagesNotVisible ${Queue.QueueName}":        {2: 10, 3: 4, 4: 3},
	"ApproximateAgeOfOldestMessage ${Queue.QueueName}":                {2: 1500, 3: 5400, 4: 9000},

	"ApproximateNumberOfMessagesVisible ${FollowQueue.QueueName}":           {2: 9, 3: 4, 4: 2},
	"ApproximateNumberOfMessagesNotVisible ${FollowQueue.QueueName}":        {2: 36, 3: 17, 4: 6, 5: 5, 6: 1},
	"ApproximateNumberOfMessagesVisible ${FollowDeadLetterQueue.QueueName}": {},
	"ApproximateNumberOfMessagesVisible ${UnfollowedQueue.QueueName}":       {},
}

// sampleAlarms are the alarms that the picture shows as fired.
var sampleAlarms = []string{"${RejectedAlarm.Arn}"}

// sampleRows are the rows of the log widget.
var sampleRows = []map[string]string{
	{"kind": "Throttled", "code": "APIG.0308", "status": "redelivered", "times": "7", "last_error": "The throttling threshold has been reached"},
	{"kind": "InProgress", "code": "BackupService.6130", "status": "redelivered", "times": "7", "last_error": "The vault is being replicated"},
	{"kind": "NotCovered", "code": "BackupService.1009", "status": "rejected", "times": "1", "last_error": "1 of 12 available backups have no replica there, and CBR starts none"},
	{"kind": "InvalidEvent", "code": "", "status": "rejected", "times": "1", "last_error": "replicate.vault_id: expected a UUID"},
	{"kind": "Unknown", "code": "", "status": "redelivered", "times": "1", "last_error": "no answer within 30s; no effect is to be seen yet"},
}

// The size of a column and a row of the dashboard's grid in the picture.
const (
	column = 52
	row    = 44
	header = 44
	gap    = 6
)

// colours can be told apart on white, by the colour-blind too (Okabe and Ito).
var colours = []string{"#0072b2", "#009e73", "#e69f00", "#56b4e9", "#d55e00", "#cc79a7", "#000000", "#7f7f7f", "#8b5e00", "#5b3fa0"}

// picture is an SVG that is being drawn.
type picture struct {
	strings.Builder
}

func (p *picture) tag(format string, arguments ...any) {
	for i, v := range arguments {
		if text, ok := v.(string); ok {
			arguments[i] = html.EscapeString(text)
		}
	}
	fmt.Fprintf(p, format+"\n", arguments...)
}

func (p *picture) text(x, y int, class, anchor, text string) {
	p.tag(`<text x="%d" y="%d" class="%s" text-anchor="%s">%s</text>`, x, y, class, anchor, text)
}

// frame is where a widget is drawn.
type frame struct{ x, y, width, height int }

func draw(t testing.TB, widgets []widget) string {
	t.Helper()
	bottom := 0
	for _, w := range widgets {
		bottom = max(bottom, w.Y+w.Height)
	}
	width, height := 24*column, header+bottom*row+gap
	p := &picture{}
	p.tag(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="Helvetica, Arial, sans-serif">`, width, height)
	p.tag(`<title>The dashboard of template.yaml with made-up data</title>`)
	p.tag(`<style>text{font-size:13px;fill:#16191f}.title{font-size:15px;font-weight:bold}.small{font-size:11px;fill:#545b64}.number{font-size:30px}</style>`)
	p.tag(`<rect width="%d" height="%d" fill="#f2f3f3"/>`, width, height)
	p.text(gap+4, 28, "title", "start", "cbr-replicator")
	p.text(width-gap-4, 28, "", "end", "Made-up data: one day, an hour a point")
	for _, w := range widgets {
		f := frame{w.X*column + gap, header + w.Y*row, w.Width*column - 2*gap, w.Height*row - gap}
		p.tag(`<rect x="%d" y="%d" width="%d" height="%d" fill="#ffffff" stroke="#d5dbdb"/>`, f.x, f.y, f.width, f.height)
		p.text(f.x+12, f.y+22, "title", "start", w.Properties.Title)
		switch {
		case w.Type == "alarm":
			p.alarms(f, w.Properties.Alarms)
		case w.Type == "log":
			p.table(f, w.Properties.Query)
		case w.Properties.View == "singleValue":
			p.numbers(t, f, w.series(t))
		default:
			p.chart(t, f, w.series(t))
		}
	}
	p.tag(`</svg>`)
	return p.String()
}

func (p *picture) alarms(f frame, alarms []string) {
	const perRow = 5
	width, height := (f.width-24)/perRow, (f.height-40)/((len(alarms)+perRow-1)/perRow)
	for i, alarm := range alarms {
		x, y := f.x+12+i%perRow*width, f.y+34+i/perRow*height
		name := strings.TrimSuffix(strings.TrimPrefix(alarm, "${"), ".Arn}")
		state, colour := "OK", "#1d8102"
		if slices.Contains(sampleAlarms, alarm) {
			state, colour = "In alarm", "#d13212"
		}
		p.tag(`<rect x="%d" y="%d" width="%d" height="%d" fill="#ffffff" stroke="%s"/>`, x, y, width-8, height-6, colour)
		p.tag(`<rect x="%d" y="%d" width="6" height="%d" fill="%s"/>`, x, y, height-6, colour)
		p.text(x+14, y+(height-6)/2+5, "", "start", name)
		p.text(x+width-16, y+(height-6)/2+5, "small", "end", state)
	}
}

func (p *picture) numbers(t testing.TB, f frame, all []series) {
	width := (f.width - 24) / len(all)
	for i, s := range all {
		sum := 0.0
		for _, v := range sample(t, s) {
			sum += v
		}
		p.text(f.x+12+i*width, f.y+68, "number", "start", fmt.Sprint(sum))
		p.text(f.x+12+i*width, f.y+92, "small", "start", s.label)
	}
}

// sample returns the data of a line. Without data the test fails.
func sample(t testing.TB, s series) [24]float64 {
	t.Helper()
	parts := strings.Fields(s.metric)
	for _, name := range []string{parts[1], parts[1] + " " + s.stat, parts[1] + " " + parts[len(parts)-1]} {
		if data, ok := samples[name]; ok {
			return data
		}
	}
	t.Fatalf("there is no made-up data for %s", s.metric)
	return [24]float64{}
}

func (p *picture) chart(t testing.TB, f frame, all []series) {
	const lines = 2 // of the legend
	left, right := f.x+48, f.x+f.width-48
	top, bottom := f.y+40, f.y+f.height-28-lines*18
	highest := map[string]float64{"left": 1, "right": 1}
	for _, s := range all {
		data := sample(t, s)
		highest[s.yAxis] = max(highest[s.yAxis], slices.Max(data[:]))
	}
	for axis, v := range highest {
		highest[axis] = round(v)
	}
	hasRight := slices.ContainsFunc(all, func(s series) bool { return s.yAxis == "right" })
	for i := range 3 {
		y := bottom - i*(bottom-top)/2
		p.tag(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#eaeded"/>`, left, y, right, y)
		p.text(left-6, y+4, "small", "end", fmt.Sprint(highest["left"]*float64(i)/2))
		if hasRight {
			p.text(right+6, y+4, "small", "start", fmt.Sprint(highest["right"]*float64(i)/2))
		}
	}
	for hour := 0; hour < 24; hour += 6 {
		p.text(left+hour*(right-left)/23, bottom+16, "small", "middle", fmt.Sprintf("%02d:00", hour))
	}
	perLine := (len(all) + lines - 1) / lines
	for i, s := range all {
		colour, dash := colours[i%len(colours)], "none"
		if s.yAxis == "right" {
			dash = "5 3"
		}
		var points []string
		for hour, v := range sample(t, s) {
			x := left + hour*(right-left)/23
			y := bottom - int(v/highest[s.yAxis]*float64(bottom-top))
			points = append(points, fmt.Sprintf("%d,%d", x, y))
		}
		p.tag(`<polyline points="%s" fill="none" stroke="%s" stroke-width="2" stroke-dasharray="%s"/>`, strings.Join(points, " "), colour, dash)
		x, y := f.x+14+i%perLine*(f.width-20)/perLine, bottom+36+i/perLine*18
		p.tag(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="3" stroke-dasharray="%s"/>`, x, y-4, x+14, y-4, colour, dash)
		p.text(x+18, y, "small", "start", strings.Replace(s.label, "${PROP('Dim.destination_region')}", "region2", 1))
	}
}

// round returns the next number from v that is easy to halve.
func round(v float64) float64 {
	step := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 2, 4, 5, 6, 8} {
		if v <= n*step {
			return max(n*step, 2)
		}
	}
	return 10 * step
}

// table draws the result of a query of CloudWatch Logs Insights: a column for each
// field that it groups by, and for each count.
func (p *picture) table(f frame, query string) {
	counted := statsBy.FindStringSubmatch(query)
	columns := strings.Split(counted[2], ", ")
	for _, part := range strings.Split(counted[1], ", ") {
		_, name, _ := strings.Cut(part, " as ")
		columns = append(columns, name)
	}
	line := (f.height - 36) / (len(sampleRows) + 1)
	// The last column, the text, takes the rest of the width.
	width := f.width / (len(columns) + 2)
	for i, name := range columns {
		x, y := f.x+12+i*width, f.y+44
		p.text(x, y, "small", "start", name)
		for r, cells := range sampleRows {
			p.text(x, y+(r+1)*line, "", "start", cells[name])
		}
	}
	p.tag(`<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="#d5dbdb"/>`, f.x+12, f.y+50, f.x+f.width-12, f.y+50)
}
