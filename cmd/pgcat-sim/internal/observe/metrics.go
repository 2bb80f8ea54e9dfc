package observe

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	"pgcat-failover/cmd/pgcat-sim/internal/release"
)

type kind string

const (
	counter kind = "counter"
	gauge   kind = "gauge"
)

type metric struct {
	name string
	help string
	kind kind
}

// The metrics of v1.2.0. total_errors is in SHOW STATS and, upstream's table lacking it, not here.
var known = index([]metric{
	{"stats_total_query_count", "Number of queries sent by all clients", counter},
	{"stats_total_query_time", "Total amount of time for queries to execute", counter},
	{"stats_total_received", "Number of bytes received from the server", counter},
	{"stats_total_sent", "Number of bytes sent to the server", counter},
	{"stats_total_xact_count", "Total number of transactions started by the client", counter},
	{"stats_total_xact_time", "Total amount of time for all transactions to execute", counter},
	{"stats_total_wait_time", "Total time client waited for a server connection", counter},
	{"stats_avg_query_count", "Average of total_query_count every 15 seconds", gauge},
	{"stats_avg_query_time", "Average time taken for queries to execute every 15 seconds", gauge},
	{"stats_avg_recv", "Average of total_received bytes every 15 seconds", gauge},
	{"stats_avg_sent", "Average of total_sent bytes every 15 seconds", gauge},
	{"stats_avg_errors", "Average number of errors every 15 seconds", gauge},
	{"stats_avg_xact_count", "Average of total_xact_count every 15 seconds", gauge},
	{"stats_avg_xact_time", "Average of total_xact_time every 15 seconds", gauge},
	{"stats_avg_wait_time", "Average of total_wait_time every 15 seconds", gauge},
	{"pools_maxwait_us", "The time a client waited for a server connection in microseconds", gauge},
	{"pools_maxwait", "The time a client waited for a server connection in seconds", gauge},
	{"pools_cl_waiting", "How many clients are waiting for a connection from the pool", gauge},
	{"pools_cl_active", "How many clients are actively communicating with a server", gauge},
	{"pools_cl_idle", "How many clients are idle", gauge},
	{"pools_sv_idle", "How many server connections are idle", gauge},
	{"pools_sv_active", "How many server connections are actively communicating with a client", gauge},
	{"pools_sv_login", "How many server connections are currently being created", gauge},
	{"pools_sv_tested", "How many server connections are currently waiting on a health check to succeed", gauge},
	{"servers_bytes_received", "Volume in bytes of network traffic received by server", gauge},
	{"servers_bytes_sent", "Volume in bytes of network traffic sent by server", gauge},
	{"servers_transaction_count", "Number of transactions executed by server", gauge},
	{"servers_query_count", "Number of queries executed by server", gauge},
	{"servers_error_count", "Number of errors", gauge},
	{"databases_pool_size", "Maximum number of server connections", gauge},
	{"databases_current_connections", "Current number of connections for this database", gauge},
})

// What head adds. It also calls the first five of servers_* counters, although they go down when a
// connection ends.
var addedAtHead = index([]metric{
	{"servers_idle_count", "Number of server connection in idle state", gauge},
	{"servers_active_count", "Number of server connection in active state", gauge},
	{"servers_tested_count", "Number of server connection in tested state", gauge},
	{"servers_login_count", "Number of server connection in login state", gauge},
	{"servers_is_banned", "0 if server is not banned, 1 if server is banned", gauge},
	{"servers_is_paused", "0 if server is not paused, 1 if server is paused", gauge},
})

var countersAtHead = map[string]bool{
	"servers_bytes_received": true, "servers_bytes_sent": true, "servers_transaction_count": true,
	"servers_query_count": true, "servers_error_count": true,
}

func index(all []metric) map[string]metric {
	byName := make(map[string]metric, len(all))
	for _, m := range all {
		byName[m.name] = m
	}
	return byName
}

func lookup(rel release.Release, name string) (metric, bool) {
	m, ok := known[name]
	if rel == release.Head {
		if !ok {
			m, ok = addedAtHead[name]
		}
		if countersAtHead[name] {
			m.kind = counter
		}
	}
	return m, ok
}

type sample struct {
	metric metric
	labels map[string]string
	value  uint64
}

// Metrics is the body of GET /metrics.
func (r *Registry) Metrics(rel release.Release, pools []PoolView) string {
	g := gathering{release: rel}
	g.addresses(pools)
	g.pools(r, pools)
	g.servers(r, pools)
	g.databases(pools)
	g.sections = append(g.sections, []sample{standIn(rel)})
	if rel == release.Head {
		return g.grouped()
	}
	return g.repeated()
}

// standIn says in the metrics that this is a test double. It is the one line PgCat does not have.
func standIn(rel release.Release) sample {
	return sample{
		metric: metric{"sim_info", "This is pgcat-sim, a stand-in for PgCat and not PgCat itself", gauge},
		labels: map[string]string{"stand_in_for": rel.Number()},
		value:  1,
	}
}

type gathering struct {
	release  release.Release
	sections [][]sample
	section  []sample
}

func (g *gathering) add(name string, labels map[string]string, value uint64) {
	if m, ok := lookup(g.release, name); ok {
		g.section = append(g.section, sample{m, labels, value})
	}
}

func (g *gathering) endSection() {
	g.sections = append(g.sections, g.section)
	g.section = nil
}

