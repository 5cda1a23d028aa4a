package alert

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/uptrace/bun"
	"golang.org/x/time/rate"

	"tocsin/internal/alert/probe"
	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

type sourceCache struct {
	mu    sync.RWMutex
	byKey map[[32]byte]Source
	byID  map[string]Source
	// asks bounds how often unknown keys make the database be asked.
	asks *rate.Limiter
}

// Unknown keys that are looked up: so many a second, so many at once.
const (
	askRate  = 10
	askBurst = 100
)

func (c *sourceCache) source(key [32]byte) (Source, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	src, ok := c.byKey[key]
	return src, ok
}

// of gives the source of an id as it was read last.
func (c *sourceCache) of(id string) Source {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.byID[id]
}

type sourceRow struct {
	bun.BaseModel `bun:"table:source"`
	ID            string `bun:"id,pk"`
	Kind          string `bun:"kind"`
	Service       string `bun:"service"`
	KeyHash       string `bun:"key_hash"`
	SeverityMap   string `bun:"severity_map"`
	SilentAfter   int64  `bun:"silent_after"`
	Settings      string `bun:"settings"`
	LastHeardAt   int64  `bun:"last_heard_at"`
	SilentSince   int64  `bun:"silent_since"`
	RunSince      int64  `bun:"run_since"`
	CreatedAt     int64  `bun:"created_at"`
	Version       int64  `bun:"version"`
}

func (r *sourceRow) source() Source {
	s := Source{
		ID: r.ID, Kind: r.Kind, Service: r.Service, SilentAfter: time.Duration(r.SilentAfter) * time.Microsecond,
		LastHeardAt: kit.FromMicros(r.LastHeardAt), SilentSince: kit.FromMicros(r.SilentSince), CreatedAt: kit.FromMicros(r.CreatedAt), Version: r.Version,
	}
	_ = json.Unmarshal([]byte(r.SeverityMap), &s.SeverityMap)
	_ = json.Unmarshal([]byte(r.Settings), &s.SourceSettings)
	return s
}

// ready reads what a source needs at hand when a signal comes; old is the same source
// as it was read before.
func (s *Source) ready(old Source, log *slog.Logger) {
	if s.SecretFile != "" {
		raw, err := os.ReadFile(s.SecretFile)
		if s.Secret = strings.TrimSpace(string(raw)); err != nil && (old.Secret != "" || old.ID == "") {
			log.Warn("the secret of a source cannot be read; it takes nothing", "source", s.ID, "error", err)
		}
	}
	if s.Kind != "json" {
		return
	}
	if s.Mapping = old.Mapping; s.Mapping != nil && old.Version == s.Version {
		return
	}
	m, err := CompileMap("", s.Map)
	if err != nil {
		log.Warn("the map of a source cannot be used; it takes nothing", "source", s.ID, "error", err)
		return
	}
	s.Mapping = m
}

// reload reads sources and routes anew.
func (s *Service) reload(ctx context.Context) error {
	var rows []sourceRow
	if err := s.db.Read(ctx).NewSelect().Model(&rows).Scan(ctx); err != nil {
		return db.MapError(err)
	}
	byKey, byID := make(map[[32]byte]Source, len(rows)), make(map[string]Source, len(rows))
	for i := range rows {
		src := rows[i].source()
		src.ready(s.cache.of(src.ID), s.log)
		byID[src.ID] = src
		if raw, err := hex.DecodeString(rows[i].KeyHash); err == nil && len(raw) == 32 {
			byKey[[32]byte(raw)] = src
		}
	}
	s.cache.mu.Lock()
	s.cache.byKey, s.cache.byID = byKey, byID
	s.cache.mu.Unlock()
	if err := s.reloadQuiet(ctx); err != nil {
		return err
	}
	version, routes, err := s.readRoutes(ctx)
	if err != nil {
		return err
	}
	if old := s.routes.Load(); old != nil && old.version == version {
		return nil
	}
	set, err := compileRoutes(version, routes)
	if err != nil {
		return err
	}
	s.routes.Store(set)
	return nil
}

// refresh makes a committed change of sources or routes known to this node.
func (s *Service) refresh(tx *db.Tx) {
	tx.AfterCommit(func() {
		if err := s.reload(context.Background()); err != nil {
			s.log.Warn("sources not reloaded", "error", err)
		}
	})
}

