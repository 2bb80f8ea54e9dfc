package config

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const smallest = `
[general]
admin_username = "admin"
admin_password = "secret"
[pools.app.users.0]
username = "postgres"
password = "postgres"
pool_size = 25
[pools.app.shards.0]
database = "postgres"
servers = [["postgres-primary", 5432, "primary"]]
`

func TestDefaults(t *testing.T) {
	c, err := Parse([]byte(smallest))
	require.NoError(t, err)
	p := c.Pools["app"]
	require.False(t, c.General.Exporter, "absent is off, whatever CONFIG.md says")
	require.Equal(t, Transaction, p.Mode)
	require.Equal(t, "shard_0", p.DefaultShard)
	require.Equal(t, []Server{{"postgres-primary", 5432, Primary}}, p.Shards["0"].Servers)
	require.Equal(t, Timing{time.Second, 10 * time.Minute, time.Hour}, c.TimingFor(p, p.Users["0"]))
	require.EqualValues(t, 0, p.PreparedStatements)
}

func TestNarrowerTimingWins(t *testing.T) {
	c, err := Parse([]byte(strings.Replace(smallest, "pool_size = 25", "pool_size = 25\nconnect_timeout = 300", 1)))
	require.NoError(t, err)
	p := c.Pools["app"]
	pool := uint64(700)
	p.ConnectTimeout, p.IdleTimeout = &pool, &pool
	require.Equal(t, Timing{300 * time.Millisecond, 700 * time.Millisecond, time.Hour}, c.TimingFor(p, p.Users["0"]))
}

// TestSeedKeys: the keys of the seed that PgCat never had are passed over in silence.
func TestSeedKeys(t *testing.T) {
	c, err := Parse([]byte(strings.Replace(smallest, "[pools.app.users.0]", "[pools.app]\nautomatic_failover = true\nfailover_timeout = 5\npool_size = 3\n[pools.app.users.0]", 1)))
	require.NoError(t, err)
	require.EqualValues(t, 25, c.Pools["app"].Users["0"].PoolSize, "pool_size counts on users only")
}

func TestServerAsTable(t *testing.T) {
	c, err := Parse([]byte(strings.Replace(smallest, `["postgres-primary", 5432, "primary"]`, `{ host = "h", port = 1, role = "Replica" }`, 1)))
	require.NoError(t, err)
	require.Equal(t, []Server{{"h", 1, Replica}}, c.Pools["app"].Shards["0"].Servers)
}

func TestExporterNeedsAnIP(t *testing.T) {
	g := General{Host: "localhost", ExporterPort: 9930}
	_, err := g.ExporterAddress()
	require.ErrorIs(t, err, ErrBad)
	g.Host = "0.0.0.0"
	at, err := g.ExporterAddress()
	require.NoError(t, err)
	require.Equal(t, "0.0.0.0:9930", at)
}
