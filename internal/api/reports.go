package api

import (
	"context"
	"net"
	"net/http"
	"strings"

	"tocsin/internal/kit"
	"tocsin/internal/report"
)

type reportView struct {
	Ref        string  `json:"ref"`
	ID         string  `json:"id"`
	State      string  `json:"state" enum:"new,attached,declared,answered,closed"`
	Channel    string  `json:"channel" enum:"form,mail,api"`
	Kind       string  `json:"kind" enum:"problem,vulnerability"`
	Service    *string `json:"service" nullable:"true"`
	Text       string  `json:"text"`
	Contact    *string `json:"contact" nullable:"true" doc:"An e-mail address, where the reporter left one"`
	Language   string  `json:"language" enum:"fr,en"`
	Held       *string `json:"held" nullable:"true" enum:"hidden_field,too_fast,automatic" doc:"Why it may be no report of a person; it raises no alert then"`
	Proven     bool    `json:"proven" doc:"The sender's browser did some work for it"`
	ReceivedAt stamp   `json:"received_at"`
	Due        stamp   `json:"due" doc:"By when somebody is to decide"`
	DecidedAt  stamp   `json:"decided_at"`
	DecidedBy  *string `json:"decided_by" nullable:"true"`
	Reason     string  `json:"reason"`
	Reply      string  `json:"reply"`
	Incident   *string `json:"incident" nullable:"true"`
	ToldAt     stamp   `json:"told_at" doc:"When the reporter was told that the incident is resolved"`
}

func (s *server) reports(ctx context.Context, items ...report.Report) ([]reportView, error) {
	var ids []string
	for _, r := range items {
		if r.Incident != "" {
			ids = append(ids, r.Incident)
		}
	}
	refs, err := s.refsOf(ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]reportView, len(items))
	for n, r := range items {
		out[n] = reportView{
			Ref: r.Ref, ID: r.ID, State: string(r.State), Channel: string(r.Channel), Kind: string(r.Kind), Service: word(r.Service), Text: r.Text,
			Contact: word(r.Contact), Language: r.Language, Held: word(r.Held), Proven: r.Proven, ReceivedAt: at(r.ReceivedAt), Due: at(r.DueAt),
			DecidedAt: at(r.DecidedAt), DecidedBy: word(r.DecidedBy), Reason: r.Reason, Reply: r.Reply, Incident: word(refs[r.Incident]), ToldAt: at(r.ToldAt),
		}
	}
	return out, nil
}

func (s *server) oneReport(ctx context.Context, r report.Report, err error) (reportView, error) {
	if err != nil {
		return reportView{}, err
	}
	l, err := s.reports(ctx, r)
	if err != nil {
		return reportView{}, err
	}
	return l[0], nil
}

// takenView is what the sender of a report gets: enough to follow it.
type takenView struct {
	Ref    string `json:"ref"`
	State  string `json:"state"`
	Due    stamp  `json:"due" doc:"By when somebody decides what it is"`
	Follow string `json:"follow" doc:"The page on which it can be followed; whoever has the address can read it"`
}

const reportPattern = "POST " + prefix + "/reports"

// stranger is somebody without a token, told apart by the network address.
func stranger(r *http.Request) kit.Actor {
	a := report.Reporter(kit.ViaAPI)
	a.ID = senderOf(r)
	return a
}

// senderOf is the network address of a caller. Behind a proxy of this network it is the
// one that the proxy names.
func senderOf(r *http.Request) string {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		host = r.RemoteAddr
	}
	return kit.Sender(host, r.Header.Values("X-Forwarded-For"))
}

