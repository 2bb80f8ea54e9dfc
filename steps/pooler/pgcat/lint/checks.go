package lint

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"
)

// poolView is a pool of the file, with what it inherits.
type poolView struct {
	*node
	users, shards []*node
}

func (d *document) general() *node { return d.root.get("general") }

func (d *document) pools() []poolView {
	var out []poolView
	for _, p := range d.root.tables("pools") {
		out = append(out, poolView{p, p.tables("users"), p.tables("shards")})
	}
	return out
}

// partitioned tells shards that hold different data from shards that are endpoints of the same.
func (p poolView) partitioned() bool {
	for _, k := range []string{"automatic_sharding_key", "sharding_key_regex", "shard_id_regex"} {
		if p.get(k) != nil {
			return true
		}
	}
	return len(p.databases()) > 1
}

func (p poolView) databases() []string {
	names := map[string]bool{}
	for _, s := range p.shards {
		if name, ok := s.str("database"); ok {
			names[name] = true
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// redundant: several shards that are endpoints of one database.
func (p poolView) redundant() bool { return len(p.shards) > 1 && !p.partitioned() }

// endpoint is one entry of a shard's servers.
type endpoint struct {
	at         span
	path       string
	host, role string
	port       int64
}

func endpointsOf(s *node) []endpoint {
	var out []endpoint
	list := s.get("servers")
	if list == nil {
		return nil
	}
	for _, row := range list.items {
		e := endpoint{at: row.at, path: row.path}
		switch {
		case row.kind == tableKind:
			e.host, _ = row.str("host")
			e.port, _ = row.num("port")
			e.role, _ = row.str("role")
		case len(row.items) >= 3:
			e.host, e.port, e.role = row.items[0].text, row.items[1].number, row.items[2].text
		}
		e.role = strings.ToLower(e.role)
		out = append(out, e)
	}
	return out
}

func hasRole(s *node, role string) bool {
	return slices.ContainsFunc(endpointsOf(s), func(e endpoint) bool { return e.role == role })
}

// point is a hit at a key of a table, or at the table's name where the key is not given.
func point(n *node, key, message string) hit {
	if n == nil {
		return hit{path: key, message: message}
	}
	if c := n.get(key); c != nil {
		return hit{at: c.keyAt, path: c.path, message: message}
	}
	return hit{at: n.keyAt, path: join(n.path, key), message: message}
}

func (h hit) with(fix []edit) hit { h.fix = fix; return h }

// onDemand is a fix that changes which server answers.
func (h hit) onDemand(fix []edit) hit { h.fix, h.bold = fix, true; return h }

// numberOr is a number of the table, or what PgCat takes where none is given.
func numberOr(n *node, key string, byDefault int64) int64 {
	if v, ok := n.num(key); ok {
		return v
	}
	return byDefault
}

func defaultShardRange(d *document) (out []hit) {
	for _, p := range d.pools() {
		which, ok := p.str("default_shard")
		if p.get("default_shard") == nil {
			which, ok = "shard_0", true
		}
		number, found := strings.CutPrefix(which, "shard_")
		n, err := strconv.ParseUint(strings.TrimPrefix(number, "+"), 10, 64)
		if ok && found && err == nil && n >= uint64(len(p.shards)) && p.get("shards") != nil {
			out = append(out, point(p.node, "default_shard", fmt.Sprintf("pool %s has %d shards, no number %d", p.key, len(p.shards), n)))
		}
	}
	return out
}

func (d *document) shards(look func(p poolView, s *node) []hit) (out []hit) {
	for _, p := range d.pools() {
		for _, s := range p.shards {
			out = append(out, look(p, s)...)
		}
	}
	return out
}

func (d *document) users(look func(p poolView, u *node) []hit) (out []hit) {
	for _, p := range d.pools() {
		for _, u := range p.users {
			out = append(out, look(p, u)...)
		}
	}
	return out
}

func shardNumber(s *node) (uint64, bool) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s.key, "+"), 10, 64)
	return n, err == nil
}

