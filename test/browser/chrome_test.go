package browser_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"tocsin/internal/db/dbtest"
)

// axeVersion is read by .ci/run too.
const axeVersion = "4.10.3"

// chrome says how browsers are started: each new tab is in one of its own, with its
// own cookies.
func chrome(t *testing.T) context.Context {
	t.Helper()
	path := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		dbtest.Skip(t, "chromium is not installed")
	}
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.Flag("hide-scrollbars", true), chromedp.WSURLReadTimeout(time.Minute))
	alloc, stop := chromedp.NewExecAllocator(context.Background(), opts...)
	t.Cleanup(stop)
	return alloc
}

// axe gives the text of axe-core: from TOCSIN_AXE, else from the user's cache, where
// npm puts it the first time.
func axe(t *testing.T) string {
	t.Helper()
	path := os.Getenv("TOCSIN_AXE")
	if path == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			dbtest.Skip(t, "axe-core: %v", err)
		}
		dir := filepath.Join(cache, "tocsin", "axe-"+axeVersion)
		path = filepath.Join(dir, "node_modules", "axe-core", "axe.min.js")
		if _, err := os.Stat(path); err != nil {
			out, err := exec.CommandContext(t.Context(), "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "axe-core@"+axeVersion).CombinedOutput()
			if err != nil {
				dbtest.Skip(t, "axe-core is not there and npm cannot bring it: %v %s", err, out)
			}
		}
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		dbtest.Skip(t, "axe-core: %v", err)
	}
	return string(raw)
}

// tab is a tab with cookies of its own.
type tab struct {
	*testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	problems []string
}

func newTab(t *testing.T, browser context.Context, base string) *tab {
	t.Helper()
	// chromedp tells on its log of events that it does not know; what fails is returned.
	return (&tab{T: t, base: base}).open(chromedp.NewContext(browser, chromedp.WithErrorf(func(string, ...any) {})))
}

// beside is a second tab of the same person.
func (b *tab) beside() *tab {
	b.Helper()
	return (&tab{T: b.T, base: b.base}).open(chromedp.NewContext(b.ctx))
}

func (b *tab) open(ctx context.Context, end context.CancelFunc) *tab {
	b.Helper()
	b.Cleanup(end)
	ctx, stop := context.WithTimeout(ctx, 8*time.Minute)
	b.Cleanup(stop)
	b.ctx = ctx
	chromedp.ListenTarget(ctx, func(ev any) {
		switch e := ev.(type) {
		case *log.EventEntryAdded:
			if e.Entry.Level == log.LevelError {
				b.note(e.Entry.Text)
			}
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError {
				b.note(fmt.Sprintf("console: %v", e.Args))
			}
		case *runtime.EventExceptionThrown:
			b.note("exception: " + e.ExceptionDetails.Error())
		}
	})
	// The browser lives as long as the context of its first run.
	if err := chromedp.Run(ctx, log.Enable(), runtime.Enable()); err != nil {
		b.Fatalf("chromium: %v", err)
	}
	return b
}

func (b *tab) note(s string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, s)
}

// told gives what the console has told since it was asked last.
func (b *tab) told() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.problems
	b.problems = nil
	return p
}

func (b *tab) run(as ...chromedp.Action) {
	b.Helper()
	ctx, stop := context.WithTimeout(b.ctx, 60*time.Second)
	defer stop()
	if err := chromedp.Run(ctx, as...); err != nil {
		b.Fatalf("browser: %v; at %s; console %v", err, b.where(), b.told())
	}
}

func (b *tab) where() (at string) {
	ctx, stop := context.WithTimeout(b.ctx, 5*time.Second)
	defer stop()
	_ = chromedp.Run(ctx, chromedp.Location(&at))
	return at
}

func (b *tab) goTo(path string) { b.Helper(); b.run(chromedp.Navigate(b.base + path)) }

func (b *tab) size(width, height int64) {
	b.Helper()
	b.run(emulation.SetDeviceMetricsOverride(width, height, 1, false))
}

func (b *tab) theme(name string) {
	b.Helper()
	b.run(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}}))
}

// eval gives the value of a JavaScript expression, which may be a promise.
func eval[T any](b *tab, js string) (out T) {
	b.Helper()
	b.run(chromedp.Evaluate(js, &out, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return out
}

// until waits for a JavaScript condition.
func (b *tab) until(what, js string) {
	b.Helper()
	b.within(20*time.Second, what, js)
}

func (b *tab) within(d time.Duration, what, js string) {
	b.Helper()
	ctx, stop := context.WithTimeout(b.ctx, d)
	defer stop()
	for {
		err := chromedp.Run(ctx, chromedp.Poll(js, nil, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(0)))
		if err == nil {
			return
		}
		// A page that is left takes the question with it.
		if ctx.Err() != nil {
			b.Fatalf("never came: %s: %v; at %s", what, err, b.where())
		}
	}
}

// press presses what a selector names and waits for the next page.
func (b *tab) press(sel string) {
	b.Helper()
	ctx, stop := context.WithTimeout(b.ctx, 60*time.Second)
	defer stop()
	if _, err := chromedp.RunResponse(ctx, chromedp.Click(sel, chromedp.ByQuery)); err != nil {
		b.Fatalf("press %s: %v; at %s", sel, err, b.where())
	}
}

func (b *tab) fill(sel, text string) {
	b.Helper()
	b.run(chromedp.SetValue(sel, text, chromedp.ByQuery))
}

// signIn signs in camille by the form, in a language.
func (b *tab) signIn(lang string) { b.Helper(); b.signInAs(email, lang) }

func (b *tab) signInAs(address, lang string) {
	b.Helper()
	b.goTo("/login")
	if eval[string](b, "document.documentElement.lang") != lang {
		b.press(`form[action="/language"] button`)
	}
	b.fill("#f-email", address)
	b.fill("#f-password", password)
	b.press(`form[action="/login"] button`)
	if at := b.where(); strings.Contains(at, "/login") {
		b.Fatalf("not signed in: %s", at)
	}
}
