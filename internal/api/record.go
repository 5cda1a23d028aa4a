package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"tocsin/internal/incident"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/timeline"
)

type handoverView struct {
	ID        string `json:"id"`
	Incident  string `json:"incident"`
	Role      string `json:"role"`
	From      string `json:"from"`
	To        string `json:"to"`
	Briefing  string `json:"briefing"`
	State     string `json:"state" enum:"offered,accepted,refused,withdrawn"`
	CreatedAt stamp  `json:"created_at"`
}

func viewHandover(ref string) func(incident.Handover) handoverView {
	return func(h incident.Handover) handoverView {
		return handoverView{
			ID: h.ID, Incident: ref, Role: string(h.Role), From: h.From, To: h.To, Briefing: h.Briefing, State: h.State,
			CreatedAt: atMicros(h.CreatedAt),
		}
	}
}

type offerIn struct {
	Role     string `json:"role" enum:"commander,primary,secondary,communications"`
	To       string `json:"to"`
	Briefing string `json:"briefing,omitempty"`
}

type partIn struct {
	RefIn
	ID   string `path:"id"`
	Body nothing
}

func (s *server) handoverCalls() {
	get(s, "/incidents/{ref}/handover", "incidents", "The offers that wait for an answer", func(ctx context.Context, in *RefIn) (list[handoverView], error) {
		i, err := s.Incident.Get(ctx, in.Ref)
		if err != nil {
			return list[handoverView]{}, err
		}
		l, err := s.Incident.Handovers(ctx, i.ID)
		return all(l, viewHandover(i.Ref())), err
	})
	call(s, http.MethodPost, "/incidents/{ref}/handover", "incidents", "Offer a role; it stays with the giver until accepted", http.StatusCreated,
		func(ctx context.Context, in *refBody[offerIn]) (v handoverView, err error) {
			err = s.onVersion(ctx, in.RefIn, func(ctx context.Context) error {
				h, err := s.Incident.Offer(ctx, in.Ref, kit.Role(in.Body.Role), in.Body.To, in.Body.Briefing)
				if err != nil {
					return err
				}
				refs, err := s.refsOf(ctx, []string{h.Incident})
				v = viewHandover(refs[h.Incident])(h)
				return err
			})
			return v, err
		})
	for _, c := range []struct {
		path, summary string
		do            func(ctx context.Context, ref, id string) (*incident.Incident, error)
	}{
		{"accept", "Take the offered role", func(ctx context.Context, ref, id string) (*incident.Incident, error) {
			return s.Incident.AnswerHandover(ctx, ref, id, true)
		}},
		{"refuse", "Leave the offered role", func(ctx context.Context, ref, id string) (*incident.Incident, error) {
			return s.Incident.AnswerHandover(ctx, ref, id, false)
		}},
		{"withdraw", "Take the offer back", s.Incident.WithdrawHandover},
	} {
		post(s, "/incidents/{ref}/handover/{id}/"+c.path, "incidents", c.summary, func(ctx context.Context, in *partIn) (IncidentView, error) {
			i, err := c.do(ctx, in.Ref, in.ID)
			return s.answer(ctx, i, err)
		})
	}
}

type taskView struct {
	ID        string  `json:"id"`
	Text      string  `json:"text"`
	Owner     *string `json:"owner" nullable:"true"`
	Due       stamp   `json:"due"`
	State     string  `json:"state" enum:"open,done,dropped"`
	Reason    string  `json:"reason,omitempty"`
	CreatedAt stamp   `json:"created_at"`
}

func viewTask(t incident.Task) taskView {
	return taskView{ID: t.ID, Text: t.Text, Owner: word(t.Owner), Due: at(t.Due()), State: t.State, Reason: t.Reason, CreatedAt: atMicros(t.CreatedAt)}
}

type taskIn struct {
	Text  string    `json:"text"`
	Owner string    `json:"owner,omitempty"`
	Due   time.Time `json:"due,omitempty"`
}

type taskEditIn struct {
	State  *string    `json:"state,omitempty" enum:"open,done,dropped"`
	Owner  *string    `json:"owner,omitempty"`
	Due    *time.Time `json:"due,omitempty"`
	Reason string     `json:"reason,omitempty"`
}

