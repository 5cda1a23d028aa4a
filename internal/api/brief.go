package api

import (
	"context"

	"tocsin/internal/dossier"
	"tocsin/internal/i18n"
	"tocsin/internal/kit"
)

type briefIn struct {
	RefIn
	Lang string `query:"lang" enum:"fr,en" default:"en"`
}

type briefView struct {
	Ref       string      `json:"ref"`
	Lang      string      `json:"lang"`
	Severity  string      `json:"severity,omitempty"`
	What      string      `json:"what"`
	Who       string      `json:"who" doc:"Who is affected, as far as it is known"`
	Doing     string      `json:"doing" doc:"The phase, in words"`
	Tasks     []string    `json:"tasks" doc:"The open ones"`
	Commander *actorView  `json:"commander,omitempty"`
	NextNews  string      `json:"next_news"`
	Decisions []askedView `json:"decisions" doc:"What waits for the caller; empty is a true nothing"`
}

type askedView struct {
	Key  string `json:"key" enum:"handover,reopen,restored,assess,review"`
	Role string `json:"role,omitempty"`
	Text string `json:"text"`
}

// brief is the situation in five lines, as the page and the mail to management tell it.
func (s *server) brief(ctx context.Context, in *briefIn) (briefView, error) {
	i, err := s.Incident.Get(ctx, in.Ref)
	if err != nil {
		return briefView{}, err
	}
	t := func(key string) string { return i18n.T(in.Lang, key, nil) }
	v := briefView{
		Ref: i.Ref(), Lang: in.Lang, Severity: string(i.Severity), What: i.Summary, Who: t("web.brief.unknown"), Doing: t("core.phase." + string(i.Phase)),
		Tasks: []string{}, NextNews: t("web.brief.news.none"), Decisions: []askedView{},
	}
	if v.What == "" {
		v.What = i.Title
	}
	if a := i.Answers; a != nil && a.Who != "" && a.Who != "unknown" {
		v.Who = t("web.assess.who." + a.Who)
	}
	tasks, err := s.Incident.Tasks(ctx, i.ID)
	if err != nil {
		return briefView{}, err
	}
	for _, k := range tasks {
		if k.State == "open" {
			v.Tasks = append(v.Tasks, k.Text)
		}
	}
	if who := i.Roles[kit.RoleCommander]; who != "" {
		names, err := s.Identity.Names(ctx)
		if err != nil {
			return briefView{}, err
		}
		v.Commander = &actorView{Kind: "person", ID: who, Name: names[who]}
	}
	decisions, err := s.Incident.Decisions(ctx, i.ID)
	if err != nil {
		return briefView{}, err
	}
	for _, d := range decisions {
		v.Decisions = append(v.Decisions, askedView{Key: d.Key, Role: string(d.Role), Text: dossier.Decision(in.Lang, d)})
	}
	return v, nil
}