func (g *gathering) labels(p PoolView, s ServerView) map[string]string {
	l := map[string]string{
		"host": s.Host, "shard": strconv.Itoa(s.Shard), "role": string(s.Role),
		"pool": p.Name, "database": s.Database,
	}
	if g.release == release.Head {
		l["index"], l["username"] = strconv.Itoa(s.Index), p.User
	}
	return l
}

func (g *gathering) eachServer(pools []PoolView, add func(PoolView, ServerView)) {
	for _, p := range pools {
		for _, s := range p.Servers {
			add(p, s)
		}
	}
	g.endSection()
}

func (g *gathering) addresses(pools []PoolView) {
	g.eachServer(pools, func(p PoolView, s ServerView) {
		for _, v := range s.Stats.Values() {
			g.add("stats_"+v.Name, g.labels(p, s), v.Value)
		}
	})
}

func (g *gathering) pools(r *Registry, pools []PoolView) {
	for _, p := range pools {
		n := r.CountPool(p.Name, p.User)
		l := map[string]string{"pool": p.Name, "user": p.User}
		for _, v := range []NamedValue{
			{"cl_idle", n.CIdle}, {"cl_active", n.CActive}, {"cl_waiting", n.CWaiting},
			{"sv_active", n.SActive}, {"sv_idle", n.SIdle}, {"sv_tested", n.STested}, {"sv_login", n.SLogin},
			{"maxwait", n.MaxWaitMicros / 1_000_000}, {"maxwait_us", n.MaxWaitMicros % 1_000_000},
		} {
			g.add("pools_"+v.Name, l, v.Value)
		}
	}
	g.endSection()
}

// connections is what servers_* says of one address.
type connections struct {
	received, sent, xacts, queries uint64
	byState                        map[State]uint64
}

// servers covers only addresses with a connection, live or dialling (rule 55): at v1.2.0 one
// arbitrary connection speaks for all, at head it is a sum over those that live, which falls.
func (g *gathering) servers(r *Registry, pools []PoolView) {
	byAddress := map[string]*connections{}
	for _, s := range r.Servers() {
		c := byAddress[s.Address]
		if c == nil || g.release == release.V120 {
			c = &connections{byState: map[State]uint64{}}
			byAddress[s.Address] = c
		}
		c.received += s.Received.Load()
		c.sent += s.Sent.Load()
		c.xacts += s.Transactions.Load()
		c.queries += s.Queries.Load()
		c.byState[s.State()]++
	}
	g.eachServer(pools, func(p PoolView, s ServerView) {
		if c := byAddress[s.Name]; c != nil {
			g.server(p, s, c)
		}
	})
}

func (g *gathering) server(p PoolView, s ServerView, c *connections) {
	for _, v := range []NamedValue{
		{"bytes_received", c.received}, {"bytes_sent", c.sent},
		{"transaction_count", c.xacts}, {"query_count", c.queries},
		{"error_count", 0}, // nothing upstream ever counts one
		{"idle_count", c.byState[Idle]}, {"active_count", c.byState[Active]},
		{"login_count", c.byState[Login]}, {"tested_count", c.byState[Tested]},
		{"is_banned", asNumber(s.Banned)}, {"is_paused", asNumber(p.Paused)},
	} {
		g.add("servers_"+v.Name, g.labels(p, s), v.Value)
	}
}

func (g *gathering) databases(pools []PoolView) {
	g.eachServer(pools, func(p PoolView, s ServerView) {
		g.add("databases_pool_size", g.labels(p, s), uint64(p.Size))
		g.add("databases_current_connections", g.labels(p, s), uint64(s.Connections))
	})
}

// repeated is v1.2.0's format: HELP and TYPE before every sample, a blank line between samples, no
// newline after the last but its own. Strict parsers stop at the second HELP (upstream #563).
func (g *gathering) repeated() string {
	var lines []string
	for _, section := range g.sections {
		for _, s := range section {
			lines = append(lines, s.header()+"\n"+s.line()+"\n")
		}
	}
	return strings.Join(lines, "\n")
}

// grouped is head's format: a blank line, HELP and TYPE once, then all samples of the name.
func (g *gathering) grouped() string {
	var lines []string
	for _, section := range g.sections {
		for _, group := range byName(section) {
			lines = append(lines, "\n"+group[0].header())
			for _, s := range group {
				lines = append(lines, s.line())
			}
		}
	}
	return strings.Join(append(lines, ""), "\n")
}

func byName(section []sample) [][]sample {
	var order []string
	groups := map[string][]sample{}
	for _, s := range section {
		if groups[s.metric.name] == nil {
			order = append(order, s.metric.name)
		}
		groups[s.metric.name] = append(groups[s.metric.name], s)
	}
	all := make([][]sample, 0, len(order))
	for _, name := range order {
		all = append(all, groups[name])
	}
	return all
}

func (s sample) header() string {
	return fmt.Sprintf("# HELP pgcat_%s %s\n# TYPE pgcat_%s %s", s.metric.name, s.metric.help, s.metric.name, s.metric.kind)
}

// line sorts the labels, as head does; v1.2.0 prints them in any order.
func (s sample) line() string {
	pairs := make([]string, 0, len(s.labels))
	for k, v := range s.labels {
		pairs = append(pairs, k+`="`+v+`"`)
	}
	sort.Strings(pairs)
	return fmt.Sprintf("pgcat_%s{%s} %d", s.metric.name, strings.Join(pairs, ","), s.value)
}

func asNumber(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