// SourceByKey gives the source of a key. It answers from memory; for a key that is
// not there it asks the database, where another process may have put it. When that
// cannot be done, or is asked for too often, the error is busy: a refusal would make
// the sender give up.
func (s *Service) SourceByKey(ctx context.Context, key string) (Source, bool, error) {
	if key == "" || len(key) > 512 {
		return Source{}, false, nil
	}
	h := sha256.Sum256([]byte(key))
	if src, ok := s.cache.source(h); ok {
		return src, true, nil
	}
	if !s.cache.asks.Allow() {
		return Source{}, false, &kit.Error{Code: kit.CodeBusy, Key: "alert.error.busy", RetryAfter: 1}
	}
	if err := s.reload(ctx); err != nil {
		return Source{}, false, err
	}
	src, ok := s.cache.source(h)
	return src, ok, nil
}

// Sources lists the sources by id, the built-in one included.
func (s *Service) Sources(ctx context.Context) ([]Source, error) {
	if err := s.rights.Require(ctx, "alert.see"); err != nil {
		return nil, err
	}
	rows, err := s.sourceRows(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]Source, len(rows))
	for i := range rows {
		out[i] = rows[i].source()
		if at := s.rings.lastHeard(rows[i].ID); at.After(out[i].LastHeardAt) {
			out[i].LastHeardAt = at
		}
	}
	return out, nil
}

func (s *Service) sourceRows(ctx context.Context) ([]sourceRow, error) {
	var rows []sourceRow
	err := s.db.Read(ctx).NewSelect().Model(&rows).Order("id").Scan(ctx)
	return rows, db.MapError(err)
}

func (s *Service) sourceRow(ctx context.Context, id string) (sourceRow, error) {
	var row sourceRow
	err := s.db.Read(ctx).NewSelect().Model(&row).Where("id = ?", id).Scan(ctx)
	return row, db.NoRows(err, "source", id)
}

// newKey is 128 random bits in 32 characters, the length the Events API asks for.
func newKey() string {
	b := make([]byte, 16)
	_, _ = rand.Read(b)
	return hex.EncodeToString(b)
}

func hashKey(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:])
}

func checkSource(path string, d SourceDef) kit.Fields {
	var f kit.Fields
	if !kit.IsSlug(d.ID) || d.ID == BuiltIn {
		f.Add(path+"id", "alert.error.slug")
	}
	if !slices.Contains(SourceKinds, d.Kind) {
		f.Add(path+"kind", "alert.error.source_kind")
	}
	if d.Service != "" && !kit.IsSlug(d.Service) {
		f.Add(path+"service", "alert.error.slug")
	}
	if d.Key != "" && (len(d.Key) < 4 || len(d.Key) > 512) {
		f.Add(path+"key", "alert.error.key_length")
	}
	if d.SilentAfter < 0 {
		f.Add(path+"silent_after", "error.invalid")
	}
	if d.Kind == "json" {
		if _, err := CompileMap(path+"map.", d.Map); err != nil {
			f = append(f, kit.AsError(err).Fields...)
		}
	} else if len(d.Map) > 0 {
		f.Add(path+"map", "alert.error.map_kind")
	}
	if d.Kind == "probe" {
		_, wrong := probe.Parse(path, d.Probe, d.Every)
		f = append(f, wrong...)
	} else if len(d.Probe) > 0 {
		f.Add(path+"probe", "alert.error.probe_kind")
	}
	if d.Kind == "heartbeat" && d.Every <= 0 {
		f.Add(path+"every", "error.required")
	}
	if d.Every < 0 || d.Grace < 0 {
		f.Add(path+"every", "error.invalid")
	}
	for _, w := range slices.Sorted(maps.Keys(d.SeverityMap)) {
		if !d.SeverityMap[w].Valid() {
			f.Add(path+"severity_map."+w, "alert.error.severity")
		}
	}
	return f
}

func (d SourceDef) row() sourceRow {
	m := "{}"
	if len(d.SeverityMap) > 0 {
		b, _ := json.Marshal(d.SeverityMap)
		m = string(b)
	}
	settings, _ := json.Marshal(d.SourceSettings)
	return sourceRow{ID: d.ID, Kind: d.Kind, Service: d.Service, SeverityMap: m, SilentAfter: int64(d.SilentAfter / time.Microsecond), Settings: string(settings)}
}

// CreateSource makes a source and gives its key, which is shown this once.
func (s *Service) CreateSource(ctx context.Context, d SourceDef) (key string, err error) {
	if err := s.rights.Require(ctx, "source.edit"); err != nil {
		return "", err
	}
	if err := checkSource("", d).Err(); err != nil {
		return "", err
	}
	key = d.Key
	if key == "" {
		key = newKey()
	}
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.insertSource(ctx, tx, d, key) })
	if err != nil {
		return "", err
	}
	return key, nil
}

