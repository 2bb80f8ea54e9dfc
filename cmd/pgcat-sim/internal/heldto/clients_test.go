package heldto

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
)

// withCache is a pool in which prepared statements work (rule 48).
func withCache() conf {
	return conf{pool: "prepared_statements_cache_size = 500", user: "pool_size = 10"}
}

// fresh starts a pooler with databases of its own for clients that leave tables behind.
func fresh(t *testing.T, k kind, c conf) *run {
	t.Helper()
	x := &run{t: t, kind: k}
	database := fmt.Sprintf("bench_%d", time.Now().UnixNano())
	require.NoError(t, postgres.Exec("postgres", "create database "+database))
	c.shards, c.databases = []string{postgres.Address()}, []string{database}
	x.start(c)
	return x
}

// libpqWithin ends a client that hangs; the longest run is a minute.
const libpqWithin = 100 * time.Second

func (x *run) libpq(name string, args ...string) (string, error) {
	path, err := exec.LookPath(name)
	if err != nil {
		x.t.Skipf("no %s on PATH: apt-get install postgresql-client", name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), libpqWithin)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", x.pooler.port), "PGUSER=postgres", "PGPASSWORD=postgres", "PGDATABASE=app")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestPsql: the client that people have.
func TestPsql(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Postgres; left out with -short")
	}
	t.Parallel()
	for _, release := range []string{"v1.2.0", "head"} {
		x := fresh(t, standIn(release), conf{})
		out, err := x.libpq("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-c", "create table t (n int, s text)",
			"-c", "insert into t select n, 'row ' || n from generate_series(1, 1000) n", "-c", "begin", "-c", "update t set s = 'x'",
			"-c", "rollback", "-c", `\copy (select * from t order by n limit 2) to stdout`, "-c", "select count(*), max(s) from t", "-c", `\d t`)
		require.NoError(t, err, out)
		require.Contains(t, out, "1\trow 1\n2\trow 2\n1000|row 999")
	}
}

// TestPgx: a driver's whole repertoire, from many goroutines.
func TestPgx(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Postgres; left out with -short")
	}
	t.Parallel()
	for _, release := range []string{"v1.2.0", "head"} {
		pgxModes(t, standIn(release))
	}
}

func pgxModes(t *testing.T, k kind) {
	x := fresh(t, k, withCache())
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe,
		pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		t.Run(fmt.Sprintf("%s/%s", k.release, mode), func(t *testing.T) { pgxMode(t, x.pooler.port, mode) })
	}
}

func pgxMode(t *testing.T, port int, mode pgx.QueryExecMode) {
	var all sync.WaitGroup
	problems := make(chan error, 8)
	for range cap(problems) {
		all.Add(1)
		go func() { defer all.Done(); problems <- pgxClient(port, mode) }()
	}
	all.Wait()
	for range cap(problems) {
		require.NoError(t, <-problems)
	}
}

func pgxClient(port int, mode pgx.QueryExecMode) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := pgx.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=postgres password=postgres dbname=app sslmode=disable default_query_exec_mode=%s", port, strings.ReplaceAll(mode.String(), " ", "_")))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	for i := range 50 {
		var n int
		var s *string
		if err := c.QueryRow(ctx, "select $1::int + 1, $2::text", i, nil).Scan(&n, &s); err != nil || n != i+1 || s != nil {
			return fmt.Errorf("query %d: got %d, %v: %w", i, n, s, err)
		}
	}
	return pgxTransaction(ctx, c, mode)
}

// pgxTransaction copies and batches. In the modes that describe statements a batch fails on the real
// one, too: of two Parse in one Sync it answers the one that it knows first (script prepared_cache).
func pgxTransaction(ctx context.Context, c *pgx.Conn, mode pgx.QueryExecMode) error {
	return pgx.BeginFunc(ctx, c, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "create temp table copied (n int) on commit drop"); err != nil {
			return err
		}
		rows := [][]any{{int32(1)}, {int32(2)}, {int32(3)}}
		if _, err := tx.CopyFrom(ctx, pgx.Identifier{"copied"}, []string{"n"}, pgx.CopyFromRows(rows)); err != nil {
			return err
		}
		if mode != pgx.QueryExecModeExec && mode != pgx.QueryExecModeSimpleProtocol {
			return nil
		}
		b := &pgx.Batch{}
		b.Queue("select count(*) from copied")
		b.Queue("select sum(n) from copied where n > $1", 1)
		return tx.SendBatch(ctx, b).Close()
	})
}

var (
	tps    = regexp.MustCompile(`tps = ([0-9.]+) `)
	failed = regexp.MustCompile(`number of failed transactions: 0 `)
)

// pgbench runs 16 clients and gives the transactions per second. Any error fails the test.
func (x *run) pgbench(t *testing.T, mode string, length ...string) float64 {
	t.Helper()
	out, err := x.libpq("pgbench", append([]string{"-n", "-S", "-M", mode, "-c", "16", "-j", "2"}, length...)...)
	require.NoError(t, err, out)
	require.NotContains(t, out, "error")
	require.Regexp(t, failed, out)
	n, err := strconv.ParseFloat(tps.FindStringSubmatch(out)[1], 64)
	require.NoError(t, err)
	return n
}

func (x *run) pgbenchTables(t *testing.T) {
	t.Helper()
	out, err := x.libpq("pgbench", "-i", "-q", "-s", "2")
	require.NoError(t, err, out)
}

// TestPgbench: no error while nothing is broken. The long runs are behind the tag "differential".
func TestPgbench(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Postgres; left out with -short")
	}
	t.Parallel()
	for _, release := range []string{"v1.2.0", "head"} {
		x := fresh(t, standIn(release), withCache())
		x.pgbenchTables(t)
		for _, mode := range []string{"simple", "extended", "prepared"} {
			t.Run(release+"/"+mode, func(t *testing.T) { x.pgbench(t, mode, "-t", "50") })
		}
	}
}
