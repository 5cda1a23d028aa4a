package i18n

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	narrow = "\u202f"
	minute = time.Minute
	hour   = time.Hour
	day    = 24 * time.Hour
)

var months = map[string][12]string{
	"en": {"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"},
	"fr": {"janv.", "févr.", "mars", "avr.", "mai", "juin", "juil.", "août", "sept.", "oct.", "nov.", "déc."},
}

var weekdays = map[string][7]string{
	"en": {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"},
	"fr": {"dim.", "lun.", "mar.", "mer.", "jeu.", "ven.", "sam."},
}

func lang2(lang string) string {
	if lang == "fr" {
		return "fr"
	}
	return "en"
}

var zones sync.Map

// Zone gives the location of a zone's name; an unknown or empty name is UTC.
func Zone(name string) *time.Location {
	if name == "" {
		return time.UTC
	}
	if z, ok := zones.Load(name); ok {
		return z.(*time.Location)
	}
	z, err := time.LoadLocation(name)
	if err != nil {
		return time.UTC
	}
	zones.Store(name, z)
	return z
}

// ZoneCity is the short name of a zone shown next to times: Paris, New York, UTC.
func ZoneCity(z *time.Location) string {
	name := z.String()
	if i := strings.LastIndexByte(name, '/'); i >= 0 {
		name = name[i+1:]
	}
	return strings.ReplaceAll(name, "_", " ")
}

// Time writes an instant for a reader in a zone: the hour alone on the day of now,
// with the date on another day, and with the offset in an hour that happens twice.
func Time(lang string, t time.Time, zone *time.Location, now time.Time) string {
	if t.IsZero() {
		return "–"
	}
	l, n := t.In(zone), now.In(zone)
	if l.Year() == n.Year() && l.YearDay() == n.YearDay() {
		return clock(l)
	}
	return DateTime(lang, t, zone)
}

// DateTime writes an instant in full: 23 Nov 2026, 03:24.
func DateTime(lang string, t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return "–"
	}
	return Date(lang, t, zone) + ", " + clock(t.In(zone))
}

// Date writes the day of an instant: 23 Nov 2026.
func Date(lang string, t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return "–"
	}
	return DayMonth(lang, t, zone) + " " + strconv.Itoa(t.In(zone).Year())
}

// Day writes the weekday and the day: Mon 23 Nov.
func Day(lang string, t time.Time, zone *time.Location) string {
	return weekdays[lang2(lang)][t.In(zone).Weekday()] + " " + DayMonth(lang, t, zone)
}

// DayMonth writes the day without its year: 23 Nov.
func DayMonth(lang string, t time.Time, zone *time.Location) string {
	l := t.In(zone)
	d := strconv.Itoa(l.Day())
	if lang == "fr" && l.Day() == 1 {
		d = "1er"
	}
	return d + " " + months[lang2(lang)][l.Month()-1]
}

func clock(l time.Time) string {
	s := l.Format("15:04")
	if repeated(l) {
		s += " (" + l.Format("UTC-07:00") + ")"
	}
	return s
}

// repeated tells whether the local time of l happens twice, as at the end of
// summer time.
func repeated(l time.Time) bool {
	wall := l.Format("2006-01-02 15:04")
	_, here := l.Zone()
	for _, by := range []time.Duration{-3 * hour, 3 * hour} {
		_, there := l.Add(by).Zone()
		if d := there - here; d != 0 && l.Add(time.Duration(-d)*time.Second).Format("2006-01-02 15:04") == wall {
			return true
		}
	}
	return false
}

// Duration writes a span with its units: 45 s, 24 min, 2 h 05 min, 3 d 4 h.
func Duration(lang string, d time.Duration) string {
	if d < 0 {
		d = -d
	}
	switch {
	case d < minute:
		return fmt.Sprintf("%d s", int(d/time.Second))
	case d < hour:
		return fmt.Sprintf("%d min", int(d/minute))
	case d < day:
		if m := int(d % hour / minute); m > 0 {
			return fmt.Sprintf("%d h %02d min", int(d/hour), m)
		}
		return fmt.Sprintf("%d h", int(d/hour))
	}
	unit := "d"
	if lang == "fr" {
		unit = "j"
	}
	if h := int(d % day / hour); h > 0 {
		return fmt.Sprintf("%s %s %d h", Number(lang, float64(d/day)), unit, h)
	}
	return fmt.Sprintf("%s %s", Number(lang, float64(d/day)), unit)
}

// Ago writes how long before now an instant was; a coming one is written as "in".
func Ago(lang string, t, now time.Time) string {
	d := now.Sub(t)
	if d < 0 {
		return T(lang, "core.time.in", map[string]any{"duration": Duration(lang, -d)})
	}
	return T(lang, "core.time.ago", map[string]any{"duration": Duration(lang, d)})
}

// Number writes a number: 1,204.5 in English, 1 204,5 in French, at most two decimals.
func Number(lang string, n float64) string {
	s := strconv.FormatFloat(math.Round(math.Abs(n)*100)/100, 'f', -1, 64)
	whole, part, _ := strings.Cut(s, ".")
	thousands, point := ",", "."
	if lang == "fr" {
		thousands, point = narrow, ","
	}
	var b strings.Builder
	if n < 0 {
		b.WriteString("−")
	}
	for i, c := range whole {
		if i > 0 && (len(whole)-i)%3 == 0 {
			b.WriteString(thousands)
		}
		b.WriteRune(c)
	}
	if part != "" {
		b.WriteString(point + part)
	}
	return b.String()
}

// Percent writes a share of one: 24% in English, 24 % in French.
func Percent(lang string, share float64) string {
	s := Number(lang, math.Round(share*1000)/10)
	if lang == "fr" {
		return s + narrow + "%"
	}
	return s + "%"
}
