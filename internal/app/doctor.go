package app

import (
	"context"
	"encoding/json"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/identity"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/notify"
)

// Limits of the doctor's judgement, which no rule of the model sets.
const (
	gapDays     = 30
	backupStale = 26 * time.Hour
	diskLow     = 1 << 30
	diskEmpty   = 200 << 20
	skewWarn    = time.Second
	skewFail    = 30 * time.Second
	relayWait   = 5 * time.Second
)

// Doctor looks for what would fail when it is needed: one finding for each check
// that is well, one for each thing that is not. Who may see the settings may ask.
func (a *App) Doctor(ctx context.Context) ([]kit.Finding, error) {
	if err := a.Identity.Require(ctx, "settings.see"); err != nil {
		return nil, err
	}
	ctx = kit.WithActor(ctx, kit.System(kit.ActorFrom(ctx).Via))
	var out []kit.Finding
	for _, check := range []func(context.Context) ([]kit.Finding, error){
		a.checkDatabase, a.checkWorker, a.checkLate, a.checkSelfTest, a.checkClock, a.checkDisk, a.checkBackup, a.checkMail, a.checkDuty, a.checkMethods, a.checkRoles, a.checkLastResort,
	} {
		l, err := check(ctx)
		if err != nil {
			return nil, err
		}
		out = append(out, l...)
	}
	return out, nil
}

func noted(check, state, key string, pairs ...any) []kit.Finding {
	f := kit.Finding{Check: check, State: state, Key: "doctor." + key, Args: map[string]any{}}
	for n := 0; n+1 < len(pairs); n += 2 {
		f.Args[pairs[n].(string)] = pairs[n+1]
	}
	return []kit.Finding{f}
}

func (a *App) checkDatabase(ctx context.Context) ([]kit.Finding, error) {
	if err := a.db.Ping(ctx); err != nil {
		return noted("database", kit.FindingFail, "database.gone"), nil
	}
	rep, err := a.ledger.Verify(ctx, ledger.VerifyOptions{})
	if err != nil {
		return nil, err
	}
	if !rep.OK() {
		return noted("ledger", kit.FindingFail, "ledger.broken", "problem", rep.Problems[0].Text), nil
	}
	return noted("ledger", kit.FindingOK, "ledger.ok", "facts", rep.Facts), nil
}

func (a *App) checkWorker(context.Context) ([]kit.Finding, error) {
	if time.Since(a.worker.Turned()) > 5*time.Second {
		return noted("worker", kit.FindingFail, "worker.stuck"), nil
	}
	return noted("worker", kit.FindingOK, "worker.ok"), nil
}

// checkLate looks for what pages and is late now.
func (a *App) checkLate(ctx context.Context) ([]kit.Finding, error) {
	late, err := a.LatePages(ctx)
	if err != nil {
		return nil, err
	}
	if len(late) == 0 {
		return noted("late", kit.FindingOK, "late.ok"), nil
	}
	n, since := 0, late[0].Since
	for _, l := range late {
		n += l.Count
		if l.Since.Before(since) {
			since = l.Since
		}
	}
	return noted("late", kit.FindingFail, "late.pages", "count", n, "since", since.UTC().Format(time.RFC3339)), nil
}

// checkClock measures against PostgreSQL alone: SQLite has no clock of its own.
func (a *App) checkClock(ctx context.Context) ([]kit.Finding, error) {
	if a.db.Dialect() != db.PostgreSQL {
		return nil, nil
	}
	if err := a.db.MeasureSkew(ctx); err != nil {
		return nil, err
	}
	skew := a.db.LeaseNow().Sub(a.db.Now()).Abs().Truncate(10 * time.Millisecond)
	switch {
	case skew >= skewFail:
		return noted("clock", kit.FindingFail, "clock.drift", "drift", skew.String()), nil
	case skew >= skewWarn:
		return noted("clock", kit.FindingWarn, "clock.drift", "drift", skew.String()), nil
	}
	return noted("clock", kit.FindingOK, "clock.ok"), nil
}

func (a *App) checkDisk(context.Context) ([]kit.Finding, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(a.cfg.Data, &st); err != nil {
		return noted("disk", kit.FindingWarn, "disk.unknown", "path", a.cfg.Data), nil
	}
	free := st.Bavail * uint64(max(st.Bsize, 0))
	state, key := kit.FindingOK, "disk.ok"
	switch {
	case free < diskEmpty:
		state, key = kit.FindingFail, "disk.low"
	case free < diskLow:
		state, key = kit.FindingWarn, "disk.low"
	}
	return noted("disk", state, key, "path", a.cfg.Data, "free", int64(math.Round(float64(free)/(1<<20)))), nil
}

