package heldto

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

const backendPID = "select pg_backend_pid()"

// idleOrder: which of three idle connections the next query gets, for each value of the key.
func idleOrder(x *run) {
	for _, key := range []string{"", "server_round_robin = true", "server_round_robin = false"} {
		x.shards = nil
		x.start(conf{general: key, user: "pool_size = 3", shards: []string{x.endpoint(postgres.Address())}})
		x.untimed("order of hand-outs: "+orElse(key, "default"), func() []string { return x.handouts() })
	}
}

// handouts gives three connections back in a known order and tells in which order they come again.
func (x *run) handouts() []string {
	names := map[string]string{}
	var holders []*client
	for _, name := range []string{"first back", "second back", "third back"} {
		c := x.enter()
		c.ask("begin")
		names[c.value(backendPID)] = name
		holders = append(holders, c)
	}
	for _, c := range holders {
		c.ask("commit")
	}
	var order []string
	for range 4 { // one after the other: each is back before the next is asked for
		order = append(order, names[holders[0].value(backendPID)])
	}
	return order
}

// passes waits for time itself, where time is what the script is about.
func (x *run) passes(d time.Duration) {
	began := time.Now()
	x.eventually("time passes", func() bool { return time.Since(began) > d })
}

// idleTimeout: use keeps a connection, idleness ends it; min_pool_size brings another.
func idleTimeout(x *run) {
	const timeout = 1200 * time.Millisecond
	x.start(conf{general: "idle_timeout = 1200", shards: []string{x.endpoint(postgres.Address())}})
	c := x.enter()
	pid := c.value(backendPID)
	x.untimed("used all the time", func() []string {
		for range 6 {
			x.passes(timeout / 3)
			if c.value(backendPID) != pid {
				return []string{"another connection"}
			}
		}
		return []string{"the same connection"}
	})
	x.untimed("left alone", func() []string {
		x.passes(timeout / 4)
		early := x.shards[0].Open()
		x.passes(2 * timeout) // one for the idleness, one until the reaper comes by
		return []string{fmt.Sprintf("%d connection at first, %d in the end", early, x.shards[0].Open())}
	})
	c.query("begin")
	x.untimed("held by a transaction", func() []string {
		x.passes(2*timeout + timeout/2)
		return []string{fmt.Sprintf("%d connection", x.shards[0].Open())}
	})
	c.query("commit")
}

func idleTimeoutRefill(x *run) {
	x.somethingDown = true // min_pool_size makes it two connections, which is not what start waits for
	x.start(conf{general: "idle_timeout = 800", user: "pool_size = 5\nmin_pool_size = 2", shards: []string{x.endpoint(postgres.Address())}})
	before := x.enter().value(backendPID)
	x.untimed("after idle_timeout", func() []string {
		x.passes(2400 * time.Millisecond)
		x.eventually("min_pool_size connections again", func() bool { return x.servers() == 2 })
		return []string{fmt.Sprintf("the old one serves: %t", x.enter().value(backendPID) == before)}
	})
}

// untimed is a step whose length is the script's own.
func (x *run) untimed(does string, do func() []string) {
	x.step(does, func() []string {
		seen := do()
		x.elapsed = time.Millisecond
		return seen
	})
}

// serverLifetime: age ends a connection, however busy it is, but never in a transaction. Which
// moment ends it differs: head looks at each return, v1.2.0 leaves it to the reaper, who only sees
// what is idle as he comes by.
func serverLifetime(x *run) {
	const lifetime = 1500 * time.Millisecond
	x.start(conf{general: "server_lifetime = 1500", user: "pool_size = 1", shards: []string{x.endpoint(postgres.Address())}})
	x.untimed("left alone", func() []string {
		x.passes(2*lifetime + lifetime/4)
		return []string{fmt.Sprintf("%d connections", x.shards[0].Open())}
	})
	c := x.enter()
	c.query("begin")
	pid := c.value(backendPID)
	x.untimed("in a transaction beyond its age", func() []string {
		x.passes(2 * lifetime)
		return []string{fmt.Sprintf("the same: %t", c.value(backendPID) == pid)}
	})
	// The reaper may come by between commit and the next query, but that is one chance in hundreds.
	c.query("commit")
	x.untimed("the next transaction, at once", func() []string {
		return []string{fmt.Sprintf("the same: %t", c.value(backendPID) == pid)}
	})
	x.untimed("one lifetime later", func() []string {
		x.passes(lifetime + lifetime/4)
		return []string{fmt.Sprintf("the same: %t", c.value(backendPID) == pid)}
	})
}

// poolTimes: the keys of a pool or a user win over those of [general].
func poolTimes(x *run) {
	x.start(conf{general: "idle_timeout = 60000\nconnect_timeout = 5000", pool: "idle_timeout = 60000\nconnect_timeout = 3000",
		user: "pool_size = 1\nidle_timeout = 700\nconnect_timeout = 400", shards: []string{x.endpoint(postgres.Address())}})
	x.untimed("the user's idle_timeout", func() []string {
		x.passes(1800 * time.Millisecond)
		return []string{fmt.Sprintf("%d connections", x.shards[0].Open())}
	})
	holder := x.enter()
	holder.query("begin")
	x.enter().query("select 1")
}

