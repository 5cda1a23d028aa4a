package alert

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"tocsin/internal/db"
	"tocsin/internal/kit"
)

const columns = `id, source, dedup_key, state, severity, title, service, labels, annotations, link, count, first_at, last_at,
	starts_at, ends_at, ends_by_timeout, acknowledged_by, acknowledged_at, resolved_at, how, route, then_do, reason, group_key, incident`

const nColumns = 25

func prefixed(p string) string {
	return p + strings.Join(strings.Fields(columns), " "+p)
}

var (
	selectLock = `SELECT ` + prefixed("a.") + ` FROM unnest($1::text[], $2::text[]) AS u(s, k)
	JOIN alert a ON a.source = u.s AND a.dedup_key = u.k AND a.state <> 'resolved' ORDER BY a.source, a.dedup_key FOR UPDATE OF a`

	selectOne = `SELECT ` + columns + ` FROM alert WHERE source = $1 AND dedup_key = $2 AND state <> 'resolved' FOR UPDATE`

	insertOne = `INSERT INTO alert (` + columns + `) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23, $24, $25)`

	insertUnnest = `INSERT INTO alert (` + columns + `) SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[],
	$6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bigint[],
	$15::bigint[], $16::boolean[], $17::text[], $18::bigint[], $19::bigint[], $20::text[], $21::text[], $22::text[], $23::text[], $24::text[], $25::text[])`

	updateUnnest = `UPDATE alert SET state = u.state, severity = u.severity, title = u.title, annotations = u.annotations, link = u.link,
	count = u.count, last_at = u.last_at, ends_at = u.ends_at, ends_by_timeout = u.ebt, acknowledged_by = u.aby, acknowledged_at = u.aat,
	resolved_at = u.rat, how = u.how, route = u.route, then_do = u.then_do, reason = u.reason, group_key = u.group_key, incident = u.incident
	FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::boolean[],
	$11::text[], $12::bigint[], $13::bigint[], $14::text[], $15::text[], $16::text[], $17::text[], $18::text[], $19::text[])
	AS u(id, state, severity, title, annotations, link, count, last_at, ends_at, ebt, aby, aat, rat, how, route, then_do, reason, group_key, incident)
	WHERE alert.id = u.id`

	updateOne = `UPDATE alert SET state = $2, severity = $3, title = $4, annotations = $5, link = $6,
	count = $7, last_at = $8, ends_at = $9, ends_by_timeout = $10, acknowledged_by = $11, acknowledged_at = $12,
	resolved_at = $13, how = $14, route = $15, then_do = $16, reason = $17, group_key = $18, incident = $19 WHERE id = $1`
)

// chunks are the statement sizes prepared on SQLite: a batch is cut into the
// largest that fit. Their parameters are bare question marks: the driver looks a
// name up for each of the others, which costs the square of their number.
var chunks = []int{16, 4, 1}

var texts sync.Map // kind and size → statement

func chunkText(kind string, n int) string {
	id := fmt.Sprint(kind, n)
	if t, ok := texts.Load(id); ok {
		return t.(string)
	}
	var b strings.Builder
	per := nColumns
	if kind == "load" {
		per = 2
		b.WriteString(`SELECT ` + prefixed("a.") + ` FROM (VALUES `)
	} else {
		b.WriteString(`INSERT INTO alert (` + columns + `) VALUES `)
	}
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('(')
		for j := range per {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteByte('?')
		}
		b.WriteByte(')')
	}
	if kind == "load" {
		b.WriteString(`) AS v CROSS JOIN alert a INDEXED BY alert_live WHERE a.source = v.column1 AND a.dedup_key = v.column2 AND a.state <> 'resolved'`)
	}
	texts.Store(id, b.String())
	return b.String()
}

// load reads the live alerts of keys, and locks them.
func load(ctx context.Context, tx *db.Tx, keys []key, into map[key]*live) error {
	if tx.DB().Dialect() == db.PostgreSQL {
		// Arrays cost the planner more than one row is worth.
		if len(keys) == 1 {
			rows, err := tx.Query(ctx, selectOne, keys[0].source, keys[0].dedup)
			return scanInto(rows, err, into)
		}
		ss, ks := make([]string, len(keys)), make([]string, len(keys))
		for i, k := range keys {
			ss[i], ks[i] = k.source, k.dedup
		}
		rows, err := tx.Query(ctx, selectLock, ss, ks)
		return scanInto(rows, err, into)
	}
	for _, n := range chunks {
		for len(keys) >= n {
			args := make([]any, 0, n*2)
			for _, k := range keys[:n] {
				args = append(args, k.source, k.dedup)
			}
			keys = keys[n:]
			rows, err := tx.Query(ctx, chunkText("load", n), args...)
			if err := scanInto(rows, err, into); err != nil {
				return err
			}
		}
	}
	return nil
}

