package history

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"time"

	"github.com/uptrace/bun"

	"tocsin/internal/db"
	"tocsin/internal/due"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
	"tocsin/internal/text"
)

// The formats of a file.
const (
	FormatVERIS = "veris"
	FormatCSV   = "csv"
)

// The states of an import.
const (
	// Waiting for its mapping to be confirmed; the file is kept until then.
	Waiting = "waiting"
	Done    = "finished"
)

// KindForget is the kind of the due rows that let a file go that nobody imported.
const KindForget = "history.forget"

// patience is how long a file waits to be imported.
const patience = 24 * time.Hour

// batch is how many past incidents one transaction takes, so that an import holds up no
// page.
const batch = 100

// maxNamed is how many conflicts are named.
const maxNamed = 100

// Options say how a file is read.
type Options struct {
	// Format is veris or csv; empty finds it out.
	Format string
	// Source names where the incidents come from, as a slug.
	Source string
	// Mapping says which column is what; nil proposes one. For CSV alone.
	Mapping Mapping
	// Order of day and month; empty finds it out, and takes the day first where no date
	// tells.
	Order string
	// Replace takes the record of the file where another one is kept under its id; else
	// it is a conflict, and what is kept stays.
	Replace bool
}

// Import is an import of a file, done or about to be.
type Import struct {
	ID     string
	State  string
	Source string
	Format string
	// Name of the file as its sender called it.
	Name string
	// Digest is the SHA-256 of the file.
	Digest string
	// Created, Skipped (they are kept already), Replaced and Conflicts count records.
	Created, Skipped, Replaced, Conflicts int
	// Named are the ids of the first conflicts.
	Named      []string
	At         time.Time
	By         string
	FinishedAt time.Time
}

// Reading is what a file holds.
type Reading struct {
	Options
	Records []Record
	// Table is what was read of CSV; OrderSure tells that its dates show their order.
	Table     Table
	OrderSure bool
}

// Read reads a file of past incidents. Nothing is kept.
func Read(file []byte, o Options) (Reading, error) {
	out := Reading{Options: o}
	if len(file) > MaxFile {
		return out, kit.Errorf(kit.CodeTooLarge, "error.too_large")
	}
	if out.Format == "" {
		out.Format = FormatCSV
		if b := bytes.TrimLeft(bytes.TrimPrefix(file, []byte("\xef\xbb\xbf")), " \t\r\n"); len(b) > 0 && (b[0] == '{' || b[0] == '[') {
			out.Format = FormatVERIS
		}
	}
	var err error
	switch out.Format {
	case FormatVERIS:
		out.Records, err = readVERIS(file)
	case FormatCSV:
		if out.Table, err = ReadTable(file); err != nil {
			return out, err
		}
		if out.Mapping == nil {
			out.Mapping = out.Table.Propose()
		}
		order, sure := out.Table.Order(out.Mapping)
		out.OrderSure = sure
		if out.Order == "" {
			out.Order = order
		}
		out.Records, err = out.Table.Records(out.Mapping, out.Order, o.Source)
	default:
		err = kit.InvalidField("from", "error.bad_value", "value", o.Format)
	}
	return out, err
}

// Service is the module.
type Service struct {
	db     *db.DB
	rights Rights
}

// New makes the module.
func New(d *db.DB, rights Rights) *Service { return &Service{db: d, rights: rights} }

// Tasks are what the module does with its due rows.
func (s *Service) Tasks() []due.Task {
	return []due.Task{{Kind: KindForget, Lane: due.Slow, Run: func(ctx context.Context, tx *db.Tx, row due.Row) error {
		_, err := tx.NewDelete().Table("history_import").Where("id = ? AND state = ?", row.Key, Waiting).Exec(ctx)
		return db.MapError(err)
	}}}
}

type importRow struct {
	bun.BaseModel `bun:"table:history_import"`
	ID            string `bun:"id,pk"`
	State         string `bun:"state"`
	Source        string `bun:"source"`
	Format        string `bun:"format"`
	Name          string `bun:"name"`
	Digest        string `bun:"digest"`
	File          []byte `bun:"file"`
	Created       int    `bun:"created"`
	Skipped       int    `bun:"skipped"`
	Replaced      int    `bun:"replaced"`
	Conflicts     int    `bun:"conflicts"`
	Named         string `bun:"named"`
	At            int64  `bun:"at"`
	By            string `bun:"by_actor"`
	FinishedAt    int64  `bun:"finished_at"`
}

