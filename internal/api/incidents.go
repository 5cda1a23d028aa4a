package api

import (
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/incident"
	"tocsin/internal/kit"
)

type rolesView struct {
	Commander      *string `json:"commander" nullable:"true"`
	Primary        *string `json:"primary" nullable:"true"`
	Secondary      *string `json:"secondary" nullable:"true"`
	Communications *string `json:"communications" nullable:"true"`
}

type linksView struct {
	Self     string `json:"self"`
	Timeline string `json:"timeline"`
	Review   string `json:"review"`
	Report   string `json:"report"`
	Web      string `json:"web,omitempty"`
}

// IncidentView is an incident as answered.
type IncidentView struct {
	ID             string                  `json:"id"`
	Ref            string                  `json:"ref"`
	Version        int64                   `json:"version"`
	Title          string                  `json:"title"`
	Summary        string                  `json:"summary"`
	Status         string                  `json:"status" enum:"open,closed,cancelled,merged"`
	Phase          string                  `json:"phase" enum:"detection,assessment,containment,recovery,review,closed"`
	Severity       *string                 `json:"severity" nullable:"true" doc:"sev1 to sev4; null when nobody and no rule said, which every rule treats as sev2"`
	SeveritySource string                  `json:"severity_source" enum:"none,route,declared,assessed,override"`
	Computed       *string                 `json:"severity_computed" nullable:"true" doc:"What the last assessment came to"`
	DecidedBy      *string                 `json:"decided_by_line" nullable:"true" doc:"service, data or spread"`
	Kind           string                  `json:"kind" enum:"availability,security,data,vendor"`
	PersonalData   string                  `json:"personal_data" enum:"no,possibly,yes,unknown"`
	Impact         string                  `json:"impact" enum:"unknown,outage,degraded,none"`
	Services       []string                `json:"services"`
	Exercise       bool                    `json:"exercise"`
	Confidential   bool                    `json:"confidential"`
	Roles          rolesView               `json:"roles"`
	Answers        maybe[incident.Answers] `json:"answers" doc:"The last assessment"`
	AcknowledgedBy *string                 `json:"acknowledged_by" nullable:"true"`
	MergedInto     *string                 `json:"merged_into" nullable:"true"`
	Proposes       []string                `json:"proposes" doc:"restored, reopen: what the record proposes and a person decides"`
	OccurredAt     stamp                   `json:"occurred_at"`
	DetectedAt     stamp                   `json:"detected_at"`
	DeclaredAt     stamp                   `json:"declared_at"`
	AcknowledgedAt stamp                   `json:"acknowledged_at"`
	AssessedAt     stamp                   `json:"assessed_at"`
	ContainedAt    stamp                   `json:"contained_at"`
	EradicatedAt   stamp                   `json:"eradicated_at"`
	RestoredAt     stamp                   `json:"restored_at"`
	RecoveredAt    stamp                   `json:"recovered_at"`
	ReviewedAt     stamp                   `json:"reviewed_at"`
	ClosedAt       stamp                   `json:"closed_at"`
	Alerts         []string                `json:"alerts" doc:"The ids of its alerts"`
	Clocks         []string                `json:"clocks"`
	ExitQuestions  []string                `json:"exit_questions" doc:"What is asked on leaving the present phase"`
	Links          linksView               `json:"links"`
}

func (v IncidentView) etag() string     { return etag(v.Version) }
func (v IncidentView) location() string { return v.Links.Self }

func etag(version int64) string { return `"` + strconv.FormatInt(version, 10) + `"` }

// incidents turns incidents into answers, with two look-ups for all of them.
func (s *server) incidents(ctx context.Context, items []*incident.Incident) ([]IncidentView, error) {
	ids := make([]string, len(items))
	for n, i := range items {
		ids[n] = i.ID
		s.refs.Store(i.ID, i.Ref())
	}
	alerts, err := s.Incident.AlertsOf(ctx, ids...)
	if err != nil {
		return nil, err
	}
	var into []string
	for _, i := range items {
		if i.MergedInto != "" {
			into = append(into, i.MergedInto)
		}
	}
	refs, err := s.refsOf(ctx, into)
	if err != nil {
		return nil, err
	}
	out := make([]IncidentView, len(items))
	for n, i := range items {
		out[n] = s.incidentView(i, alerts[i.ID], refs)
	}
	return out, nil
}

