package story_test

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/kit"
	"tocsin/internal/notify"
	"tocsin/test/fake"
)

const devices = `
apiVersion: tocsin/v1
people:
  - {id: ana, name: Ana Lopez, email: ana@example.com, access: responder, language: en, contact_methods: [{id: phone, kind: push, to: '%[1]s'}, {id: hook, kind: webhook, to: "%[2]s/ana"}]}
channels: {push: {subject: "mailto:ops@example.com"}}
`

// TestPush: the page rings on the device, encrypted for it, and is answered from the
// notification. A subscription that has ended is not used again; the next way follows at
// once.
func TestPush(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		service := fake.NewPush(t)
		service.SetClock(h.clock.Now)
		key, err := h.app.PushKey(ctx)
		if err != nil {
			t.Fatal(err)
		}
		device := service.Subscribe(t, key)
		if _, err := h.app.Apply(ctx, []byte(fmt.Sprintf(devices, device, h.pages.URL)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		h.declare("sev2")
		got := service.WaitN(t, 20*time.Second, 1)[0]
		if got.Invalid != nil || !got.Taken || got.Subject != "mailto:ops@example.com" {
			t.Fatalf("%+v", got)
		}
		var said struct {
			Title, Body, Tag, URL string
			Ack                   struct{ URL, Accept, Refuse string }
		}
		if err := got.JSON(&said); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(said.Title, "SEV2 INC-1 · ") || said.Ack.Accept != "I’ve got it" || said.Ack.Refuse != "I can’t" || !strings.HasPrefix(said.Ack.URL, h.base+"/a/") || said.Ack.URL != said.URL {
			t.Errorf("%+v", said)
		}
		h.settle()
		// As sw.js does.
		res, err := http.PostForm(said.Ack.URL, url.Values{"answer": {"accept"}, "via": {"push"}})
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%v %v", res, err)
		}
		_ = res.Body.Close()
		h.settle()
		var acknowledged notify.PageAcknowledged
		h.last("page.acknowledged", &acknowledged)
		if acknowledged.Method != "push" || h.factsOf("delivery.confirmed") != 1 {
			t.Errorf("%+v, %d confirmed", acknowledged, h.factsOf("delivery.confirmed"))
		}

		service.Unsubscribe()
		h.declare("sev2")
		h.eventually("the next way", func() bool { return h.paged("ana") })
		methods, err := h.app.Notify.Methods(ctx, "ana")
		if err != nil || methods[0].Disabled != "gone" || methods[0].Shown() != "127.0.0.1" {
			t.Errorf("%+v, %v", methods, err)
		}
		n := len(service.Messages())
		h.declare("sev2")
		h.settle()
		if len(service.Messages()) != n {
			t.Error("a subscription that has ended is asked again")
		}
	})
}
