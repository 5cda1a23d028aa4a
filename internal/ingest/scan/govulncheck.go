package scan

import (
	"errors"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/semver"
)

// govulncheck is the JSON stream of govulncheck (protocol v1): documents one after
// the other, without an end mark.
//
// The stream is whole when the message that the check begins has come, and every
// advisory that affects a module version in use has a finding: advisories and
// module versions come before the findings. Clean needs that.
//
// Identity: the advisory and the module. Called code is high, an imported package
// medium, a required module low, which are the levels of govulncheck's SARIF.
type govulncheck struct{}

func (govulncheck) name() string { return "govulncheck" }

func (govulncheck) sniff(h head) bool { return h.has("config.protocol_version", "config.scanner_name") }

type goFinding struct {
	OSV   string `json:"osv"`
	Fixed string `json:"fixed_version"`
	Trace []struct {
		Module   string `json:"module"`
		Version  string `json:"version"`
		Package  string `json:"package"`
		Function string `json:"function"`
		Receiver string `json:"receiver"`
		Position *struct {
			Filename string `json:"filename"`
			Line     int    `json:"line"`
		} `json:"position"`
	} `json:"trace"`
}

// severity is how near the call is.
func (g *goFinding) severity() Severity {
	switch t := g.Trace[0]; {
	case t.Function != "":
		return High
	case t.Package != "":
		return Medium
	}
	return Low
}

func (govulncheck) read(in *input, out *collector) error {
	s := in.json()
	type key struct{ osv, module string }
	osvs, versions, found := map[string]osvVuln{}, map[string]string{}, map[key]goFinding{}
	var order []key
	checking := false
	for {
		var doc struct {
			Config *struct {
				Name    string `json:"scanner_name"`
				Version string `json:"scanner_version"`
			} `json:"config"`
			SBOM *struct {
				Modules []struct {
					Path    string `json:"path"`
					Version string `json:"version"`
				} `json:"modules"`
				Roots []string `json:"roots"`
			} `json:"SBOM"`
			Progress *struct {
				Message string `json:"message"`
			} `json:"progress"`
			OSV     *osvVuln   `json:"osv"`
			Finding *goFinding `json:"finding"`
		}
		if err := s.into(&doc); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		switch {
		case doc.Config != nil:
			out.tool(doc.Config.Name, doc.Config.Version)
		case doc.SBOM != nil:
			if len(doc.SBOM.Roots) > 0 {
				out.target(doc.SBOM.Roots[0])
			}
			for _, m := range doc.SBOM.Modules {
				versions[m.Path] = m.Version
			}
		case doc.Progress != nil:
			checking = checking || strings.HasPrefix(doc.Progress.Message, "Checking the ")
		case doc.OSV != nil:
			if len(osvs) < MaxFindings {
				doc.OSV.Details = cut(doc.OSV.Details, maxDescription, true)
				osvs[doc.OSV.ID] = *doc.OSV
			}
		case doc.Finding != nil && len(doc.Finding.Trace) > 0:
			k := key{doc.Finding.OSV, doc.Finding.Trace[0].Module}
			old, ok := found[k]
			if !ok {
				order = append(order, k)
			}
			if !ok || doc.Finding.severity().Rank() > old.severity().Rank() {
				found[k] = *doc.Finding
			}
			if len(order) > MaxFindings {
				return tooMany()
			}
		}
	}
	for _, k := range order {
		g := found[k]
		v := osvs[k.osv]
		f := v.finding(k.module, g.Trace[0].Version)
		f.Rule, f.FixedIn, f.Severity, f.Location = k.osv, g.Fixed, g.severity(), "go.mod"
		for _, t := range g.Trace[1:] {
			if t.Position != nil && t.Module != "stdlib" && t.Version == "" {
				f.Location, f.Line = path(t.Position.Filename, ""), t.Position.Line
				break
			}
		}
		if err := out.add(f, at(k.module)); err != nil {
			return err
		}
	}
	whole := checking && len(versions) > 0
	for id, v := range osvs {
		for _, a := range v.Affected {
			version := versions[a.Package.Name]
			if _, ok := found[key{id, a.Package.Name}]; !ok && version != "" && affects(a.Ranges, version) {
				// Some advisories hold on other systems alone, which the stream does not name.
				elsewhere := len(a.Own.Imports) > 0
				for _, i := range a.Own.Imports {
					elsewhere = elsewhere && len(i.GOOS)+len(i.GOARCH) > 0
				}
				whole = whole && elsewhere
			}
		}
	}
	if whole {
		out.proved()
	} else {
		out.partial("scan.reason.truncated")
	}
	return nil
}

// affects tells whether a version lies in a range of Go versions.
func affects(ranges []osvRange, version string) bool {
	v := "v" + strings.TrimPrefix(strings.TrimPrefix(version, "go"), "v")
	if !semver.IsValid(v) {
		return false
	}
	canon := func(s string) string { return "v" + s }
	return slices.ContainsFunc(ranges, func(r osvRange) bool {
		in := false
		for _, e := range r.Events {
			switch {
			case r.Type != "SEMVER":
			case e.Introduced == "0" || e.Introduced != "" && semver.Compare(v, canon(e.Introduced)) >= 0:
				in = true
			case e.Fixed != "" && semver.Compare(v, canon(e.Fixed)) >= 0:
				in = false
			}
		}
		return in
	})
}
