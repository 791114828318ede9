//go:build browser

// Package browser_test drives the sandbox's page in a real Chromium: `make browser`.
package browser_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// root is the project's.
const root = "../../../.."

// serve runs the command and returns the page's address.
func serve(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "serve")
	build := exec.Command("go", "build", "-o", binary, "./cmd/serve")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("building the sandbox: %v\n%s", err, out)
	}
	command := exec.Command(binary, "-port", "0")
	command.Dir, command.Stderr = root, os.Stderr
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := command.Process.Signal(os.Interrupt); err != nil {
			t.Errorf("interrupting the sandbox: %v", err)
		}
		if err := command.Wait(); err != nil {
			t.Errorf("the sandbox ended with %v after an interrupt", err)
		}
	})
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if _, address, ok := strings.Cut(lines.Text(), "http://"); ok {
			return "http://" + address
		}
	}
	t.Fatalf("the sandbox named no address: %v", lines.Err())
	return ""
}

// browse opens a browser that fails the test where the page reports an error. requested, which may be nil, is called with the URL
// of each request.
func browse(t *testing.T, requested func(url string)) context.Context {
	t.Helper()
	path, err := exec.LookPath("chromium")
	if err != nil {
		t.Fatal("chromium is not installed; make browser says how to get it")
	}
	options := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(path), chromedp.UserDataDir(t.TempDir()), chromedp.WindowSize(1280, 900),
		chromedp.Headless, chromedp.NoSandbox, chromedp.DisableGPU, chromedp.NoFirstRun,
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true),
	}
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...) // the test's own context ends before its clean-up
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithListener(func(event any) {
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("an exception on the page: %s", e.ExceptionDetails.Text)
		case *network.EventRequestWillBeSent:
			if requested != nil {
				requested(e.Request.URL)
			}
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError {
				t.Errorf("an error on the page: %s %s", e.Entry.Text, e.Entry.URL)
			}
		}
	}))
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("ending the browser: %v", err)
		}
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("starting the browser: %v", err)
	}
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatalf("listening to the page's log: %v", err)
	}
	return ctx
}

// tab is a page in a browser.
type tab struct {
	*testing.T
	ctx context.Context
}

func (p tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	p.Helper()
	run(p, what, chromedp.Steps(actions...))
}

// run runs an action, for at most half a minute.
func run[T any](p tab, what string, action chromedp.Action[T]) T {
	p.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, 30*time.Second)
	defer cancel()
	value, err := chromedp.Run(ctx, action)
	if err != nil {
		p.Fatalf("%s: %v", what, err)
	}
	return value
}

// until waits for a JavaScript expression to be true.
func (p tab) until(what, expression string) {
	p.Helper()
	p.do("waiting until "+what, chromedp.Poll[chromedp.Void](expression))
}

// eval evaluates a JavaScript expression.
func eval[T any](p tab, expression string) T {
	p.Helper()
	return run(p, "evaluating "+expression, chromedp.Evaluate[T](expression))
}

// choose sets a select as a user does.
func (p tab) choose(id, value string) {
	p.Helper()
	eval[chromedp.Void](p, fmt.Sprintf(
		`(() => { const s = document.getElementById(%q); s.value = %q; s.dispatchEvent(new Event('change')); })()`, id, value))
}

// click clicks what can be seen.
func (p tab) click(selector string) {
	p.Helper()
	p.do("clicking "+selector, chromedp.Click(selector, chromedp.NodeVisible))
}

// tabTo presses the Tab key until the element has the focus.
func (p tab) tabTo(selector string) {
	p.Helper()
	for range 60 {
		p.do("pressing Tab", chromedp.KeyEvent(kb.Tab))
		if eval[bool](p, fmt.Sprintf(`document.activeElement.matches(%q)`, selector)) {
			if outline := eval[string](p, `getComputedStyle(document.activeElement).outlineStyle`); outline == "none" {
				p.Errorf("the focus on %s cannot be seen", selector)
			}
			return
		}
	}
	p.Fatalf("Tab does not reach %s", selector)
}

