package history

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"tocsin/internal/db"
	"tocsin/internal/db/dbtest"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type may struct{}

func (may) Require(ctx context.Context, use kit.Use, _ ...kit.Role) error {
	if use == "history.import" && kit.ActorFrom(ctx).ID == "paul" {
		return kit.Forbidden(string(use), "")
	}
	return nil
}

func as(t *testing.T, person string) context.Context {
	return kit.WithActor(t.Context(), kit.Actor{Kind: kit.ActorPerson, ID: person, Via: kit.ViaWeb})
}

func own(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestVERISShapes(t *testing.T) {
	r, err := Read(own(t, "shapes.veris.json"), Options{Source: "old"})
	if err != nil {
		t.Fatal(err)
	}
	if r.Format != FormatVERIS || len(r.Records) != 4 {
		t.Fatalf("%s, %d records", r.Format, len(r.Records))
	}
	type short struct {
		ID, Title, Discovery, Actions, Actors string
		Verdict                               Verdict
		Occurred                              Partial
		Assets                                []string
		Records                               int
	}
	var got []short
	for _, x := range r.Records {
		got = append(got, short{x.External, x.Title, x.Discovery.String(), joinClasses(x.Actions), joinClasses(x.Actors), x.Verdict, x.Occurred, x.Assets, x.Records})
	}
	want := []short{
		{"A-1", "A bag with papers was left on a train.", "external: law enforcement", "error: Loss", "internal: End-user", Confirmed, "2019-07-21", []string{"M - Documents"}, 23},
		{"A-2", "hacking: Use of stolen creds; social: Phishing – S - Web application, U - Laptop – Bakery", "internal: IT review, Log review", "hacking: Use of stolen creds; social: Phishing", "external: Unknown", Suspected, "2020-03", []string{"S - Web application", "U - Laptop"}, 0},
		{"3", "unknown", "unknown", "unknown", "unknown", NearMiss, "2021", nil, 0},
		{"A-4", "Named here", "other", "environmental: Fire", "", FalsePositive, "2022-02-28T09:30", nil, 0},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if r.Records[3].Severity != "sev2" || !slices.Equal(r.Records[3].Services, []string{"payments"}) {
		t.Errorf("own part: %q %q", r.Records[3].Severity, r.Records[3].Services)
	}
}

func TestVERISRefuses(t *testing.T) {
	good := `{"incident_id":"1","security_incident":"Confirmed","timeline":{"incident":{"year":2020}}}`
	for name, c := range map[string]struct {
		file string
		line int
		path string
	}{
		"cut off":        {good + "\n" + good[:40], 2, "file"},
		"no object":      {good + "\n3", 2, "file"},
		"list cut off":   {"[" + good, 1, "file"},
		"no id":          {`{"security_incident":"Confirmed","timeline":{"incident":{"year":2020}}}`, 1, "id"},
		"no year":        {good + "\n\n" + `{"incident_id":"2","security_incident":"Confirmed"}`, 3, "timeline.incident.year"},
		"month 13":       {`{"incident_id":"2","security_incident":"Confirmed","timeline":{"incident":{"year":2020,"month":13,"day":1}}}`, 1, "timeline.incident"},
		"32 March":       {`{"incident_id":"2","security_incident":"Confirmed","timeline":{"incident":{"year":2020,"month":3,"day":32}}}`, 1, "timeline.incident"},
		"year of dreams": {`{"incident_id":"2","security_incident":"Confirmed","timeline":{"incident":{"year":99999}}}`, 1, "timeline.incident"},
		"month is text":  {`{"incident_id":"2","security_incident":"Confirmed","timeline":{"incident":{"year":2020,"month":"May"}}}`, 1, "timeline.incident.month"},
		"verdict":        {`{"incident_id":"2","security_incident":"Maybe","timeline":{"incident":{"year":2020}}}`, 1, "security_incident"},
		"deep":           {`{"incident_id":"2","x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, 1, "file"},
		"nothing":        {"[]", 0, "file"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read([]byte(c.file), Options{Source: "x", Format: FormatVERIS})
			e := kit.AsError(err)
			if e == nil || e.Code != kit.CodeInvalid || len(e.Fields) == 0 || e.Fields[0].Path != c.path {
				t.Fatalf("got %v", err)
			}
			if line, _ := e.Fields[0].Args["line"].(int); line != c.line {
				t.Errorf("line %d, want %d", line, c.line)
			}
		})
	}
}

func TestDayThatItsMonthHasNot(t *testing.T) {
	r, err := Read([]byte(`{"incident_id":"2","security_incident":"Confirmed","timeline":{"incident":{"year":2009,"month":4,"day":31}}}`), Options{Source: "x"})
	if err != nil || r.Records[0].Occurred != "2009-04" || !strings.Contains(string(r.Records[0].Document), `"day":31`) {
		t.Errorf("%+v %v", r.Records, err)
	}
}

func TestManyWrongLinesAreNamedOnce(t *testing.T) {
	_, err := Read([]byte(strings.Repeat("{}\n", 500)), Options{Source: "x"})
	if n := len(kit.AsError(err).Fields); n < maxProblems || n > maxProblems+3 {
		t.Errorf("%d problems named", n)
	}
}

func TestDates(t *testing.T) {
	for in, want := range map[string]string{
		"2019": "2019", "2019-03": "2019-03", "2019-03-15": "2019-03-15", "2019-03-15 14:30": "2019-03-15T14:30", "2019-03-15T14:30:05": "2019-03-15T14:30:05",
		"2019-03-15T14:30:00+02:00": "2019-03-15T12:30:00", "2019-03-15T14:30:00.123Z": "2019-03-15T14:30:00", "03/2019": "2019-03", "15/03/2019": "2019-03-15",
		"15.3.2019 9:05": "2019-03-15T09:05", "04/05/2019": "2019-05-04", "": "",
		"31/02/2019": "-", "2019-13": "-", "soon": "-", "99": "-", "15/03/19": "-", "0/0/2019": "-", "13/2019": "-", "0019-01-01": "-", "2019-03-15T25:00": "-", "44000": "-",
	} {
		got, err := date(in, DayFirst)
		if err != nil {
			got = "-"
		}
		if string(got) != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if got, _ := date("04/15/2019", MonthFirst); got != "2019-04-15" {
		t.Errorf("month first: %q", got)
	}
}

func TestTableInEveryDress(t *testing.T) {
	french := own(t, "registre.csv")
	latin, err := charmap.Windows1252.NewEncoder().Bytes(french)
	if err != nil {
		t.Fatal(err)
	}
	wide, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().Bytes(french)
	if err != nil {
		t.Fatal(err)
	}
	var first []Record
	for name, file := range map[string][]byte{
		"utf-8": french, "bom": append([]byte("\xef\xbb\xbf"), french...), "windows-1252": latin, "utf-16": wide,
		"crlf": bytes.ReplaceAll(french, []byte("\n"), []byte("\r\n")), "tabs": bytes.ReplaceAll(french, []byte(";"), []byte("\t")),
	} {
		r, err := Read(file, Options{Source: "registre"})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if first == nil {
			first = r.Records
			want := Mapping{"id": "N°", "title": "Objet", "occurred": "Date de l'incident", "recovered": "Clôture", "severity": "Gravité", "kind": "Nature", "services": "Services touchés", "cause": "Cause racine", "summary": "Résumé", "action": "Action"}
			if !reflect.DeepEqual(r.Mapping, want) {
				t.Errorf("%s: proposed %v", name, r.Mapping)
			}
			if !r.OrderSure || r.Order != DayFirst {
				t.Errorf("order %s, sure %v", r.Order, r.OrderSure)
			}
			continue
		}
		if !reflect.DeepEqual(r.Records, first) {
			t.Errorf("%s is read differently", name)
		}
	}
	if len(first) != 3 {
		t.Fatalf("%d records", len(first))
	}
	r := first[0]
	if r.Occurred != "2021-02-04T08:15" || r.Recovered != "2021-02-04T11:00" || r.Severity != "sev1" || r.Kind != "availability" || r.Columns["Suivi par"] != "Élodie" || joinClasses(r.Actions) != "error: Misconfiguration" {
		t.Errorf("%+v", r)
	}
	if strings.Count(first[1].Summary, "\n") != 1 {
		t.Errorf("lines of a cell: %q", first[1].Summary)
	}
	if !strings.HasPrefix(first[2].External, "row-") {
		t.Errorf("a row without an id is called %q", first[2].External)
	}
}

func TestTableRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		file string
		m    Mapping
		path string
		line int
	}{
		"no date column":  {"title\nx\n", nil, "mapping.occurred", 0},
		"unknown head":    {"a\nx\n", Mapping{"occurred": "b"}, "mapping.occurred", 0},
		"unknown field":   {"a\nx\n", Mapping{"sense": "a"}, "mapping.sense", 0},
		"bad date":        {"date,title\n2020-01-01,x\nyesterday,y\n", nil, "occurred", 3},
		"bad severity":    {"date,severity\n2020-01-01,huge\n", nil, "severity", 2},
		"bad action":      {"date,action\n2020-01-01,magic\n", nil, "action", 2},
		"bad number":      {"date,records\n2020-01-01,many\n", nil, "records", 2},
		"too many cells":  {"date\n2020-01-01,1,2\n", nil, "file", 2},
		"only a head":     {"date,title\n", nil, "file", 0},
		"row without day": {"date,title\n,x\n", nil, "occurred", 2},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Read([]byte(c.file), Options{Source: "x", Format: FormatCSV, Mapping: c.m})
			e := kit.AsError(err)
			if e == nil || len(e.Fields) == 0 || e.Fields[0].Path != c.path {
				t.Fatalf("got %v", err)
			}
			if line, _ := e.Fields[0].Args["line"].(int); line != c.line {
				t.Errorf("line %d, want %d", line, c.line)
			}
		})
	}
}

// What an export writes, an import reads back, as VERIS and as a table.
func TestExportIsReadBack(t *testing.T) {
	in := Record{
		External: "X-1", Title: "=2+3 happened", Summary: "Two\nlines; and \"quotes\"", Verdict: Confirmed, Occurred: "2023-10-29T01:30:00", Detected: "2023-10-29T02:00:00",
		Contained: "2023-10-30T02:00:00", Recovered: "2023-11-01T00:00:00", Severity: "sev1", Kind: "data", Services: []string{"payments", "web"},
		Actors: []Class{{"external", []string{"Organized crime"}}}, Actions: []Class{{"malware", nil}, {"hacking", []string{"SQLi", "XSS"}}}, Attributes: []Class{{"confidentiality", nil}},
		Assets: []string{"S - Database", "P - End-user"}, Discovery: Class{"external", []string{"Customer"}}, Victim: "Us", Cause: "An old version", Reference: "https://example.org/1", Records: 1200,
	}
	doc, err := in.WriteVERIS("tocsin")
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(doc, Options{Source: "s"})
	if err != nil {
		t.Fatal(err)
	}
	back := r.Records[0]
	back.Document, back.Line = nil, 0
	// The order of the classes is that of the schema.
	if !reflect.DeepEqual(back, in) {
		t.Errorf("veris\n got %+v\nwant %+v", back, in)
	}
	var b bytes.Buffer
	b.WriteString("\ufeff")
	w := csv.NewWriter(&b)
	_ = w.Write(Columns)
	_ = w.Write(in.Row())
	w.Flush()
	if !bytes.Contains(b.Bytes(), []byte("'=2+3")) {
		t.Error("a spreadsheet would calculate the title")
	}
	if r, err = Read(b.Bytes(), Options{Source: "s"}); err != nil {
		t.Fatal(err)
	}
	back = r.Records[0]
	back.Document, back.Line = nil, 0
	if !reflect.DeepEqual(back, in) {
		t.Errorf("csv\n got %+v\nwant %+v", back, in)
	}
}

func TestImport(t *testing.T) {
	dbtest.Each(t, kit.SystemClock{}, func(t *testing.T, d *db.DB) {
		l := ledger.New(d)
		s := New(d, may{})
		ana := as(t, "ana")
		file := own(t, "shapes.veris.json")
		o := Options{Source: "old"}
		would, _, err := s.Check(ana, file, o)
		if err != nil || would.Created != 4 {
			t.Fatalf("check: %+v %v", would, err)
		}
		if list, _ := s.List(ana, Filter{}, kit.Page{}); list.Total != 0 {
			t.Error("a check kept something")
		}
		did, err := s.Run(ana, "old.json", file, o)
		if err != nil || did.Created != 4 || did.Skipped+did.Conflicts+did.Replaced != 0 || did.State != Done {
			t.Fatalf("run: %+v %v", did, err)
		}
		if again, err := s.Run(ana, "old.json", file, o); err != nil || again.Created != 0 || again.Skipped != 4 {
			t.Errorf("again: %+v %v", again, err)
		}
		if other, err := s.Run(ana, "old.json", file, Options{Source: "other"}); err != nil || other.Created != 4 {
			t.Errorf("from another source: %+v %v", other, err)
		}
		changed := bytes.Replace(file, []byte("left on a train"), []byte("left on a bus"), 1)
		if c, err := s.Run(ana, "", changed, o); err != nil || c.Conflicts != 1 || c.Skipped != 3 || !slices.Equal(c.Named, []string{"A-1"}) {
			t.Errorf("changed: %+v %v", c, err)
		}
		if p, err := s.Get(ana, "past-1"); err != nil || !strings.Contains(p.Summary, "train") {
			t.Errorf("what is kept was changed: %q %v", p.Summary, err)
		}
		o.Replace = true
		if c, err := s.Run(ana, "", changed, o); err != nil || c.Replaced != 1 || c.Conflicts != 0 {
			t.Errorf("replaced: %+v %v", c, err)
		}
		if p, err := s.Get(ana, "1"); err != nil || !strings.Contains(p.Summary, "bus") || p.Ref != "PAST-1" {
			t.Errorf("replaced: %q %v", p.Summary, err)
		}
		twice := append(append([]byte{}, file...), file...)
		twice = bytes.ReplaceAll(twice, []byte("]\n["), []byte(","))
		if c, err := s.Run(ana, "", twice, Options{Source: "twice"}); err != nil || c.Created != 4 || c.Skipped != 4 {
			t.Errorf("each record twice in one file: %+v %v", c, err)
		}
		if _, err := s.Run(as(t, "paul"), "", file, o); kit.CodeOf(err) != kit.CodeForbidden {
			t.Errorf("without the right: %v", err)
		}
		if _, err := s.Run(ana, "", file, Options{Source: "No Slug"}); kit.CodeOf(err) != kit.CodeInvalid {
			t.Errorf("a source that is no slug: %v", err)
		}
		n, err := l.Count(ana, ledger.Filter{Types: []string{"past_incident.imported"}})
		if err != nil || n != 12 {
			t.Errorf("%d facts, want 12 (%v)", n, err)
		}
		for q, want := range map[Filter]int{
			{Q: "TRAIN papers"}: 2, {Q: "bakery", Source: "old"}: 1, {Action: "social"}: 3, {Year: "2020"}: 3, {Verdict: NearMiss, Source: "twice"}: 1, {Q: "100%"}: 0,
		} {
			if l, err := s.List(ana, q, kit.Page{}); err != nil || l.Total != want || len(l.Items) != want {
				t.Errorf("%+v: %d and %d, want %d (%v)", q, l.Total, len(l.Items), want, err)
			}
		}
		var seen []string
		p := kit.Page{Limit: 5}
		for {
			list, err := s.List(ana, Filter{}, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range list.Items {
				seen = append(seen, x.Ref)
			}
			if p.Cursor = list.Next; p.Cursor == "" {
				break
			}
		}
		slices.Sort(seen)
		if len(slices.Compact(seen)) != 12 {
			t.Errorf("paging gave %d", len(seen))
		}
	})
}

func TestStagedFile(t *testing.T) {
	dbtest.Each(t, kit.SystemClock{}, func(t *testing.T, d *db.DB) {
		ledger.New(d)
		s := New(d, may{})
		ana := as(t, "ana")
		file := own(t, "registre.csv")
		i, err := s.Stage(ana, "registre.csv", file, "registre")
		if err != nil || i.State != Waiting {
			t.Fatalf("%+v %v", i, err)
		}
		got, kept, err := s.Staged(ana, i.ID)
		if err != nil || !bytes.Equal(kept, file) || got.Name != "registre.csv" {
			t.Fatalf("%+v %v", got, err)
		}
		if _, err := s.Finish(ana, i.ID, Options{Mapping: Mapping{"occurred": "nowhere"}}); kit.CodeOf(err) != kit.CodeInvalid {
			t.Errorf("a wrong mapping: %v", err)
		}
		did, err := s.Finish(ana, i.ID, Options{})
		if err != nil || did.Created != 3 || did.ID != i.ID || did.Name != "registre.csv" {
			t.Fatalf("%+v %v", did, err)
		}
		if again, err := s.Finish(ana, i.ID, Options{}); err != nil || again.Created != 3 {
			t.Errorf("finished twice: %+v %v", again, err)
		}
		if _, kept, _ := s.Staged(ana, i.ID); len(kept) != 0 {
			t.Error("the file is kept after it was imported")
		}
		if _, err := s.Stage(ana, "x", []byte("{"), "x"); kit.CodeOf(err) != kit.CodeInvalid {
			t.Errorf("a file that is nothing: %v", err)
		}
		if l, err := s.Imports(ana); err != nil || len(l) != 1 {
			t.Errorf("%d imports (%v)", len(l), err)
		}
	})
}

// The public incidents of the community's database are kept whole.
func TestCommunityDatabase(t *testing.T) {
	shared := os.Getenv("TOCSIN_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "shared")
	}
	file, err := os.ReadFile(filepath.Join(shared, "testdata", "real", "vcdb", "vcdb-400.veris.jsonl"))
	if err != nil {
		if os.Getenv("TOCSIN_REQUIRE_ALL") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dbtest.Each(t, kit.SystemClock{}, func(t *testing.T, d *db.DB) {
		ledger.New(d)
		s := New(d, may{})
		ana := as(t, "ana")
		did, err := s.Run(ana, "vcdb", file, Options{Source: "vcdb"})
		if err != nil || did.Created != 400 || did.Skipped+did.Conflicts != 0 {
			t.Fatalf("%+v %v", did, err)
		}
		want := map[string]any{}
		years, actions := map[string]int{}, map[string]int{}
		lines := bufio.NewScanner(bytes.NewReader(file))
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var o map[string]any
			if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
				t.Fatal(err)
			}
			want[o["incident_id"].(string)] = o
			year, _ := json.Marshal(o["timeline"].(map[string]any)["incident"].(map[string]any)["year"])
			years[string(year)]++
			for a := range o["action"].(map[string]any) {
				actions[a]++
			}
		}
		p := kit.Page{Limit: 100}
		n := 0
		for {
			list, err := s.List(ana, Filter{}, p)
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range list.Items {
				var o any
				if err := json.Unmarshal(x.Document, &o); err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(o, want[x.External]) {
					t.Errorf("%s is not what it was", x.External)
				}
				if x.Title == "" || x.Occurred.First().IsZero() {
					t.Errorf("%s has no name or date", x.External)
				}
				n++
			}
			if p.Cursor = list.Next; p.Cursor == "" {
				break
			}
		}
		if n != 400 {
			t.Errorf("%d listed", n)
		}
		for year, count := range years {
			if l, err := s.List(ana, Filter{Year: year}, kit.Page{}); err != nil || l.Total != count {
				t.Errorf("year %s: %d, want %d (%v)", year, l.Total, count, err)
			}
		}
		for action, count := range actions {
			if l, err := s.List(ana, Filter{Action: action}, kit.Page{}); err != nil || l.Total != count {
				t.Errorf("action %s: %d, want %d (%v)", action, l.Total, count, err)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	for _, name := range []string{"shapes.veris.json", "registre.csv"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add([]byte("date\n2020-01-01\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		r, err := Read(file, Options{Source: "x"})
		if err != nil {
			if kit.CodeOf(err) == kit.CodeInternal {
				t.Fatalf("internal: %v", err)
			}
			return
		}
		for _, x := range r.Records {
			if _, err := digest(x.Document); err != nil {
				t.Fatalf("%v: %s", err, x.Document)
			}
			if _, err := ParsePartial(string(x.Occurred)); err != nil {
				t.Fatalf("date %q", x.Occurred)
			}
		}
	})
}
