package admin

import (
	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// The types of columns, by Postgres' numbers.
const (
	oidText    = 25
	oidInt4    = 23
	oidNumeric = 1700
)

type column struct {
	name string
	oid  uint32
	size int16
}

func text(name string) column    { return column{name, oidText, -1} }
func int4(name string) column    { return column{name, oidInt4, 4} }
func numeric(name string) column { return column{name, oidNumeric, -1} }

func numerics(names ...string) []column {
	all := make([]column, len(names))
	for i, n := range names {
		all[i] = numeric(n)
	}
	return all
}

// table is the answer to a SHOW.
type table struct {
	tag  string
	head pgproto3.RowDescription
	rows []*pgproto3.DataRow
}

func newTable(tag string, columns ...column) *table {
	t := &table{tag: tag}
	for _, c := range columns {
		t.head.Fields = append(t.head.Fields, pgproto3.FieldDescription{
			Name: []byte(c.name), DataTypeOID: c.oid, DataTypeSize: c.size, TypeModifier: -1,
		})
	}
	return t
}

func (t *table) add(values ...string) {
	row := &pgproto3.DataRow{}
	for _, v := range values {
		row.Values = append(row.Values, []byte(v))
	}
	t.rows = append(t.rows, row)
}

func (t *table) encode() []byte {
	out := wire.Encode(nil, &t.head)
	for _, r := range t.rows {
		out = wire.Encode(out, r)
	}
	return wire.Encode(out, &pgproto3.CommandComplete{CommandTag: []byte(t.tag)}, wire.Ready(false))
}
