package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"tocsin/internal/i18n"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/orgfile"
)

type parameterView struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Value   string `json:"value"`
	Default string `json:"default"`
	Changed bool   `json:"changed"`
	// Loosened is set where the value is looser than the default.
	Loosened bool `json:"loosened"`
}

type changesView struct {
	DryRun bool         `json:"dry_run"`
	Items  []kit.Change `json:"items"`
}

type findingView struct {
	Check string         `json:"check"`
	State string         `json:"state" enum:"ok,warn,fail"`
	Key   string         `json:"key"`
	Args  map[string]any `json:"args,omitempty"`
	Text  textView       `json:"text"`
	Fix   textView       `json:"fix"`
}

func viewFinding(f kit.Finding) findingView {
	in := func(key string) textView {
		return textView{FR: i18n.T("fr", key, i18n.Words("fr", f.Args)), EN: i18n.T("en", key, i18n.Words("en", f.Args))}
	}
	v := findingView{Check: f.Check, State: f.State, Key: f.Key, Args: f.Args, Text: in(f.Key)}
	if f.State != kit.FindingOK {
		v.Fix = in(f.Key + ".fix")
	}
	return v
}

func (s *server) settingsCalls() {
	get(s, "/parameters", "settings", "The working limits", func(ctx context.Context, _ *none) (list[parameterView], error) {
		p, err := s.Identity.SeeParameters(ctx)
		if err != nil {
			return list[parameterView]{}, err
		}
		return all(identity.ParameterDefs(), func(d identity.ParameterDef) parameterView { return viewParameter(p, d) }), nil
	})
	call(s, http.MethodPut, "/parameters/{name}", "settings", "Change a limit, with the reason; loosening one needs an admin", http.StatusOK,
		func(ctx context.Context, in *struct {
			Name string `path:"name"`
			Body struct {
				Value  string `json:"value"`
				Reason string `json:"reason,omitempty"`
			}
		},
		) (parameterView, error) {
			for _, d := range identity.ParameterDefs() {
				if d.Name != in.Name {
					continue
				}
				if err := s.Identity.ChangeParameters(ctx, map[string]string{in.Name: in.Body.Value}, in.Body.Reason); err != nil {
					return parameterView{}, err
				}
				p, err := s.Identity.Parameters(ctx)
				return viewParameter(p, d), err
			}
			return parameterView{}, kit.NotFound("parameter", in.Name)
		})
	get(s, "/schema/organisation.json", "settings", "JSON Schema of the organisation file", func(context.Context, *none) (map[string]any, error) {
		return orgfile.Schema(), nil
	})
	if s.Doctor != nil {
		get(s, "/doctor", "settings", "What would fail when it is needed, with one fix each", func(ctx context.Context, _ *none) (list[findingView], error) {
			l, err := s.Doctor(ctx)
			return all(l, viewFinding), err
		})
	}
	if s.Apply != nil {
		huma.Register(s.api, huma.Operation{
			OperationID: "post-apply", Method: http.MethodPost, Path: prefix + "/apply", Tags: []string{"settings"},
			Summary: "Apply the organisation file (YAML or JSON), all or nothing", MaxBodyBytes: maxFile, BodyReadTimeout: -1,
			RequestBody: &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/yaml": {}, "application/json": {}}},
		}, func(ctx context.Context, in *struct {
			DryRun  bool   `query:"dry_run" doc:"Only tell what would be done"`
			Prune   bool   `query:"prune" doc:"Retire what the file does not name"`
			Reason  string `query:"reason" doc:"Why the file loosens a limit or a response level" maxLength:"1000"`
			RawBody []byte
		},
		) (*out[changesView], error) {
			l, err := s.Apply(ctx, in.RawBody, kit.ApplyOptions{DryRun: in.DryRun, Prune: in.Prune, Reason: in.Reason})
			if err != nil {
				return nil, s.problem(ctx, err)
			}
			return &out[changesView]{Body: changesView{DryRun: in.DryRun, Items: some(l)}}, nil
		})
	}
	if s.Export != nil {
		raw(s, "/export/config", "settings", "The organisation file", func(ctx context.Context, _ *none) (file, error) {
			body, err := s.Export(ctx)
			return file{kind: "application/yaml", name: "tocsin.yaml", body: body}, err
		})
	}
}

func viewParameter(p identity.Parameters, d identity.ParameterDef) parameterView {
	v := parameterView{Name: d.Name, Kind: string(d.Kind), Value: p.Text(d.Name), Default: d.Default}
	v.Changed = v.Value != v.Default
	v.Loosened = v.Changed && identity.Loosens(d.Name, v.Default, v.Value)
	return v
}