func (r *importRow) result() Import {
	i := Import{
		ID: r.ID, State: r.State, Source: r.Source, Format: r.Format, Name: r.Name, Digest: r.Digest, Created: r.Created, Skipped: r.Skipped,
		Replaced: r.Replaced, Conflicts: r.Conflicts, At: kit.FromMicros(r.At), By: r.By, FinishedAt: kit.FromMicros(r.FinishedAt),
	}
	_ = json.Unmarshal([]byte(r.Named), &i.Named)
	return i
}

func (s *Service) prepare(ctx context.Context, o Options) error {
	if err := s.rights.Require(ctx, "history.import"); err != nil {
		return err
	}
	if !kit.IsSlug(o.Source) {
		return kit.InvalidField("source", "history.error.source")
	}
	return nil
}

// Check reads a file and tells what an import of it would do. Nothing is kept.
func (s *Service) Check(ctx context.Context, file []byte, o Options) (Import, Reading, error) {
	if err := s.prepare(ctx, o); err != nil {
		return Import{}, Reading{}, err
	}
	r, err := Read(file, o)
	if err != nil {
		return Import{}, r, err
	}
	out := started(file, "", r)
	err = s.db.Snapshot(ctx, func(ctx context.Context) error {
		seen := map[string]string{}
		for n := 0; n < len(r.Records); n += batch {
			_, fresh, err := s.sort(ctx, s.db.Read(ctx), r.Records[n:min(n+batch, len(r.Records))], o, seen, &out)
			if err != nil {
				return err
			}
			maps.Copy(seen, fresh)
		}
		return nil
	})
	return out, r, err
}

func started(file []byte, name string, r Reading) Import {
	sum := sha256.Sum256(file)
	return Import{Source: r.Source, Format: r.Format, Name: name, Digest: hex.EncodeToString(sum[:]), State: Waiting}
}

// entry is a record with what is to be done with it.
type entry struct {
	Record
	digest string
	// was is the kept row that it replaces.
	was *row
}

// sort tells what of a batch is new, kept already, in conflict or to be replaced, and
// counts it. seen holds the digests of what earlier batches of the file brought by id,
// fresh those of this one.
func (s *Service) sort(ctx context.Context, d bun.IDB, records []Record, o Options, seen map[string]string, i *Import) (todo []entry, fresh map[string]string, err error) {
	ids := make([]string, len(records))
	for n := range records {
		ids[n] = records[n].External
	}
	var rows []*row
	if err := d.NewSelect().Model(&rows).Where("source = ? AND external_id IN (?)", o.Source, bun.List(ids)).Scan(ctx); err != nil {
		return nil, nil, db.MapError(err)
	}
	fresh = map[string]string{}
	kept := map[string]*row{}
	for _, x := range rows {
		kept[x.External] = x
	}
	for _, r := range records {
		sum, err := digest(r.Document)
		if err != nil {
			return nil, nil, err
		}
		before, twice := fresh[r.External]
		if !twice {
			before, twice = seen[r.External]
		}
		was := kept[r.External]
		if was != nil && !twice {
			before = was.Digest
		}
		switch {
		case before == sum:
			i.Skipped++
		case twice || was != nil && !o.Replace:
			i.Conflicts++
			if len(i.Named) < maxNamed {
				i.Named = append(i.Named, r.External)
			}
			continue
		case was != nil:
			i.Replaced++
			todo = append(todo, entry{r, sum, was})
		default:
			i.Created++
			todo = append(todo, entry{r, sum, nil})
		}
		fresh[r.External] = sum
	}
	return todo, fresh, nil
}

// Run imports a file. It is read whole before anything is kept; what is wrong with it
// is told by line, and then nothing is. Done again, it changes nothing, so an import
// that was cut off is finished by doing it again.
func (s *Service) Run(ctx context.Context, name string, file []byte, o Options) (Import, error) {
	if err := s.prepare(ctx, o); err != nil {
		return Import{}, err
	}
	r, err := Read(file, o)
	if err != nil {
		return Import{}, err
	}
	return s.run(ctx, kit.NewID(), started(file, name, r), r)
}

