package pool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
)

// errNoAuthQuery is a user without a password in a pool that cannot ask for one.
var errNoAuthQuery = errors.New("auth passthrough not enabled")

// PasswordHash is the MD5 hash of the user's password, as Postgres has it. It is kept: servers are
// logged in to with it, too.
func (p *Pool) PasswordHash() (string, error) {
	if hash := p.knownHash(); hash != "" {
		return hash, nil
	}
	hash, err := p.FreshHash()
	if err == nil {
		p.KeepHash(hash)
	}
	return hash, err
}

// FreshHash asks for the hash, on the first server of the first shard: it may have changed there.
func (p *Pool) FreshHash() (string, error) {
	if !p.settings.Configured() {
		return "", errNoAuthQuery
	}
	return p.fetchHash(p.shards[0][0])
}

// KeepHash makes a hash the one that servers are logged in to with.
func (p *Pool) KeepHash(hash string) {
	p.hashMu.Lock()
	defer p.hashMu.Unlock()
	p.hash = hash
}

func (p *Pool) knownHash() string {
	p.hashMu.RLock()
	defer p.hashMu.RUnlock()
	return p.hash
}

// learnHash asks a server as the pool is built, before anything logs in to it. Without an answer the
// pool is built all the same.
func (p *Pool) learnHash(a *Address) {
	if !p.settings.Configured() {
		return
	}
	hash, err := p.fetchHash(a)
	if err != nil {
		slog.Warn("Could not obtain password hashes using auth_query config, ignoring: " + err.Error())
		return
	}
	p.KeepHash(hash)
}

func (p *Pool) fetchHash(a *Address) (string, error) {
	q := p.settings.AuthQuery
	target := backend.Target{
		Host: a.Host, Port: a.Port, Database: a.Database, User: *q.User, Password: *q.Password,
		TLS: p.dials.TLS, VerifyTLS: p.dials.VerifyTLS, Sockets: p.dials.Sockets,
	}
	rows, err := backend.Ask(context.Background(), target, strings.ReplaceAll(*q.Query, "$1", a.User))
	if err != nil {
		return "", fmt.Errorf("ask %s for the hash of %s: %w", a.Name(), a.User, err)
	}
	return hashIn(rows, a.User)
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