func (s *server) customerReportCalls() {
	if s.Reports == nil {
		return
	}
	call(s, http.MethodPost, "/reports", "reports", "Report a problem or a weakness of security; needs no token", http.StatusCreated, func(ctx context.Context, in *struct {
		Key  string `header:"Idempotency-Key" maxLength:"255"`
		Body struct {
			Text     string `json:"text" doc:"What is not working"`
			Service  string `json:"service,omitempty" doc:"A public service; empty when not known"`
			Contact  string `json:"contact,omitempty" doc:"An e-mail address for the answer"`
			Language string `json:"language,omitempty" doc:"fr or en; en when empty"`
			Kind     string `json:"kind,omitempty" doc:"problem (default) or vulnerability"`
		}
	},
	) (takenView, error) {
		a := kit.ActorFrom(ctx)
		from := report.Incoming{
			Channel: report.ByAPI, Kind: report.Kind(in.Body.Kind), Service: in.Body.Service, Text: in.Body.Text, Contact: in.Body.Contact,
			Language: in.Body.Language, Once: in.Key,
		}
		if a.Kind == kit.ActorReporter {
			from.Sender = a.ID
		} else {
			// A program passes on what many people told it.
			from.Sender = strings.ToLower(strings.TrimSpace(in.Body.Contact))
		}
		r, follow, err := s.Reports.Receive(ctx, from)
		if err != nil {
			return takenView{}, err
		}
		return takenView{Ref: r.Ref, State: string(r.State), Due: at(r.DueAt), Follow: s.BaseURL + "/report/" + follow}, nil
	}, withoutToken)
	get(s, "/reports", "reports", "Reports of customers and colleagues, the newest first", func(ctx context.Context, in *struct {
		Paged
		State   string `query:"state" enum:"new,attached,declared,answered,closed"`
		Kind    string `query:"kind" enum:"problem,vulnerability"`
		Service string `query:"service"`
		Held    bool   `query:"held" doc:"Those that are held back, which are left out of the new ones else"`
		Q       string `query:"q"`
	},
	) (list[reportView], error) {
		l, err := s.Reports.List(ctx, report.Filter{State: report.State(in.State), Kind: report.Kind(in.Kind), Service: in.Service, Held: in.Held, Q: in.Q}, in.page())
		if err != nil {
			return list[reportView]{}, err
		}
		items, err := s.reports(ctx, l.Items...)
		return list[reportView]{Items: some(items), NextCursor: word(l.Next), Total: l.Total, TotalIsMinimum: l.TotalIsMinimum}, err
	})
	get(s, "/reports/{ref}", "reports", "One report", func(ctx context.Context, in *struct {
		Ref string `path:"ref"`
	},
	) (reportView, error) {
		r, err := s.Reports.Get(ctx, in.Ref)
		return s.oneReport(ctx, r, err)
	})
	post(s, "/reports/{ref}/triage", "reports", "Decide about a report", func(ctx context.Context, in *struct {
		Ref  string `path:"ref"`
		Body struct {
			Decision string `json:"decision" enum:"attach,declare,answer,close"`
			Incident string `json:"incident,omitempty" doc:"With attach: the incident"`
			Title    string `json:"title,omitempty" doc:"With declare: what the incident is called; else the report's first line"`
			Text     string `json:"text,omitempty" doc:"What is answered; needed with answer"`
			Reason   string `json:"reason,omitempty" doc:"Needed with close"`
		}
	},
	) (reportView, error) {
		r, err := s.Triage(ctx, in.Ref, report.Triage{
			Decision: report.Decision(in.Body.Decision), Incident: in.Body.Incident, Text: in.Body.Text, Reason: in.Body.Reason,
		}, in.Body.Title)
		return s.oneReport(ctx, r, err)
	})
}

func (s *server) findReports(ctx context.Context, q string) ([]foundView, error) {
	if s.Reports == nil {
		return nil, nil
	}
	l, err := s.Reports.List(ctx, report.Filter{Q: strings.TrimSpace(q)}, kit.Page{Limit: perKind})
	if kit.CodeOf(err) == kit.CodeForbidden {
		return nil, nil
	}
	var out []foundView
	for _, r := range l.Items {
		line, _, _ := strings.Cut(r.Text, "\n")
		out = append(out, foundView{Kind: "report", ID: r.ID, Ref: r.Ref, Title: line, State: string(r.State), URL: prefix + "/reports/" + r.Ref})
	}
	return out, err
}
