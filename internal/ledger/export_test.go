package ledger

import "tocsin/internal/kit"

// LeafOf gives the leaf hash of a sealed fact to the tests.
func LeafOf(s Sealed) []byte {
	id, _ := kit.ParseID(s.ID)
	return leafHash(envelope{id: id, happenedAt: s.HappenedAt, recordedAt: s.RecordedAt, actor: s.Actor, typ: s.Type, subject: s.Subject, incident: s.Incident}, s.Digest)
}
