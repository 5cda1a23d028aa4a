package notify_test

import (
	"errors"
	"testing"
	"time"

	"tocsin/internal/notify"
)

// TestAnswerLost: a provider took the message and its answer was lost. The timeline says
// that it is in doubt, another method follows at once, and the try that repeats it has
// the same key.
func TestAnswerLost(t *testing.T) {
	each(t, func(h *house) {
		h.methods("ana")
		h.hook.fail = func(n int, _ notify.Message) error {
			if n == 1 {
				return &notify.SendError{Doubt: true, Err: errors.New("connection reset by peer")}
			}
			return nil
		}
		h.must(h.s.OpenPages(h.ctx, incident(1)))
		h.idle()
		if n := len(h.email.messages()); n != 1 {
			h.t.Fatalf("%d by the next method at once", n)
		}
		h.pass(5*time.Second, 5*time.Second)
		h.want("incident-1", "page.opened", "delivery.in_doubt", "delivery.sent", "delivery.sent")
		if l := h.hook.messages(); len(l) != 2 || l[0].ID != l[1].ID || string(l[0].Body) != string(l[1].Body) {
			h.t.Fatalf("the tries are %+v", l)
		}
	})
}