func shardNotANumber(d *document) []hit {
	return d.shards(func(_ poolView, s *node) []hit {
		if _, ok := shardNumber(s); ok {
			return nil
		}
		return []hit{{at: s.keyAt, path: s.path, message: fmt.Sprintf("shard %q: want a number", s.key)}}
	})
}

func shardGap(d *document) (out []hit) {
	for _, p := range d.pools() {
		for _, s := range p.shards {
			if n, ok := shardNumber(s); ok && n >= uint64(len(p.shards)) {
				out = append(out, hit{at: s.keyAt, path: s.path, message: fmt.Sprintf("shard %d of %d: the numbers have a gap", n, len(p.shards))})
			}
		}
	}
	return out
}

func shardWithoutServers(d *document) []hit {
	return d.shards(func(_ poolView, s *node) []hit {
		if list := s.get("servers"); list == nil || list.kind != arrayKind || len(list.items) > 0 {
			return nil
		}
		return []hit{point(s, "servers", fmt.Sprintf("shard %s has no server", s.key))}
	})
}

func shardTwoPrimaries(d *document) []hit {
	return d.shards(func(_ poolView, s *node) (out []hit) {
		first := true
		for _, e := range endpointsOf(s) {
			if e.role == "primary" && !first {
				out = append(out, hit{at: e.at, path: e.path, message: fmt.Sprintf("another primary of shard %s", s.key)})
			}
			first = first && e.role != "primary"
		}
		return out
	})
}

func serverTwice(d *document) []hit {
	return d.shards(func(_ poolView, s *node) (out []hit) {
		seen := map[string]bool{}
		for _, e := range endpointsOf(s) {
			id := fmt.Sprintf("%s:%d %s", e.host, e.port, e.role)
			if seen[id] {
				out = append(out, hit{at: e.at, path: e.path, message: id + " is in this shard before"})
			}
			seen[id] = true
		}
		return out
	})
}

var authQueryKeys = []string{"auth_query", "auth_query_user", "auth_query_password"}

// inherited tells whether a pool or [general] has the key.
func (d *document) inherited(p poolView, key string) bool {
	return p.get(key) != nil || d.general().get(key) != nil
}

func (d *document) asksForHashes(p poolView) bool {
	return !slices.ContainsFunc(authQueryKeys, func(k string) bool { return !d.inherited(p, k) })
}

func passwordMissing(d *document) []hit {
	return d.users(func(p poolView, u *node) []hit {
		if u.get("password") != nil || d.asksForHashes(p) {
			return nil
		}
		return []hit{point(u, "password", u.path+" has no password")}
	})
}

func authQueryIncomplete(d *document) (out []hit) {
	look := func(n *node, has func(string) bool) {
		if n.get("auth_query") == nil {
			return
		}
		for _, k := range authQueryKeys[1:] {
			if !has(k) {
				out = append(out, point(n, "auth_query", "auth_query needs "+k))
			}
		}
	}
	g := d.general()
	look(g, func(k string) bool { return g.get(k) != nil })
	for _, p := range d.pools() {
		look(p.node, func(k string) bool { return d.inherited(p, k) })
	}
	return out
}

func minOverPoolSize(d *document) []hit {
	return d.users(func(_ poolView, u *node) []hit {
		low, okL := u.num("min_pool_size")
		size, okS := u.num("pool_size")
		if !okL || !okS || low <= size {
			return nil
		}
		return []hit{point(u, "min_pool_size", fmt.Sprintf("min_pool_size %d is over pool_size %d", low, size))}
	})
}

// surely are the faults of a regex that Rust's parser finds as well as Go's; the two differ in what else they take.
var surely = []syntax.ErrorCode{syntax.ErrMissingParen, syntax.ErrMissingBracket, syntax.ErrUnexpectedParen,
	syntax.ErrMissingRepeatArgument, syntax.ErrTrailingBackslash}

