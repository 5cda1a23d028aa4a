package scan

import "cmp"

// snyk is the JSON of snyk test, of one project or a list of them.
//
// Clean needs, of every project, "ok": true and at least one dependency, and no
// error.
//
// Identity: the vulnerability, the package, the project. Paths of the same package
// are one finding.
type snyk struct{}

func (snyk) name() string { return "snyk" }

func (snyk) sniff(h head) bool {
	return h.has("vulnerabilities[].packageManager") || h.has("vulnerabilities[].CVSSv3") || h.has("dependencyCount", "packageManager") ||
		h.has("vulnerabilities", "ok") || h.has("[].vulnerabilities", "[].ok") || h.has("[].vulnerabilities[].CVSSv3") || h.has("ok", "error", "path")
}

type snykVuln struct {
	ID          string  `json:"id"`
	Title       string  `json:"title"`
	Severity    string  `json:"severity"`
	Grave       string  `json:"severityWithCritical"`
	Score       float64 `json:"cvssScore"`
	Description string  `json:"description"`
	FixedIn     words   `json:"fixedIn"`
	Name        string  `json:"packageName"`
	Version     string  `json:"version"`
	Identifiers struct {
		CVE words `json:"CVE"`
		CWE words `json:"CWE"`
	} `json:"identifiers"`
}

func (snyk) read(in *input, out *collector) error {
	s := in.json()
	out.tool("snyk", "")
	projects, bad := 0, false
	var one func() error
	one = func() error {
		var found []snykVuln
		var muted []snykVuln
		var name, file, version string
		var count, failed plain
		var ok *bool
		listed := false
		err := s.object(func(key string) (err error) {
			switch key {
			case "vulnerabilities":
				listed, err = each(s, func(v snykVuln) error {
					if len(found) >= MaxFindings {
						return tooMany()
					}
					v.Description = cut(v.Description, maxDescription, true)
					found = append(found, v)
					return nil
				})
			case "filtered":
				var f struct {
					Ignore []snykVuln `json:"ignore"`
				}
				err = s.into(&f)
				muted = f.Ignore
			case "projectName":
				err = s.into((*plain)(&name))
			case "displayTargetFile", "targetFile":
				err = s.into((*plain)(&file))
			case "cliVersion":
				err = s.into((*plain)(&version))
			case "dependencyCount":
				err = s.into(&count)
			case "error":
				err = s.into(&failed)
			case "ok":
				err = s.into(&ok)
			case "applications":
				// Of a container image: each is a project of its own.
				_, err = s.array(one)
			default:
				err = s.skip()
			}
			return err
		})
		if err != nil {
			return err
		}
		projects++
		target := cmp.Or(name, path(file, ""))
		out.target(target)
		for i, v := range append(found, muted...) {
			f := Finding{
				Target: target, Rule: v.ID, Title: v.Title, Severity: severity(cmp.Or(v.Grave, v.Severity), score(v.Score)), Score: score(v.Score),
				Location: path(file, ""), Package: v.Name, Version: v.Version, CVE: cves(v.Identifiers.CVE...), CWE: cwes(v.Identifiers.CWE...),
				URL: "https://security.snyk.io/vuln/" + v.ID, Description: v.Description,
			}
			if len(v.FixedIn) > 0 {
				f.FixedIn = v.FixedIn[0]
			}
			if i >= len(found) {
				f.Suppressed = &Suppression{How: "ignored"}
			}
			if err := out.add(f, at(v.Name)); err != nil {
				return err
			}
		}
		switch {
		case failed != "":
			out.unknown("scan.reason.failed")
		case !listed || ok == nil:
			out.unknown("scan.reason.shape")
		case count.int() == 0 && len(found) == 0:
			out.unknown("scan.reason.nothing_scanned")
		case !*ok && len(found) == 0:
			bad = true
		}
		return nil
	}
	var err error
	if len(in.head.text) > 0 && firstByte(in.head.text) == '[' {
		_, err = s.array(one)
	} else {
		err = one()
	}
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
	case projects == 0:
		out.unknown("scan.reason.nothing_scanned")
	case bad:
		out.unknown("scan.reason.failed")
	default:
		out.proved()
	}
	return err
}

// firstByte is the first one that is not space.
func firstByte(b []byte) byte {
	for _, c := range b {
		if c > ' ' {
			return c
		}
	}
	return 0
}
