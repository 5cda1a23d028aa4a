package dossier

import (
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
)

func (w *withheld) verify(root []byte) error {
	if w.Seq < 1 || w.Size < w.Seq {
		return proof.RootMismatchError{}
	}
	return proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(w.Seq-1), uint64(w.Size), w.Leaf, w.Proof, root)
}