// lookAround is what neither has.
var lookAround = regexp.MustCompile(`\(\?(<?[=!])`)

func regexInvalid(d *document) (out []hit) {
	for _, p := range d.pools() {
		for _, key := range []string{"shard_id_regex", "sharding_key_regex"} {
			text, ok := p.str(key)
			if !ok || strings.Contains(text, "(?x") { // a dialect of Rust's that Go has not
				continue
			}
			var fault *syntax.Error
			_, err := syntax.Parse(text, syntax.Perl)
			if errors.As(err, &fault) && (slices.Contains(surely, fault.Code) || lookAround.MatchString(text)) {
				c := p.get(key)
				out = append(out, hit{at: c.at, path: c.path, message: fmt.Sprintf("%s: %s", key, fault.Code)})
			}
		}
	}
	return out
}

func splittingWithoutParser(d *document) (out []hit) {
	for _, p := range d.pools() {
		if p.is("query_parser_read_write_splitting", false) && !p.is("query_parser_enabled", false) {
			out = append(out, point(p.node, "query_parser_read_write_splitting", "splitting needs query_parser_enabled = true").
				with(d.set(p.node, "query_parser_enabled", "true")))
		}
	}
	return out
}

func pluginsWithoutParser(d *document) (out []hit) {
	for _, p := range d.pools() {
		if p.get("plugins") != nil && !p.is("query_parser_enabled", false) {
			out = append(out, point(p.node, "plugins", "plugins need query_parser_enabled = true").
				with(d.set(p.node, "query_parser_enabled", "true")))
		}
	}
	return out
}

func shardingKeyUnqualified(d *document) (out []hit) {
	for _, p := range d.pools() {
		text, ok := p.str("automatic_sharding_key")
		if ok && strings.Count(text, ".") != 1 {
			c := p.get("automatic_sharding_key")
			out = append(out, hit{at: c.at, path: c.path, message: fmt.Sprintf("%q: want table.column", text)})
		}
	}
	return out
}

func tlsKeyMissing(d *document) []hit {
	g := d.general()
	if g.get("tls_certificate") == nil || g.get("tls_private_key") != nil {
		return nil
	}
	return []hit{point(g, "tls_certificate", "tls_certificate needs tls_private_key")}
}

func (d *document) exporter() bool { return d.general().is("enable_prometheus_exporter", false) }

func exporterHostNotIP(d *document) []hit {
	g := d.general()
	host, ok := g.str("host")
	if !ok || !d.exporter() {
		return nil
	}
	if a, err := netip.ParseAddrPort(host + ":1"); err == nil && a.IsValid() {
		return nil
	}
	return []hit{{at: g.get("host").at, path: "general.host", message: fmt.Sprintf("host = %q is not an IP literal", host)}}
}

func routingDelayZero(d *document) (out []hit) {
	if d.opt.Release == V120 {
		return nil
	}
	for _, p := range d.pools() {
		for _, k := range []string{"db_activity_init_delay", "table_mutation_cache_ms_ttl", "db_activity_ttl"} {
			if v, ok := p.num(k); ok && v == 0 && p.is("db_activity_based_routing", false) {
				out = append(out, point(p.node, k, k+" is 0"))
			}
		}
	}
	return out
}

// baked are the times that bb8's builder takes, of [general], a pool or a user; a 0 counts only where no nearer
// section overrides it.
var baked = []string{"connect_timeout", "idle_timeout", "server_lifetime"}

func zeroPanics(d *document) (out []hit) {
	zero := func(n *node, key string) {
		if v, ok := n.num(key); ok && v == 0 {
			h := point(n, key, key+" = 0")
			if !slices.ContainsFunc(out, func(o hit) bool { return o.path == h.path }) {
				out = append(out, h)
			}
		}
	}
	for _, k := range []string{"worker_threads", "autoreload"} {
		zero(d.general(), k)
	}
	d.users(func(p poolView, u *node) []hit {
		zero(u, "pool_size")
		for _, k := range baked {
			for _, n := range []*node{u, p.node, d.general()} {
				if n.get(k) != nil {
					zero(n, k)
					break
				}
			}
		}
		return nil
	})
	return out
}