func (s *server) incidentView(i *incident.Incident, alerts []string, refs map[string]string) IncidentView {
	self := prefix + "/incidents/" + i.Ref()
	v := IncidentView{
		ID: i.ID, Ref: i.Ref(), Version: i.Version, Title: i.Title, Summary: i.Summary, Status: string(i.Status), Phase: string(i.Phase),
		Severity: word(i.Severity), SeveritySource: string(i.SeveritySource), Computed: word(i.Computed), DecidedBy: word(i.DecidedBy),
		Kind: string(i.Kind), PersonalData: string(i.PersonalData), Impact: string(i.Impact), Services: some(i.Services),
		Exercise: i.Exercise, Confidential: i.Confidential, Answers: maybe[incident.Answers]{i.Answers}, AcknowledgedBy: word(i.AcknowledgedBy),
		MergedInto: word(refs[i.MergedInto]), Proposes: []string{},
		Roles: rolesView{
			Commander: word(i.Roles[kit.RoleCommander]), Primary: word(i.Roles[kit.RolePrimary]),
			Secondary: word(i.Roles[kit.RoleSecondary]), Communications: word(i.Roles[kit.RoleCommunications]),
		},
		OccurredAt: at(i.OccurredAt), DetectedAt: at(i.DetectedAt), DeclaredAt: at(i.DeclaredAt), AcknowledgedAt: at(i.AcknowledgedAt),
		AssessedAt: at(i.AssessedAt), ContainedAt: at(i.ContainedAt), EradicatedAt: at(i.EradicatedAt), RestoredAt: at(i.RestoredAt),
		RecoveredAt: at(i.RecoveredAt), ReviewedAt: at(i.ReviewedAt), ClosedAt: at(i.ClosedAt),
		Alerts: some(alerts), Clocks: []string{}, ExitQuestions: some(incident.ExitKeys(i.Phase)),
		Links: linksView{Self: self, Timeline: self + "/timeline", Review: self + "/review", Report: self + "/report"},
	}
	if s.BaseURL != "" {
		v.Links.Web = s.BaseURL + "/incidents/" + i.Ref()
	}
	if i.ProposesRestored() {
		v.Proposes = append(v.Proposes, "restored")
	}
	if i.ProposesReopening() {
		v.Proposes = append(v.Proposes, "reopen")
	}
	return v
}

// answer is what every command on an incident gives.
func (s *server) answer(ctx context.Context, i *incident.Incident, err error) (IncidentView, error) {
	if err != nil {
		return IncidentView{}, err
	}
	v, err := s.incidents(ctx, []*incident.Incident{i})
	if err != nil {
		return IncidentView{}, err
	}
	return v[0], nil
}

// refsOf gives the references of those incidents that the actor may know of. A
// reference never changes: each is looked up once.
func (s *server) refsOf(ctx context.Context, ids []string) (map[string]string, error) {
	out := map[string]string{}
	if s.Incident == nil || len(ids) == 0 {
		return out, nil
	}
	seen, err := s.Incident.Visible(ctx, ids)
	if err != nil {
		return nil, err
	}
	for id := range seen {
		if ref, ok := s.refs.Load(id); ok {
			out[id] = ref.(string)
			continue
		}
		i, err := s.Incident.Get(ctx, id)
		if err != nil {
			// A token whose scopes do not open incidents still sees its own list.
			if code := kit.CodeOf(err); code == kit.CodeForbidden || code == kit.CodeNotFound {
				continue
			}
			return nil, err
		}
		s.refs.Store(id, i.Ref())
		out[id] = i.Ref()
	}
	return out, nil
}

// RefIn is the address of an incident, and the version a change is based on.
type RefIn struct {
	Ref     string `path:"ref" doc:"INC-42, inc-42, 42 or the internal id"`
	IfMatch string `header:"If-Match" doc:"The ETag that was read; 412 when it is no longer the present one"`
}

type refBody[T any] struct {
	RefIn
	Body T
}

// expect is the version of If-Match; 0 for none.
func expect(header string) (int64, error) {
	header = strings.TrimSpace(header)
	if header == "" || header == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(strings.Trim(strings.TrimPrefix(header, "W/"), `"`), 10, 64)
	if err != nil || n <= 0 {
		return 0, kit.Errorf(kit.CodeStale, "error.stale")
	}
	return n, nil
}

// onVersion runs a command on an incident, if it is still at the version that the
// caller read.
func (s *server) onVersion(ctx context.Context, in RefIn, fn func(ctx context.Context) error) error {
	want, err := expect(in.IfMatch)
	if err != nil {
		return err
	}
	if want == 0 {
		return fn(ctx)
	}
	return s.Ledger.DB().Write(ctx, func(ctx context.Context, _ *db.Tx) error {
		i, err := s.Incident.Get(ctx, in.Ref)
		if err != nil {
			return err
		}
		if i.Version != want {
			return kit.Errorf(kit.CodeStale, "error.stale")
		}
		return fn(ctx)
	})
}

