package edit_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/manifests"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/pooler/pgcat/config"
	"pgcat-failover/steps/pooler/pgcat/edit"
)

const primary = "postgres-primary.argo.svc.cluster.local"

// shipped is the pgcat.toml of the component's Secret.
func shipped(t *testing.T) []byte {
	t.Helper()
	data, err := manifests.Component.ReadFile("components/pgcat/secret.yaml")
	require.NoError(t, err)
	objs, err := kube.Decode(data)
	require.NoError(t, err)
	text := objs[0].Object["stringData"].(map[string]any)["pgcat.toml"].(string)
	return []byte(text)
}

func apply(t *testing.T, name string, file []byte) (string, error) {
	t.Helper()
	e, err := edit.Named(name)
	require.NoError(t, err)
	out, err := e.Apply(file, []string{primary})
	return string(out), err
}

func TestTheShippedConfigEdited(t *testing.T) {
	for name, want := range map[string][2]string{ // the line that goes, the line that comes
		"host":      {`servers = [["postgres-primary.argo.svc.cluster.local", 5432, "primary"]]`, `servers = [["postgres-primary-mistyped.argo.svc.cluster.local", 5432, "primary"]]`},
		"pool-size": {"pool_size = 25", "pool_size = 30"},
	} {
		t.Run(name, func(t *testing.T) {
			file := shipped(t)
			got, err := apply(t, name, file)
			require.NoError(t, err)
			assert.Equal(t, strings.Replace(string(file), want[0], want[1], 1), got, "that line and nothing else")
		})
	}
}

func TestAShardAdded(t *testing.T) {
	got, err := apply(t, "shard", shipped(t))
	require.NoError(t, err)
	assert.True(t, strings.HasPrefix(got, string(shipped(t))), "what was there stays as it was")
	c, err := config.Parse([]byte(got))
	require.NoError(t, err)
	shards := c.Pools[0].Shards
	require.Len(t, shards, 4)
	assert.Equal(t, 3, shards[3].Index)
	assert.Equal(t, shards[2].Servers, shards[3].Servers)
	assert.Equal(t, shards[2].Database, shards[3].Database)
}

func TestAFileThatDoesNotParse(t *testing.T) {
	got, err := apply(t, "unparsable", shipped(t))
	require.NoError(t, err)
	_, err = config.Parse([]byte(got))
	assert.Error(t, err)
}

const twoPools = `
[general]
[pools."my db".users.0]
username = "a"
pool_size = 3
[pools."my db".shards.0]
servers = [['postgres-primary.argo.svc.cluster.local', 5432, "primary"]]
database = "x"
[pools.zebra.users.0]
username = "b"
pool_size = 9
[pools.zebra.shards.0]
servers = [["elsewhere", 5432, "primary"]]
database = "x"
`

func TestOtherFiles(t *testing.T) {
	for _, tc := range []struct {
		story, edit string
		file        string
		want, err   string
	}{
		{"the first pool is the one under test, wherever it stands", "pool-size",
			strings.Replace(strings.Replace(twoPools, "zebra", "abc", 2), "pool_size = 3", "pool_size = 4", 1), "pool_size = 14", ""},
		{"a pool whose name needs quotes", "shard", twoPools, `[pools."my db".shards.1]`, ""},
		{"a host in single quotes", "host", twoPools, "'postgres-primary-mistyped.argo.svc.cluster.local'", ""},
		{"a host that another pool names too is left alone with it", "host",
			strings.Replace(twoPools, "elsewhere", primary, 1), "", "does not know"},
		{"a pool_size within an inline table", "pool-size",
			`pools = {p = {users = {0 = {username = "a", pool_size = 3}}, shards = {0 = {database = "x", servers = [["h", 1, "primary"]]}}}}`, "", "no pool_size on a line of its own"},
		{"a file that cannot be read to begin with", "shard", "[pools", "", "parse pgcat.toml"},
		{"no pool", "shard", "[general]\n", "", "needs a pool"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			got, err := apply(t, tc.edit, []byte(tc.file))
			if tc.err != "" {
				require.ErrorContains(t, err, tc.err)
				assert.Empty(t, got)
				return
			}
			require.NoError(t, err)
			assert.Contains(t, got, tc.want)
		})
	}
}

func TestAnUnknownEditIsToldWithTheKnownOnes(t *testing.T) {
	_, err := edit.Named("hosts")
	assert.ErrorContains(t, err, "host, shard, pool-size, unparsable")
}