func scanInto(rows *sql.Rows, err error, into map[key]*live) error {
	if err != nil {
		return db.MapError(err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		l, err := scanLive(rows.Scan)
		if err != nil {
			return db.MapError(err)
		}
		into[key{l.Source, l.DedupKey}] = l
	}
	return db.MapError(rows.Err())
}

func scanLive(scan func(...any) error) (*live, error) {
	var l live
	var first, last, starts, ends, acked, resolved int64
	err := scan(&l.ID, &l.Source, &l.DedupKey, &l.State, &l.Severity, &l.Title, &l.Service, &l.labels, &l.annotations, &l.Link, &l.Count,
		&first, &last, &starts, &ends, &l.endsByTimeout, &l.AcknowledgedBy, &acked, &resolved, &l.How, &l.Route, &l.Then, &l.Reason, &l.GroupKey, &l.Incident)
	if err != nil {
		return nil, err
	}
	l.FirstAt, l.LastAt, l.StartsAt, l.EndsAt = kit.FromMicros(first), kit.FromMicros(last), kit.FromMicros(starts), kit.FromMicros(ends)
	l.AcknowledgedAt, l.ResolvedAt = kit.FromMicros(acked), kit.FromMicros(resolved)
	return &l, nil
}

// decoded gives the alert with its maps, which the hot path leaves encoded.
func (l *live) decoded() (Alert, error) {
	if l.labels != "{}" {
		if err := json.Unmarshal([]byte(l.labels), &l.Labels); err != nil {
			return l.Alert, fmt.Errorf("labels of alert %s: %w", l.ID, err)
		}
	}
	if l.annotations != "{}" {
		if err := json.Unmarshal([]byte(l.annotations), &l.Annotations); err != nil {
			return l.Alert, fmt.Errorf("annotations of alert %s: %w", l.ID, err)
		}
	}
	return l.Alert, nil
}

func jsonMap(m map[string]string) string {
	if len(m) == 0 {
		return "{}"
	}
	b, _ := json.Marshal(m)
	return string(b)
}

func (l *live) insertArgs(dst []any) []any {
	return append(dst, l.ID, l.Source, l.DedupKey, string(l.State), string(l.Severity), l.Title, l.Service, l.labels, l.annotations, l.Link,
		l.Count, kit.Micros(l.FirstAt), kit.Micros(l.LastAt), kit.Micros(l.StartsAt), kit.Micros(l.EndsAt), l.endsByTimeout, l.AcknowledgedBy,
		kit.Micros(l.AcknowledgedAt), kit.Micros(l.ResolvedAt), l.How, l.Route, string(l.Then), l.Reason, l.GroupKey, l.Incident)
}

func (l *live) updateArgs() []any {
	return []any{
		l.ID, string(l.State), string(l.Severity), l.Title, l.annotations, l.Link, l.Count, kit.Micros(l.LastAt), kit.Micros(l.EndsAt),
		l.endsByTimeout, l.AcknowledgedBy, kit.Micros(l.AcknowledgedAt), kit.Micros(l.ResolvedAt), l.How, l.Route, string(l.Then), l.Reason, l.GroupKey, l.Incident,
	}
}

// save writes alerts: those that were there first, so that a resolved one leaves
// its key before the new one takes it.
func save(ctx context.Context, tx *db.Tx, all []*live) error {
	var fresh, old []*live
	for _, l := range all {
		if l.fresh {
			fresh = append(fresh, l)
		} else if l.dirty {
			old = append(old, l)
		}
	}
	if tx.DB().Dialect() == db.PostgreSQL {
		// Writers that open alerts of the same keys must wait for each other in one order.
		slices.SortFunc(fresh, func(a, b *live) int {
			return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(a.DedupKey, b.DedupKey))
		})
		if err := unnest(ctx, tx, updateOne, updateUnnest, old, (*live).updateArgs); err != nil {
			return err
		}
		return unnest(ctx, tx, insertOne, insertUnnest, fresh, func(l *live) []any { return l.insertArgs(nil) })
	}
	for _, l := range old {
		if _, err := tx.Exec(ctx, updateOne, l.updateArgs()...); err != nil {
			return db.MapError(err)
		}
	}
	for _, n := range chunks {
		for len(fresh) >= n {
			args := make([]any, 0, n*nColumns)
			for _, l := range fresh[:n] {
				args = l.insertArgs(args)
			}
			fresh = fresh[n:]
			if _, err := tx.Exec(ctx, chunkText("insert", n), args...); err != nil {
				return db.MapError(err)
			}
		}
	}
	return nil
}

// unnest turns rows of arguments into arrays, one for each column; a single row
// goes by the plain statement.
func unnest(ctx context.Context, tx *db.Tx, one, many string, list []*live, args func(*live) []any) error {
	switch len(list) {
	case 0:
		return nil
	case 1:
		_, err := tx.Exec(ctx, one, args(list[0])...)
		return db.MapError(err)
	}
	var cols []any
	for i, l := range list {
		row := args(l)
		if i == 0 {
			cols = make([]any, len(row))
		}
		for j, v := range row {
			switch v := v.(type) {
			case string:
				a, _ := cols[j].([]string)
				cols[j] = append(a, v)
			case int64:
				a, _ := cols[j].([]int64)
				cols[j] = append(a, v)
			case bool:
				a, _ := cols[j].([]bool)
				cols[j] = append(a, v)
			}
		}
	}
	_, err := tx.Exec(ctx, many, cols...)
	return db.MapError(err)
}