func defaultShardMissing(d *document) (out []hit) {
	for _, p := range d.pools() {
		if p.redundant() && p.get("default_shard") == nil {
			out = append(out, point(p.node, "default_shard", fmt.Sprintf("pool %s has %d shards of one database and no default_shard: it never fails over", p.key, len(p.shards))).
				onDemand(d.insert(p.node, `default_shard = "random_healthy"`)))
		}
	}
	return out
}

func defaultShardFixed(d *document) (out []hit) {
	for _, p := range d.pools() {
		if which, _ := p.str("default_shard"); p.redundant() && strings.HasPrefix(which, "shard_") {
			out = append(out, point(p.node, "default_shard", fmt.Sprintf("pool %s sends everything to %s: it never fails over", p.key, which)).
				onDemand(d.set(p.node, "default_shard", `"random_healthy"`)))
		}
	}
	return out
}

func randomOnPartitions(d *document) (out []hit) {
	for _, p := range d.pools() {
		if which, _ := p.str("default_shard"); len(p.shards) > 1 && p.partitioned() && strings.HasPrefix(which, "random") {
			out = append(out, point(p.node, "default_shard", fmt.Sprintf("pool %s: queries without a key go to any partition", p.key)))
		}
	}
	return out
}

func defaultShardRandom(d *document) (out []hit) {
	for _, p := range d.pools() {
		if which, _ := p.str("default_shard"); p.redundant() && which == "random" {
			out = append(out, point(p.node, "default_shard", fmt.Sprintf("pool %s asks its %d shards in any order, dead ones too", p.key, len(p.shards))).
				onDemand(d.set(p.node, "default_shard", `"random_healthy"`)))
		}
	}
	return out
}

func leastOutstanding(p poolView) bool {
	mode, _ := p.str("load_balancing_mode")
	return mode != "" && !strings.EqualFold(mode, "random")
}

func locWithRandomHealthy(d *document) (out []hit) {
	for _, p := range d.pools() {
		if which, _ := p.str("default_shard"); which == "random_healthy" && len(p.shards) > 1 && leastOutstanding(p) {
			out = append(out, point(p.node, "load_balancing_mode", "loc puts dead shards first").
				with(d.set(p.node, "load_balancing_mode", `"random"`)))
		}
	}
	return out
}

func sameEndpointTwice(d *document) (out []hit) {
	for _, p := range d.pools() {
		if !p.redundant() {
			continue
		}
		seen := map[string]string{}
		for _, s := range p.shards {
			for _, e := range endpointsOf(s) {
				id := fmt.Sprintf("%s:%d", e.host, e.port)
				if other, ok := seen[id]; ok && other != s.key {
					out = append(out, hit{at: e.at, path: e.path, message: fmt.Sprintf("%s is the endpoint of shard %s already", id, other)})
				}
				seen[id] = s.key
			}
		}
	}
	return out
}

func minPoolSizeValidated(d *document) []hit {
	if !d.general().is("validate_config", true) {
		return nil
	}
	return d.users(func(_ poolView, u *node) []hit {
		if n, _ := u.num("min_pool_size"); n == 0 {
			return nil
		}
		return []hit{point(u, "min_pool_size", "with validate_config PgCat exits 78 at start if any server is away").
			with(d.set(d.general(), "validate_config", "false"))}
	})
}

func millis(n int64) time.Duration { return time.Duration(n) * time.Millisecond }

func healthcheckDelayLong(d *document) []hit {
	g := d.general()
	delay := millis(numberOr(g, "healthcheck_delay", 30_000))
	if g == nil || delay <= d.opt.Outage {
		return nil
	}
	return []hit{point(g, "healthcheck_delay", fmt.Sprintf("connections that were used in the last %s are handed out untested; the outage to survive is %s", delay, d.opt.Outage))}
}