// command registers a POST on an incident that answers the incident.
func command[T any](s *server, path, summary string, fn func(ctx context.Context, ref string, in T) (*incident.Incident, error)) {
	post(s, "/incidents/{ref}"+path, "incidents", summary, func(ctx context.Context, in *refBody[T]) (IncidentView, error) {
		var i *incident.Incident
		err := s.onVersion(ctx, in.RefIn, func(ctx context.Context) (err error) {
			i, err = fn(ctx, in.Ref, in.Body)
			return err
		})
		return s.answer(ctx, i, err)
	})
}

type declareIn struct {
	Title          string    `json:"title" doc:"One line; the only field that is needed"`
	Impact         string    `json:"impact,omitempty" enum:"unknown,outage,degraded,none"`
	DataOrSecurity bool      `json:"data_or_security,omitempty"`
	Services       []string  `json:"services,omitempty"`
	Severity       string    `json:"severity,omitempty" nullable:"true" doc:"sev1 to sev4; null or absent: the impact says"`
	Kind           string    `json:"kind,omitempty" enum:"availability,security,data,vendor"`
	Exercise       bool      `json:"exercise,omitempty"`
	Confidential   bool      `json:"confidential,omitempty"`
	OccurredAt     time.Time `json:"occurred_at,omitempty"`
	OnlyPerson     string    `json:"only_person,omitempty" doc:"Exercises only: page this person alone"`
}

func (d declareIn) declaration() incident.Declaration {
	return incident.Declaration{
		Title: d.Title, Impact: incident.Impact(d.Impact), DataOrSecurity: d.DataOrSecurity, Services: d.Services,
		Severity: incident.Severity(d.Severity), Kind: incident.Kind(d.Kind), Exercise: d.Exercise, Confidential: d.Confidential,
		OnlyPerson: d.OnlyPerson, OccurredAt: kit.Truncate(d.OccurredAt),
	}
}

type listIncidentsIn struct {
	Paged
	Status   string    `query:"status" enum:"open,closed,cancelled,merged"`
	Phase    string    `query:"phase" enum:"detection,assessment,containment,recovery,review,closed"`
	Severity string    `query:"severity" enum:"sev1,sev2,sev3,sev4,none" doc:"none: not assessed"`
	Service  string    `query:"service"`
	Kind     string    `query:"kind" enum:"availability,security,data,vendor"`
	Q        string    `query:"q" doc:"Words of reference, title and summary"`
	From     time.Time `query:"from" doc:"Declared at or after"`
	To       time.Time `query:"to" doc:"Declared before"`
	Active   bool      `query:"active" doc:"Open and before the review"`
	Exercise bool      `query:"exercises" doc:"With the practices"`
}

type assessAnswers struct {
	Who       string   `json:"who,omitempty" enum:"nobody,some,most,unknown"`
	What      string   `json:"what,omitempty" enum:"nothing,slower,workaround,main,unknown"`
	Data      string   `json:"data,omitempty" enum:"no,possibly,yes,unknown"`
	Trend     string   `json:"trend,omitempty" enum:"controlled,stable,spreading,unknown"`
	Change    string   `json:"change,omitempty" doc:"none, unknown or the reference of a change"`
	DataKinds []string `json:"data_kinds,omitempty" doc:"personal, content, credentials, internal"`
	People    int      `json:"people,omitempty" minimum:"0"`
}

type assessIn struct {
	Answers  assessAnswers `json:"answers,omitempty" doc:"What is not answered counts as unknown"`
	Services []string      `json:"services,omitempty"`
	Severity string        `json:"severity,omitempty" nullable:"true" doc:"Another level than the computed one; needs the reason"`
	Reason   string        `json:"reason,omitempty"`
}

func (a assessIn) answers() incident.Answers {
	x := a.Answers
	return incident.Answers{Who: x.Who, What: x.What, Data: x.Data, Trend: x.Trend, Change: x.Change, DataKinds: x.DataKinds, People: x.People}
}

type phaseIn struct {
	To      string         `json:"to" doc:"detection, assessment, containment, recovery, review or closed"`
	Answers map[string]any `json:"answers,omitempty" doc:"The exit questions, by name; what is left open is listed"`
	Reason  string         `json:"reason,omitempty" doc:"Needed to skip and to go back"`
}

type noteIn struct {
	Text       string    `json:"text"`
	HappenedAt time.Time `json:"happened_at,omitempty"`
}

type roleIn struct {
	Role   string `json:"role" enum:"commander,primary,secondary,communications"`
	Person string `json:"person"`
}

