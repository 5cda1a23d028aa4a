package dossier

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"sort"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/db"
	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// The members of an archive besides the reports.
const (
	manifestName   = "manifest.json"
	factsName      = "facts.jsonl"
	checkpointName = "checkpoint.txt"
	keyName        = "public-key.txt"
	formatName     = "tocsin/dossier"
)

// Manifest names every member of an archive with its SHA-256. What it states of
// the reports and of the facts, its statement, is itself a fact of the ledger
// (dossier.sealed), whose proof the archive holds: who changes a report and its
// hash must forge the ledger too.
type Manifest struct {
	Format   string `json:"format"`
	Version  int    `json:"version"`
	Incident string `json:"incident"`
	// IncidentID is the internal id that the facts carry.
	IncidentID string    `json:"incident_id"`
	Level      Level     `json:"level"`
	Language   string    `json:"language"`
	MadeAt     time.Time `json:"made_at"`
	// Size and Root are what the checkpoint states of the ledger; the root is in
	// base64.
	Size int64  `json:"ledger_size"`
	Root string `json:"ledger_root"`
	// Facts are the numbers of the incident's facts when the reports were made.
	Facts []int64 `json:"facts"`
	// Files are all members but the manifest, in the order of their names.
	Files []File `json:"files"`
}

// File is a member of an archive.
type File struct {
	Name   string `json:"name"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// statement is the text that the fact dossier.sealed commits to.
func (m *Manifest) statement() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %d\n%s\n%s\n%s\n%s\n%s\nfacts", m.Format, m.Version, m.Incident, m.IncidentID, m.Level, m.Language, m.MadeAt.UTC().Format(time.RFC3339Nano))
	for _, n := range m.Facts {
		b.WriteString(" " + strconv.FormatInt(n, 10))
	}
	b.WriteByte('\n')
	for _, f := range m.Files {
		if f.Name != factsName && f.Name != checkpointName && f.Name != keyName {
			fmt.Fprintf(&b, "%s %d %s\n", f.SHA256, f.Bytes, f.Name)
		}
	}
	return []byte(b.String())
}

func (m *Manifest) bytes() ([]byte, error) {
	raw, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("dossier: %w", err)
	}
	return append(raw, '\n'), nil
}

func (m *Manifest) add(name string, content []byte) {
	m.Files = append(m.Files, File{Name: name, Bytes: int64(len(content)), SHA256: sum(content)})
	sort.Slice(m.Files, func(i, j int) bool { return m.Files[i].Name < m.Files[j].Name })
}

// entry is a line of facts.jsonl: a fact with all its leaf was made of or, where
// the level withholds it, its leaf alone.
type entry struct {
	*ledger.Sealed
	// Withheld is set when only the leaf is given.
	Withheld *withheld `json:"withheld,omitempty"`
}

type withheld struct {
	Seq   int64    `json:"seq"`
	Leaf  []byte   `json:"leaf"`
	Size  int64    `json:"size"`
	Proof [][]byte `json:"proof"`
}

// Zip writes the archive of an incident: the reports, the facts with their proofs,
// the signed checkpoint, the public key and the manifest. It records
// incident.exported and dossier.sealed.
func (b *Builder) Zip(ctx context.Context, ref string, level Level, lang string, w io.Writer) error {
	d, err := b.Build(ctx, ref, level, lang)
	if err != nil {
		return err
	}
	raw, err := b.archive(ctx, &d)
	if err != nil {
		return err
	}
	if _, err := w.Write(raw); err != nil {
		return kit.Internal(err)
	}
	return nil
}

func (b *Builder) archive(ctx context.Context, d *Dossier) ([]byte, error) {
	content := map[string][]byte{}
	m := Manifest{
		Format: formatName, Version: 1, Incident: d.Ref, IncidentID: d.incident.ID, Level: d.Level, Language: d.Language,
		MadeAt: d.At, Facts: d.facts,
	}
	for _, format := range []string{"html", "md", "pdf", "docx", "json"} {
		raw, err := d.format(format)
		if err != nil {
			return nil, kit.AsError(err)
		}
		content["report."+format] = raw
		m.add("report."+format, raw)
	}
	digest := sum(m.statement())
	err := b.l.DB().Write(ctx, func(ctx context.Context, tx *db.Tx) error {
		system := kit.System(kit.ActorFrom(ctx).Via)
		sealed := d.entry(Sealed{SHA256: digest})
		sealed.Actor = &system
		return ledger.Append(ctx, tx, d.entry(Exported{Format: "zip", Level: d.Level, Language: d.Language, SHA256: digest}), sealed)
	})
	if err != nil {
		return nil, err
	}
	checkpoint, err := b.l.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	key, err := b.l.PublicKey(ctx)
	if err != nil {
		return nil, err
	}
	size, root, err := ledger.OpenCheckpoint(checkpoint, key)
	if err != nil {
		return nil, kit.Internal(err)
	}
	m.Size, m.Root = size, base64.StdEncoding.EncodeToString(root)
	if content[factsName], err = b.sealed(ctx, d, size, digest); err != nil {
		return nil, err
	}
	content[checkpointName], content[keyName] = []byte(checkpoint), []byte(key+"\n")
	for _, name := range []string{factsName, checkpointName, keyName} {
		m.add(name, content[name])
	}
	if content[manifestName], err = m.bytes(); err != nil {
		return nil, kit.Internal(err)
	}
	return pack(content, d.At)
}

// sealed writes the facts of the dossier, one a line, and those that seal it.
func (b *Builder) sealed(ctx context.Context, d *Dossier, size int64, digest string) ([]byte, error) {
	listed := make(map[int64]bool, len(d.facts))
	for _, n := range d.facts {
		listed[n] = true
	}
	var out bytes.Buffer
	found := false
	for after := int64(0); ; {
		part, err := b.l.Sealed(ctx, ledger.Filter{Incident: d.incident.ID, After: after, Limit: kit.MaxLimit}, size)
		if err != nil {
			return nil, err
		}
		for n := range part {
			s := &part[n]
			after = s.Seq
			seal := sealOf(s) == digest
			found = found || seal
			// What was written after the reports were made stays out, except what says
			// so: the export itself, and the erasure of a body.
			late := d.Level == Internal && (exportOf(s, digest) || s.Type == (ledger.BodyErased{}).FactType())
			if !listed[s.Seq] && !seal && !late {
				continue
			}
			e := entry{Sealed: s}
			if d.Level != Internal && !seal {
				leaf, err := s.Leaf()
				if err != nil {
					return nil, kit.Internal(err)
				}
				e = entry{Withheld: &withheld{Seq: s.Seq, Leaf: leaf, Size: s.Size, Proof: s.Proof}}
			}
			raw, err := json.Marshal(e)
			if err != nil {
				return nil, kit.Internal(err)
			}
			out.Write(append(raw, '\n'))
		}
		if len(part) < kit.MaxLimit {
			break
		}
	}
	if !found {
		return nil, kit.Internal(fmt.Errorf("dossier: the seal of %s is not in the ledger", d.Ref))
	}
	return out.Bytes(), nil
}

// sealOf gives the digest that a fact dossier.sealed commits to.
func sealOf(s *ledger.Sealed) string {
	if s.Type != (Sealed{}).FactType() {
		return ""
	}
	var body Sealed
	if f, err := s.Fact(); err != nil || f.Erased || f.Decode(&body) != nil {
		return ""
	}
	return body.SHA256
}

func exportOf(s *ledger.Sealed, digest string) bool {
	if s.Type != (Exported{}).FactType() {
		return false
	}
	var body Exported
	f, err := s.Fact()
	return err == nil && !f.Erased && f.Decode(&body) == nil && body.SHA256 == digest
}

// pack writes the members in the order of their names, the manifest first.
func pack(content map[string][]byte, at time.Time) ([]byte, error) {
	names := make([]string, 0, len(content))
	for name := range content {
		if name != manifestName {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for _, name := range append([]string{manifestName}, names...) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: at.UTC()})
		if err != nil {
			return nil, kit.Internal(err)
		}
		if _, err := w.Write(content[name]); err != nil {
			return nil, kit.Internal(err)
		}
	}
	if err := z.Close(); err != nil {
		return nil, kit.Internal(err)
	}
	return out.Bytes(), nil
}
