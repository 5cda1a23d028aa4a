package scan

import (
	"cmp"
	"strings"
)

// trivy is the JSON of Trivy: of one artifact (schema 2), and of a cluster.
//
// Clean needs at least one result, that is one set of packages, configuration or
// files that was looked at, and no resource of a cluster in error. Trivy writes no
// result when it found nothing that it can scan. Licences are not read. Packages,
// configuration and secrets are apart: a report speaks in full only about those of
// which it has a result.
//
// Identity: rule, kind and path of the result without image tag, package or
// resource.
type trivy struct{}

func (trivy) name() string { return "trivy" }

func (trivy) sniff(h head) bool {
	return h.has("SchemaVersion") && (h.has("ArtifactName") || h.has("ArtifactType") || h.has("Results") || h.has("ReportID")) || h.has("ClusterName")
}

type trivyResult struct {
	Target          string       `json:"Target"`
	Class           string       `json:"Class"`
	Type            string       `json:"Type"`
	Vulnerabilities []trivyVuln  `json:"Vulnerabilities"`
	Misconfigs      []trivyCheck `json:"Misconfigurations"`
	Secrets         []struct {
		RuleID    string `json:"RuleID"`
		Category  string `json:"Category"`
		Severity  string `json:"Severity"`
		Title     string `json:"Title"`
		StartLine int    `json:"StartLine"`
	} `json:"Secrets"`
	Modified []struct {
		Type      string    `json:"Type"`
		Status    string    `json:"Status"`
		Statement string    `json:"Statement"`
		Source    string    `json:"Source"`
		Finding   trivyVuln `json:"Finding"`
	} `json:"ExperimentalModifiedFindings"`
}

type trivyVuln struct {
	ID        string `json:"VulnerabilityID"`
	Package   string `json:"PkgName"`
	Path      string `json:"PkgPath"`
	Installed string `json:"InstalledVersion"`
	Fixed     string `json:"FixedVersion"`
	Status    string `json:"Status"`
	Title     string `json:"Title"`
	Text      string `json:"Description"`
	Severity  string `json:"Severity"`
	CWE       words  `json:"CweIDs"`
	URL       string `json:"PrimaryURL"`
	CVSS      map[string]struct {
		V2  float64 `json:"V2Score"`
		V3  float64 `json:"V3Score"`
		V40 float64 `json:"V40Score"`
	} `json:"CVSS"`
	Vendor words `json:"VendorIDs"`
}

type trivyCheck struct {
	ID       string `json:"ID"`
	Title    string `json:"Title"`
	Text     string `json:"Description"`
	Message  string `json:"Message"`
	Severity string `json:"Severity"`
	URL      string `json:"PrimaryURL"`
	Status   string `json:"Status"`
	Cause    struct {
		Resource string `json:"Resource"`
		Line     int    `json:"StartLine"`
	} `json:"CauseMetadata"`
}

