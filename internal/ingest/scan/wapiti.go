package scan

import (
	"encoding/xml"
	"maps"
	"slices"
)

// wapiti is the report of Wapiti, JSON or XML.
//
// Clean needs the target, the list of kinds of vulnerabilities that were looked
// for, and where it is told at least one crawled page.
//
// Identity: kind, method, path, parameter, and what was said. Requests and
// commands are not kept.
type wapiti struct{}

func (wapiti) name() string { return "wapiti" }

func (wapiti) sniff(h head) bool {
	return h.has("classifications") || h.has("vulnerabilities", "anomalies", "infos") || h.root == "report" && h.attrs["type"] == "security"
}

type wapitiEntry struct {
	Method    string `json:"method" xml:"method"`
	Path      string `json:"path" xml:"path"`
	Info      string `json:"info" xml:"info"`
	Level     int    `json:"level" xml:"level"`
	Parameter plain  `json:"parameter" xml:"parameter"`
}

type wapitiKind struct {
	name, class, text, solution string
	refs                        []string
	entry                       wapitiEntry
}

type wapitiReport struct {
	kinds  int
	infos  map[string]string
	found  []wapitiKind
	listed bool
}

func (r *wapitiReport) take(k wapitiKind) error {
	if len(r.found) >= MaxFindings {
		return tooMany()
	}
	r.found = append(r.found, k)
	return nil
}

func (wapiti) read(in *input, out *collector) error {
	r := &wapitiReport{infos: map[string]string{}}
	read := r.readJSON
	if in.head.kind == xmlBody {
		read = r.readXML
	}
	if err := read(in); err != nil {
		return err
	}
	out.tool("wapiti", lastWord(r.infos["version"]))
	out.target(web(r.infos["target"]))
	out.clock("", r.infos["date"])
	for _, k := range r.found {
		e := k.entry
		f := Finding{
			Rule: k.name, Title: e.Info, Location: web(e.Path), Description: k.text + "\n\n" + k.solution, CWE: cwes(k.refs...), URL: firstLink(k.refs),
			Severity: wapitiLevel(k.class, e.Level),
		}
		if e.Method != "" {
			f.Location = e.Method + " " + f.Location
		}
		if err := out.add(f, at(f.Location, string(e.Parameter), phrase(e.Info))); err != nil {
			return err
		}
	}
	switch pages, told := r.infos["crawled_pages_nbr"]; {
	case !r.listed || r.kinds == 0:
		out.unknown("scan.reason.shape")
	case r.infos["target"] == "" || told && plain(pages).int() == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return nil
}

// wapitiLevel reads Wapiti's levels 1 to 4; an additional is a remark.
func wapitiLevel(class string, level int) Severity {
	switch {
	case class == "additionals" || level == 0:
		return Info
	case level == 1:
		return Low
	case level == 2:
		return Medium
	case level == 3:
		return High
	}
	return Critical
}

func (r *wapitiReport) readJSON(in *input) error {
	s := in.json()
	classes := map[string]struct {
		Text     string            `json:"desc"`
		Solution string            `json:"sol"`
		Refs     map[string]string `json:"ref"`
	}{}
	err := s.object(func(key string) (err error) {
		switch key {
		case "classifications":
			err = s.into(&classes)
		case "vulnerabilities", "anomalies", "additionals":
			r.listed = r.listed || key == "vulnerabilities"
			err = s.object(func(name string) error {
				r.kinds++
				_, err := each(s, func(e wapitiEntry) error {
					c := classes[name]
					k := wapitiKind{name: name, class: key, text: c.Text, solution: c.Solution, entry: e}
					for _, title := range slices.Sorted(maps.Keys(c.Refs)) {
						k.refs = append(k.refs, title, c.Refs[title])
					}
					return r.take(k)
				})
				return err
			})
		case "infos":
			var infos map[string]plain
			err = s.into(&infos)
			for k, v := range infos {
				r.infos[k] = string(v)
			}
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	return err
}

func (r *wapitiReport) readXML(in *input) error {
	classes := map[string]string{"vulnerabilities/vulnerability": "vulnerabilities", "anomalies/anomaly": "anomalies", "additionals/additional": "additionals"}
	names := map[string]string{"generatorVersion": "version", "dateOfScan": "date", "target": "target", "crawledPagesNbr": "crawled_pages_nbr", "crawled_pages_nbr": "crawled_pages_nbr"}
	return in.elements(func(d *xml.Decoder, e xml.StartElement, path string) (bool, error) {
		switch path {
		case "report/report_infos/info":
			var v string
			err := d.DecodeElement(&v, &e)
			if n := names[attribute(e, "name")]; n != "" {
				r.infos[n] = v
			}
			return true, err
		case "report/vulnerabilities":
			r.listed = true
		case "report/vulnerabilities/vulnerability", "report/anomalies/anomaly", "report/additionals/additional":
			r.kinds++
			var v struct {
				Text     string        `xml:"description"`
				Solution string        `xml:"solution"`
				Titles   []string      `xml:"references>reference>title"`
				URLs     []string      `xml:"references>reference>url"`
				Entries  []wapitiEntry `xml:"entries>entry"`
			}
			if err := d.DecodeElement(&v, &e); err != nil {
				return true, err
			}
			for _, x := range v.Entries {
				k := wapitiKind{
					name: attribute(e, "name"), class: classes[path[len("report/"):]], text: v.Text, solution: v.Solution,
					refs: append(append([]string(nil), v.Titles...), v.URLs...), entry: x,
				}
				if err := r.take(k); err != nil {
					return true, err
				}
			}
			return true, nil
		}
		return false, nil
	})
}