func (d *document) connectTimeout(p poolView) int64 {
	return numberOr(p.node, "connect_timeout", numberOr(d.general(), "connect_timeout", 1000))
}

func healthcheckTimeoutLong(d *document) []hit {
	g := d.general()
	t := numberOr(g, "healthcheck_timeout", 1000)
	for _, p := range d.pools() {
		if c := d.connectTimeout(p); t > c {
			return []hit{point(g, "healthcheck_timeout", fmt.Sprintf("a test may take %s, a connection %s", millis(t), millis(c)))}
		}
	}
	return nil
}

// patience is how long most clients wait for a first answer: the default of pgx is none, of JDBC 10 s, of most
// proxies 15 to 60 s.
const patience = 15 * time.Second

func connectTimeoutLong(d *document) (out []hit) {
	for _, p := range d.pools() {
		tried := int64(1)
		if which, _ := p.str("default_shard"); strings.HasPrefix(which, "random") {
			tried = int64(max(1, len(p.shards)))
		}
		each := d.connectTimeout(p)
		if each > int64(patience/time.Millisecond)/tried {
			at := p.node
			if at.get("connect_timeout") == nil && d.general() != nil {
				at = d.general()
			}
			out = append(out, point(at, "connect_timeout", fmt.Sprintf("pool %s: %d × %s until a client is told", p.key, tried, millis(each))))
		}
	}
	return out
}

func tcpUserTimeoutLong(d *document) []hit {
	t, ok := d.general().num("tcp_user_timeout")
	if !ok || t > 0 && t <= 30_000 {
		return nil
	}
	return []hit{point(d.general(), "tcp_user_timeout", fmt.Sprintf("tcp_user_timeout = %d", t))}
}

func splittingWithoutReplica(d *document) (out []hit) {
	for _, p := range d.pools() {
		if !p.is("query_parser_read_write_splitting", false) || p.is("primary_reads_enabled", false) {
			continue
		}
		for _, s := range p.shards {
			if len(endpointsOf(s)) > 0 && !hasRole(s, "replica") {
				out = append(out, point(p.node, "query_parser_read_write_splitting", fmt.Sprintf("shard %s has no replica: its SELECTs fail", s.key)).
					with(d.set(p.node, "primary_reads_enabled", "true")))
				break
			}
		}
	}
	return out
}

func roleWithoutReplica(d *document) (out []hit) {
	for _, p := range d.pools() {
		if role, _ := p.str("default_role"); role != "replica" {
			continue
		}
		for _, s := range p.shards {
			if len(endpointsOf(s)) > 0 && !hasRole(s, "replica") {
				out = append(out, point(p.node, "default_role", fmt.Sprintf("shard %s has no replica", s.key)))
				break
			}
		}
	}
	return out
}

func shutdownOverGrace(d *document) []hit {
	g := d.general()
	t := millis(numberOr(g, "shutdown_timeout", 60_000))
	if g == nil || t < d.opt.Grace {
		return nil
	}
	h := point(g, "shutdown_timeout", fmt.Sprintf("shutdown_timeout is %s, the pod's grace period %s", t, d.opt.Grace))
	if below := d.opt.Grace * 2 / 3; below >= time.Second { // a third for what comes before and after
		h = h.with(d.set(g, "shutdown_timeout", strconv.FormatInt(below.Truncate(time.Second).Milliseconds(), 10)))
	}
	return []hit{h}
}

func autoreloadSubPath(d *document) []hit {
	if d.general().get("autoreload") == nil || d.opt.Mount != SubPath {
		return nil
	}
	return []hit{point(d.general(), "autoreload", "the file is mounted by subPath and never changes in the pod")}
}

func autoreloadOff(d *document) []hit {
	if d.general() == nil || d.general().get("autoreload") != nil {
		return nil
	}
	return []hit{point(d.general(), "autoreload", "autoreload is off")}
}

