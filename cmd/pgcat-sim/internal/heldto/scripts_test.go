package heldto

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/steps/pgtest"
)

// script is a story told to a pooler; only: the one release it makes sense for.
type script struct {
	name string
	only string
	tell func(x *run)
}

var scripts = []script{
	{"login", "", login},
	{"startup_packets", "", startupPackets},
	{"login_trust", "head", loginTrust},
	{"login_never_validated", "", loginNeverValidated},
	{"pins", "", pins},
	{"pins_in_transaction", "", pinsInTransaction},
	{"pin_by_comment", "", pinByComment},
	{"default_role", "", defaultRole},
	{"endpoint_gone", "", endpointGone},
	{"endpoint_gone_one_shard", "", endpointGoneOneShard},
	{"name_gone", "", nameGone},
	{"address_changed", "", addressChanged},
	{"address_changed_dns_cache", "", addressChangedDNSCache},
	{"random_healthy", "", randomHealthy},
	{"random", "", randomShard},
	{"cut_in_transaction", "", cutInTransaction},
	{"cut_idle_server", "", cutIdleServer},
	{"postgres_killed", "", postgresKilled},
	{"black_hole", "", blackHole},
	{"black_hole_health_check", "", blackHoleHealthCheck},
	{"timeouts", "", timeouts},
	{"exhausted", "", exhausted},
	{"checkout_failure_limit", "", checkoutFailureLimit},
	{"replicas", "", replicas},
	{"cleanup", "", cleanup},
	{"parameters", "", parameters},
	{"session_mode", "", sessionMode},
	{"extended", "", extended},
	{"prepared_cache", "", preparedCache},
	{"copy", "", copyInOut},
	{"copy_abandoned", "", copyAbandoned},
	{"cancel", "", cancelQuery},
	{"malformed", "", malformed},
	{"admin", "", adminCommands},
	{"pause", "", pauseResume},
	{"metrics", "", metricsFormat},
	{"metrics_failover", "", metricsFailover},
	{"reload", "", reload},
	{"reload_trap", "", reloadTrap},
	{"autoreload", "", autoreload},
	{"shutdown_sigint", "", shutdownInterrupt},
	{"shutdown_timeout", "", shutdownTimeout},
	{"shutdown_sigterm", "", shutdownTerminate},
	{"shutdown_admin", "", shutdownAdmin},
	{"start_with_shard_down", "", startWithShardDown},
	{"shard_keys_with_a_gap", "", gap},
	{"exit_codes", "", exitCodes},
	{"config_path", "", configPath},
	{"start_waits", "", startWaits},
	{"slow_login", "", slowLogin},
	{"times", "", times},
	{"idle_order", "", idleOrder},
	{"idle_timeout", "", idleTimeout},
	{"idle_timeout_refill", "", idleTimeoutRefill},
	{"server_lifetime", "", serverLifetime},
	{"pool_times", "", poolTimes},
	{"least_outstanding", "", leastOutstanding},
	{"least_outstanding_dead_shard", "", leastOutstandingDeadShard},
	{"averages", "", averages},
	{"server_tls", "", serverTLS},
	{"client_tls", "", clientTLS},
	{"client_tls_reload", "", clientTLSReload},
	{"client_tls_files", "", clientTLSFiles},
	{"auth_query", "", authQuery},
	{"socket_options", "", socketOptions},
	{"syn_lost", "", synLost},
	{"syn_lost_all", "", synLostAll},
	{"pod_lost", "", podLost},
	{"pod_lost_in_query", "", podLostInQuery},
	{"pod_lost_health_check", "", podLostHealthCheck},
	{"client_lost", "", clientLost},
}

func names(kv ...string) map[string]string {
	m := map[string]string{}
	for i := 0; i+1 < len(kv); i += 2 {
		m[kv[i]] = kv[i+1]
	}
	return m
}

func login(x *run) {
	x.start(conf{})
	x.login("right password", names("user", "postgres", "database", "app"), "postgres")
	x.login("names itself and a time zone", names("user", "postgres", "database", "app", "application_name", "story", "timezone", "Europe/Berlin", "extra_float_digits", "3"), "postgres")
	x.login("wrong password", names("user", "postgres", "database", "app"), "wrong")
	x.login("unknown pool", names("user", "postgres", "database", `no"such`), "postgres")
	x.login("unknown user", names("user", "nobody", "database", "app"), "postgres")
	x.login("database left out", names("user", "postgres"), "postgres")
	x.login("admin", names("user", "admin", "database", "pgcat"), "admin-secret")
	x.login("admin by its other name", names("user", "admin", "database", "pgbouncer"), "admin-secret")
	x.login("admin, wrong password", names("user", "admin", "database", "pgcat"), "wrong")
	x.login("admin under another name", names("user", "someone", "database", "pgcat"), "admin-secret")
}

// raw sends bytes as the first thing on a connection.
func (x *run) raw(does string, within time.Duration, packet []byte) {
	x.step(does, func() []string {
		c := x.dial()
		_, _ = c.conn.Write(packet)
		return c.bytes(within)
	})
}

// bytes reads what comes without taking it for messages.
func (c *client) bytes(within time.Duration) []string {
	var seen []string
	buf := make([]byte, 1)
	for {
		_ = c.conn.SetReadDeadline(time.Now().Add(within))
		n, err := c.conn.Read(buf)
		if err != nil {
			return append(seen, ending(err))
		}
		seen = append(seen, string(buf[:n]))
		if len(seen) > 3 {
			return append(seen, "more")
		}
	}
}

