package dossier

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"tocsin/internal/ledger"
)

// maxMember bounds what verification reads of one member.
const maxMember = 512 << 20

// Report is the result of a verification.
type Report struct {
	Incident string    `json:"incident"`
	Level    Level     `json:"level"`
	Language string    `json:"language"`
	MadeAt   time.Time `json:"made_at"`
	// Files and Facts were checked; of the facts, Withheld by their leaf alone and
	// Erased without a body.
	Files    int `json:"files"`
	Facts    int `json:"facts"`
	Withheld int `json:"withheld"`
	Erased   int `json:"erased"`
	// Size is how many facts the ledger had, as its checkpoint states.
	Size int64 `json:"ledger_size"`
	// PublicKey is the key in the archive. Whether it is the key of the product must
	// be known from elsewhere.
	PublicKey string    `json:"public_key"`
	Problems  []Problem `json:"problems"`
}

// Problem names what was altered.
type Problem struct {
	// File is the member of the archive, Seq the fact where it is about one.
	File string `json:"file"`
	Seq  int64  `json:"seq,omitempty"`
	// Text says it in English.
	Text string `json:"text"`
}

// OK tells whether nothing was found.
func (r *Report) OK() bool { return len(r.Problems) == 0 }

func (r *Report) add(file string, seq int64, format string, args ...any) {
	r.Problems = append(r.Problems, Problem{File: file, Seq: seq, Text: fmt.Sprintf(format, args...)})
}

