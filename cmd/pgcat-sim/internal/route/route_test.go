package route

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
	"pgcat-failover/steps/pgtest"
)

func threeShards() *pool.Settings {
	return &pool.Settings{
		Pool:        config.Pool{ShardingFunction: "pg_bigint_hash", Shards: map[string]config.Shard{"0": {}, "1": {}, "2": {}}},
		DefaultRole: config.Replica, SearchLimit: 1000,
	}
}

func simple(sql string) []byte { return wire.Encode(nil, &pgproto3.Query{String: sql}) }

func TestCommands(t *testing.T) {
	for _, c := range []struct {
		story, sql, answer string
		ours               bool
	}{
		{"a pin", "SET SHARD TO '1'", "SET SHARD", true},
		{"quotes, case and blanks are free", "  set shard to 1  ; ", "SET SHARD", true},
		{"a pin beyond the last", "set shard to 3", "shard 3 is not configured 3, staying on shard None (shard numbers start at 0)", true},
		{"a pin beyond any number kills the client", "set shard to 99999999999999999999999", "panic", false},
		{"nothing pinned yet", "show shard", "unset", true},
		{"a role needs its quotes", "SET SERVER ROLE TO primary", "", false},
		{"a role", "SET SERVER ROLE TO 'PRIMARY'", "SET SERVER ROLE", true},
		{"two statements are no command", "set shard to 1; select 1", "", false},
		{"nor is a query that speaks of one", "select 'set shard to 1'", "", false},
		{"a leading newline spoils it", "\nset shard to 1", "", false},
	} {
		t.Run(c.story, func(t *testing.T) {
			a, ours, err := New(release.V120, threeShards()).Command(simple(c.sql))
			if errors.Is(err, ErrPanic) {
				require.Equal(t, c.answer, "panic")
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.ours, ours)
			require.Equal(t, c.answer, a.Error+shown(a))
		})
	}
}

func shown(a Answer) string {
	if a.Column != "" {
		return a.Value
	}
	return a.Tag
}

func TestDefaultRoleAtLogin(t *testing.T) {
	require.Equal(t, config.Any, New(release.V120, threeShards()).Role(), "v1.2.0 ignores default_role")
	require.Equal(t, config.Replica, New(release.Head, threeShards()).Role(), "head does not (#847)")
}

func TestReadWriteSplitting(t *testing.T) {
	s := threeShards()
	s.QueryParser, s.ReadWriteSplitting = true, true
	for sql, role := range map[string]config.Role{
		"select 1":                       config.Replica,
		"  with x as (select 1) table x": config.Replica,
		"select * from t for update":     config.Primary,
		"insert into t values (1)":       config.Primary,
		"begin":                          config.Primary,
	} {
		r := New(release.V120, s)
		r.Infer(simple(sql))
		require.Equal(t, role, r.Role(), sql)
	}
}

// TestShardOfLikePostgres asks Postgres itself which partition it would take.
func TestShardOfLikePostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Postgres; left out with -short")
	}
	pg, err := pgtest.Start()
	if errors.Is(err, pgtest.ErrNoPostgres) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer pg.Stop()
	require.NoError(t, pg.Exec("postgres", "create table p (k bigint) partition by hash (k)"))
	for _, key := range []int64{0, 1, 2, 7, 42, 1234, 99999, -1, -5, 1 << 40, -(1 << 50)} {
		shard := ShardOf("pg_bigint_hash", key, 5)
		fits, err := pg.Ask("postgres", fmt.Sprintf("select satisfies_hash_partition('p'::regclass, 5, %d, %d::bigint)", shard, key))
		require.NoError(t, err)
		require.Equal(t, "t", fits, "key %d on shard %d", key, shard)
	}
}
