package scan

import "cmp"

// ocsf is a list of findings in the Open Cybersecurity Schema Framework, as
// Prowler writes it: every check with PASS, FAIL, or MANUAL for what a person must
// look at.
//
// Clean needs at least one check that passed; checks for a person are neither
// found nor clean.
//
// Identity: the check, the account, region and resource.
type ocsf struct{}

func (ocsf) name() string { return "ocsf" }

func (ocsf) sniff(h head) bool {
	return h.has("[].finding_info") && (h.has("[].metadata.product") || h.has("[].class_uid"))
}

type ocsfEvent struct {
	Message  string `json:"message"`
	Severity string `json:"severity"`
	Code     string `json:"status_code"`
	Status   string `json:"status"`
	Detail   string `json:"status_detail"`
	Time     string `json:"time_dt"`
	Metadata struct {
		Code    string `json:"event_code"`
		Product struct {
			Name    string `json:"name"`
			Version string `json:"version"`
		} `json:"product"`
	} `json:"metadata"`
	Info struct {
		Title string `json:"title"`
		Text  string `json:"desc"`
	} `json:"finding_info"`
	Resources []struct {
		UID    string `json:"uid"`
		Name   string `json:"name"`
		Region string `json:"region"`
	} `json:"resources"`
	Cloud struct {
		Region  string `json:"region"`
		Account struct {
			UID string `json:"uid"`
		} `json:"account"`
	} `json:"cloud"`
	Unmapped struct {
		URL string `json:"related_url"`
	} `json:"unmapped"`
	Vulnerabilities []struct {
		CVE struct {
			UID string `json:"uid"`
		} `json:"cve"`
	} `json:"vulnerabilities"`
}

func (ocsf) read(in *input, out *collector) error {
	s := in.json()
	out.tool("ocsf", "")
	checked := 0
	_, err := each(s, func(v ocsfEvent) error {
		out.tool(cmp.Or(v.Metadata.Product.Name, "ocsf"), v.Metadata.Product.Version)
		out.target(v.Cloud.Account.UID)
		if t := instant(v.Time); t.After(out.report.FinishedAt) {
			out.report.FinishedAt = t
		}
		switch v.Code {
		case "PASS":
			checked++
			return nil
		case "FAIL":
			checked++
		default:
			return nil
		}
		f := Finding{
			Target: v.Cloud.Account.UID, Rule: cmp.Or(v.Metadata.Code, v.Info.Title), Title: v.Info.Title, Severity: severity(v.Severity, 0),
			Description: cmp.Or(v.Detail, v.Message, v.Info.Text), URL: v.Unmapped.URL,
		}
		resource := ""
		if len(v.Resources) > 0 {
			r := v.Resources[0]
			resource = cmp.Or(r.UID, r.Name)
			f.Location = resource
		}
		for _, x := range v.Vulnerabilities {
			f.CVE = append(f.CVE, cves(x.CVE.UID)...)
		}
		if v.Status == "Suppressed" {
			f.Suppressed = &Suppression{How: "ignored"}
		}
		return out.add(f, at(v.Cloud.Region, resource))
	})
	if err == nil {
		err = s.end()
	}
	switch {
	case err != nil:
	case checked == 0:
		out.unknown("scan.reason.nothing_scanned")
	default:
		out.proved()
	}
	return err
}