func exporterOff(d *document) []hit {
	g := d.general()
	if g == nil || d.exporter() {
		return nil
	}
	return []hit{point(g, "enable_prometheus_exporter", "the exporter is off").onDemand(d.set(g, "enable_prometheus_exporter", "true"))}
}

func exporterPortClash(d *document) []hit {
	g := d.general()
	if !d.exporter() || numberOr(g, "port", 5432) != numberOr(g, "prometheus_exporter_port", 9930) {
		return nil
	}
	return []hit{point(g, "prometheus_exporter_port", "the pooler listens on that port")}
}

func poolNotTheDatabase(d *document) (out []hit) {
	for _, p := range d.pools() {
		if names := p.databases(); len(names) == 1 && names[0] != p.key {
			out = append(out, hit{at: p.keyAt, path: p.path, message: fmt.Sprintf("clients name %q, not %q", p.key, names[0])})
		}
	}
	return out
}

func poolNamedAsAdmin(d *document) (out []hit) {
	for _, p := range d.pools() {
		if p.key == "pgcat" || p.key == "pgbouncer" {
			out = append(out, hit{at: p.keyAt, path: p.path, message: p.key + " is the admin database"})
		}
	}
	return out
}

func userTwice(d *document) (out []hit) {
	for _, p := range d.pools() {
		seen := map[string]bool{}
		for _, u := range p.users {
			name, ok := u.str("username")
			if ok && seen[name] {
				out = append(out, point(u, "username", fmt.Sprintf("%s is a user of this pool before", name)))
			}
			seen[name] = true
		}
	}
	return out
}

func poolWithoutUsers(d *document) (out []hit) {
	for _, p := range d.pools() {
		if t := p.get("users"); t != nil && t.kind == tableKind && len(p.users) == 0 {
			out = append(out, point(p.node, "users", fmt.Sprintf("nobody can log in to pool %s", p.key)))
		}
	}
	return out
}

var variable = regexp.MustCompile(`^\$(\{[A-Za-z_][A-Za-z0-9_]*\}|\([A-Za-z_][A-Za-z0-9_]*\)|[A-Z_][A-Z0-9_]*)$`)

func placeholder(d *document) []hit {
	var out []hit
	var look func(n *node)
	look = func(n *node) {
		for _, c := range n.items {
			if c.key == "plugins" {
				continue
			}
			if c.kind == stringKind && variable.MatchString(c.text) {
				out = append(out, hit{at: c.at, path: c.path, message: "PgCat takes this as it stands; it expands no variables"})
			}
			look(c)
		}
	}
	look(d.root)
	return out
}

// sampled are the passwords of PgCat's own sample configs.
var sampled = []string{"", "admin_pass", "admin", "pgcat", "postgres", "password"}

func adminPasswordWeak(d *document) []hit {
	g := d.general()
	password, ok := g.str("admin_password")
	name, _ := g.str("admin_username")
	if !ok || !slices.Contains(sampled, password) && password != name {
		return nil
	}
	return []hit{point(g, "admin_password", "anybody would guess it")}
}

func trust(d *document) []hit {
	if d.opt.Release == V120 {
		return nil
	}
	look := func(n *node, key string) []hit {
		if v, _ := n.str(key); strings.EqualFold(v, "trust") {
			return []hit{point(n, key, "no password is asked for")}
		}
		return nil
	}
	return append(look(d.general(), "admin_auth_type"), d.users(func(_ poolView, u *node) []hit { return look(u, "auth_type") })...)
}

func mirrorOfNoServer(d *document) []hit {
	return d.shards(func(_ poolView, s *node) (out []hit) {
		list := s.get("mirrors")
		if list == nil {
			return nil
		}
		for _, row := range list.items {
			index, ok := row.num("mirroring_target_index")
			if row.kind == arrayKind && len(row.items) >= 3 {
				index, ok = row.items[2].number, true
			}
			if n := len(endpointsOf(s)); ok && index >= int64(n) {
				out = append(out, hit{at: row.at, path: row.path, message: fmt.Sprintf("shard %s has %d servers, none with index %d", s.key, n, index)})
			}
		}
		return out
	})
}