// contrasts lists what has too little contrast for text (WCAG 2.2, success criterion 1.4.3).
const contrasts = `(() => {
	const rgb = (c) => c.match(/[\d.]+/g).map(Number);
	const luminance = (c) => {
		const [r, g, b] = rgb(c).map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const ground = (e) => {
		for (; e; e = e.parentElement) {
			const c = getComputedStyle(e).backgroundColor;
			if (rgb(c)[3] !== 0) return c;
		}
		return 'rgb(255, 255, 255)';
	};
	const low = new Set();
	for (const e of document.querySelectorAll('body *')) {
		if (![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()) || !e.checkVisibility()) continue;
		const [a, b] = [luminance(getComputedStyle(e).color), luminance(ground(e))];
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		if (ratio < 4.5) low.add(e.tagName + '.' + e.className + ' ' + (e.dataset.status ?? '') + ' ' + ratio.toFixed(2));
	}
	return [...low];
})()`

const (
	// top is the latest invocation that is no look at copies.
	top = `document.querySelector('#log > .card:not([data-look])')`
	// copied is true once the copies of the first invocation are done, and too old to be those of a later message.
	copied = `Date.now() - Date.parse([...document.querySelectorAll('#log > .card')].at(-1).querySelector('time').dateTime) > 11000`
)

