package alert

import (
	"testing"
	"time"
)

func TestSeemSame(t *testing.T) {
	now := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	make := func(source, service, title string, at time.Duration, labels ...string) *Alert {
		a := &Alert{Source: source, Service: service, Title: title, StartsAt: now.Add(at), Labels: map[string]string{}}
		for n := 0; n+1 < len(labels); n += 2 {
			a.Labels[labels[n]] = labels[n+1]
		}
		return a
	}
	for name, c := range map[string]struct {
		a, b *Alert
		want string
	}{
		"same rule in two systems":         {make("prometheus", "", "db down", 0, "alertname", "DatabaseDown", "instance", "db-1:9100"), make("grafana", "db", "[FIRING] Database", time.Minute, "alertname", "databasedown", "instance", "db-1"), SameName},
		"one name, other machines":         {make("prometheus", "db", "x", 0, "alertname", "DiskFull", "instance", "db-1:9100"), make("grafana", "db", "x", 0, "alertname", "DiskFull", "instance", "db-2:9100"), ""},
		"one name, other services":         {make("prometheus", "db", "x", 0, "alertname", "Down"), make("grafana", "web", "x", 0, "alertname", "Down"), ""},
		"one machine, with its domain":     {make("prometheus", "db", "Load is high", 0, "instance", "db-1:9100"), make("zabbix", "db", "Too many processes", 0, "host", "DB-1.example.org"), SamePlace},
		"db-1 is not db-10":                {make("prometheus", "db", "Load", 0, "instance", "db-1"), make("zabbix", "db", "Load", 0, "host", "db-10"), ""},
		"alike words":                      {make("probe", "shop", "Shop does not answer", 0), make("mail", "shop", "The shop does not answer", 0), SameWords},
		"alike words, no service":          {make("probe", "", "Shop does not answer", 0), make("mail", "", "Shop does not answer", 0), ""},
		"other words":                      {make("probe", "shop", "Shop does not answer", 0), make("mail", "shop", "Certificate ends on Friday", 0), ""},
		"one source groups by itself":      {make("probe", "shop", "Shop does not answer", 0), make("probe", "shop", "Shop does not answer", 0), ""},
		"an hour apart":                    {make("probe", "shop", "Shop does not answer", 0), make("mail", "shop", "Shop does not answer", time.Hour), ""},
		"accents and case do not matter":   {make("probe", "shop", "La boutique ne répond pas", 0), make("mail", "shop", "LA BOUTIQUE NE REPOND PAS", 0), SameWords},
		"a URL names its host":             {make("probe", "shop", "x", 0, "instance", "https://shop.example.org:443"), make("mail", "shop", "y", 0, "host", "shop"), SamePlace},
		"titles without a word":            {make("probe", "shop", "!!", 0), make("mail", "shop", "??", 0), ""},
		"only one of them names a machine": {make("probe", "shop", "Shop is slow", 0, "instance", "shop-1"), make("mail", "shop", "Shop is slow", 0), SameWords},
	} {
		t.Run(name, func(t *testing.T) {
			if got := SeemSame(c.a, c.b); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if got := SeemSame(c.b, c.a); got != c.want {
				t.Errorf("the other way round: %q", got)
			}
		})
	}
}