// VerifyZip checks an archive without the product: every member against the
// manifest, the manifest against its seal in the ledger, the signature of the
// checkpoint, the proof of every fact, that no fact is missing, and that a body
// that is gone was erased on record. The error is for a file that cannot be read
// as an archive at all; what was altered is in the report.
func VerifyZip(path string) (Report, error) {
	rep := Report{Problems: []Problem{}}
	z, err := zip.OpenReader(path)
	if err != nil {
		return rep, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { _ = z.Close() }()
	content := map[string][]byte{}
	for _, f := range z.File {
		raw, err := member(f)
		switch {
		case err != nil:
			rep.add(f.Name, 0, "%s cannot be read: %v", f.Name, err)
			continue
		case content[f.Name] != nil:
			rep.add(f.Name, 0, "%s is in the archive twice", f.Name)
		}
		content[f.Name] = raw
	}
	if content[manifestName] == nil && rep.OK() {
		return rep, errors.New("not a dossier: it has no manifest.json")
	}
	rep.members(content)
	return rep, nil
}

// members checks the content of an archive, by the names of its members.
func (r *Report) members(content map[string][]byte) {
	raw, ok := content[manifestName]
	if !ok {
		return
	}
	var m Manifest
	if err := json.Unmarshal(raw, &m); err != nil {
		r.add(manifestName, 0, "manifest.json cannot be read: %v", err)
		return
	}
	if m.Format != formatName || m.Version != 1 {
		r.add(manifestName, 0, "manifest.json is of another format: %q, version %d", m.Format, m.Version)
		return
	}
	if again, err := m.bytes(); err != nil || !bytes.Equal(again, raw) {
		r.add(manifestName, 0, "manifest.json was rewritten: it is not in the form in which it is made")
	}
	r.Incident, r.Level, r.Language, r.MadeAt = m.Incident, m.Level, m.Language, m.MadeAt
	r.files(&m, content)
	if root, ok := r.checkpoint(&m, content); ok {
		r.facts(&m, content[factsName], root)
	}
}

func member(f *zip.File) ([]byte, error) {
	rc, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer func() { _ = rc.Close() }()
	raw, err := io.ReadAll(io.LimitReader(rc, maxMember+1))
	if err == nil && len(raw) > maxMember {
		err = fmt.Errorf("more than %d bytes", maxMember)
	}
	if raw == nil {
		raw = []byte{}
	}
	return raw, err
}

func (r *Report) files(m *Manifest, content map[string][]byte) {
	listed := map[string]bool{manifestName: true}
	for _, f := range m.Files {
		if listed[f.Name] {
			r.add(manifestName, 0, "manifest.json names %s twice", f.Name)
		}
		listed[f.Name] = true
		r.Files++
		raw, ok := content[f.Name]
		switch {
		case !ok:
			r.add(f.Name, 0, "%s is missing", f.Name)
		case int64(len(raw)) != f.Bytes || sum(raw) != f.SHA256:
			r.add(f.Name, 0, "%s was altered, or its SHA-256 in manifest.json was: they do not fit", f.Name)
		}
	}
	for _, name := range []string{factsName, checkpointName, keyName} {
		if !listed[name] {
			r.add(manifestName, 0, "manifest.json does not name %s", name)
		}
	}
	for name := range content {
		if !listed[name] {
			r.add(name, 0, "%s was added: manifest.json does not name it", name)
		}
	}
	slices.SortStableFunc(r.Problems, func(a, b Problem) int { return strings.Compare(a.File, b.File) })
}

func (r *Report) checkpoint(m *Manifest, content map[string][]byte) (root []byte, ok bool) {
	r.PublicKey = strings.TrimSuffix(string(content[keyName]), "\n")
	size, root, err := ledger.OpenCheckpoint(string(content[checkpointName]), r.PublicKey)
	if err != nil {
		r.add(checkpointName, 0, "the signature of checkpoint.txt does not hold for public-key.txt: %v", err)
		return nil, false
	}
	r.Size = size
	if size != m.Size || base64.StdEncoding.EncodeToString(root) != m.Root {
		r.add(manifestName, 0, "manifest.json states another ledger than checkpoint.txt")
	}
	return root, true
}

func (r *Report) facts(m *Manifest, raw, root []byte) {
	have := map[int64]bool{}
	erased := map[int64]bool{}
	buried := map[int64]bool{}
	listed := map[int64]bool{}
	for _, n := range m.Facts {
		listed[n] = true
	}
	digest := sum(m.statement())
	sealed, last, n := false, int64(0), 0
	for line := range bytes.Lines(raw) {
		n++
		var e entry
		if err := json.Unmarshal(line, &e); err != nil || e.Sealed == nil && e.Withheld == nil {
			r.add(factsName, 0, "line %d of facts.jsonl cannot be read", n)
			continue
		}
		if again, err := json.Marshal(e); err != nil || !bytes.Equal(append(again, '\n'), line) {
			r.add(factsName, 0, "line %d of facts.jsonl was rewritten: it is not in the form in which it is made", n)
		}
		r.Facts++
		if e.Withheld != nil {
			r.Withheld++
			w := e.Withheld
			if m.Level == Internal || e.Sealed != nil {
				r.add(factsName, w.Seq, "fact %d is withheld, which this level does not do", w.Seq)
			}
			if w.Size != r.Size || w.verify(root) != nil {
				r.add(factsName, w.Seq, "fact %d was altered: its proof does not lead to the checkpoint", w.Seq)
			}
			r.order(w.Seq, &last, have)
			if !listed[w.Seq] {
				r.add(factsName, w.Seq, "fact %d was added: manifest.json does not name it", w.Seq)
			}
			continue
		}
		s := e.Sealed
		if err := verifySealed(s, r.Size, root); err != nil {
			r.add(factsName, s.Seq, "fact %d was altered: %v", s.Seq, err)
		}
		r.order(s.Seq, &last, have)
		if s.Incident != m.IncidentID {
			r.add(factsName, s.Seq, "fact %d belongs to another incident", s.Seq)
		}
		if s.Salt == nil {
			r.Erased++
			erased[s.Seq] = true
		}
		if s.Type == (ledger.BodyErased{}).FactType() {
			if id, ok := strings.CutPrefix(s.Subject, "fact:"); ok {
				if seq, err := strconv.ParseInt(id, 10, 64); err == nil {
					buried[seq] = true
				}
			}
		}
		seal := sealOf(s) == digest
		sealed = sealed || seal
		if late := exportOf(s, digest) || s.Type == (ledger.BodyErased{}).FactType(); !listed[s.Seq] && !seal && !late {
			r.add(factsName, s.Seq, "fact %d was added: manifest.json does not name it", s.Seq)
		}
	}
	for _, seq := range m.Facts {
		if !have[seq] {
			r.add(factsName, seq, "fact %d is missing", seq)
		}
	}
	for seq := range erased {
		if !buried[seq] {
			r.add(factsName, seq, "the body of fact %d was removed without a record of its erasure", seq)
		}
	}
	if !sealed {
		r.add(manifestName, 0, "the reports, the list of facts or manifest.json were altered: no fact of the ledger seals them as they are")
	}
}

// verifySealed checks the proof, which must lead to this checkpoint.
func verifySealed(s *ledger.Sealed, size int64, root []byte) error {
	switch {
	case s.Size != size:
		return fmt.Errorf("its proof is for %d facts, the checkpoint for %d", s.Size, size)
	case s.Seq < 1 || s.Seq > size:
		return errors.New("its number is outside the ledger")
	}
	return ledger.VerifySealed(*s, root)
}

func (r *Report) order(seq int64, last *int64, have map[int64]bool) {
	if have[seq] {
		r.add(factsName, seq, "fact %d is there twice", seq)
	} else if seq < *last {
		r.add(factsName, seq, "fact %d is out of its order", seq)
	}
	have[seq] = true
	*last = max(*last, seq)
}
