package db

import "context"

type memos map[any]any

type memosKey struct{}

// Remember lets Memo keep what it read until the end of the transaction. It is for
// transactions that change no settings and read the same ones for each of many
// things, as a reaction to a batch of facts does. Asked for again it forgets nothing.
func (tx *Tx) Remember() {
	if tx.Value(memosKey{}) == nil {
		tx.SetValue(memosKey{}, memos{})
	}
}

// Memo gives what load reads, once in a transaction that remembers (Remember), and
// anew everywhere else. The value is shared: nobody may change it.
func Memo[T any](ctx context.Context, d *DB, key any, load func() (T, error)) (T, error) {
	tx := d.txFrom(ctx)
	if tx == nil {
		return load()
	}
	kept, ok := tx.Value(memosKey{}).(memos)
	if !ok {
		return load()
	}
	if v, ok := kept[key]; ok {
		return v.(T), nil
	}
	v, err := load()
	if err == nil {
		kept[key] = v
	}
	return v, err
}