func (s *Service) insertSource(ctx context.Context, tx *db.Tx, d SourceDef, key string) error {
	row := d.row()
	row.KeyHash, row.CreatedAt, row.Version = hashKey(key), kit.Micros(tx.Now()), 1
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return db.MapError(err)
	}
	s.refresh(tx)
	if err := s.watch(ctx, tx, row); err != nil {
		return err
	}
	if row.Kind == "probe" {
		if err := s.planProbe(ctx, tx, row); err != nil {
			return err
		}
	}
	return sourceFact(ctx, tx, "created", row, nil)
}

func sourceFact(ctx context.Context, tx *db.Tx, op string, row sourceRow, changes []FieldChange) error {
	return ledger.Append(ctx, tx, ledger.Entry{
		Subject: ledger.Subject{Kind: "source", ID: row.ID},
		Body:    SourceFact{Op: op, Kind: row.Kind, Service: row.Service, Changes: changes},
	})
}

func sourceChanges(a, b sourceRow) []FieldChange {
	var c []FieldChange
	add := func(path, from, to string) {
		if from != to {
			c = append(c, FieldChange{Path: path, From: from, To: to})
		}
	}
	add("kind", a.Kind, b.Kind)
	add("service", a.Service, b.Service)
	add("severity_map", a.SeverityMap, b.SeverityMap)
	add("settings", a.Settings, b.Settings)
	add("silent_after", (time.Duration(a.SilentAfter) * time.Microsecond).String(), (time.Duration(b.SilentAfter) * time.Microsecond).String())
	return c
}

// ChangeSource changes everything but the id and the key. Version 0 changes
// whatever is there; another must be the present one.
func (s *Service) ChangeSource(ctx context.Context, d SourceDef, version int64) error {
	if err := s.rights.Require(ctx, "source.edit"); err != nil {
		return err
	}
	if err := checkSource("", d).Err(); err != nil {
		return err
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		old, err := s.sourceRow(ctx, d.ID)
		if err != nil {
			return err
		}
		if version != 0 && version != old.Version {
			return kit.Errorf(kit.CodeStale, "error.stale")
		}
		_, err = s.updateSource(ctx, tx, old, d)
		return err
	})
}

func (s *Service) updateSource(ctx context.Context, tx *db.Tx, old sourceRow, d SourceDef) ([]FieldChange, error) {
	row := d.row()
	changes := sourceChanges(old, row)
	if len(changes) == 0 {
		return nil, nil
	}
	_, err := tx.NewUpdate().Model(&row).Column("kind", "service", "severity_map", "silent_after", "settings").
		Set("version = version + 1").Where("id = ?", row.ID).Exec(ctx)
	if err != nil {
		return nil, db.MapError(err)
	}
	s.refresh(tx)
	row.LastHeardAt, row.CreatedAt, row.SilentSince, row.RunSince = old.LastHeardAt, old.CreatedAt, old.SilentSince, old.RunSince
	if err := s.watch(ctx, tx, row); err != nil {
		return nil, err
	}
	// Only another question starts a probe anew: one that fails goes on failing when its
	// service is changed.
	if (row.Kind == "probe" || old.Kind == "probe") && (row.Kind != old.Kind || row.Settings != old.Settings) {
		if err := s.planProbe(ctx, tx, row); err != nil {
			return nil, err
		}
	}
	if s.watched(row).interval == 0 {
		// What is no longer listened for is no longer silent.
		if err := s.heardAgain(ctx, tx, row); err != nil {
			return nil, err
		}
	}
	return changes, sourceFact(ctx, tx, "changed", row, changes)
}

// RotateKey gives the source a new key, shown this once; the old one ends.
func (s *Service) RotateKey(ctx context.Context, id string) (string, error) {
	if err := s.rights.Require(ctx, "source.edit"); err != nil {
		return "", err
	}
	if id == BuiltIn {
		return "", kit.NotFound("source", id)
	}
	key := newKey()
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.setKey(ctx, tx, id, key) })
	return key, err
}

func (s *Service) setKey(ctx context.Context, tx *db.Tx, id, key string) error {
	row, err := s.sourceRow(ctx, id)
	if err != nil {
		return err
	}
	if _, err := tx.NewUpdate().Table("source").Set("key_hash = ?", hashKey(key)).Set("version = version + 1").Where("id = ?", id).Exec(ctx); err != nil {
		return db.MapError(err)
	}
	s.refresh(tx)
	return sourceFact(ctx, tx, "key_rotated", row, nil)
}