// leastOutstanding sends to the replica that is less busy, and to a dead shard first.
func leastOutstanding(x *run) {
	server := x.endpoint(postgres.Address())
	one, two := x.endpoint(postgres.Address()), x.endpoint(postgres.Address())
	x.start(conf{pool: "load_balancing_mode = \"loc\"\ndefault_role = \"replica\"",
		shards: []string{server + " primary;" + one + " replica;" + two + " replica"}})
	busy, c := x.enter(), x.enter()
	for _, who := range []*client{busy, c} {
		who.query("set server role to 'replica'")
	}
	busy.query("begin")
	x.step("20 queries beside a busy replica", func() []string {
		for range 20 {
			c.ask("select 1")
		}
		return x.queriesServed()
	})
	busy.query("commit")
}

// leastOutstandingDeadShard: a dead shard has nothing busy, so it comes first although it failed.
func leastOutstandingDeadShard(x *run) {
	x.start(conf{pool: "load_balancing_mode = \"loc\"\ndefault_shard = \"random_healthy\"", general: "connect_timeout = 600\nhealthcheck_delay = 0"})
	holders := []*client{x.enter(), x.enter(), x.enter()}
	for i, c := range holders[1:] {
		c.query(fmt.Sprintf("set shard to %d", i+1))
		c.query("begin")
	}
	x.shards[0].Down()
	holders[0].query("set shard to 0")
	x.letIdle()
	holders[0].query("select 1") // the count of errors of shard 0 is above the others' from now on
	c := x.enter()
	x.step("the others are busy", func() []string { return []string{fmt.Sprint(c.value(where) != "shard0")} })
	x.step("and again", func() []string { return []string{fmt.Sprint(c.value(where) != "shard0")} })
	for _, c := range holders[1:] {
		c.query("commit")
	}
	x.step("nobody is busy", func() []string { return []string{fmt.Sprint(c.value(where) != "shard0")} })
}

// queriesServed lists the query counts of all servers, in order of size: which replica is which is chance.
func (x *run) queriesServed() []string {
	var counts []string
	for _, s := range x.enter("database", "pgcat").ask("SHOW STATS") {
		if f := strings.Split(s, "|"); len(f) > 10 {
			counts = append(counts, f[4])
		}
	}
	slices.Sort(counts)
	return counts
}

const window = 15 * time.Second

// Columns of SHOW STATS.
const (
	avgXactCount  = 11
	avgQueryCount = 12
	avgErrors     = 15
)

var averagesShown = []int{avgXactCount, avgQueryCount, avgErrors}

// averages: what one window counted is shown in the next, a fifteenth of it, rounded down.
func averages(x *run) {
	x.start(conf{shards: []string{x.endpoint(postgres.Address())}})
	c := x.enter()
	const queries = 100
	x.untimed("a hundred queries in one window", func() []string {
		for range queries {
			c.ask("select 1")
		}
		return []string{x.stats(averagesShown...)}
	})
	x.untimed("in the next", func() []string {
		x.within(window+window/3, func() bool { return x.stats(avgQueryCount) != "0" })
		return []string{x.stats(averagesShown...)}
	})
	x.untimed("a window in which nothing was", func() []string {
		x.within(window+window/3, func() bool { return x.stats(avgQueryCount) == "0" })
		return []string{x.stats(averagesShown...)}
	})
}

// stats are columns of the one row of SHOW STATS.
func (x *run) stats(columns ...int) string {
	admin := x.enter("database", "pgcat")
	defer admin.leave()
	var picked []string
	for _, s := range admin.ask("SHOW STATS") {
		row, ok := strings.CutPrefix(s, "D ")
		if !ok {
			continue
		}
		fields := strings.Split(row, "|")
		for _, c := range columns {
			picked = append(picked, fields[c])
		}
	}
	return strings.Join(picked, "|")
}

// within is eventually with a patience of its own; that it ends is for the next step to see.
func (x *run) within(d time.Duration, check func() bool) {
	deadline := time.Now().Add(d)
	for time.Now().Before(deadline) && !check() {
		x.passes(100 * time.Millisecond)
	}
}

// times: in which units time is counted, and what a client is called while it waits.
func times(x *run) {
	x.start(conf{general: "connect_timeout = 5000", user: "pool_size = 1", shards: []string{x.endpoint(postgres.Address())}})
	holder, waiter := x.enter("application_name", "holder"), x.enter("application_name", "waiter")
	holder.query("begin")
	admin := x.enter("database", "pgcat")
	waiter.send(&pgproto3.Query{String: "select pg_sleep(0.4)"})
	x.eventually("it waits", func() bool { return strings.Contains(strings.Join(admin.ask("SHOW CLIENTS"), " "), "waiting") })
	x.show(admin, "SHOW CLIENTS", 0, 8, 9, 10)
	x.show(admin, "SHOW POOLS", 12, 13)
	x.passes(600 * time.Millisecond)
	holder.query("commit")
	x.step("the waiter's query", func() []string { return waiter.until(patience) })
	x.untimed("what it came to", func() []string {
		totals := strings.Split(x.stats(totalQueryTime, totalWaitTime), "|")
		return []string{"query_time in ms: " + between(totals[0], 400, 2000), "wait_time in us: " + between(totals[1], 600_000, 4_000_000)}
	})
}

// Columns of SHOW STATS.
const (
	totalQueryTime = 8
	totalWaitTime  = 9
)

func between(number string, least, most int) string {
	var n int
	_, _ = fmt.Sscan(number, &n)
	return fmt.Sprint(least <= n && n <= most)
}
