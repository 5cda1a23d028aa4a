package story_test

import (
	"fmt"
	"testing"
	"time"

	"tocsin/internal/app"
	"tocsin/internal/kit"
)

const leaver = `
apiVersion: tocsin/v1
people:
  - {id: eve, name: Eve Martin, email: eve@example.com, access: responder, contact_methods: [{id: hook, kind: webhook, to: "%s/eve"}]}
policies:
  - id: default
    steps:
      - {after: 0s, page: ["person:eve"]}
      - {after: 30m, page: ["schedule:secondary"]}
`

// TestPersonGoneWhilePaged: the account of somebody who is paged is suspended: the next
// is called at once instead of after half an hour, and the old link takes nothing.
func TestPersonGoneWhilePaged(t *testing.T) {
	eachTimed(t, func(t *testing.T, h timed) {
		ctx := app.AsSystem(t.Context())
		if _, err := h.app.Apply(ctx, []byte(fmt.Sprintf(leaver, h.pages.URL)), kit.ApplyOptions{}); err != nil {
			t.Fatal(err)
		}
		h.declare("sev2")
		first := h.page("eve")
		who, err := h.app.Identity.Person(ctx, "eve")
		if err != nil {
			t.Fatal(err)
		}
		who.Suspended = true
		if err := h.app.Identity.ChangePerson(ctx, who); err != nil {
			t.Fatal(err)
		}
		h.settle()
		h.forward(10 * time.Second)
		second := h.page("paul")
		var end struct{ Person, Reason string }
		h.last("page.withdrawn", &end)
		if end.Person != "eve" || end.Reason != "suspended" {
			t.Errorf("%+v", end)
		}
		h.press(first.Data.AckURL, "accept")
		h.settle()
		if n := h.factsOf("page.acknowledged"); n != 0 {
			t.Errorf("the old link took it")
		}
		h.press(second.Data.AckURL, "accept")
		h.settle()
		var ack struct{ Person string }
		h.last("page.acknowledged", &ack)
		if ack.Person != "paul" {
			t.Errorf("%+v", ack)
		}
	})
}
