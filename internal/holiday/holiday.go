// Package holiday knows the public holidays of countries.
package holiday

import (
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/ar"
	"github.com/rickar/cal/v2/at"
	"github.com/rickar/cal/v2/be"
	"github.com/rickar/cal/v2/bg"
	"github.com/rickar/cal/v2/br"
	"github.com/rickar/cal/v2/ca"
	"github.com/rickar/cal/v2/ch"
	"github.com/rickar/cal/v2/cz"
	"github.com/rickar/cal/v2/de"
	"github.com/rickar/cal/v2/dk"
	"github.com/rickar/cal/v2/es"
	"github.com/rickar/cal/v2/fr"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/gr"
	"github.com/rickar/cal/v2/hr"
	"github.com/rickar/cal/v2/ie"
	"github.com/rickar/cal/v2/it"
	"github.com/rickar/cal/v2/jp"
	"github.com/rickar/cal/v2/lt"
	"github.com/rickar/cal/v2/lv"
	"github.com/rickar/cal/v2/nl"
	"github.com/rickar/cal/v2/no"
	"github.com/rickar/cal/v2/nz"
	"github.com/rickar/cal/v2/pl"
	"github.com/rickar/cal/v2/ro"
	"github.com/rickar/cal/v2/ru"
	"github.com/rickar/cal/v2/se"
	"github.com/rickar/cal/v2/si"
	"github.com/rickar/cal/v2/sk"
	"github.com/rickar/cal/v2/ua"
	"github.com/rickar/cal/v2/us"
	"github.com/rickar/cal/v2/za"
)

// countries are those whose national holidays are known, by ISO 3166-1 alpha-2.
var countries = map[string][]*cal.Holiday{
	"AR": ar.Holidays, "AT": at.Holidays, "BE": be.Holidays, "BG": bg.Holidays, "BR": br.Holidays, "CA": ca.Holidays,
	"CH": ch.Holidays, "CZ": cz.Holidays, "DE": de.Holidays, "DK": dk.Holidays, "ES": es.Holidays, "FR": fr.Holidays, "GB": gb.Holidays,
	"GR": gr.Holidays, "HR": hr.Holidays, "IE": ie.Holidays, "IT": it.Holidays, "JP": jp.Holidays, "LT": lt.Holidays, "LV": lv.Holidays,
	"NL": nl.Holidays, "NO": no.Holidays, "NZ": nz.Holidays, "PL": pl.Holidays, "RO": ro.Holidays, "RU": ru.Holidays, "SE": se.Holidays,
	"SI": si.Holidays, "SK": sk.Holidays, "UA": ua.Holidays, "US": us.Holidays, "ZA": za.Holidays,
}

// Calendar is the public holidays of one country and one's own days off.
type Calendar struct {
	national []*cal.Holiday
	own      map[string]string
}

// New gives the calendar of a country (ISO 3166-1 alpha-2) with days added to it, by
// date as 2006-01-02. Of a country that is not known only those added are.
func New(country string, own map[string]string) Calendar {
	return Calendar{national: countries[country], own: own}
}

// On gives the name of the holiday that a local day is, in the language of the country;
// empty when it is none. A holiday that is observed on another day counts on both.
func (c Calendar) On(year int, month time.Month, day int) string {
	d := time.Date(year, month, day, 12, 0, 0, 0, time.UTC)
	if name, ok := c.own[d.Format(time.DateOnly)]; ok {
		return name
	}
	for _, h := range c.national {
		actual, observed := h.Calc(year)
		for _, at := range []time.Time{actual, observed} {
			if !at.IsZero() && at.Month() == month && at.Day() == day && at.Year() == year {
				return h.Name
			}
		}
	}
	return ""
}

// Known tells whether the holidays of a country are known.
func Known(country string) bool { return countries[country] != nil }
