// Package pool is PgCat's pool of pools: one queue of servers per user, shard and server, and the
// choice among them (rules 21 to 38).
package pool

import (
	"fmt"
	"strings"
	"sync/atomic"

	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
)

// Address is one server of one shard of one user's pool.
type Address struct {
	config.Server
	Pool, User    string
	Database      string
	Shard, Index  int
	ReplicaNumber int
	position      int // of its shard; the same as Shard unless the keys of the shards have gaps
	Stats         *observe.AddressStats

	// errors since the last connection that the address handed out, dead or alive. It is all that
	// random_healthy knows of health: time plays no part, so a shard that failed once stays last
	// until the others have failed as often.
	errors atomic.Uint64
	queue  *queue
}

// Name is the address in SHOW STATS, SHOW DATABASES and SHOW SERVERS.
func (a *Address) Name() string {
	if a.Role == config.Primary {
		return fmt.Sprintf("%s_shard_%d_primary", a.Pool, a.Shard)
	}
	return fmt.Sprintf("%s_shard_%d_%s_%d", a.Pool, a.Shard, a.Role, a.ReplicaNumber)
}

// String is the address as PgCat's log shows it, less the counters: people grep for shard and host in it.
func (a *Address) String() string {
	role := string(a.Role)
	return fmt.Sprintf("Address { host: %q, port: %d, shard: %d, database: %q, role: %s, replica_number: %d, address_index: %d, username: %q, pool_name: %q }",
		a.Host, a.Port, a.Shard, a.Database, strings.ToUpper(role[:1])+role[1:], a.ReplicaNumber, a.Index, a.User, a.Pool)
}

// Errors is the count that random_healthy sorts by.
func (a *Address) Errors() uint64 { return a.errors.Load() }

// busy is how many connections clients hold.
func (a *Address) busy() uint32 {
	total, idle := a.queue.state()
	if idle > total {
		return 0
	}
	return total - idle
}