func (s *server) taskCalls() {
	get(s, "/incidents/{ref}/tasks", "incidents", "Its tasks, open ones first", func(ctx context.Context, in *RefIn) (list[taskView], error) {
		i, err := s.Incident.Get(ctx, in.Ref)
		if err != nil {
			return list[taskView]{}, err
		}
		l, err := s.Incident.Tasks(ctx, i.ID)
		return all(l, viewTask), err
	})
	command(s, "/tasks", "Add a task", func(ctx context.Context, ref string, in taskIn) (*incident.Incident, error) {
		if _, err := s.Incident.AddTask(ctx, ref, in.Text, in.Owner, kit.Truncate(in.Due)); err != nil {
			return nil, err
		}
		return s.Incident.Get(ctx, ref)
	})
	call(s, http.MethodPatch, "/incidents/{ref}/tasks/{id}", "incidents", "Assign, end or drop a task", http.StatusOK,
		func(ctx context.Context, in *struct {
			RefIn
			ID   string `path:"id"`
			Body taskEditIn
		},
		) (taskView, error) {
			t, err := s.Incident.ChangeTask(ctx, in.Ref, in.ID, incident.TaskChange{
				State: in.Body.State, Owner: in.Body.Owner, Due: in.Body.Due, Reason: in.Body.Reason,
			})
			return viewTask(t), err
		})
}

type actorView struct {
	Kind string `json:"kind"`
	ID   string `json:"id"`
	Name string `json:"name"`
}

type textView struct {
	FR string `json:"fr"`
	EN string `json:"en"`
}

type lineView struct {
	Seq        int64           `json:"seq"`
	ID         string          `json:"id"`
	HappenedAt stamp           `json:"happened_at"`
	RecordedAt stamp           `json:"recorded_at"`
	Actor      actorView       `json:"actor"`
	Via        string          `json:"via"`
	Type       string          `json:"type"`
	Kind       string          `json:"kind"`
	Text       textView        `json:"text"`
	Starred    bool            `json:"starred"`
	Corrected  string          `json:"corrected,omitempty" doc:"What a later line says that this one should have said"`
	Erased     bool            `json:"erased,omitempty"`
	Body       json.RawMessage `json:"body"`
}

type timelineIn struct {
	RefIn
	Paged
	Kind    string `query:"kind" doc:"alert, page, note, update, phase, severity, role, task, change, clock, evidence"`
	Starred bool   `query:"starred" doc:"Key moments only"`
	Order   string `query:"order" enum:"oldest,newest" doc:"oldest when not given"`
}

// LineIn is the address of a line.
type LineIn struct {
	RefIn
	Seq int64 `path:"seq"`
}

func (s *server) timelineCalls() {
	get(s, "/incidents/{ref}/timeline", "incidents", "What happened, line by line", s.timeline)
	post(s, "/incidents/{ref}/timeline/{seq}/star", "incidents", "Mark a line as a key moment, or unmark it with on: false",
		func(ctx context.Context, in *struct {
			LineIn
			Body struct {
				On *bool `json:"on,omitempty"`
			}
		},
		) (lineView, error) {
			on := in.Body.On == nil || *in.Body.On
			if err := s.Incident.Star(ctx, in.Ref, in.Seq, on); err != nil {
				return lineView{}, err
			}
			l, err := s.line(ctx, in.Seq)
			l.Starred = on
			return l, err
		})
	post(s, "/incidents/{ref}/timeline/{seq}/correct", "incidents", "Say what a line should have said; the line itself stays",
		func(ctx context.Context, in *struct {
			LineIn
			Body struct {
				Text string `json:"text"`
			}
		},
		) (lineView, error) {
			if err := s.Incident.CorrectLine(ctx, in.Ref, in.Seq, in.Body.Text); err != nil {
				return lineView{}, err
			}
			l, err := s.line(ctx, in.Seq)
			l.Corrected = in.Body.Text
			return l, err
		})
}

// line gives one line of a timeline that the caller has been let into.
func (s *server) line(ctx context.Context, seq int64) (lineView, error) {
	f, err := s.Ledger.Fact(ctx, seq)
	if err != nil {
		return lineView{}, err
	}
	names, err := s.names(ctx)
	if err != nil {
		return lineView{}, err
	}
	return viewLine(timeline.Lines([]ledger.Fact{f}, names)[0]), nil
}

// names gives the names of people to the sentences; other objects go by their id.
func (s *server) names(ctx context.Context) (func(kind, id string) string, error) {
	people, err := s.Identity.Names(ctx)
	if err != nil {
		return nil, err
	}
	return func(kind, id string) string {
		if n := people[id]; n != "" && (kind == "person" || kind == "") {
			return n
		}
		return id
	}, nil
}