func (a *App) checkBackup(ctx context.Context) ([]kit.Finding, error) {
	l, err := a.ledger.Facts(ctx, ledger.Filter{Types: []string{BackupFinished{}.FactType()}, Newest: true, Limit: 20})
	if err != nil {
		return nil, err
	}
	l = slices.DeleteFunc(l, func(f ledger.Fact) bool {
		var b BackupFinished
		return json.Unmarshal(f.Body, &b) != nil || !b.Verified
	})
	if len(l) == 0 {
		return noted("backup", kit.FindingFail, "backup.none"), nil
	}
	age := a.db.Now().Sub(l[0].HappenedAt)
	if age > backupStale {
		return noted("backup", kit.FindingWarn, "backup.old", "age", age.Truncate(time.Minute)), nil
	}
	return noted("backup", kit.FindingOK, "backup.ok", "age", age.Truncate(time.Minute)), nil
}

func (a *App) checkMail(ctx context.Context) ([]kit.Finding, error) {
	r, err := a.relay(ctx)
	if err != nil {
		return noted("mail", kit.FindingFail, "mail.unusable", "problem", err.Error()), nil
	}
	if r.Host == "" {
		return noted("mail", kit.FindingWarn, "mail.none"), nil
	}
	port := r.Port
	if port == 0 {
		port = map[string]int{"none": 25, "implicit": 465}[r.TLS]
	}
	if port == 0 {
		port = 587
	}
	at := net.JoinHostPort(r.Host, strconv.Itoa(port))
	d := net.Dialer{Timeout: relayWait}
	c, err := d.DialContext(ctx, "tcp", at)
	if err != nil {
		return noted("mail", kit.FindingFail, "mail.unreachable", "relay", at), nil
	}
	_ = c.Close()
	return noted("mail", kit.FindingOK, "mail.ok", "relay", at), nil
}

func (a *App) checkDuty(ctx context.Context) ([]kit.Finding, error) {
	schedules, err := a.Oncall.Schedules(ctx)
	if err != nil {
		return nil, err
	}
	if len(schedules) == 0 {
		return noted("oncall", kit.FindingFail, "oncall.none"), nil
	}
	gaps, err := a.Oncall.Gaps(ctx, gapDays)
	if err != nil {
		return nil, err
	}
	out, err := a.alone(ctx, schedules)
	if err != nil {
		return nil, err
	}
	if len(gaps) == 0 {
		return append(noted("oncall", kit.FindingOK, "oncall.ok", "days", gapDays), out...), nil
	}
	for _, g := range gaps {
		out = append(out, noted("oncall", kit.FindingWarn, "oncall.gap", "schedule", g.Schedule, "from", g.From, "to", g.To)...)
	}
	return out, nil
}

// checkMethods looks at those who are woken: people on a schedule in the coming
// days and in a standing role.
func (a *App) checkMethods(ctx context.Context) ([]kit.Finding, error) {
	sheet, err := a.Sheet(ctx)
	if err != nil {
		return nil, err
	}
	var out []kit.Finding
	for _, p := range sheet.People {
		methods, err := a.Notify.Methods(ctx, p.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, judgeMethods(p.Name, p.ID, methods)...)
	}
	if len(out) == 0 {
		return noted("methods", kit.FindingOK, "methods.ok"), nil
	}
	return out, nil
}

func judgeMethods(name, id string, methods []notify.Method) []kit.Finding {
	var unverified, stale []string
	works := 0
	for _, m := range methods {
		switch {
		case m.Disabled != "":
		case m.VerifiedAt.IsZero():
			works++
			unverified = append(unverified, m.Kind)
		case m.Stale:
			works++
			stale = append(stale, m.Kind)
		default:
			works++
		}
	}
	switch {
	case works == 0:
		return noted("methods", kit.FindingFail, "methods.none", "name", name, "id", id)
	case len(unverified) > 0:
		return noted("methods", kit.FindingWarn, "methods.unverified", "name", name, "id", id, "methods", strings.Join(unverified, ", "))
	case len(stale) > 0:
		return noted("methods", kit.FindingWarn, "methods.stale", "name", name, "id", id, "methods", strings.Join(stale, ", "))
	case works == 1:
		return noted("methods", kit.FindingWarn, "methods.single", "name", name, "id", id)
	}
	return nil
}

func (a *App) checkRoles(ctx context.Context) ([]kit.Finding, error) {
	var out []kit.Finding
	for _, role := range []kit.Role{kit.RoleCommander, kit.RoleCommunications, kit.RoleManagement} {
		people, err := a.Identity.AppointedAt(ctx, role, a.db.Now())
		if err != nil {
			return nil, err
		}
		if len(people) == 0 {
			out = append(out, noted("roles", kit.FindingWarn, "roles.empty", "who", string(role))...)
		}
	}
	if len(out) == 0 {
		return noted("roles", kit.FindingOK, "roles.ok"), nil
	}
	return out, nil
}

func (a *App) checkLastResort(ctx context.Context) ([]kit.Finding, error) {
	o, err := a.Identity.Organisation(ctx)
	if kit.CodeOf(err) == kit.CodeNotFound {
		err, o = nil, identity.Organisation{}
	}
	if err != nil {
		return nil, err
	}
	if o.LastResort == nil || o.LastResort.Email == "" {
		return noted("last_resort", kit.FindingWarn, "last_resort.none"), nil
	}
	return noted("last_resort", kit.FindingOK, "last_resort.ok", "name", o.LastResort.Name), nil
}