// RemoveSource removes a source and its payload log; its alerts stay.
func (s *Service) RemoveSource(ctx context.Context, id string) error {
	if err := s.rights.Require(ctx, "source.edit"); err != nil {
		return err
	}
	if id == BuiltIn {
		return kit.NotFound("source", id)
	}
	return s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error { return s.deleteSource(ctx, tx, id) })
}

func (s *Service) deleteSource(ctx context.Context, tx *db.Tx, id string) error {
	row, err := s.sourceRow(ctx, id)
	if err != nil {
		return err
	}
	if row.Kind == "probe" {
		// It fails no more, and asks nothing.
		gone := row
		gone.Kind = ""
		if err := s.planProbe(ctx, tx, gone); err != nil {
			return err
		}
	}
	if _, err := tx.NewDelete().Table("source").Where("id = ?", id).Exec(ctx); err != nil {
		return db.MapError(err)
	}
	s.refresh(tx)
	tx.AfterCommit(func() { s.rings.drop(id) })
	if err := due.Cancel(ctx, tx, KindSilent, id); err != nil {
		return err
	}
	if err := s.heardAgain(ctx, tx, sourceRow{ID: id, SilentSince: row.SilentSince}); err != nil {
		return err
	}
	return sourceFact(ctx, tx, "removed", row, nil)
}

// TestEvent sends an alert of severity info as if the source had, and resolves it.
func (s *Service) TestEvent(ctx context.Context, source string) (Outcome, error) {
	if err := s.rights.Require(ctx, "source.edit"); err != nil {
		return Outcome{}, err
	}
	row, err := s.sourceRow(ctx, source)
	if err != nil {
		return Outcome{}, err
	}
	out, err := s.Ingest(ctx, []Signal{{
		Source: source, DedupKey: "tocsin-test-" + kit.NewID(), Action: Trigger, Title: "Tocsin test event", Severity: Info,
		Service: row.Service, Labels: map[string]string{"alertname": "TocsinTest", "tocsin_test": "true"},
		EndsAt: s.db.Now().Add(5 * time.Minute),
	}})
	if err != nil {
		return Outcome{}, err
	}
	return out[0], nil
}

// Apply brings the sources to what the organisation file says, in the caller's
// transaction. A key that had to be made stands in the detail of its change,
// this once. With prune, what the file does not name is removed.
func (s *Service) Apply(ctx context.Context, tx *db.Tx, defs []SourceDef, prune bool) ([]kit.Change, error) {
	if err := s.rights.Require(ctx, "source.edit"); err != nil {
		return nil, err
	}
	var f kit.Fields
	named := map[string]bool{}
	for i, d := range defs {
		path := fmt.Sprintf("sources[%d].", i)
		f = append(f, checkSource(path, d)...)
		if named[d.ID] {
			f.Add(path+"id", "error.exists")
		}
		named[d.ID] = true
	}
	if err := f.Err(); err != nil {
		return nil, err
	}
	rows, err := s.sourceRows(ctx)
	if err != nil {
		return nil, err
	}
	have := map[string]sourceRow{}
	for _, r := range rows {
		have[r.ID] = r
	}
	var out []kit.Change
	if prune {
		for _, r := range rows {
			if r.ID == BuiltIn || named[r.ID] {
				continue
			}
			if err := s.deleteSource(ctx, tx, r.ID); err != nil {
				return nil, err
			}
			out = append(out, kit.Change{Section: "sources", ID: r.ID, Op: "remove"})
		}
	}
	for _, d := range defs {
		c, err := s.applySource(ctx, tx, d, have)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (s *Service) applySource(ctx context.Context, tx *db.Tx, d SourceDef, have map[string]sourceRow) (kit.Change, error) {
	c := kit.Change{Section: "sources", ID: d.ID, Op: "keep"}
	old, ok := have[d.ID]
	if !ok {
		key := d.Key
		if key == "" {
			key = newKey()
			c.Detail = "key " + key
		}
		c.Op = "create"
		return c, s.insertSource(ctx, tx, d, key)
	}
	changes, err := s.updateSource(ctx, tx, old, d)
	if err != nil {
		return c, err
	}
	for _, ch := range changes {
		c.Op = "change"
		c.Detail = join(c.Detail, ch.Path)
	}
	if d.Key != "" && hashKey(d.Key) != old.KeyHash {
		c.Op, c.Detail = "change", join(c.Detail, "key")
		return c, s.setKey(ctx, tx, d.ID, d.Key)
	}
	return c, nil
}

func join(a, b string) string {
	if a == "" {
		return b
	}
	return a + ", " + b
}
