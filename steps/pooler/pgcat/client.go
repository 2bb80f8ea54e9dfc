// Package pgcat is what the steps know of PgCat: how to log in, how to pin a shard, what its errors
// and its metrics look like. Line references are to github.com/postgresml/pgcat at v1.2.0.
package pgcat

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// Ports of PgCat as the component's manifests set them.
const (
	Port        = 6432
	MetricsPort = 9930
	HealthPort  = 8080 // of the sidecar
)

// Login is what a client needs.
type Login struct {
	Addr     string // host:port
	Database string // of clients: the pool's name
	User     string
	Password string
}

// dialLimit bounds TCP connect and login. PgCat validates a pool at its first login, for which it connects to
// every shard and waits connect_timeout for those that are away (src/client.rs, src/pool.rs).
const dialLimit = 15 * time.Second

// Connect logs in. Errors never hold the password.
func (l Login) Connect(ctx context.Context) (*pgconn.PgConn, error) {
	host, port, err := net.SplitHostPort(l.Addr)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.Addr, err)
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.Addr, err)
	}
	cfg, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", l.Addr, err)
	}
	cfg.Host, cfg.Port, cfg.Database, cfg.User, cfg.Password = host, uint16(n), l.Database, l.User, l.Password
	cfg.Fallbacks = nil
	// A name of its own, as real clients have: PgCat then sends a SET at the first checkout of each server
	// connection, and when that fails it closes the client without a word (src/client.rs:1092).
	cfg.RuntimeParams = map[string]string{"application_name": "pgcat-failover"}
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	conn, err := pgconn.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("log in to %s as %s: %w", l.Database, l.User, err)
	}
	return conn, nil
}

// Pin makes every following query of the connection go to one shard.
func Pin(ctx context.Context, conn *pgconn.PgConn, shard int) error {
	_, err := conn.Exec(ctx, fmt.Sprintf("SET SHARD TO '%d'", shard)).ReadAll()
	if err != nil {
		return fmt.Errorf("pin shard %d: %w", shard, err)
	}
	return nil
}

// One runs a query and gives the first column of its first row.
func One(ctx context.Context, conn *pgconn.PgConn, sql string) (string, error) {
	res, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", err
	}
	for _, r := range res {
		if len(r.Rows) > 0 && len(r.Rows[0]) > 0 {
			return string(r.Rows[0][0]), nil
		}
	}
	return "", nil
}

// Ask logs in, pins the shard unless it is negative, runs one query and leaves.
func (l Login) Ask(ctx context.Context, shard int, sql string) (string, error) {
	conn, err := l.Connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	if shard >= 0 {
		if err := Pin(ctx, conn, shard); err != nil {
			return "", err
		}
	}
	return One(ctx, conn, sql)
}

// Failure is what a client was told when an operation failed.
type Failure struct {
	Answered bool // an ErrorResponse came, rather than the end of the connection
	SQLSTATE string
	Text     string
}

// Explain takes an error of pgconn apart.
func Explain(err error) Failure {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return Failure{Answered: true, SQLSTATE: pg.Code, Text: pg.Message}
	}
	return Failure{Text: ending(err)}
}

// ending says how a connection ended, without addresses, which differ from one sample to the next.
func ending(err error) string {
	var op *net.OpError
	if errors.As(err, &op) {
		return op.Op + ": " + op.Err.Error()
	}
	for {
		next := errors.Unwrap(err)
		if next == nil {
			return err.Error()
		}
		err = next
	}
}
