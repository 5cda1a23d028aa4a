package browser_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/serviceworker"
	"github.com/chromedp/chromedp"

	"tocsin/internal/app"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/test/fake"
)

// watch notes what the worker shows: title, text, buttons, and whether it stays. To ask
// the browser for its notifications while one is being shown makes it forget that one.
const watch = `self.shown = [];
const show = self.registration.showNotification.bind(self.registration);
self.registration.showNotification = async (title, o) => {
	await show(title, o);
	self.shown.push([title, o.body, (o.actions || []).map((a) => a.title).join("/"), !!o.requireInteraction].join(" | "));
}; 0`

const press = `self.registration.getNotifications().then((l) => self.dispatchEvent(new NotificationEvent("notificationclick", { notification: l.find((n) => n.data.title === TITLE), action: "accept" })))`

// worker is the service worker of a tab's origin. It would end with the context of its
// target, in the middle of what it does: the context is that of the test.
func (b *tab) worker() *tab {
	b.Helper()
	all, err := chromedp.Targets(b.ctx)
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range all {
		if t.Type == "service_worker" && strings.HasPrefix(t.URL, b.base) {
			ctx, end := chromedp.NewContext(b.ctx, chromedp.WithTargetID(t.TargetID))
			b.Cleanup(end)
			if err := chromedp.Run(ctx, chromedp.Evaluate(watch, nil)); err != nil {
				b.Fatalf("in the worker: %v", err)
			}
			return &tab{T: b.T, ctx: ctx, base: b.base}
		}
	}
	b.Fatalf("no service worker among %d targets", len(all))
	return nil
}

// notified waits for a notification that begins so, and gives it.
func (b *tab) notified(begins string) string {
	b.Helper()
	var l []string
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		l = eval[[]string](b, "self.shown")
		if i := slices.IndexFunc(l, func(s string) bool { return strings.HasPrefix(s, begins) }); i >= 0 {
			return l[i]
		}
	}
	b.Fatalf("never shown: %s; there are %q", begins, l)
	return ""
}

// TestPushInBrowser: what the push service is given is shown as a notification with its
// two answers; pressing one takes the incident, and the notification says so.
func TestPushInBrowser(t *testing.T) {
	t.Parallel()
	h := staffed(t)
	ctx := app.AsSystem(t.Context())
	service := fake.NewPush(t)
	key, err := h.app.PushKey(ctx)
	h.ok(err)
	h.ok(h.app.Notify.SaveMethod(ctx, "camille", notify.Method{ID: "phone", Kind: "push", To: service.Subscribe(t, key)}))
	h.ok(h.app.Notify.SetRules(ctx, "camille", []notify.Rule{{Method: "phone"}}))

	b := newTab(t, chrome(t), h.app.BaseURL())
	b.goTo("/login")
	registration := make(chan serviceworker.RegistrationID, 1)
	chromedp.ListenTarget(b.ctx, func(ev any) {
		if e, ok := ev.(*serviceworker.EventWorkerRegistrationUpdated); ok && len(e.Registrations) > 0 {
			select {
			case registration <- e.Registrations[0].RegistrationID:
			default:
			}
		}
	})
	b.run(browser.GrantPermissions([]browser.PermissionType{browser.PermissionTypeNotifications}).WithOrigin(b.base), serviceworker.Enable())
	eval[bool](b, `navigator.serviceWorker.register("/sw.js").then(() => true)`)
	// What is delivered to a worker that is still being activated is lost.
	for eval[string](b, `navigator.serviceWorker.ready.then((r) => r.active.state)`) != "activated" {
		time.Sleep(50 * time.Millisecond)
	}
	id, w := <-registration, b.worker()
	push := func(data string) { b.Helper(); b.run(serviceworker.DeliverPushMessage(b.base, id, data)) }
	accept := func(title string) {
		b.Helper()
		w.run(chromedp.Evaluate(strings.Replace(press, "TITLE", `"`+title+`"`, 1), nil))
	}

	i, err := h.app.Incident.Declare(h.as("ana", kit.AccessManager), incident.Declaration{Title: "Payments <fail> & stop", Impact: incident.ImpactOutage, Severity: incident.Sev2, Services: []string{"payments"}})
	h.ok(err)
	got := service.WaitN(t, 20*time.Second, 1)[0]
	var said struct{ Title string }
	if got.Invalid != nil || got.JSON(&said) != nil || !strings.HasPrefix(said.Title, "SEV2 "+i.Ref()+" · ") || !strings.HasSuffix(said.Title, "Payments <fail> & stop") {
		t.Fatalf("%v, %s", got.Invalid, got.Plain)
	}
	h.ok(h.app.Ledger().Idle(ctx))
	h.ok(h.app.Idle(ctx))
	push(string(got.Plain))
	if s := w.notified(said.Title); !strings.HasSuffix(s, " | Je m’en charge/Je ne peux pas | true") {
		t.Errorf("shown: %s", s)
	}
	accept(said.Title)
	if s := w.notified("Vous l’avez depuis "); !strings.HasSuffix(s, " | "+said.Title+" |  | false") {
		t.Errorf("shown: %s", s)
	}
	pages, err := h.app.Notify.Pages(ctx, notify.Filter{Incident: i.ID, State: notify.PageIsAcknowledged})
	if err != nil || len(pages.Items) != 1 || pages.Items[0].Person.ID != "camille" || pages.Items[0].Method != "push" {
		t.Errorf("%+v, %v", pages, err)
	}

	// A link to another host is asked of our own server, which does not know the token.
	push(`{"title":"Elsewhere","tag":"x","ack":{"url":"https://elsewhere.example/a/none","accept":"Take","failed":"Not sent."}}`)
	w.notified("Elsewhere | ")
	accept("Elsewhere")
	w.notified("This link is not valid")
	push(`no JSON`)
	w.notified("Tocsin | ")
	// With the server gone the answer stays to be given.
	h.stop()
	push(`{"title":"Late","body":"Since 03:12.","tag":"y","ack":{"url":"` + b.base + `/a/none","accept":"Take","failed":"Not sent."}}`)
	w.notified("Late | Since 03:12. | Take | true")
	accept("Late")
	w.notified("Late | Not sent.\nSince 03:12. | Take | true")
}

// TestPushButton: the button is there where the browser has push messages, and says what
// stands in the way when it is refused.
func TestPushButton(t *testing.T) {
	t.Parallel()
	h := staffed(t)
	b := newTab(t, chrome(t), h.app.BaseURL())
	b.signIn("en")
	b.goTo("/on-call/me")
	b.run(browser.SetPermission(&browser.PermissionDescriptor{Name: "notifications"}, browser.PermissionSettingDenied).WithOrigin(b.base))
	b.until("the button", `!document.querySelector("form[data-push]").hidden`)
	b.click("form[data-push] button")
	b.until("why not", `document.querySelector("form[data-push] [role=status]").textContent === document.querySelector("form[data-push]").dataset.denied && !document.querySelector("form[data-push] button").disabled`)
	b.isAt("/on-call/me")
	if p := b.told(); len(p) > 0 {
		t.Errorf("console: %v", p)
	}
}
