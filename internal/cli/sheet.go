package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"tocsin/internal/kit"
)

const (
	// sheetAge is how old the kept on-call sheet may be before it is fetched again.
	sheetAge = time.Hour
	// sheetWait is how long a verb that is done waits for the sheet.
	sheetWait = 3 * time.Second
)

func (r *run) sheetPath() string {
	return filepath.Join(stateDir(), "sheet-"+filepath.Base(storedToken(r.api.Base))+".json")
}

// keepSheet fetches the on-call sheet when the kept one is old. That it cannot is
// nobody's concern now.
func (r *run) keepSheet(ctx context.Context) {
	if st, err := os.Stat(r.sheetPath()); err == nil && time.Since(st.ModTime()) < sheetAge {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, sheetWait)
	defer cancel()
	raw, err := r.api.Get(ctx, "/on-call/sheet", nil)
	if err == nil {
		err = writeFile(r.sheetPath(), raw)
	}
	if err != nil && r.g.Verbose {
		_, _ = fmt.Fprintln(r.s.Err, err)
	}
}

// showSheet writes, from the kept sheet, who to call by phone now.
func (r *run) showSheet() {
	raw, err := os.ReadFile(r.sheetPath())
	var s kit.Sheet
	if err != nil || json.Unmarshal(raw, &s) != nil {
		_, _ = fmt.Fprintln(r.s.Err, r.t("cli.sheet.none"))
		return
	}
	_, _ = fmt.Fprintln(r.s.Err, r.t("cli.sheet.title", "time", r.at(s.MadeAt)))
	people := map[string]kit.SheetPerson{}
	for _, p := range s.People {
		people[p.ID] = p
	}
	line := func(what, id string) {
		p := people[id]
		var reach []string
		for _, m := range p.Reach {
			reach = append(reach, m.To)
		}
		if len(reach) == 0 {
			reach = []string{r.t("cli.sheet.no_number")}
		}
		if p.Name == "" {
			p.Name = id
		}
		_, _ = fmt.Fprintf(r.s.Err, "  %-18s %-20s %s\n", what, p.Name, strings.Join(reach, ", "))
	}
	now := time.Now()
	for _, d := range s.Duty {
		if !now.Before(d.From) && now.Before(d.To) {
			line(d.Schedule, d.Person)
		}
	}
	for _, role := range s.Roles {
		for _, id := range role.People {
			line(r.t("core.role."+role.Role), id)
		}
	}
}
