package alert

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tocsin/internal/alert/quiet"
	"tocsin/internal/db"
	"tocsin/internal/kit"
)

// ApplyQuiet brings silences and maintenance to those of an organisation file; nil is a
// section that the file has not. What is there already, or was and has been ended by
// hand, is kept; what is over is left out. With prune what the file does not name ends,
// but for the silences that senders made for themselves.
func (s *Service) ApplyQuiet(ctx context.Context, tx *db.Tx, silences []Silence, windows []Maintenance, prune bool) ([]kit.Change, error) {
	if err := s.rights.Require(ctx, "alert.answer"); err != nil {
		return nil, err
	}
	var out []kit.Change
	if silences != nil {
		c, err := s.applySilences(ctx, tx.Now(), silences, prune)
		if err != nil {
			return nil, err
		}
		out = append(out, c...)
	}
	if windows != nil {
		c, err := s.applyWindows(ctx, tx.Now(), windows, prune)
		if err != nil {
			return nil, err
		}
		out = append(out, c...)
	}
	return out, nil
}

// over is the change of an entry whose end has come.
func over(section, id string) kit.Change {
	return kit.Change{Section: section, ID: id, Op: "keep", Detail: "over"}
}

// same tells whether a span of the file is one that exists; no beginning in the file
// is any.
func same(from, until, wantFrom, wantUntil time.Time) bool {
	return (wantFrom.IsZero() || from.Equal(kit.Truncate(wantFrom))) && until.Equal(kit.Truncate(wantUntil))
}

func (s *Service) applySilences(ctx context.Context, now time.Time, want []Silence, prune bool) ([]kit.Change, error) {
	have, err := s.Silences(ctx)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	var out []kit.Change
	for i, x := range want {
		words := matcherWords(x.Matchers)
		if !x.Until.After(now) {
			out = append(out, over("silences", words))
			continue
		}
		at := slices.IndexFunc(have, func(h Silence) bool {
			return h.Scope == "" && !named[h.ID] && matcherWords(h.Matchers) == words && h.Reason == strings.TrimSpace(x.Reason) && same(h.From, h.Until, x.From, x.Until)
		})
		if at >= 0 {
			named[have[at].ID] = true
			out = append(out, kit.Change{Section: "silences", ID: words, Op: "keep"})
			continue
		}
		made, err := s.Silence(ctx, x)
		if err != nil {
			return nil, under(err, fmt.Sprintf("silences[%d].", i))
		}
		named[made.ID] = true
		out = append(out, kit.Change{Section: "silences", ID: words, Op: "create"})
	}
	for _, h := range have {
		if !prune || named[h.ID] || h.Scope != "" || h.State(now) == "expired" {
			continue
		}
		if err := s.Unsilence(ctx, h.ID); err != nil {
			return nil, err
		}
		out = append(out, kit.Change{Section: "silences", ID: matcherWords(h.Matchers), Op: "remove"})
	}
	return out, nil
}

func (s *Service) applyWindows(ctx context.Context, now time.Time, want []Maintenance, prune bool) ([]kit.Change, error) {
	have, err := s.Maintenances(ctx)
	if err != nil {
		return nil, err
	}
	named := map[string]bool{}
	var out []kit.Change
	for i, x := range want {
		slices.Sort(x.Services)
		x.Services = slices.Compact(x.Services)
		words := strings.Join(x.Services, ", ")
		if !x.Until.After(now) {
			out = append(out, over("maintenance", words))
			continue
		}
		at := slices.IndexFunc(have, func(h Maintenance) bool {
			return !named[h.ID] && slices.Equal(h.Services, x.Services) && h.Reason == strings.TrimSpace(x.Reason) && h.Public == x.Public && same(h.From, h.Until, x.From, x.Until)
		})
		if at >= 0 {
			named[have[at].ID] = true
			out = append(out, kit.Change{Section: "maintenance", ID: words, Op: "keep"})
			continue
		}
		made, err := s.PlanMaintenance(ctx, x)
		if err != nil {
			return nil, under(err, fmt.Sprintf("maintenance[%d].", i))
		}
		named[made.ID] = true
		out = append(out, kit.Change{Section: "maintenance", ID: words, Op: "create"})
	}
	for _, h := range have {
		if !prune || named[h.ID] || h.State == "ended" {
			continue
		}
		if err := s.EndMaintenance(ctx, h.ID); err != nil {
			return nil, err
		}
		out = append(out, kit.Change{Section: "maintenance", ID: strings.Join(h.Services, ", "), Op: "remove"})
	}
	return out, nil
}

func matcherWords(list []quiet.Matcher) string {
	words := make([]string, len(list))
	for i, m := range list {
		words[i] = m.String()
	}
	slices.Sort(words)
	return strings.Join(words, ", ")
}

// under puts the path of an entry before those of the fields of an error.
func under(err error, path string) error {
	e := kit.AsError(err)
	for i := range e.Fields {
		e.Fields[i].Path = path + e.Fields[i].Path
	}
	return e
}
