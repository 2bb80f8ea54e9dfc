package stack_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/pooler/pgcat/config"
	"pgcat-failover/steps/stack"
)

func TestWhatPgCatMustListForAConfig(t *testing.T) {
	cfg, err := config.Parse([]byte(`
[pools.b.users.0]
username = "u"
pool_size = 3
[pools.b.users.1]
username = "v"
pool_size = 4
[pools.b.users.2]
username = "u"
pool_size = 9
[pools.b.shards.0]
database = "x"
servers = [["two", 5432, "primary"], ["one", 5433, "replica"]]
[pools.a.users.0]
username = "u"
pool_size = 1
[pools.a.shards.0]
database = "x"
servers = [["two", 5432, "primary"]]
`))
	require.NoError(t, err)
	assert.Equal(t, []pgcat.Database{
		{Host: "one", Port: 5433, User: "u", PoolSize: 9},
		{Host: "one", Port: 5433, User: "v", PoolSize: 4},
		{Host: "two", Port: 5432, User: "u", PoolSize: 1},
		{Host: "two", Port: 5432, User: "u", PoolSize: 9},
		{Host: "two", Port: 5432, User: "v", PoolSize: 4},
	}, stack.Wanted(cfg), "every server for every user of every pool; of two users with one name the last")
}