func TestPage(t *testing.T) {
	address := serve(t)
	p := tab{t, browse(t, nil)}
	p.do("opening the page", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	p.until("it is connected", `document.getElementById('connection').textContent === 'connected'`)
	p.until("it has a sample", `document.getElementById('payload').value.includes('aws:sqs')`)

	// A sample, its outcome and its result.
	p.click("#to-queue")
	p.until("both deliveries are accepted", top+`?.dataset.running === 'false' && `+top+`.querySelectorAll('[data-step="outcome"] [data-status="accepted"]').length === 2`)
	p.until("a screen reader is told", `document.getElementById('announced').textContent.startsWith('accepted, vault ')`)
	p.click(`.card [data-step="result"] summary`)
	p.until("it shows its document", `document.querySelector('[data-step="result"] pre')?.textContent.includes('"type": "cbr.checkpoint.replication.accepted.v1"')`)

	// The same sample once more: the vaults are busy at first. Whether the copies then count as the second request's own depends on
	// their age. Once they are done there is nothing left.
	p.click("#to-queue")
	p.until("the vaults are busy", `document.querySelectorAll('[data-step="outcome"] [data-status="redelivered"]').length >= 2`)
	p.until("the messages wait", `document.querySelectorAll('#queue > li').length === 2`)
	p.until("the queue is empty", `document.querySelectorAll('#queue > li').length === 0`)
	p.until("the copies are done", copied)
	p.click("#to-queue")
	p.until("nothing is left to copy", top+`?.querySelectorAll('[data-step="outcome"] [data-status="unchanged"]').length === 2`)

	// A token that was revoked: one login more, and the requests go through.
	p.click("#backups")
	p.click("#revoke-token")
	p.until("it is revoked", `document.querySelector('#log > .line .text')?.textContent === "The function's token is revoked"`)
	p.click("#to-queue")
	p.until("the function has logged in", top+`?.querySelectorAll('[data-step="login"]').length === 1`)
	p.until("both deliveries are accepted", top+`.querySelectorAll('[data-step="outcome"] [data-status="accepted"]').length === 2`)

	// The keyboard alone.
	p.click("#start-over")
	p.until("the log is empty", `document.querySelectorAll('#log > li').length === 0`)
	eval[chromedp.Void](p, `document.activeElement.blur()`)
	p.tabTo("#sample")
	p.do("choosing the direct call", chromedp.KeyEvent("direct"))
	p.until("it is there", `document.getElementById('sample').value.startsWith('direct')`)
	p.choose("sample", "direct")
	p.until("its payload is there", `document.getElementById('payload').value.startsWith('{\n  "project_id"')`)
	p.tabTo("#to-function")
	p.do("pressing Enter", chromedp.KeyEvent(kb.Enter))
	p.until("it is accepted", top+`?.querySelector('[data-step="result"] [data-status="accepted"]') != null`)
	p.tabTo(`#log [data-step="invoked"] summary`)
	p.do("pressing Enter", chromedp.KeyEvent(kb.Enter))
	p.until("the payload is open", `document.activeElement.parentElement.open`)

	// What stays busy goes to the dead letters. A lookup would take younger copies for this request's own.
	p.click("#start-over")
	p.until("the log is empty", `document.querySelectorAll('#log > li').length === 0`)
	p.choose("sample", "sqs")
	p.until("the sample is there", `document.getElementById('payload').value.includes('aws:sqs')`)
	p.choose("cbr-fault", "busy")
	p.choose("cbr-times", "-1")
	p.click(`form[data-of="cbr"] button:not([type])`)
	p.until("the fault is on", `document.getElementById('cbr-state').dataset.on === 'true'`)
	p.click("#to-queue")
	p.until("both are dead-lettered", `document.querySelectorAll('#dead > li').length === 2`)
	p.click(`form[data-of="cbr"] .off`)
	p.until("the fault is off", `document.getElementById('cbr-state').dataset.on === 'false'`)
	p.click("#backups")

	// A fault, its retries, and the picture.
	p.choose("cbr-fault", "throttled")
	p.choose("cbr-times", "2")
	p.click(`form[data-of="cbr"] button:not([type])`)
	p.until("the fault is on", `document.getElementById('cbr-state').dataset.on === 'true'`)
	p.click("#to-queue")
	p.until("there is a retry", top+`?.querySelectorAll('[data-step="retry"]').length === 2`)
	p.until("both are accepted", top+`.querySelectorAll('[data-step="outcome"] [data-status="accepted"]').length === 2`)
	p.until("it has ended", top+`.dataset.running === 'false'`)
	p.until("the copies run", `[...document.querySelectorAll('#copies progress')].some((bar) => bar.value > 40)`)
	p.do("a larger screen", chromedp.EmulateViewport(1280, 1080))
	scheme(p, "light")
	p.picture("sandbox.png", "two deliveries are throttled, retried and accepted, and their copies run; two messages are dead letters", 300_000)
	light := eval[string](p, `getComputedStyle(document.body).backgroundColor`)
	checkContrast(p, "light")
	scheme(p, "dark")
	if dark := eval[string](p, `getComputedStyle(document.body).backgroundColor`); dark == light {
		t.Errorf("light and dark have the ground %s both", dark)
	}
	checkContrast(p, "dark")

	// The dead letters, once more.
	p.click("#redrive")
	p.until("there is no dead letter", `document.querySelectorAll('#dead > li').length === 0`)

	p.until("nothing is in the queue", `document.querySelectorAll('#queue > li').length === 0`)
	p.click("#redrive")
	p.until("there is nothing to redrive", `document.querySelector('#log > .line .text')?.textContent === 'No dead letter to redrive'`)

	// A small screen, and a page that is reloaded.
	for _, width := range []int64{360, 375} {
		p.do("a small screen", chromedp.EmulateViewport(width, 667), chromedp.Reload())
		p.until("what happened is shown after the reload", `document.querySelectorAll('#log > .card').length >= 5`)
		if got := eval[int64](p, `document.documentElement.scrollWidth`); got > width {
			t.Errorf("at %d px the page is %d px wide", width, got)
		}
		if below := eval[float64](p, `document.getElementById('log').getBoundingClientRect().top + scrollY`); below > 667 {
			t.Errorf("at %d px the log begins %.0f px down, on the second screen", width, below)
		}
	}
	if eval[bool](p, `document.getElementById('cbr-fault').checkVisibility()`) {
		t.Error("on a small screen the faults are above the log")
	}
	p.click("details.panel:not([hidden]) summary")
	p.until("the faults can be seen", `document.getElementById('cbr-fault').checkVisibility()`)
}

// TestCopies: copies go on before the eyes of who watches, and end as they are made to.
func TestCopies(t *testing.T) {
	address := serve(t)
	p := tab{t, browse(t, nil)}
	p.do("opening the page", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	p.until("it has a sample", `document.getElementById('payload').value.includes('aws:sqs')`)
	p.click("#to-queue")
	p.until("both vaults' copies are shown", `document.querySelectorAll('#copies > li').length === 2 && document.querySelectorAll('#copies progress').length === 5`)

	// of is the request whose vault begins so, row one of its copies.
	of := func(vault string) string {
		return fmt.Sprintf(`[...document.querySelectorAll('#copies > li')].find((li) => li.querySelector('.vault').textContent === %q)`, vault)
	}
	row := func(vault string, n int) string { return of(vault) + fmt.Sprintf(`.querySelectorAll('.copy')[%d]`, n) }
	press := func(button string) {
		t.Helper()
		eval[chromedp.Void](p, button+`.click()`)
	}
	p.until("the bars move", row("3b5816b5", 0)+`.querySelector('progress').value > 20`)
	p.until("the function has looked", of("3b5816b5")+`.querySelector('.text').textContent.endsWith('look')`)
	p.until("a copy says how far it is", `/^\d+ %$/.test(`+row("3b5816b5", 0)+`.querySelector('.text').textContent)`)
	press(row("3b5816b5", 0) + `.querySelector('[data-do="fail"]')`)
	press(row("3b5816b5", 1) + `.querySelector('[data-do="delete"]')`)
	press(row("5a1c0a1e", 0) + `.querySelector('[data-do="stall"]')`)
	p.until("one has failed", row("3b5816b5", 0)+`.querySelector('.text').textContent === 'failed, BackupService.1006'`)
	p.until("one has no backup", row("3b5816b5", 1)+`.querySelector('.text').textContent.endsWith('source backup deleted')`)
	p.until("one stalls", row("5a1c0a1e", 0)+`.querySelector('.text').textContent.endsWith(' %, stalled')`)
	if !eval[bool](p, row("3b5816b5", 0)+`.querySelector('[data-do="fail"]').disabled`) {
		t.Error("what has failed can be made to fail")
	}
	p.until("the first vault's end is there", of("3b5816b5")+`.querySelector('.chip').dataset.status === 'partial'`)
	p.until("it has counts", of("3b5816b5")+`.querySelector('.text').textContent.startsWith('CopyIncomplete: 1 of 3 there, 1 failed, 1 unknown, ')`)
	p.until("a screen reader is told", `document.getElementById('announced').textContent.startsWith('partial, vault 3b5816b5: CopyIncomplete')`)
	p.until("looks that saw no end make one card", `document.querySelectorAll('#log > .card[data-look]').length <= 3`)
	p.until("the end is on the topic", `document.querySelector('#log > .card[data-look] [data-step="result"] [data-status="partial"]') != null`)
	scheme(p, "light")
	checkContrast(p, "light")
	scheme(p, "dark")
	checkContrast(p, "dark")
	scheme(p, "light")

	press(of("5a1c0a1e") + `.querySelector('[data-do="fail"]')`)
	p.until("the second vault's end is there", of("5a1c0a1e")+`.querySelector('.text').textContent.startsWith('CopyIncomplete: 1 of 2 there, 1 failed, ')`)

	// With the keyboard: all copies of a request fail.
	p.click("#backups")
	p.click("#to-queue")
	p.until("the next copies are shown", `document.querySelectorAll('#copies > li').length === 4`)
	p.tabTo(`#copies > li:first-child > div > button`)
	p.do("pressing Enter", chromedp.KeyEvent(kb.Enter))
	p.until("they have failed", `document.querySelector('#copies > li:first-child .chip').dataset.status === 'failed'`)
	p.until("a look finds it", `[...document.querySelectorAll('[data-step="cbr"] .text')].some((e) => /^Lookup: 200 OK, \d backups, replication records: .*fail/.test(e.textContent))`)
	p.until("the others are there", `document.querySelector('#copies > li:nth-child(2) .chip').dataset.status === 'completed'`)

	p.do("a small screen", chromedp.EmulateViewport(360, 667))
	p.until("the panels are closed", `!document.querySelector('#copies progress').checkVisibility()`)
	p.click("#copies-title")
	p.until("the copies can be seen", `document.querySelector('#copies progress').checkVisibility()`)
	if got := eval[int64](p, `document.documentElement.scrollWidth`); got > 360 {
		t.Errorf("at 360 px the page is %d px wide", got)
	}
}

// TestEstate: the page plans, shows what becomes of each vault, and replicas that grow old.
func TestEstate(t *testing.T) {
	address := serve(t)
	p := tab{t, browse(t, nil)}
	p.do("opening the page", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	p.until("it has a sample", `document.getElementById('payload').value.includes('aws:sqs')`)
	if eval[bool](p, `document.getElementById('plan-panel').checkVisibility() || document.getElementById('checks-panel').checkVisibility()`) {
		t.Error("there is a plan before there is one")
	}
	take := func(sample, button, says string) {
		t.Helper()
		p.choose("sample", sample)
		p.until("the sample is there", fmt.Sprintf(`document.getElementById('payload').value.includes(%q)`, says))
		if !eval[bool](p, fmt.Sprintf(`document.querySelector(%q).classList.contains('primary')`, button)) {
			t.Errorf("%s is not the usual way of %s", button, sample)
		}
		p.click(button)
	}
	// rows counts the rows of a table that have a status.
	rows := func(table, status string, n int) string {
		return fmt.Sprintf(`document.querySelectorAll('#%s .chip[data-status="%s"]').length === %d`, table, status, n)
	}
	take("plan-dry-run", "#to-function", "estate-preview")
	p.until("the dry run is shown", `document.getElementById('plan-text').textContent.endsWith('A dry run: nothing was sent')`)
	p.until("its vaults are shown", rows("plan", "planned", 22)+` && `+rows("plan", "skipped", 2))
	p.until("a reason is shown", `[...document.querySelectorAll('#plan .far')].some((e) => e.textContent === 'it has no tag dr-vault')`)
	take("plan", "#to-queue", "estate-nightly")
	p.until("copies run", `[...document.querySelectorAll('#plan .far')].some((e) => /^2 copies, [1-9]\d* %$/.test(e.textContent))`)
	p.until("they are there", rows("plan", "completed", 22))

	take("plan-check", "#to-queue", "estate-check")
	p.until("the replicas are there", rows("checks", "current", 22)+` && `+rows("checks", "never", 1))
	p.until("an age is shown", `[...document.querySelectorAll('#checks .old')].some((e) => /^20 h \d+ min of 30 h 0 min$/.test(e.textContent))`)
	p.until("a bar is filled", `[...document.querySelectorAll('#checks progress')].some((e) => e.value > 60 && e.value < 75)`)
	p.click("#move-on")
	p.until("a replica is over its limit", `[...document.querySelectorAll('#checks .old')].some((e) => /^32 h \d+ min of 30 h 0 min, over the limit since the check$/.test(e.textContent))`)
	p.click("#to-queue")
	p.until("a check has seen it", rows("checks", "stale", 11)+` && `+rows("checks", "current", 11))
	for _, name := range []string{"light", "dark"} {
		scheme(p, name)
		checkContrast(p, name)
	}
	p.do("a small screen", chromedp.EmulateViewport(360, 667))
	p.until("the panels are closed", `!document.querySelector('#checks tr').checkVisibility()`)
	p.click("#checks-title")
	p.until("the checks can be seen", `document.querySelector('#checks tr').checkVisibility()`)
	if got := eval[int64](p, `document.documentElement.scrollWidth`); got > 360 {
		t.Errorf("at 360 px the page is %d px wide", got)
	}
}

// closed tells which cards are closed, the latest first.
const closed = `[...document.querySelectorAll('#log > .card:not([data-look]) > details')].map((d) => !d.open)`

// TestMany: many deliveries and many cards, what was edited, and the samples.
func TestMany(t *testing.T) {
	address := serve(t)
	p := tab{t, browse(t, nil)}
	p.do("opening the page", chromedp.EmulateViewport(1280, 900), chromedp.Navigate(address))
	p.until("it has a sample", `document.getElementById('payload').value.includes('aws:sqs')`)
	if schemas := eval[[]string](p, `[...document.querySelectorAll('#sample option')].map((o) => o.value).filter((name) => name.includes('schema'))`); len(schemas) > 0 {
		t.Errorf("offered as samples: %v", schemas)
	}

	// Twelve of a thousand deliveries can be done.
	p.choose("sample", "direct-batch")
	p.until("the sample is there", `document.getElementById('payload').value.startsWith('[')`)
	eval[chromedp.Void](p, `(() => {
		const [request] = JSON.parse(document.getElementById('payload').value);
		const name = (i) => i < 12 ? '5a1c0a1e-3f0b-4a58-8f2c-2b7a4f6d' + String(i).padStart(4, '0') : 'none';
		const requests = Array.from({ length: 1000 }, (_, i) => ({ ...request, replicate: { ...request.replicate, vault_id: name(i) } }));
		document.getElementById('payload').value = JSON.stringify(requests);
		document.getElementById('payload').dispatchEvent(new Event('input'));
	})()`)
	const chips = `[...document.querySelectorAll('#log > .card:last-child .chips .chip')].map((c) => c.textContent).join()`
	counted := func(when string) {
		t.Helper()
		p.until("the outcomes are counted", chips+` === '✓ 12 accepted,✕ 988 rejected'`)
		if height := eval[int](p, `document.documentElement.scrollHeight`); height > 2500 {
			t.Errorf("%s the page of a thousand deliveries is %d px high", when, height)
		}
	}
	p.click("#to-function")
	counted("at first")

	// After a reload, the edited payload and the history are shown.
	p.do("loading the page again", chromedp.Reload())
	counted("loaded again,")
	p.until("the payload is the edited one", `JSON.parse(document.getElementById('payload').value).length === 1000`)
	if got := eval[string](p, `document.getElementById('sample').value`); got != "direct-batch" {
		t.Errorf("loaded again, the sample is %s", got)
	}

	// A fold opens.
	p.click("#log .fold summary")
	p.until("rows are there", `document.querySelector('#log .fold details').open && document.querySelector('#log .fold .steps').children.length > 100`)

	// Old cards close, except those that were opened.
	p.choose("sample", "direct")
	p.until("the sample is there", `document.getElementById('payload').value.startsWith('{')`)
	for n := range 3 {
		p.click("#to-function")
		p.until("it has ended", fmt.Sprintf(`document.querySelectorAll('#log > .card:not([data-look])[data-running="false"]').length === %d`, n+2))
	}
	if got, want := eval[[]bool](p, closed), []bool{false, true, true, false}; !slices.Equal(got, want) {
		t.Errorf("closed are %v of the cards, want %v: the one with an open fold stays", got, want)
	}
	p.click("#log > :nth-child(2 of .card:not([data-look])) > details > summary")
	p.click("#to-function")
	p.until("it has ended", `document.querySelectorAll('#log > .card:not([data-look])[data-running="false"]').length === 5`)
	if got, want := eval[[]bool](p, closed), []bool{false, true, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("closed are %v of the cards, want %v: the one that was opened stays", got, want)
	}

	// Lines that are alike fold, too.
	p.click("#start-over")
	p.until("the log is empty", `document.querySelectorAll('#log > li').length === 0`)
	for range 12 {
		p.click("#backups")
	}
	p.until("they fold", `document.querySelectorAll('#log > li').length === 6 && document.querySelector('#log > .fold .text').textContent === '7 more'`)
}

func scheme(p tab, name string) {
	p.Helper()
	media(p, "screen", name)
}

// media makes the page one for a screen or for print, in a colour scheme.
func media(p tab, medium, name string) {
	p.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Media:    medium,
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}},
	})
	if err != nil {
		p.Fatalf("asking for %s: %v", name, err)
	}
}

func checkContrast(p tab, scheme string) {
	p.Helper()
	for _, e := range eval[[]string](p, contrasts) {
		p.Errorf("%s: too little contrast: %s", scheme, e)
	}
}

// picture takes a picture of the README, where SCREENSHOT is set. shows is what the README says that it shows, most is how many
// bytes it may have.
func (p tab) picture(name, shows string, most int) {
	p.Helper()
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		p.Fatal(err)
	}
	if shows += "](docs/" + name + ")"; !strings.Contains(string(readme), shows) {
		p.Errorf("the README does not say what its picture shows: %s", shows)
	}
	eval[chromedp.Void](p, `scrollTo(0, 0)`)
	picture := run(p, "taking a picture", chromedp.CaptureScreenshot())
	if len(picture) > most {
		p.Errorf("the picture has %d bytes, at most %d are wanted", len(picture), most)
	}
	if os.Getenv("SCREENSHOT") == "" {
		return
	}
	if err := os.WriteFile(filepath.Join(root, "docs", name), picture, 0o644); err != nil {
		p.Fatal(err)
	}
}