func (trivy) read(in *input, out *collector) error {
	s := in.json()
	out.tool("trivy", "")
	artifact, results := "", 0
	one := func(prefix string) func(trivyResult) error {
		return func(r trivyResult) error {
			if strings.HasPrefix(r.Class, "license") {
				return nil
			}
			results++
			out.scope(Scope{Tool: r.tool(), Target: out.report.Target})
			return r.add(out, prefix)
		}
	}
	err := s.object(func(key string) (err error) {
		switch key {
		case "ArtifactName", "ClusterName":
			err = s.into((*plain)(&artifact))
			out.about(image(artifact))
		case "CreatedAt":
			var t plain
			err = s.into(&t)
			out.clock("", string(t))
		case "Trivy":
			var t struct{ Version string }
			err = s.into(&t)
			out.tool("trivy", t.Version)
		case "Results":
			_, err = each(s, one(""))
		case "Resources", "Vulnerabilities", "Misconfigurations":
			_, err = each(s, func(r struct {
				Namespace, Kind, Name, Error string
				Results                      []trivyResult
			},
			) error {
				if r.Error != "" {
					out.partial("scan.reason.errors")
				}
				for _, x := range r.Results {
					if err := one(r.Namespace + "/" + r.Kind + "/" + r.Name)(x); err != nil {
						return err
					}
				}
				return nil
			})
		default:
			err = s.skip()
		}
		return err
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
	case results == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return err
}

// tool tells the scanners of Trivy apart: a run may use some of them, and the
// report does not say which.
func (r *trivyResult) tool() string {
	switch r.Class {
	case "config", "secret":
		return "trivy " + r.Class
	}
	return "trivy"
}

func (r *trivyResult) add(out *collector, prefix string) error {
	// The target of packages of the system is the image with its tag.
	place := path(r.Target, "")
	if r.Class == "os-pkgs" {
		place = image(r.Target)
	}
	if prefix != "" {
		place = prefix + " " + place
	}
	where := func(sub string) string { return strings.TrimSpace(cmp.Or(sub, place)) }
	for _, v := range r.Vulnerabilities {
		f, m := v.finding(r, place)
		f.Target = out.report.Target
		if v.Status == "not_affected" {
			f.Suppressed = &Suppression{How: "not_affected"}
		}
		if err := out.add(f, m); err != nil {
			return err
		}
	}
	for _, x := range r.Modified {
		if x.Type != "vulnerability" || x.Finding.ID == "" {
			continue
		}
		f, m := x.Finding.finding(r, place)
		f.Target = out.report.Target
		f.Suppressed = &Suppression{How: suppressedHow(x.Status), Reason: x.Statement, By: x.Source}
		if err := out.add(f, m); err != nil {
			return err
		}
	}
	for _, c := range r.Misconfigs {
		if c.Status == "PASS" {
			continue
		}
		f := Finding{
			Tool: r.tool(), Target: out.report.Target, Rule: c.ID, Title: c.Title, Severity: severity(c.Severity, 0), Location: where(""), Line: c.Cause.Line, URL: c.URL,
			Description: cmp.Or(c.Message, c.Text), CVE: cves(c.ID),
		}
		if c.Status == "EXCEPTION" {
			f.Suppressed = &Suppression{How: "excepted"}
		}
		if err := out.add(f, mark{parts: []string{"config", place, c.Cause.Resource, phrase(c.Message)}, line: c.Cause.Line}); err != nil {
			return err
		}
	}
	for _, x := range r.Secrets {
		f := Finding{Tool: r.tool(), Target: out.report.Target, Rule: x.RuleID, Title: x.Title, Severity: severity(x.Severity, 0), Location: where(""), Line: x.StartLine, Description: x.Category}
		if err := out.add(f, mark{parts: []string{"secret", place}, line: x.StartLine}); err != nil {
			return err
		}
	}
	return nil
}

func (v *trivyVuln) finding(r *trivyResult, place string) (Finding, mark) {
	f := Finding{
		Rule: v.ID, Title: v.Title, Location: place, Package: v.Package, Version: v.Installed, FixedIn: v.Fixed, URL: v.URL,
		CVE: cves(append(v.Vendor, v.ID)...), CWE: cwes(v.CWE...), Description: v.Text,
	}
	v2 := 0.0
	for _, c := range v.CVSS {
		f.Score, v2 = max(f.Score, score(c.V40), score(c.V3)), max(v2, score(c.V2))
	}
	f.Score = cmp.Or(f.Score, v2)
	f.Severity = severity(v.Severity, f.Score)
	return f, at("package", r.Type, place, v.Package)
}

// suppressedHow reads the words of VEX and of Trivy.
func suppressedHow(status string) string {
	switch strings.ReplaceAll(status, "-", "_") {
	case "not_affected", "false_positive", "resolved", "resolved_with_pedigree":
		return "not_affected"
	case "ignored":
		return "ignored"
	}
	return "external"
}