type reasonIn struct {
	Reason string `json:"reason,omitempty"`
}

type mergeIn struct {
	Into string `json:"into"`
}

type confidentialIn struct {
	On     bool   `json:"on"`
	Reason string `json:"reason,omitempty"`
}

type takeIn struct {
	Role   string `json:"role" enum:"commander,primary,secondary,communications"`
	Reason string `json:"reason,omitempty"`
}

type impactIn struct {
	Services  []string   `json:"services,omitempty"`
	From      *time.Time `json:"from,omitempty" nullable:"true"`
	To        *time.Time `json:"to,omitempty" nullable:"true"`
	Customers *int64     `json:"customers,omitempty" nullable:"true"`
	Requests  *int64     `json:"requests,omitempty" nullable:"true"`
	Records   *int64     `json:"records,omitempty" nullable:"true"`
	DataLostS *int64     `json:"data_lost_s,omitempty" nullable:"true"`
	Text      string     `json:"text,omitempty"`
}

type editIn struct {
	Title        *string    `json:"title,omitempty"`
	Summary      *string    `json:"summary,omitempty"`
	Services     *[]string  `json:"services,omitempty"`
	Kind         *string    `json:"kind,omitempty" enum:"availability,security,data,vendor"`
	OccurredAt   *time.Time `json:"occurred_at,omitempty"`
	EradicatedAt *time.Time `json:"eradicated_at,omitempty"`
	RestoredAt   *time.Time `json:"restored_at,omitempty"`
	Reason       string     `json:"reason,omitempty"`
}

func (s *server) incidentCalls() {
	if s.Incident == nil {
		return
	}
	get(s, "/incidents", "incidents", "List incidents, the newest first", s.listIncidents)
	call(s, http.MethodPost, "/incidents", "incidents", "Declare an incident", http.StatusCreated,
		func(ctx context.Context, in *struct{ Body declareIn }) (IncidentView, error) {
			i, err := s.Incident.Declare(ctx, in.Body.declaration())
			return s.answer(ctx, i, err)
		})
	get(s, "/incidents/{ref}", "incidents", "One incident", func(ctx context.Context, in *RefIn) (IncidentView, error) {
		i, err := s.Incident.Get(ctx, in.Ref)
		return s.answer(ctx, i, err)
	})
	get(s, "/incidents/{ref}/brief", "incidents", "The situation in five lines, with what waits for the caller", s.brief)
	call(s, http.MethodPatch, "/incidents/{ref}", "incidents", "Change title, summary, services, kind or milestones", http.StatusOK,
		func(ctx context.Context, in *refBody[editIn]) (IncidentView, error) {
			want, err := expect(in.IfMatch)
			if err != nil {
				return IncidentView{}, err
			}
			b := in.Body
			e := incident.Edit{
				Title: b.Title, Summary: b.Summary, Services: b.Services, OccurredAt: b.OccurredAt, EradicatedAt: b.EradicatedAt,
				RestoredAt: b.RestoredAt, Reason: b.Reason,
			}
			if b.Kind != nil {
				k := incident.Kind(*b.Kind)
				e.Kind = &k
			}
			i, err := s.Incident.Change(ctx, in.Ref, e, want)
			return s.answer(ctx, i, err)
		})
	command(s, "/acknowledge", "Take the incident up", func(ctx context.Context, ref string, _ nothing) (*incident.Incident, error) {
		return s.Incident.Acknowledge(ctx, ref)
	})
	post(s, "/incidents/{ref}/assess", "incidents", "Answer the five questions; with preview, see what they would come to", s.assess)
	command(s, "/phase", "Move to another phase; to closed it closes", func(ctx context.Context, ref string, in phaseIn) (*incident.Incident, error) {
		return s.Incident.Phase(ctx, ref, incident.Phase(in.To), in.Answers, in.Reason)
	})
	command(s, "/notes", "Write a line", func(ctx context.Context, ref string, in noteIn) (*incident.Incident, error) {
		return s.Incident.Note(ctx, ref, in.Text, kit.Truncate(in.HappenedAt), "")
	})
	command(s, "/roles", "Give a role to a person", func(ctx context.Context, ref string, in roleIn) (*incident.Incident, error) {
		return s.Incident.AssignRole(ctx, ref, kit.Role(in.Role), in.Person)
	})
	command(s, "/cancel", "Not an incident", func(ctx context.Context, ref string, in reasonIn) (*incident.Incident, error) {
		return s.Incident.Cancel(ctx, ref, in.Reason)
	})
	command(s, "/merge", "End it in another open incident, which is the answer", func(ctx context.Context, ref string, in mergeIn) (*incident.Incident, error) {
		return s.Incident.Merge(ctx, ref, in.Into)
	})
	command(s, "/reopen", "Take an ended incident up again", func(ctx context.Context, ref string, in reasonIn) (*incident.Incident, error) {
		return s.Incident.Reopen(ctx, ref, in.Reason)
	})
	command(s, "/confidential", "Narrow it to those who need to know, or widen it", func(ctx context.Context, ref string, in confidentialIn) (*incident.Incident, error) {
		return s.Incident.SetConfidential(ctx, ref, in.On, in.Reason)
	})
	command(s, "/take", "Take a role whose holder cannot be reached", func(ctx context.Context, ref string, in takeIn) (*incident.Incident, error) {
		return s.Incident.Take(ctx, ref, kit.Role(in.Role), in.Reason)
	})
	command(s, "/impact", "Record what was counted; every number may be missing", func(ctx context.Context, ref string, in impactIn) (*incident.Incident, error) {
		return s.Incident.RecordImpact(ctx, ref, incident.RecordedImpact{
			Services: in.Services, From: in.From, To: in.To, Customers: in.Customers, Requests: in.Requests, Records: in.Records,
			DataLostS: in.DataLostS, Text: in.Text,
		})
	})
	s.handoverCalls()
	s.taskCalls()
	s.timelineCalls()
	s.reviewCalls()
	s.reportCalls()
}

