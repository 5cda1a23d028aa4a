package app

import (
	"context"
	"strings"
	"testing"

	"tocsin/internal/kit"
)

// TestExportKeepsParameters holds that an exported file, applied again, changes nothing.
func TestExportKeepsParameters(t *testing.T) {
	a, err := Open(context.Background(), Config{Data: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Close() }()
	ctx := AsSystem(t.Context())
	file := `
apiVersion: tocsin/v1
organisation: {name: Exemple SAS, timezone: Europe/Paris, country: FR, languages: [fr, en]}
people: [{id: ana, name: Ana, email: ana@example.com, access: admin}]
roles: {commander: [ana]}
services: [{id: shop, name: {fr: Boutique, en: Shop}, owner: ana, tier: critical}]
parameters: {P.still: 10m}
vendors: [{id: psp, name: Payments}]
`
	if _, err := a.Apply(ctx, []byte(file), kit.ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	out, err := a.Export(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(out), `P.still: "10m"`) || !strings.Contains(string(out), "psp") {
		t.Errorf("export:\n%s", out)
	}
	changes, err := a.Apply(ctx, out, kit.ApplyOptions{DryRun: true, Prune: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range changes {
		if c.Op != "keep" {
			t.Errorf("the export, applied: %+v", c)
		}
	}
}