// postgresMax is Postgres' default of max_connections.
const postgresMax = 100

func tooManyConnections(d *document) (out []hit) {
	sum := map[string]int64{}
	told := map[string]bool{}
	return d.users(func(p poolView, u *node) []hit {
		size, _ := u.num("pool_size")
		for _, s := range p.shards {
			for _, e := range endpointsOf(s) {
				id := fmt.Sprintf("%s:%d", e.host, e.port)
				sum[id] += size
				if sum[id] > postgresMax && !told[id] {
					told[id] = true
					return []hit{point(u, "pool_size", fmt.Sprintf("with this user the pools may open more than %d connections to %s", postgresMax, id))}
				}
			}
		}
		return nil
	})
}

func randomHealthyNoRejoin(d *document) (out []hit) {
	for _, p := range d.pools() {
		if which, _ := p.str("default_shard"); which == "random_healthy" && len(p.shards) > 1 {
			out = append(out, point(p.node, "default_shard", fmt.Sprintf("pool %s: a shard that failed once serves nobody who names no shard, after it is back", p.key)))
		}
	}
	return out
}

func singleEndpoint(d *document) (out []hit) {
	for _, p := range d.pools() {
		if len(p.shards) == 1 && len(endpointsOf(p.shards[0])) == 1 {
			out = append(out, hit{at: p.shards[0].keyAt, path: p.shards[0].path, message: fmt.Sprintf("pool %s has one endpoint", p.key)})
		}
	}
	return out
}

func serverLifetimeLong(d *document) []hit {
	g := d.general()
	told := map[string]bool{}
	return d.users(func(p poolView, u *node) []hit {
		at := g
		for _, n := range []*node{u, p.node} {
			if n.get("server_lifetime") != nil {
				at = n
				break
			}
		}
		life := millis(numberOr(at, "server_lifetime", 3_600_000))
		if at == nil || life < time.Hour || told[at.path] {
			return nil
		}
		told[at.path] = true
		return []hit{point(at, "server_lifetime", fmt.Sprintf("server connections live %s", life))}
	})
}

func dnsCacheOn(d *document) []hit {
	if !d.general().is("dns_cache_enabled", false) {
		return nil
	}
	return []hit{point(d.general(), "dns_cache_enabled", "a name that moved is noticed after one more use")}
}

func sessionMode(d *document) (out []hit) {
	session := func(n *node) {
		if mode, _ := n.str("pool_mode"); strings.EqualFold(mode, "session") {
			out = append(out, point(n, "pool_mode", "clients keep their server for as long as they stay"))
		}
	}
	for _, p := range d.pools() {
		session(p.node)
		for _, u := range p.users {
			session(u)
		}
	}
	return out
}

func statementTimeoutOff(d *document) []hit {
	return d.users(func(_ poolView, u *node) []hit {
		if n, _ := u.num("statement_timeout"); n > 0 {
			return nil
		}
		return []hit{point(u, "statement_timeout", u.path+" has no statement_timeout")}
	})
}

func preparedOff(d *document) (out []hit) {
	for _, p := range d.pools() {
		mode, _ := p.str("pool_mode")
		if n, _ := p.num("prepared_statements_cache_size"); n == 0 && !strings.EqualFold(mode, "session") {
			out = append(out, point(p.node, "prepared_statements_cache_size", fmt.Sprintf("pool %s does not keep prepared statements", p.key)))
		}
	}
	return out
}

func passwordInClear(d *document) []hit {
	return d.users(func(p poolView, u *node) []hit {
		if u.get("password") == nil || d.asksForHashes(p) {
			return nil
		}
		return []hit{point(u, "password", u.path+" has its password in clear")}
	})
}

func portNotGiven(d *document) []hit {
	if g := d.general(); g == nil || g.get("port") != nil {
		return nil
	}
	return []hit{point(d.general(), "port", "PgCat listens on 5432")}
}