func (s *server) listIncidents(ctx context.Context, in *listIncidentsIn) (list[IncidentView], error) {
	l, err := s.Incident.List(ctx, incident.Filter{
		Status: incident.Status(in.Status), Active: in.Active, Phase: incident.Phase(in.Phase), Severity: in.Severity, Service: in.Service,
		Kind: incident.Kind(in.Kind), Query: in.Q, From: in.From, To: in.To, Exercises: in.Exercise,
	}, in.page())
	if err != nil {
		return list[IncidentView]{}, err
	}
	views, err := s.incidents(ctx, l.Items)
	if err != nil {
		return list[IncidentView]{}, err
	}
	return list[IncidentView]{Items: views, NextCursor: word(l.Next), Total: l.Total, TotalIsMinimum: l.TotalIsMinimum}, nil
}

// assessed is the incident after an assessment, or what one would come to.
type assessed struct {
	IncidentView
	Preview *previewView `json:"preview,omitempty" doc:"With preview=true only: nothing was saved"`
}

type dutyView struct {
	Key    string `json:"key"`
	Act    string `json:"act"`
	Role   string `json:"role,omitempty"`
	AfterS int64  `json:"after_s"`
	Rule   bool   `json:"rule" doc:"Asked by the management rule, which cannot be loosened"`
}

type previewView struct {
	Severity     *string    `json:"severity" nullable:"true"`
	DecidedBy    *string    `json:"decided_by_line" nullable:"true"`
	PersonalData string     `json:"personal_data"`
	Level        []dutyView `json:"level"`
	Added        []dutyView `json:"added"`
	Withdrawn    []dutyView `json:"withdrawn"`
}

func duties(l []incident.Duty) []dutyView {
	out := make([]dutyView, 0, len(l))
	for _, d := range l {
		out = append(out, dutyView{Key: d.Key, Act: string(d.Act), Role: string(d.Role), AfterS: int64(d.After / time.Second), Rule: d.Rule})
	}
	return out
}

func (s *server) assess(ctx context.Context, in *struct {
	RefIn
	Preview bool `query:"preview" doc:"Compute, save nothing"`
	Body    assessIn
},
) (assessed, error) {
	if !in.Preview {
		var i *incident.Incident
		err := s.onVersion(ctx, in.RefIn, func(ctx context.Context) (err error) {
			i, err = s.Incident.Assess(ctx, in.Ref, in.Body.answers(), in.Body.Services, incident.Severity(in.Body.Severity), in.Body.Reason)
			return err
		})
		v, err := s.answer(ctx, i, err)
		return assessed{IncidentView: v}, err
	}
	p, err := s.Incident.PreviewAssess(ctx, in.Ref, in.Body.answers())
	if err != nil {
		return assessed{}, err
	}
	i, err := s.Incident.Get(ctx, in.Ref)
	v, err := s.answer(ctx, i, err)
	return assessed{IncidentView: v, Preview: &previewView{
		Severity: word(p.Severity), DecidedBy: word(p.DecidedBy), PersonalData: string(p.PersonalData),
		Level: duties(p.Level), Added: duties(p.Added), Withdrawn: duties(p.Withdrawn),
	}}, err
}
