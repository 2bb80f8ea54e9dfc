package pool

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
)

// build makes a pool that never dials: validate_config is off and nobody checks out.
func build(t *testing.T, pool string, shards ...string) *Pool {
	t.Helper()
	var b strings.Builder
	b.WriteString("[general]\nadmin_username = \"a\"\nadmin_password = \"a\"\nvalidate_config = false\n[pools.app]\n" + pool +
		"\n[pools.app.users.0]\nusername = \"u\"\npassword = \"p\"\npool_size = 1\n")
	for i, servers := range shards {
		fmt.Fprintf(&b, "[pools.app.shards.%d]\ndatabase = \"d\"\nservers = %s\n", i, servers)
	}
	c, err := config.Parse([]byte(b.String()))
	require.NoError(t, err)
	pools := NewPools(release.V120, observe.NewRegistry())
	require.NoError(t, pools.Build(c))
	p := pools.Get("app", "u")
	t.Cleanup(func() { p.Release(); pools.swap(nil, nil) })
	return p
}

const (
	primary    = `[["pg", 5432, "primary"]]`
	andReplica = `[["pg", 5432, "primary"], ["pg", 5433, "replica"]]`
)

func TestCandidates(t *testing.T) {
	pin := func(n int) *int { return &n }
	for _, c := range []struct {
		story, pool string
		shards      []string
		shard       *int
		role        config.Role
		errors      []uint64 // by shard
		want        []int    // shards, first choice first; ties are random and not in here
	}{
		{"one shard is shard 0 even for a pin beyond it", "", []string{primary}, pin(7), config.Any, nil, []int{0}},
		{"shard_0 keeps one", "", []string{primary, primary, primary}, nil, config.Any, []uint64{9, 0, 0}, []int{0}},
		{"shard_2 keeps another", `default_shard = "shard_2"`, []string{primary, primary, primary}, nil, config.Any, nil, []int{2}},
		{"random_healthy asks the one with the fewest errors first", `default_shard = "random_healthy"`, []string{primary, primary, primary}, nil, config.Any, []uint64{2, 0, 1}, []int{1, 2, 0}},
		{"a pin wins over health", `default_shard = "random_healthy"`, []string{primary, primary, primary}, pin(0), config.Any, []uint64{2, 0, 1}, []int{0}},
		{"a role that no server has leaves nobody", "", []string{primary}, nil, config.Replica, nil, nil},
		{"a role chooses within the shard", "", []string{andReplica, andReplica}, pin(1), config.Primary, nil, []int{1}},
	} {
		t.Run(c.story, func(t *testing.T) {
			p := build(t, c.pool, c.shards...)
			for i, n := range c.errors {
				p.shards[i][0].errors.Store(n)
			}
			list, err := p.candidates(c.shard, c.role)
			require.NoError(t, err)
			var got []int
			for _, a := range list {
				got = append(got, a.Shard)
			}
			require.Equal(t, c.want, got)
		})
	}
}

func TestPinBeyondTheLast(t *testing.T) {
	p := build(t, "", primary, primary)
	beyond := 2
	_, err := p.candidates(&beyond, config.Any)
	require.EqualError(t, err, "InvalidShardId(2)")
}

// TestTiesAreRandom: random_healthy must not always ask the same of two healthy shards.
func TestTiesAreRandom(t *testing.T) {
	p := build(t, `default_shard = "random_healthy"`, primary, primary)
	first := map[int]bool{}
	for range 200 {
		list, err := p.candidates(nil, config.Any)
		require.NoError(t, err)
		first[list[0].Shard] = true
	}
	require.Len(t, first, 2)
}

// TestErrorsCount: what counts against a shard, and that time does not heal it (rules 35 to 44).
func TestErrorsCount(t *testing.T) {
	p := build(t, "", andReplica)
	a, replica := p.shards[0][0], p.shards[0][1]
	for _, why := range []Reason{FailedCheckout, FailedHealthCheck, MessageSendFailed, MessageReceiveFailed, StatementTimeout} {
		p.Fail(a, why, nil)
		p.Fail(replica, why, nil)
	}
	require.EqualValues(t, 4, a.Errors(), "a statement timeout is no error of the address")
	require.False(t, p.Banned(a), "a primary is never banned")
	require.True(t, p.Banned(replica))
}
