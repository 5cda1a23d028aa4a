package alert_test

import (
	"fmt"
	"sync"
	"testing"

	"tocsin/internal/alert"
	"tocsin/internal/kit"
)

// Messages about one thing that come at the same time are each counted, whichever of
// them opens the alert; one of them that comes twice at the same time is counted once.
func TestMailsAtOnce(t *testing.T) {
	each(t, func(t *testing.T, h *house) {
		if _, err := h.CreateSource(h.ctx, alert.SourceDef{ID: "mails", Kind: "email"}); err != nil {
			t.Fatal(err)
		}
		for round := range 5 {
			var wg sync.WaitGroup
			for n := range 16 {
				wg.Go(func() {
					sig := alert.Signal{Source: "mails", DedupKey: fmt.Sprint("disk-", round), Action: alert.Trigger, Title: "Disk", Severity: alert.Error}
					if _, _, err := h.IngestMail(h.ctx, sig, alert.Thread{ID: fmt.Sprintf("%d-%d@x", round, n/2)}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		}
		l, err := h.List(h.ctx, alert.Filter{Source: "mails"}, kit.Page{})
		if err != nil || len(l.Items) != 5 {
			t.Fatalf("%d alerts, %v", len(l.Items), err)
		}
		for _, a := range l.Items {
			if a.Count != 8 {
				t.Errorf("%s counts %d of 8 messages", a.DedupKey, a.Count)
			}
		}
	})
}
