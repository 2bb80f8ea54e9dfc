package config_test

import (
	"os"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"pgcat-failover/steps/pooler/pgcat/config"
)

func component(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile("../../../../manifests/components/pgcat/secret.yaml")
	require.NoError(t, err)
	var secret struct {
		StringData map[string]string `json:"stringData"`
	}
	require.NoError(t, yaml.Unmarshal(data, &secret))
	return []byte(secret.StringData["pgcat.toml"])
}

func TestParseReadsTheComponentsOwnConfig(t *testing.T) {
	c, err := config.Parse(component(t))
	require.NoError(t, err)
	assert.Equal(t, 6432, c.General.Port)
	assert.Equal(t, 5000, c.General.ConnectTimeout)
	require.Len(t, c.Pools, 1)
	p := c.Pools[0]
	assert.Equal(t, "postgres", p.Name, "the pool bears the database's name, or the seed's connection string would not work")
	assert.Equal(t, "random_healthy", p.DefaultShard, "without it PgCat never fails over between shards")
	require.Len(t, p.Shards, 3)
	for i, host := range []string{"postgres-primary", "postgres-secondary", "postgres-tertiary"} {
		require.Len(t, p.Shards[i].Servers, 1, "one primary a shard")
		assert.Equal(t, config.Server{Host: host + ".argo.svc.cluster.local", Port: 5432, Role: "primary"}, p.Shards[i].Servers[0])
	}
}

// The seed document's figures, at the places where PgCat reads them: in the pool, where the seed has some, they do nothing.
func TestTheSeedDocumentsFiguresStandWherePgCatReadsThem(t *testing.T) {
	c, err := config.Parse(component(t))
	require.NoError(t, err)
	p := c.Pools[0]
	require.Len(t, p.Users, 1)
	for _, tc := range []struct {
		key        string
		want, have any
	}{
		{"pool_size", 25, p.Users[0].PoolSize},
		{"min_pool_size", 5, p.Users[0].MinPoolSize},
		{"pool_mode", "transaction", p.PoolMode},
		{"load_balancing_mode", "random", p.LoadBalancingMode},
		{"healthcheck_delay", 30_000, c.General.HealthcheckDelay},
		{"connect_timeout", 5000, c.General.ConnectTimeout},
		{"prometheus_exporter_port", 9930, c.General.PrometheusExporterPort},
		{"enable_prometheus_exporter", true, c.General.EnablePrometheusExporter},
	} {
		assert.Equal(t, tc.want, tc.have, tc.key)
	}
}

func TestParse(t *testing.T) {
	for _, tc := range []struct{ story, in, wantErr string }{
		{"keys that PgCat ignores are ignored here too", "[general]\nautomatic_failover = true\n", ""},
		{"a server without a role is told apart from one", "[pools.a.shards.0]\nservers=[[\"h\", 5432]]\ndatabase=\"d\"", "want [host, port, role]"},
		{"a shard must be a number, PgCat uses it as an index", "[pools.a.shards.x]\nservers=[]\ndatabase=\"d\"", `shard "x" is not a number`},
		{"a server may be a table", "[pools.a.shards.0]\nservers=[{host=\"h\", port=5432, role=\"Primary\"}]\ndatabase=\"d\"", ""},
		{"what follows the role is ignored, as PgCat does", "[pools.a.shards.0]\nservers=[[\"h\", 5432, \"primary\", 1]]\ndatabase=\"d\"", ""},
		{"a file that is no TOML", "[general", "parse pgcat.toml"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			_, err := config.Parse([]byte(tc.in))
			if tc.wantErr == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.wantErr)
		})
	}
}

func TestWhatIsNotGivenIsPgCatsDefault(t *testing.T) {
	c, err := config.Parse([]byte("[general]\n"))
	require.NoError(t, err)
	assert.Equal(t, config.General{
		Host: "0.0.0.0", Port: 5432, PrometheusExporterPort: 9930, ConnectTimeout: 1000, HealthcheckDelay: 30_000,
		HealthcheckTimeout: 1000, IdleTimeout: 600_000, ServerLifetime: 3_600_000, ShutdownTimeout: 60_000, ValidateConfig: true,
	}, c.General)
}

func TestShardsComeInTheirOrderNotInThatOfTheFile(t *testing.T) {
	c, err := config.Parse([]byte("[pools.a.shards.10]\ndatabase='x'\nservers=[]\n[pools.a.shards.9]\ndatabase='y'\nservers=[]\n"))
	require.NoError(t, err)
	assert.Equal(t, 9, c.Pools[0].Shards[0].Index)
	assert.Equal(t, "shard_0", c.Pools[0].EffectiveDefaultShard())
}

func TestRedactLeavesNoPassword(t *testing.T) {
	in := `admin_password = "se\"cret" # keep
password='secret'
users = { 0 = { username = "u", password = "secret", pool_size = 1 } }
"server_password" = "secret"
password_is_not_this = "stays"
`
	out := string(config.Redact([]byte(in)))
	assert.NotContains(t, out, "secret")
	assert.NotContains(t, out, `se\"`)
	assert.Contains(t, out, "# keep")
	assert.Contains(t, out, `"stays"`)
	assert.Contains(t, out, "pool_size = 1")
}