func (s *Service) run(ctx context.Context, id string, out Import, r Reading) (Import, error) {
	seen := map[string]string{}
	for n := 0; n < len(r.Records); n += batch {
		part := r.Records[n:min(n+batch, len(r.Records))]
		before, known := out, len(out.Named)
		err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
			// A transaction that is tried again counts its records once.
			out = before
			out.Named = out.Named[:known]
			todo, fresh, err := s.sort(ctx, tx, part, r.Options, seen, &out)
			if err != nil {
				return err
			}
			tx.AfterCommit(func() { maps.Copy(seen, fresh) })
			return s.keep(ctx, tx, r.Source, todo)
		})
		if err != nil {
			return out, err
		}
	}
	err := s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		named, err := json.Marshal(out.Named)
		if err != nil {
			return kit.Internal(err)
		}
		if out.At.IsZero() {
			out.At = tx.Now()
		}
		out.ID, out.State, out.By, out.FinishedAt = id, Done, kit.ActorFrom(ctx).ID, tx.Now()
		x := importRow{
			ID: id, State: out.State, Source: out.Source, Format: out.Format, Name: out.Name, Digest: out.Digest, Created: out.Created, Skipped: out.Skipped,
			Replaced: out.Replaced, Conflicts: out.Conflicts, Named: string(named), At: kit.Micros(out.At), By: out.By, FinishedAt: kit.Micros(out.FinishedAt),
			File: []byte{},
		}
		if _, err := tx.NewDelete().Model(&x).WherePK().Exec(ctx); err != nil {
			return db.MapError(err)
		}
		if _, err := tx.NewInsert().Model(&x).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		if err := due.Cancel(ctx, tx, KindForget, id); err != nil {
			return err
		}
		return ledger.Append(ctx, tx, ledger.Entry{Subject: ledger.Subject{Kind: "import", ID: id}, Body: Finished{
			Source: out.Source, Format: out.Format, File: out.Digest, Created: out.Created, Skipped: out.Skipped, Conflicts: out.Conflicts, Replaced: out.Replaced,
		}})
	})
	return out, err
}

// Stage keeps a file for a day, until its mapping is confirmed. The file must be of a
// format that can be read; its rows may still be wrong under the proposed mapping.
func (s *Service) Stage(ctx context.Context, name string, file []byte, source string) (Import, error) {
	o := Options{Source: source}
	if err := s.prepare(ctx, o); err != nil {
		return Import{}, err
	}
	r, err := Read(file, o)
	if err != nil && len(r.Table.Head) == 0 {
		return Import{}, err
	}
	if name, err = text.Clean("file", name, maxName, false); err != nil {
		return Import{}, err
	}
	out := started(file, name, r)
	err = s.db.Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		out.ID, out.At, out.By = kit.NewID(), tx.Now(), kit.ActorFrom(ctx).ID
		x := importRow{
			ID: out.ID, State: Waiting, Source: out.Source, Format: out.Format, Name: out.Name, Digest: out.Digest, File: file, Named: "null",
			At: kit.Micros(out.At), By: out.By,
		}
		if _, err := tx.NewInsert().Model(&x).Exec(ctx); err != nil {
			return db.MapError(err)
		}
		return due.At(ctx, tx, KindForget, out.ID, tx.Now().Add(patience), struct{}{})
	})
	return out, err
}

// Staged gives an import and, while it waits, its file.
func (s *Service) Staged(ctx context.Context, id string) (Import, []byte, error) {
	if err := s.rights.Require(ctx, "history.import"); err != nil {
		return Import{}, nil, err
	}
	var x importRow
	err := s.db.Read(ctx).NewSelect().Model(&x).Where("id = ?", id).Scan(ctx)
	if err != nil {
		return Import{}, nil, db.NoRows(err, "import", id)
	}
	return x.result(), x.File, nil
}

// Finish imports a file that waits. One that is finished is given as it is.
func (s *Service) Finish(ctx context.Context, id string, o Options) (Import, error) {
	i, file, err := s.Staged(ctx, id)
	if err != nil || i.State != Waiting {
		return i, err
	}
	o.Source, o.Format = i.Source, i.Format
	r, err := Read(file, o)
	if err != nil {
		return i, err
	}
	return s.run(ctx, id, i, r)
}

// Imports gives the last imports, the newest first.
func (s *Service) Imports(ctx context.Context) ([]Import, error) {
	if err := s.rights.Require(ctx, "history.import"); err != nil {
		return nil, err
	}
	var rows []*importRow
	err := s.db.Read(ctx).NewSelect().Model(&rows).ExcludeColumn("file").Order("at DESC", "id DESC").Limit(50).Scan(ctx)
	out := make([]Import, len(rows))
	for n, x := range rows {
		out[n] = x.result()
	}
	return out, db.MapError(err)
}
