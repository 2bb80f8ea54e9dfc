package backend

import (
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Params are the parameters a Postgres reported, or a client asked for.
type Params map[string]string

// tracked are the five parameters that PgCat carries from server to server for its clients
// (rules 14 and 40).
var tracked = []string{"DateStyle", "TimeZone", "application_name", "client_encoding", "standard_conforming_strings"}

// NewParams is what PgCat assumes until a server has told it otherwise.
func NewParams() Params {
	return Params{
		"client_encoding": "UTF8", "DateStyle": "ISO, MDY", "TimeZone": "Etc/UTC",
		"standard_conforming_strings": "on", "application_name": "pgcat",
	}
}

// Track sets key if it is one of the tracked five.
func (p Params) Track(key, value string) {
	if key = spelling(key); slices.Contains(tracked, key) {
		p[key] = value
	}
}

// Set sets any key: a server's own report at its login.
func (p Params) Set(key, value string) { p[spelling(key)] = value }

// spelling: startup packets say timezone and datestyle, reports say TimeZone and DateStyle.
func spelling(key string) string {
	switch key {
	case "timezone":
		return "TimeZone"
	case "datestyle":
		return "DateStyle"
	}
	return key
}

// Clone copies p.
func (p Params) Clone() Params { return maps.Clone(p) }

// Application is the name of the client's application.
func (p Params) Application() string { return p["application_name"] }

// Encode appends p as ParameterStatus messages, in the order of their names (PgCat's is random).
func (p Params) Encode(buf []byte) []byte {
	for _, key := range slices.Sorted(maps.Keys(p)) {
		m := pgproto3.ParameterStatus{Name: key, Value: p[key]}
		if next, err := m.Encode(buf); err == nil {
			buf = next
		}
	}
	return buf
}

// settings is the SET that turns p's tracked parameters into wanted's; empty if nothing differs.
// Values are not escaped, as upstream.
func (p Params) settings(wanted Params) string {
	var q strings.Builder
	for _, key := range tracked {
		have, ok := p[key]
		want, asked := wanted[key]
		if ok && asked && have != want {
			q.WriteString("SET " + key + " TO '" + want + "';")
		}
	}
	return q.String()
}