func viewLine(l timeline.Line) lineView {
	v := lineView{
		Seq: l.Seq, ID: l.ID, HappenedAt: at(l.HappenedAt), RecordedAt: at(l.RecordedAt), Via: string(l.Via), Type: l.Type, Kind: string(l.Kind),
		Actor: actorView{Kind: string(l.Actor.Kind), ID: l.Actor.ID, Name: l.Actor.Name}, Text: textView{FR: l.Text.FR, EN: l.Text.EN},
		Starred: l.Starred, Corrected: l.Corrected, Erased: l.Erased, Body: l.Body,
	}
	if len(v.Body) == 0 {
		v.Body = json.RawMessage("null")
	}
	return v
}

func (s *server) timeline(ctx context.Context, in *timelineIn) (list[lineView], error) {
	var out list[lineView]
	i, err := s.Incident.Get(ctx, in.Ref)
	if err != nil {
		return out, err
	}
	base := ledger.Filter{Incident: i.ID, Newest: in.Order == "newest"}
	f := base
	if in.Cursor != "" {
		parts, err := kit.ParseCursor(in.Cursor, 1)
		if err != nil {
			return out, err
		}
		seq, err := strconv.ParseInt(parts[0], 10, 64)
		if err != nil {
			return out, kit.Invalid("error.bad_cursor")
		}
		if f.Newest {
			f.Before = seq
		} else {
			f.After = seq
		}
	}
	marks, err := s.Incident.Starred(ctx, i.ID)
	if err != nil {
		return out, err
	}
	names, err := s.names(ctx)
	if err != nil {
		return out, err
	}
	size := in.page().Size()
	narrow := in.Kind != "" || in.Starred
	out.Items = []lineView{}
	for len(out.Items) <= size {
		f.Limit = size + 1
		facts, err := s.Ledger.Facts(ctx, f)
		if err != nil {
			return out, err
		}
		for _, l := range timeline.Lines(facts, names) {
			if on, ok := marks[l.Seq]; ok {
				l.Starred = on
			}
			if in.Kind != "" && string(l.Kind) != in.Kind || in.Starred && !l.Starred {
				continue
			}
			out.Items = append(out.Items, viewLine(l))
		}
		if len(facts) < f.Limit || !narrow {
			break
		}
		if last := facts[len(facts)-1].Seq; f.Newest {
			f.Before = last
		} else {
			f.After = last
		}
	}
	more := len(out.Items) > size
	if more {
		out.Items = out.Items[:size]
		next := kit.Cursor(strconv.FormatInt(out.Items[size-1].Seq, 10))
		out.NextCursor = &next
	}
	if narrow {
		// The kind of a line is no column to count by: what is known is a minimum.
		out.Total, out.TotalIsMinimum = len(out.Items), more || in.Cursor != ""
		return out, nil
	}
	n, err := s.Ledger.Count(ctx, base)
	if n > kit.MaxTotal {
		n, out.TotalIsMinimum = kit.MaxTotal, true
	}
	out.Total = n
	return out, err
}

func (s *server) reportCalls() {
	if s.Report == nil {
		return
	}
	type in struct {
		Ref    string `path:"ref"`
		Format string `query:"format" enum:"html,md,pdf,docx,json,zip" doc:"html when not given"`
		Level  string `query:"level" enum:"internal,customer,regulator" doc:"internal when not given"`
		Lang   string `query:"lang" enum:"fr,en" doc:"en when not given"`
	}
	raw(s, "/incidents/{ref}/report", "incidents", "The dossier: the whole record, verifiable offline as zip", func(ctx context.Context, q *in) (file, error) {
		if q.Format == "" {
			q.Format = "html"
		}
		if q.Level == "" {
			q.Level = "internal"
		}
		if q.Lang == "" {
			q.Lang = "en"
		}
		name, kind, body, err := s.Report(ctx, q.Ref, q.Format, q.Level, q.Lang)
		return file{name: name, kind: kind, body: body}, err
	})
}

// file is an answer that is not JSON.
type file struct {
	name, kind string
	body       []byte
}

type rawOut struct {
	ContentType string `header:"Content-Type"`
	Disposition string `header:"Content-Disposition"`
	Body        []byte
}

// raw registers a call that answers a file.
func raw[I any](s *server, path, tag, summary string, fn func(ctx context.Context, in *I) (file, error)) {
	huma.Register(s.api, huma.Operation{
		OperationID: operationID(http.MethodGet, path), Method: http.MethodGet, Path: prefix + path, Summary: summary, Tags: []string{tag},
	}, func(ctx context.Context, in *I) (*rawOut, error) {
		f, err := fn(ctx, in)
		if err != nil {
			return nil, s.problem(ctx, err)
		}
		o := &rawOut{ContentType: f.kind, Body: f.body}
		if f.name != "" {
			o.Disposition = fmt.Sprintf("attachment; filename=%q", f.name)
		}
		return o, nil
	})
}
