package dossier

import (
	"encoding/binary"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"

	"tocsin/internal/kit"
	"tocsin/internal/ledger"
)

// leafOf gives the leaf of a fact as package ledger makes it, so that an archive
// can prove a fact without telling what it says; TestLeaf holds both together.
func leafOf(s *ledger.Sealed) ([]byte, error) {
	id, err := kit.ParseID(s.ID)
	if err != nil {
		return nil, err
	}
	b := []byte{1}
	b = binary.BigEndian.AppendUint64(b, uint64(s.HappenedAt)) //nolint:gosec // the bits, as the ledger writes them
	b = binary.BigEndian.AppendUint64(b, uint64(s.RecordedAt)) //nolint:gosec // the bits, as the ledger writes them
	for _, f := range []string{string(id[:]), s.Actor, s.Type, s.Subject, s.Incident, string(s.Digest)} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(f))) //nolint:gosec // short texts
		b = append(b, f...)
	}
	return rfc6962.DefaultHasher.HashLeaf(b), nil
}

func (w *withheld) verify(root []byte) error {
	if w.Seq < 1 || w.Size < w.Seq {
		return proof.RootMismatchError{}
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(w.Seq-1), uint64(w.Size), w.Leaf, w.Proof, root)
}