func startupPackets(x *run) {
	const soon = 400 * time.Millisecond
	x.start(conf{})
	be := func(ns ...uint32) []byte {
		var b []byte
		for _, n := range ns {
			b = append(b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
		}
		return b
	}
	with := func(code uint32, text string) []byte {
		return append(be(uint32(8+len(text)), code), text...)
	}
	x.raw("SSLRequest", soon, be(8, 80877103))
	x.raw("SSLRequest twice", soon, be(8, 80877103, 8, 80877103))
	x.raw("GSSENCRequest", soon, be(8, 80877104))
	x.raw("protocol 2.0", soon, with(2<<16, "user\x00postgres\x00\x00"))
	x.raw("protocol 3.2", soon, with(3<<16|2, "user\x00postgres\x00\x00"))
	x.raw("no user", soon, with(3<<16, "database\x00app\x00\x00"))
	x.raw("an odd number of words", soon, with(3<<16, "user\x00postgres\x00database\x00\x00"))
	x.raw("no parameters", soon, be(8, 3<<16))
	x.raw("no end", soon, with(3<<16, "user\x00postgres"))
	x.raw("no extra end", soon, with(3<<16, "user\x00postgres\x00"))
	x.raw("length 0", soon, be(0, 3<<16))
	x.raw("length 4", soon, be(4, 3<<16))
	x.raw("length 7", soon, be(7, 3<<16))
	x.raw("negative length", soon, be(0xffffffff, 3<<16))
	x.raw("HTTP", soon, []byte("GET /health HTTP/1.1\r\nHost: pgcat\r\n\r\n"))
	x.raw("cancel request of nobody", soon, be(16, 80877102, 1, 2))
	x.raw("cancel request cut short", soon, be(8, 80877102))
	x.login("still well", names("user", "postgres", "database", "app"), "postgres")
}

func loginTrust(x *run) {
	x.start(conf{general: `admin_auth_type = "trust"`, user: "pool_size = 5\nauth_type = \"trust\""})
	x.login("no password asked", names("user", "postgres", "database", "app"), "")
	x.login("admin, no password asked", names("user", "admin", "database", "pgcat"), "")
}

func loginNeverValidated(x *run) {
	target := x.endpoint(postgres.Address())
	x.shards[0].Down()
	x.somethingDown = true
	x.start(conf{shards: []string{target}, general: "connect_timeout = 600"})
	x.login("pool never seen alive", names("user", "postgres", "database", "app"), "postgres")
	must(x, x.shards[0].Restore())
	x.eventually("the pool is validated", func() bool {
		c := x.dial()
		defer c.conn.Close()
		return slices.Contains(c.login(names("user", "postgres", "database", "app"), "postgres"), "Z I")
	})
	x.shards[0].Down()
	x.login("pool seen alive once, down now", names("user", "postgres", "database", "app", "application_name", "pgcat"), "postgres")
}

func must(x *run, err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}

const where = "select current_database()"

func pins(x *run) {
	x.start(conf{pool: `default_shard = "shard_2"`})
	c := x.enter()
	for _, sql := range []string{
		"show shard", where, "SET SHARD TO '1'", "show shard", where, "  set shard to 0 ; ", where,
		"SET SHARD TO 7", "show shard", "SET SHARD TO '3'", "SHOW SHARD;",
		"SET SHARDING KEY TO '1234'", "show shard", "SET SHARDING KEY TO 99;", where,
		"SHOW SERVER ROLE", "SET SERVER ROLE TO 'primary'", "SHOW SERVER ROLE", "set server role to 'ANY'", "SHOW SERVER ROLE",
		"SET SERVER ROLE TO 'auto'", "SHOW SERVER ROLE", "SET SERVER ROLE TO 'default'", "SHOW SERVER ROLE",
		"SET SERVER ROLE TO primary", "SET SERVER ROLE TO 'replica'", "SHOW SERVER ROLE", where,
		"SET SERVER ROLE TO 'any'", "SHOW PRIMARY READS", "SET PRIMARY READS TO on", "SHOW PRIMARY READS",
		"SET PRIMARY READS TO 'OFF'", "SHOW PRIMARY READS", "SET PRIMARY READS TO default", "SHOW PRIMARY READS",
		"SET SHARD TO 1; select 1", "SET SHARD 1",
	} {
		c.query(sql)
	}
	c.query("SET SHARD TO ANY")
	c.as("three queries on one shard", "select 1")
	x.step("ANY sticks", func() []string {
		first := c.value(where)
		for range 5 {
			if got := c.value(where); got != first {
				return []string{"moved from " + first + " to " + got}
			}
		}
		return []string{"stays"}
	})
	fresh := x.enter()
	fresh.query("SET SHARD TO 3")
	fresh.query("SET SHARD TO '99999999999999999999999'")
}

func pinsInTransaction(x *run) {
	x.start(conf{})
	c := x.enter()
	for _, sql := range []string{"begin", "set shard to 1", "rollback", "set shard to 1", "begin", "show shard", where, "commit", "commit", where} {
		c.query(sql)
	}
}

func pinByComment(x *run) {
	x.start(conf{pool: `shard_id_regex = '/\* shard_id: (\d+) \*/'
sharding_key_regex = '/\* sharding_key: (\d+) \*/'`})
	c := x.enter()
	c.query("/* shard_id: 2 */ " + where)
	c.query(where)
	c.query("/* shard_id: 7 */ " + where)
	c.query(where)
	c.query("/* sharding_key: 1234 */ " + where)
	c.query("/* shard_id: 7 */ set shard to 1")
	c.query("set shard to 1")
	c.query(where)
}

func defaultRole(x *run) {
	x.start(conf{pool: `default_role = "replica"`, general: "connect_timeout = 500"})
	c := x.enter()
	c.query("SHOW SERVER ROLE")
	c.query(where)
	c.query("SET SERVER ROLE TO 'default'")
	c.query("SHOW SERVER ROLE")
	c.query(where)
}

// endpointGone: one of three shards away, and nobody told the pooler.
func endpointGone(x *run) {
	x.start(conf{})
	c := x.enter()
	c.query(where)
	x.shards[0].Down()
	c2 := x.enter()
	c2.query(where) // hits the dead connection: E3
	c3 := x.enter()
	c3.query(where) // has to dial: E1 after connect_timeout, and the client stays
	c3.query("set shard to 1")
	c3.query(where)
	c3.query("set shard to 0")
	c3.query(where)
	must(x, x.shards[0].Restore())
	x.recovered(c3)
	c3.query(where)
}

func endpointGoneOneShard(x *run) {
	x.start(conf{shards: []string{x.endpoint(postgres.Address())}})
	x.shards[0].Down()
	x.eventually("the dead server was noticed", func() bool {
		return x.enter().ask("select 1") != nil && x.servers() == 0
	})
	c := x.enter()
	c.query("select 1")
	c.do("begin", &pgproto3.Query{String: "begin"})
	c.do("Parse, Bind, Execute, Sync", statement("", "select 1")...)
	must(x, x.shards[0].Restore())
	x.recovered(c)
	c.query("select 2")
}

// recovered waits until a query works again. When that is depends on where the pooler was in its
// row of dials: at head a waiter that came while the last of them failed starts no other.
func (x *run) recovered(c *client) {
	x.eventually("a query works again", func() bool { return c.value(where) != "" })
}

// servers is how many connections to servers the pooler holds.
func (x *run) servers() int {
	admin := x.enter("database", "pgcat")
	defer admin.leave()
	n := 0
	for _, s := range admin.ask("SHOW DATABASES") {
		if f := strings.Split(strings.TrimPrefix(s, "D "), "|"); len(f) == 13 {
			var k int
			_, _ = fmt.Sscan(f[10], &k)
			n += k
		}
	}
	return n
}

// where20 asks 20 times, each time over a new connection, and tells who answered and who did not.
func (x *run) where20(does string) {
	x.step(does, func() []string {
		c := x.enter()
		answers := map[string]bool{}
		for range 20 {
			v := c.value(where)
			if v == "" {
				v = "error"
			}
			answers[v] = true
		}
		return sorted(answers)
	})
}

func sorted(set map[string]bool) []string {
	var all []string
	for v := range set {
		all = append(all, v)
	}
	slices.Sort(all)
	return all
}

// randomHealthy: the shard that failed does not come back while others work; a pin brings it back.
func randomHealthy(x *run) {
	x.start(conf{pool: `default_shard = "random_healthy"`, general: "healthcheck_delay = 0\nconnect_timeout = 500"})
	x.where20("all up")
	x.shards[0].Down()
	pinned := x.enter()
	pinned.query("set shard to 0")
	x.letIdle()
	pinned.query(where) // health check due, fails: nobody else to ask
	pinned.query(where) // has to dial
	x.where20("shard 0 down")
	must(x, x.shards[0].Restore())
	x.where20("shard 0 is back and gets nothing")
	pinned.query(where)
	x.where20("a pin made it healthy")
}

func randomShard(x *run) {
	x.start(conf{pool: `default_shard = "random"`, general: "healthcheck_delay = 0\nconnect_timeout = 300"})
	x.where20("all up")
	x.shards[1].Down()
	x.letIdle()
	x.step("shard 1 down", func() []string {
		c := x.enter()
		answers := map[string]bool{}
		for range 8 {
			answers[c.value(where)] = true
		}
		x.elapsed = 1 // how often shard 1 came first is chance
		return sorted(answers)
	})
	must(x, x.shards[1].Restore())
	x.where20("shard 1 is back at once")
}

func cutInTransaction(x *run) {
	x.start(conf{})
	for _, reset := range []bool{false, true} {
		c := x.enter()
		c.query("begin")
		x.shards[0].Cut(reset)
		x.letIdle() // the reset is there before the next message is sent
		c.query("select 1")
		c.do("after that", &pgproto3.Query{String: "select 1"})
	}
	c := x.enter()
	x.sleepIn(c)
	x.shards[0].Cut(false)
	x.step("cut in the middle of a query", func() []string { return c.after(c.until(patience)) })
	next := x.enter()
	next.query("select 1")
}

// sleepIn makes the client's server sleep, and returns when it does.
func (x *run) sleepIn(c *client) {
	mark := fmt.Sprintf("pg_sleep(20) as p%d", x.pooler.port)
	c.send(&pgproto3.Query{String: "select " + mark})
	x.eventually("it sleeps", func() bool {
		n, err := postgres.Ask("postgres", "select count(*) from pg_stat_activity where state = 'active' and query = 'select "+mark+"'")
		return err == nil && n == "1"
	})
}

// letIdle gives every connection an idle time above a healthcheck_delay of 0: PgCat counts whole
// milliseconds, and a script is faster.
func (x *run) letIdle() {
	began := time.Now()
	x.eventually("some milliseconds are over", func() bool { return time.Since(began) > 10*time.Millisecond })
}

// cutIdleServer: the three ways in which a dead idle connection shows.
func cutIdleServer(x *run) {
	x.start(conf{general: "connect_timeout = 500"})
	warm := x.enter()
	warm.query("select 1")
	x.shards[0].Cut(false)
	warm.query("select 1") // sent, and no answer: E3
	again := x.enter()
	again.query("select 1")
	x.shards[0].Cut(false)
	other := x.enter("application_name", "story")
	other.query("select 1") // dies in the SET before it: E4
	x.shards[0].Cut(true)
	extended := x.enter()
	extended.do("Parse, Bind, Execute, Sync", statement("", "select 1")...)
	last := x.enter()
	last.query("select 1")
}

func statement(name, sql string) []pgproto3.FrontendMessage {
	return []pgproto3.FrontendMessage{
		&pgproto3.Parse{Name: name, Query: sql}, &pgproto3.Bind{PreparedStatement: name},
		&pgproto3.Execute{}, &pgproto3.Sync{},
	}
}

// postgresKilled: the server says 57P01 and goes; its words never arrive.
func postgresKilled(x *run) {
	own, err := pgtest.Start("shard0")
	must(x, err)
	x.t.Cleanup(own.Stop)
	x.start(conf{shards: []string{x.endpoint(own.Address())}, general: "connect_timeout = 500"})
	c := x.enter()
	c.query("begin")
	idle := x.enter()
	idle.query("select 1")
	own.Kill()
	c.query("select 1")
	idle.query("select 2")
	idle2 := x.enter()
	idle2.query("select 3")
	must(x, own.Up())
	x.eventually("Postgres is back", func() bool { return own.Exec("shard0", "select 1") == nil })
	x.recovered(idle2)
	idle2.query("select 4")
}

func blackHole(x *run) {
	x.start(conf{general: "connect_timeout = 500", user: "pool_size = 5\nstatement_timeout = 700"})
	c := x.enter()
	c.query("select 1")
	x.shards[0].BlackHole()
	c.query("select 1") // E5: only statement_timeout ends it
	next := x.enter()
	next.query("select 1") // the dial hangs: E1
	next.query("set shard to 1")
	next.query(where)
}

func blackHoleHealthCheck(x *run) {
	x.start(conf{pool: `default_shard = "random_healthy"`, general: "connect_timeout = 500\nhealthcheck_delay = 0\nhealthcheck_timeout = 700"})
	x.shards[0].BlackHole()
	pinned := x.enter()
	pinned.query("set shard to 0")
	x.letIdle()
	pinned.query(where)
	pinned.query(where)
	x.where20("the others")
}

func timeouts(x *run) {
	x.start(conf{general: "idle_client_in_transaction_timeout = 600", user: "pool_size = 5\nstatement_timeout = 900"})
	c := x.enter()
	c.query("create temp table t (n int)")
	c.query("begin")
	x.step("idle in transaction", func() []string { return c.after(c.until(patience)) })
	c.query("select 1")
	c.query("select pg_sleep(3)")
	next := x.enter()
	next.query("select 1")
}

func exhausted(x *run) {
	x.start(conf{general: "connect_timeout = 600", user: "pool_size = 1"})
	holder := x.enter()
	holder.query("begin")
	waiter := x.enter()
	waiter.query("select 1")
	waiter.query("select 1")
	holder.query("commit")
	waiter.query("select 1")
}

func checkoutFailureLimit(x *run) {
	x.start(conf{general: "connect_timeout = 300", pool: "checkout_failure_limit = 2", user: "pool_size = 1"})
	holder := x.enter()
	holder.query("begin")
	waiter := x.enter()
	waiter.query("select 1")
	waiter.query("select 1")
	other := x.enter()
	other.query("select 1")
	x.untimed("the last failure allowed, and what follows", func() []string {
		return append(other.answer("select 1"), other.until(aftermath)...)
	})
}

// replicas are banned; primaries never.
func replicas(x *run) {
	primary, replica := x.endpoint(postgres.Address()), x.endpoint(postgres.Address())
	x.start(conf{shards: []string{primary + " primary;" + replica + " replica"}, general: "connect_timeout = 400\nban_time = 30"})
	admin := x.enter("database", "pgcat")
	c := x.enter()
	c.query("SET SERVER ROLE TO 'replica'")
	c.query(where)
	x.shards[1].Down()
	c.query("select 1")
	c = x.enter()
	c.query("SET SERVER ROLE TO 'replica'")
	x.show(admin, "SHOW BANS", 5, 7)
	c.query("select 1") // all replicas are banned, so none is: dials, E1
	c.query("select 1")
	c.query("SET SERVER ROLE TO 'primary'")
	c.query("select 1")
	must(x, x.shards[1].Restore())
	admin.query("UNBAN 127.0.0.1")
	c.query("SET SERVER ROLE TO 'replica'")
	c.query("select 1")
	admin.query("BAN 127.0.0.1 100")
	x.show(admin, "SHOW BANS", 5, 7)
	x.show(admin, "SHOW DATABASES")
	c.query("select 1")
	x.show(admin, "SHOW BANS", 5, 7)
	for _, sql := range []string{"BAN", "BAN 127.0.0.1", "BAN 127.0.0.1 x", "BAN 127.0.0.1 0", "UNBAN", "BAN elsewhere 5"} {
		admin.query(sql)
	}
}

// cleanup: what one client leaves, the next must not find.
func cleanup(x *run) {
	x.start(conf{user: "pool_size = 1"})
	a, b := x.enter(), x.enter()
	a.query("set work_mem to '7MB'")
	b.query("show work_mem")
	a.query("prepare p as select 1")
	b.query("execute p")
	a.query("begin")
	a.query("set work_mem to '8MB'")
	a.query("commit")
	b.query("show work_mem")
	a.query("set application_name to 'a'")
	a.query("show application_name")
	b.query("show application_name")
	a.query("set role none")
	a.query("begin")
	a.query("create table " + x.own("left_open") + " (n int)")
	a.conn.Close()
	b.query("select * from " + x.own("left_open"))
}

func parameters(x *run) {
	x.start(conf{user: "pool_size = 1"})
	berlin := x.enter("application_name", "berlin", "timezone", "Europe/Berlin", "datestyle", "German")
	plain := x.enter()
	berlin.query("show timezone")
	plain.query("show timezone")
	berlin.query("show datestyle")
	berlin.query("set timezone to 'Asia/Tokyo'")
	plain.query("show timezone")
	berlin.query("show timezone")
	bad := x.enter("application_name", "it's")
	bad.query("select 1")
	bad.query("show application_name")
}

func sessionMode(x *run) {
	x.start(conf{pool: `pool_mode = "session"`, general: "connect_timeout = 500", user: "pool_size = 1"})
	a := x.enter()
	a.query("select 1")
	b := x.enter()
	b.query("select 1")
	a.query("set work_mem to '7MB'")
	a.query("show work_mem")
	a.query("set shard to 1")
	a.query("prepare p as select 1")
	a.query("execute p")
	a.send(&pgproto3.Terminate{})
	b.query("show work_mem")
	b.query("execute p")
}

func extended(x *run) {
	x.start(conf{general: "connect_timeout = 500"})
	c := x.enter()
	c.do("unnamed", statement("", "select 1")...)
	c.do("with a describe", &pgproto3.Parse{Query: "select $1::int"}, &pgproto3.Describe{ObjectType: 'S'},
		&pgproto3.Bind{Parameters: [][]byte{[]byte("5")}}, &pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{})
	c.do("syntax error", statement("", "selekt 1")...)
	c.do("a Sync alone", &pgproto3.Sync{})
	c.do("Close", &pgproto3.Close{ObjectType: 'S', Name: "x"}, &pgproto3.Sync{})
	c.do("named", statement("s", "select 2")...)
	c.do("named, again", &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	c.do("begin", statement("", "begin")...)
	c.do("in a transaction", statement("", "select 3")...)
	c.do("error in a transaction", statement("", "select 1/0")...)
	c.do("a Sync alone in a failed transaction", &pgproto3.Sync{})
	c.do("rollback", statement("", "rollback")...)
	c.do("a pin is no prepared statement", statement("", "set shard to 1")...)
	x.step("Flush hangs", func() []string {
		c.send(append(statement("", "select 1")[:3], &pgproto3.Flush{})...)
		return c.until(500 * time.Millisecond)
	})
	c.do("until the Sync", &pgproto3.Sync{})
}

func preparedCache(x *run) {
	x.start(conf{pool: "prepared_statements_cache_size = 2", user: "pool_size = 2"})
	a, b := x.enter(), x.enter()
	a.do("parse s", &pgproto3.Parse{Name: "s", Query: "select 1"}, &pgproto3.Sync{})
	a.do("use s", &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	b.query("begin")
	a.do("use s on another server", &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	b.do("the same text under another name", statement("t", "select 1")...)
	b.query("commit")
	a.do("describe s", &pgproto3.Describe{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{})
	a.do("parse s again", &pgproto3.Parse{Name: "s", Query: "select 1"}, &pgproto3.Describe{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{})
	for i := range 4 {
		name := fmt.Sprintf("s%d", i)
		a.do("one more: "+name, statement(name, "select "+name[1:])...)
	}
	a.do("s again after others", &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	a.do("syntax error", statement("bad", "selekt")...)
	a.do("anonymous", statement("", "select 9")...)
	a.do("a new one and a known one under one Sync", &pgproto3.Parse{Name: "new", Query: "select 'new'"}, &pgproto3.Describe{ObjectType: 'S', Name: "new"},
		&pgproto3.Parse{Name: "s", Query: "select 9"}, &pgproto3.Describe{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{})
	a.do("close s", &pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{})
	a.do("use s after its end", &pgproto3.Bind{PreparedStatement: "s"}, &pgproto3.Execute{}, &pgproto3.Sync{})
	b.do("describe what never was", &pgproto3.Describe{ObjectType: 'S', Name: "never"}, &pgproto3.Sync{})
}

// own is a name that no other script uses: all share one Postgres.
func (x *run) own(name string) string { return fmt.Sprintf("%s_%d", name, x.pooler.port) }

func copyInOut(x *run) {
	x.start(conf{})
	c, table := x.enter(), x.own("copied")
	c.query("create table " + table + " (n int, s text)")
	c.query("copy " + table + " from stdin")
	c.do("rows", &pgproto3.CopyData{Data: []byte("1\tone\n2\ttwo\n")}, &pgproto3.CopyDone{})
	c.query("copy " + table + " from stdin")
	c.do("failed by the client", &pgproto3.CopyData{Data: []byte("3\tthree\n")}, &pgproto3.CopyFail{Message: "no"})
	c.query("copy " + table + " from stdin")
	c.do("nonsense", &pgproto3.CopyData{Data: []byte("x\n")}, &pgproto3.CopyDone{})
	c.query("copy " + table + " from stdin")
	c.do("much", append(slices.Repeat([]pgproto3.FrontendMessage{&pgproto3.CopyData{Data: []byte(strings.Repeat("4\tfour four four four\n", 300))}}, 20), &pgproto3.CopyDone{})...)
	c.query("select count(*), sum(n) from " + table)
	c.query("copy (select n, s from " + table + " order by n, s limit 3) to stdout")
	c.as("many rows", "select count(*) from (select * from generate_series(1, 20000)) g")
	x.step("many rows arrive", func() []string {
		seen := c.ask("select repeat('x', 50) from generate_series(1, 5000)")
		return []string{fmt.Sprint(len(seen))}
	})
	c.query("drop table " + table)
}

// copyAbandoned: a server that comes back in the middle of a COPY is given to the next client.
func copyAbandoned(x *run) {
	x.start(conf{user: "pool_size = 1"})
	a, b, table := x.enter(), x.enter(), x.own("abandoned")
	b.query("create table " + table + " (n int)")
	a.query("copy " + table + " from stdin")
	a.leave()
	b.query("select 1")
	b.query("select 2")
	c := x.enter()
	c.query("drop table " + table)
	x.step("the end of a COPY that never began", func() []string {
		c.send(&pgproto3.CopyDone{})
		return c.until(500 * time.Millisecond)
	})
	x.step("and nothing after it", func() []string {
		c.send(&pgproto3.Query{String: "select 1"})
		return c.until(500 * time.Millisecond)
	})
}

func cancelQuery(x *run) {
	x.start(conf{})
	c := x.enter()
	x.sleepIn(c)
	x.step("cancel request", func() []string {
		k := x.dial()
		raw, _ := (&pgproto3.CancelRequest{ProcessID: c.pid, SecretKey: c.key}).Encode(nil)
		_, _ = k.conn.Write(raw)
		return k.bytes(patience)
	})
	x.step("the query ends", func() []string { return c.until(patience) })
	c.query("select 1")
	x.step("cancel request of an idle client", func() []string {
		k := x.dial()
		raw, _ := (&pgproto3.CancelRequest{ProcessID: c.pid, SecretKey: c.key}).Encode(nil)
		_, _ = k.conn.Write(raw)
		return k.bytes(patience)
	})
	c.query("select 2")
}

func malformed(x *run) {
	const soon = 400 * time.Millisecond
	x.start(conf{pool: "prepared_statements_cache_size = 10"})
	for _, m := range []struct {
		does string
		raw  []byte
	}{
		{"length 3", []byte{'Q', 0, 0, 0, 3}},
		{"negative length", []byte{'Q', 0xff, 0xff, 0xff, 0xff}},
		{"a query without an end", []byte{'Q', 0, 0, 0, 6, 's', 'e'}},
		{"a cut Bind", []byte{'B', 0, 0, 0, 5, 'x'}},
		{"a cut Close", []byte{'C', 0, 0, 0, 5, 'S'}},
		{"an unknown message", []byte{'y', 0, 0, 0, 4}},
	} {
		c := x.enter()
		x.step(m.does, func() []string {
			_, _ = c.conn.Write(m.raw)
			return c.bytes(soon)
		})
	}
	x.enter().query("select 1")
}

// show is an admin SHOW with its rows sorted and some columns hidden.
func (x *run) show(admin *client, sql string, hidden ...int) {
	x.step(sql, func() []string {
		seen := admin.ask(sql)
		var rows []string
		for i, s := range seen {
			if v, ok := strings.CutPrefix(s, "D "); ok {
				rows = append(rows, fmt.Sprintf("D %s", hide(v, hidden)))
				seen[i] = ""
			}
		}
		slices.Sort(rows)
		seen = slices.DeleteFunc(seen, func(s string) bool { return s == "" })
		return slices.Concat(seen[:1], rows, seen[1:])
	})
}

func hide(row string, hidden []int) string {
	fields := strings.Split(row, "|")
	for _, i := range hidden {
		if i < len(fields) && fields[i] != "" {
			fields[i] = "*"
		}
	}
	return strings.Join(fields, "|")
}

func adminCommands(x *run) {
	x.start(conf{general: "connect_timeout = 500"})
	c := x.enter("application_name", "story")
	c.query("set shard to 1")
	c.query("select 1")
	c.query("begin")
	c.query("select 2")
	a := x.enter("database", "pgcat")
	x.show(a, "SHOW VERSION", 0)
	x.show(a, "SHOW POOLS", 12, 13)
	x.show(a, "SHOW CLIENTS", 0, 8, 9, 10)
	x.show(a, "SHOW SERVERS", 0, 9, 10)
	x.show(a, "SHOW DATABASES")
	x.show(a, "SHOW STATS", 5, 6, 8, 9, 13, 14, 17, 18)
	x.show(a, "SHOW LISTS")
	x.show(a, "SHOW USERS")
	x.show(a, "SHOW CONFIG")
	x.show(a, "show bans")
	for _, sql := range []string{"SHOW HELP", "SHOW", "SHOW SHARDS", "show nothing", "select 1", "", ";", "SET x TO y", "BAN 127.0.0.1 5", "RELOAD", "reload;"} {
		a.query(sql)
	}
	c.query("rollback")
	x.show(a, "SHOW POOLS", 12, 13)
	x.show(a, "SHOW CLIENTS", 0, 8, 9, 10)
	a.do("extended protocol", statement("", "SHOW POOLS")...)
}

func pauseResume(x *run) {
	x.start(conf{})
	a, c := x.enter("database", "pgcat"), x.enter()
	for _, sql := range []string{"PAUSE app,nobody", "PAUSE app", "PAUSE a,b,c", "PAUSE app,postgres"} {
		a.query(sql)
	}
	x.show(a, "SHOW DATABASES")
	c.send(&pgproto3.Query{String: "select 1"})
	x.step("the query waits", func() []string { return c.until(500 * time.Millisecond) })
	a.query("RESUME app,postgres")
	x.step("and goes on", func() []string { return c.until(patience) })
	a.query("PAUSE")
	c.send(&pgproto3.Query{String: "select 2"})
	x.step("all pools wait", func() []string { return c.until(500 * time.Millisecond) })
	a.query("RESUME app, postgres")
	x.step("and go on", func() []string { return c.until(patience) })
	a.query("RESUME app,nobody")
}

func reload(x *run) {
	x.start(conf{general: "connect_timeout = 500"})
	a, c, held := x.enter("database", "pgcat"), x.enter(), x.enter()
	c.query(where)
	held.query("begin")
	next := x.conf
	next.pool = `default_shard = "shard_2"`
	x.pooler.rewrite(x.t, next.text(x.pooler.port, x.pooler.metrics))
	c.query(where)
	a.query("RELOAD")
	c.query(where)
	held.query(where)
	held.query("commit")
	held.query(where)
	x.pooler.rewrite(x.t, "not toml")
	a.query("RELOAD")
	c.query(where)
	a = x.enter("database", "pgcat")
	x.pooler.rewrite(x.t, strings.ReplaceAll(next.text(x.pooler.port, x.pooler.metrics), "pools.app", "pools.other"))
	x.signal(syscall.SIGHUP)
	x.eventually("the pool is gone", func() bool { return strings.Contains(strings.Join(a.ask("SHOW DATABASES"), " "), "other_shard") })
	c.query(where)
	x.login("into the pool that is gone", names("user", "postgres", "database", "app"), "postgres")
}

// reloadTrap: the new configuration counts as read before its pools are built.
func reloadTrap(x *run) {
	x.start(conf{general: "connect_timeout = 300"})
	a, c := x.enter("database", "pgcat"), x.enter()
	x.shards[1].Down()
	next := x.conf
	next.user, next.pool = "pool_size = 5\nmin_pool_size = 1", `default_shard = "shard_2"`
	x.pooler.rewrite(x.t, next.text(x.pooler.port, x.pooler.metrics))
	a.query("RELOAD")
	c.query(where)
	must(x, x.shards[1].Restore())
	a = x.enter("database", "pgcat")
	a.query("RELOAD")
	c.query(where)
}

func autoreload(x *run) {
	x.start(conf{general: "autoreload = 100"})
	c := x.enter()
	c.query(where)
	next := x.conf
	next.pool = `default_shard = "shard_1"`
	x.pooler.rewrite(x.t, next.text(x.pooler.port, x.pooler.metrics))
	x.eventually("the new default is in force", func() bool { return x.enter().value(where) == "shard1" })
	c.query(where)
	x.pooler.rewrite(x.t, "not toml")
	x.enter().query(where)
}

func shutdownInterrupt(x *run) {
	x.start(conf{})
	idle, busy, admin := x.enter(), x.enter(), x.enter("database", "pgcat")
	busy.query("begin")
	x.signal(syscall.SIGINT)
	x.step("an idle client", func() []string { return idle.after(idle.until(patience)) })
	busy.query("select 1")
	admin.query("SHOW USERS")
	x.login("a new client", names("user", "postgres", "database", "app"), "postgres")
	x.login("a new admin", names("user", "admin", "database", "pgcat"), "admin-secret")
	busy.query("commit")
	x.step("after its transaction", func() []string { return busy.after(busy.until(patience)) })
	x.exit("exit")
}

func shutdownTimeout(x *run) {
	x.start(conf{general: "shutdown_timeout = 700"})
	busy := x.enter()
	busy.query("begin")
	x.signal(syscall.SIGINT)
	x.exit("exit")
	x.step("the client in its transaction", func() []string { return busy.until(patience) })
}

func shutdownTerminate(x *run) {
	x.start(conf{})
	idle, busy := x.enter(), x.enter()
	busy.query("begin")
	x.signal(syscall.SIGTERM)
	x.exit("exit")
	// The real one's idle clients get E8 or nothing, as chance has it: its runtime ends while they wake.
	x.step("an idle client", func() []string {
		seen := idle.until(patience)
		return seen[len(seen)-1:]
	})
	x.step("a busy client", func() []string { return busy.until(patience) })
}

func shutdownAdmin(x *run) {
	x.start(conf{})
	idle, admin := x.enter(), x.enter("database", "pgcat")
	admin.query("SHUTDOWN")
	x.step("an idle client", func() []string { return idle.after(idle.until(patience)) })
	x.exit("exit")
}

// startWithShardDown: without min_pool_size a start needs no server at all; with it, all of them.
func startWithShardDown(x *run) {
	up, down := x.endpoint(postgres.Address()), x.endpoint(postgres.Address())
	x.shards[1].Down()
	x.somethingDown = true
	x.start(conf{shards: []string{up, down}, general: "connect_timeout = 400"})
	x.enter().query(where)
	first := x.pooler
	x.launch(conf{shards: []string{up, down}, general: "connect_timeout = 400", user: "pool_size = 5\nmin_pool_size = 1"})
	x.exit("min_pool_size and a shard down")
	x.launch(conf{shards: []string{up, down}, general: "connect_timeout = 400\nvalidate_config = false", user: "pool_size = 5\nmin_pool_size = 1"})
	x.pooler.ready(x.t)
	x.enter().query(where)
	_ = first
}

// gap: shards are numbered by their keys and counted by their number.
func gap(x *run) {
	up := x.endpoint(postgres.Address())
	x.conf = conf{shards: []string{up, up}, general: "connect_timeout = 3000"}
	x.pooler = launch(x.t, x.kind, func(port, metrics int) string {
		return strings.Replace(x.conf.text(port, metrics), "shards.1", "shards.2", 1)
	})
	x.pooler.ready(x.t)
	c := x.enter()
	c.query(where)
	c.query("set shard to 2")
	c.query("set shard to 1")
	c.query(where)
	x.pooler = launch(x.t, x.kind, func(port, metrics int) string {
		c := x.conf
		c.pool = `default_shard = "random"`
		return strings.Replace(strings.Replace(c.text(port, metrics), "shards.1", "shards.3", 1), "shards.0", "shards.2", 1)
	})
	x.pooler.ready(x.t)
	x.enter().query(where)
}

func exitCodes(x *run) {
	ok := conf{shards: []string{"127.0.0.1:1"}}
	for _, c := range []struct {
		does string
		conf func(conf) conf
		edit func(string) string
	}{
		{does: "no such file", edit: nil},
		{does: "empty file", edit: func(string) string { return "" }},
		{does: "no TOML", edit: func(string) string { return "[general" }},
		{does: "a port as text", edit: func(s string) string { return strings.Replace(s, "port = ", "port = \"1\" #", 1) }},
		{does: "a port out of range", edit: func(s string) string { return strings.Replace(s, "port = ", "port = 70000 #", 1) }},
		{does: "no admin_username", edit: without("admin_username")},
		{does: "no admin_password", edit: without("admin_password")},
		{does: "no username", edit: without("username = \"postgres\"")},
		{does: "no password", edit: without("password = \"postgres\"")},
		{does: "no pool_size", edit: without("pool_size")},
		{does: "no database", edit: without("database")},
		{does: "no servers", edit: without("servers")},
		{does: "an empty list of servers", edit: func(s string) string { return strings.Replace(s, "servers = ", "servers = [] #", 1) }},
		{does: "a server with two fields", edit: func(s string) string { return strings.Replace(s, `, "primary"]`, "]", 1) }},
		{does: "a server with four fields", edit: func(s string) string { return strings.Replace(s, `, "primary"]`, `, "primary", 1]`, 1) }},
		{does: "an unknown role", edit: func(s string) string { return strings.Replace(s, `"primary"`, `"leader"`, 1) }},
		{does: "a metrics port above 32767", edit: func(s string) string {
			return strings.Replace(s, "prometheus_exporter_port = ", "prometheus_exporter_port = 40000 #", 1)
		}},
		{does: "two primaries", conf: func(c conf) conf { c.shards = []string{"127.0.0.1:1;127.0.0.1:2"}; return c }},
		{does: "a server twice", conf: func(c conf) conf { c.shards = []string{"127.0.0.1:1 replica;127.0.0.1:1 replica"}; return c }},
		{does: "default_shard beyond the last", conf: func(c conf) conf { c.pool = `default_shard = "shard_1"`; return c }},
		{does: "default_shard of an unknown kind", conf: func(c conf) conf { c.pool = `default_shard = "healthy"`; return c }},
		{does: "default_role of an unknown kind", conf: func(c conf) conf { c.pool = `default_role = "leader"`; return c }},
		{does: "pool_mode of an unknown kind", conf: func(c conf) conf { c.pool = `pool_mode = "statement"`; return c }},
		{does: "min_pool_size above pool_size", conf: func(c conf) conf { c.user = "pool_size = 2\nmin_pool_size = 3"; return c }},
		{does: "a bad regex", conf: func(c conf) conf { c.pool = `shard_id_regex = "("`; return c }},
		{does: "splitting without a parser", conf: func(c conf) conf { c.pool = "query_parser_read_write_splitting = true"; return c }},
		{does: "auth_query without its user", conf: func(c conf) conf { c.pool = `auth_query = "select"`; return c }},
		{does: "TLS without a key", conf: func(c conf) conf { c.general = `tls_certificate = "none"`; return c }},
		{does: "the exporter on a name", edit: func(s string) string {
			return strings.Replace(s, `host = "127.0.0.1"`, "host = \"localhost\"\nenable_prometheus_exporter = true", 1)
		}},
		{does: "a shard that is no number", edit: func(s string) string { return strings.Replace(s, "shards.0", "shards.a", 1) }},
		{does: "pool_size 0", conf: func(c conf) conf { c.user = "pool_size = 0"; return c }},
		{does: "connect_timeout 0", conf: func(c conf) conf { c.general = "connect_timeout = 0"; return c }},
		{does: "idle_timeout 0", conf: func(c conf) conf { c.general = "idle_timeout = 0"; return c }},
		{does: "a negative number", conf: func(c conf) conf { c.general = "connect_timeout = -1"; return c }},
		{does: "a port that is taken", edit: func(s string) string {
			return strings.Replace(s, "\nport = ", fmt.Sprintf("\nport = %d #", postgres.Port), 1)
		}},
	} {
		x.exits(c.does, ok, c.conf, c.edit)
		_ = x.pooler.cmd.Process.Kill() // one that goes on has been seen to
	}
	x.step("unknown keys are fine", func() []string {
		c := ok
		c.general, c.pool, c.user = "automatic_failover = true", "failover_timeout = 1\npool_size = 3", "pool_size = 2\nquery_timeout = 3"
		x.launch(c)
		x.pooler.ready(x.t)
		return []string{"runs"}
	})
}

func without(key string) func(string) string {
	return func(s string) string {
		var kept []string
		for _, line := range strings.Split(s, "\n") {
			if !strings.HasPrefix(line, key) {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\n")
	}
}

func (x *run) exits(does string, c conf, change func(conf) conf, edit func(string) string) {
	if change != nil {
		c = change(c)
	}
	x.pooler = launch(x.t, x.kind, func(port, metrics int) string {
		text := c.text(port, metrics)
		if edit != nil {
			text = edit(text)
		}
		return text
	})
	if does == "no such file" {
		return
	}
	x.exit(does)
}
