package pool

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
)

// errNoAuthQuery is a user without a password in a pool that cannot ask for one.
var errNoAuthQuery = errors.New("auth passthrough not enabled")

// PasswordHash is the MD5 hash of a user's password, as Postgres has it: asked for once per pool
// through auth_query, on the first server of the first shard.
func (p *Pool) PasswordHash(user string) (string, error) {
	p.hashMu.Lock()
	defer p.hashMu.Unlock()
	if p.hash != "" {
		return p.hash, nil
	}
	if !p.settings.Configured() {
		return "", errNoAuthQuery
	}
	hash, err := p.fetchHash(user)
	if err == nil {
		p.hash = hash
	}
	return hash, err
}

func (p *Pool) fetchHash(user string) (string, error) {
	a := p.shards[0][0]
	q := p.settings.AuthQuery
	target := backend.Target{Host: a.Host, Port: a.Port, Database: a.Database, User: *q.User, Password: *q.Password}
	rows, err := backend.Ask(context.Background(), target, strings.ReplaceAll(*q.Query, "$1", user))
	if err != nil {
		return "", fmt.Errorf("ask %s for the hash of %s: %w", a.Name(), user, err)
	}
	return hashIn(rows, user)
}

func hashIn(rows *pgconn.Result, user string) (string, error) {
	if len(rows.Rows) != 1 || len(rows.Rows[0]) != 2 || string(rows.Rows[0][0]) != user {
		return "", fmt.Errorf("hash of %s: the answer is not 'user','hash'", user)
	}
	hash, ok := strings.CutPrefix(string(rows.Rows[0][1]), "md5")
	if !ok {
		return "", fmt.Errorf("hash of %s: not an md5 hash", user)
	}
	return hash, nil
}
