package holiday_test

import (
	"testing"
	"time"

	"tocsin/internal/holiday"
)

func TestOn(t *testing.T) {
	own := map[string]string{"2026-12-24": "Fermeture"}
	for _, c := range []struct {
		country, day, want string
	}{
		{"FR", "2026-04-06", "Lundi de Pâques"},
		{"FR", "2024-04-01", "Lundi de Pâques"},
		{"FR", "2026-07-14", "Fête Nationale"},
		{"FR", "2026-07-13", ""},
		{"FR", "2026-12-24", "Fermeture"},
		{"DE", "2026-10-03", "Tag der Deutschen Einheit"},
		{"GB", "2026-07-14", ""},
		{"US", "2026-11-26", "Thanksgiving Day"},
		{"XX", "2026-12-25", ""},
		{"XX", "2026-12-24", "Fermeture"},
	} {
		d, err := time.Parse(time.DateOnly, c.day)
		if err != nil {
			t.Fatal(err)
		}
		if got := holiday.New(c.country, own).On(d.Date()); got != c.want {
			t.Errorf("%s %s: %q, want %q", c.country, c.day, got, c.want)
		}
	}
}

// Every country has its holidays in every year, and none of them falls on all days.
func TestEveryCountry(t *testing.T) {
	known := 0
	for a := 'A'; a <= 'Z'; a++ {
		for b := 'A'; b <= 'Z'; b++ {
			country := string(a) + string(b)
			if !holiday.Known(country) {
				continue
			}
			known++
			c := holiday.New(country, nil)
			for year := 2020; year <= 2040; year++ {
				n := 0
				for d := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC); d.Year() == year; d = d.AddDate(0, 0, 1) {
					if c.On(d.Date()) != "" {
						n++
					}
				}
				if n < 5 || n > 45 {
					t.Errorf("%s %d: %d holidays", country, year, n)
				}
			}
		}
	}
	if known < 30 {
		t.Errorf("%d countries", known)
	}
}
