package route

import (
	"regexp"

	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// PgCat parses SQL with a real parser. The stand-in looks at the first word and for row locks,
// which tells reads from writes in all that this project sends (docs/pgcat-differences.md).
var (
	reads = regexp.MustCompile(`(?is)^[\s(]*(select|with|values|table)\b`)
	locks = regexp.MustCompile(`(?is)\bfor\s+(no\s+key\s+)?(update|share|key\s+share)\b`)
)

// Infer sets the role by the text of a Query or Parse, where the pool splits reads from writes.
// Without primary_reads_enabled a read wants a replica, even where there is none.
func (r *Router) Infer(message []byte) {
	if !r.parserEnabled() || !r.settings.ReadWriteSplitting {
		return
	}
	query := queryOf(message)
	switch {
	case !reads.MatchString(query) || locks.MatchString(query):
		r.role = config.Primary
	case r.primaryReadsEnabled():
		r.role = config.Any
	default:
		r.role = config.Replica
	}
}

func queryOf(message []byte) string {
	body := wire.Body(message)
	if message[0] == 'P' {
		_, body, _ = wire.CString(body)
	}
	query, _, _ := wire.CString(body)
	return query
}
