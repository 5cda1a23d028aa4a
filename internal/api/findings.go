package api

import (
	"context"
	"strings"
	"time"

	"tocsin/internal/finding"
	"tocsin/internal/kit"
)

type scanFindingView struct {
	Ref         string   `json:"ref"`
	ID          string   `json:"id"`
	State       string   `json:"state" enum:"open,fixing,accepted,mitigated,false_positive,fixed"`
	Severity    string   `json:"severity" enum:"critical,high,medium,low,info"`
	Score       float64  `json:"score" doc:"CVSS base score; 0 when not told"`
	Secret      bool     `json:"secret" doc:"A leaked secret"`
	Title       string   `json:"title"`
	Rule        string   `json:"rule"`
	Source      string   `json:"source"`
	Service     *string  `json:"service" nullable:"true"`
	Tool        string   `json:"tool"`
	Target      string   `json:"target"`
	Location    string   `json:"location"`
	Line        int      `json:"line"`
	Package     string   `json:"package"`
	Version     string   `json:"version"`
	FixedIn     string   `json:"fixed_in"`
	CVE         []string `json:"cve"`
	CWE         []string `json:"cwe"`
	URL         string   `json:"url"`
	Description string   `json:"description"`
	OpenedAt    stamp    `json:"opened_at"`
	SeenAt      stamp    `json:"seen_at"`
	FixedAt     stamp    `json:"fixed_at"`
	TriageDue   stamp    `json:"triage_due"`
	Due         stamp    `json:"due" doc:"By when it is to be fixed, accepted or mitigated"`
	Decision    *string  `json:"decision" nullable:"true" enum:"fix,accept,mitigate,false_positive"`
	Reason      string   `json:"reason"`
	DecidedBy   *string  `json:"decided_by" nullable:"true"`
	DecidedAt   stamp    `json:"decided_at"`
	Expires     stamp    `json:"expires"`
}

func viewScanFinding(f finding.Finding) scanFindingView {
	words := func(l []string) []string {
		if l == nil {
			return []string{}
		}
		return l
	}
	return scanFindingView{
		Ref: f.Ref, ID: f.ID, State: string(f.State), Severity: string(f.Severity), Score: f.Score, Secret: f.Secret, Title: f.Title, Rule: f.Rule,
		Source: f.Source, Service: word(f.Service), Tool: f.Tool, Target: f.Target, Location: f.Location, Line: f.Line, Package: f.Package,
		Version: f.Version, FixedIn: f.FixedIn, CVE: words(f.CVE), CWE: words(f.CWE), URL: f.URL, Description: f.Description,
		OpenedAt: at(f.OpenedAt), SeenAt: at(f.SeenAt), FixedAt: at(f.FixedAt), TriageDue: at(f.TriageAt), Due: at(f.FixAt),
		Decision: word(string(f.Decision)), Reason: f.Reason, DecidedBy: word(f.DecidedBy), DecidedAt: at(f.DecidedAt), Expires: at(f.ExpiresAt),
	}
}

func (s *server) findingCalls() {
	if s.Finding == nil {
		return
	}
	get(s, "/findings", "findings", "Findings of security scans, the newest first", func(ctx context.Context, in *struct {
		Paged
		State    string `query:"state" enum:"open,fixing,accepted,mitigated,false_positive,fixed"`
		Severity string `query:"severity" enum:"critical,high,medium,low,info"`
		Service  string `query:"service"`
		Source   string `query:"source"`
		Q        string `query:"q"`
	},
	) (list[scanFindingView], error) {
		l, err := s.Finding.List(ctx, finding.Filter{
			State: finding.State(in.State), Severity: finding.Severity(in.Severity), Service: in.Service, Source: in.Source, Q: in.Q,
		}, in.page())
		return listOf(l, viewScanFinding), err
	})
	get(s, "/findings/{ref}", "findings", "One finding", func(ctx context.Context, in *struct {
		Ref string `path:"ref"`
	},
	) (scanFindingView, error) {
		f, err := s.Finding.Get(ctx, in.Ref)
		return viewScanFinding(f), err
	})
	post(s, "/findings/{ref}/decide", "findings", "Decide about a finding", func(ctx context.Context, in *struct {
		Ref  string `path:"ref"`
		Body struct {
			Decision string    `json:"decision" enum:"fix,accept,mitigate,false_positive"`
			Reason   string    `json:"reason,omitempty" doc:"Needed unless the decision is fix"`
			Expires  time.Time `json:"expires,omitempty" doc:"When an acceptance ends; needed with accept"`
		}
	},
	) (scanFindingView, error) {
		f, err := s.Finding.Decide(ctx, in.Ref, finding.Decision(in.Body.Decision), in.Body.Reason, in.Body.Expires)
		return viewScanFinding(f), err
	})
}

func (s *server) findFindings(ctx context.Context, q string) ([]foundView, error) {
	if s.Finding == nil {
		return nil, nil
	}
	l, err := s.Finding.List(ctx, finding.Filter{Q: strings.TrimSpace(q)}, kit.Page{Limit: perKind})
	var out []foundView
	for _, f := range l.Items {
		out = append(out, foundView{Kind: "finding", ID: f.ID, Ref: f.Ref, Title: f.Title, State: string(f.State), URL: prefix + "/findings/" + f.Ref})
	}
	return out, err
}
