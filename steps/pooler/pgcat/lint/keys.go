package lint

import (
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

// Release is a PgCat whose keys are known here.
type Release string

// The releases. Either means that the file should do for both.
const (
	Either Release = ""
	V120   Release = "v1.2.0"
	Head   Release = "head" // commit 5b03881, which calls itself 1.3.0 and was never tagged
)

// section is a kind of table in pgcat.toml.
type section string

const (
	root        section = "the top level"
	general     section = "[general]"
	pool        section = "[pools.<name>]"
	user        section = "[pools.<name>.users.<n>]"
	shard       section = "[pools.<name>.shards.<n>]"
	server      section = "an entry of servers"
	mirror      section = "an entry of mirrors"
	plugins     section = "[plugins]"
	intercept   section = "[plugins.intercept]"
	intercepted section = "[plugins.intercept.queries.<n>]"
	tableAccess section = "[plugins.table_access]"
	queryLogger section = "[plugins.query_logger]"
	prewarmer   section = "[plugins.prewarmer]"
)

// shape is what PgCat takes as a key's value.
type shape struct {
	name     string
	kind     kind
	min, max int64    // of integers
	values   []string // of strings; nil: any
	prefix   string   // of strings: what else may begin one, before a number
	of       section  // of tables
	many     bool     // the table holds named tables of the section; the array holds them in the short form
	depth    int      // of arrays of strings
}

const maxInt = 1<<63 - 1

var (
	text    = shape{name: "a string", kind: stringKind}
	boolean = shape{name: "true or false", kind: boolKind}
	u16     = shape{name: "an integer from 0 to 65535", kind: integerKind, max: 1<<16 - 1}
	i16     = shape{name: "an integer of 16 signed bits, so no port above 32767", kind: integerKind, min: -1 << 15, max: 1<<15 - 1}
	u32     = shape{name: "an integer from 0 to 4294967295", kind: integerKind, max: 1<<32 - 1}
	u64     = shape{name: "an integer, not negative", kind: integerKind, max: maxInt}
	i64     = shape{name: "an integer", kind: integerKind, min: -1 << 63, max: maxInt}

	// The spellings are serde's: the variant's own name and its aliases; another case is refused.
	poolMode   = oneOf("transaction", "Transaction", "session", "Session")
	balancing  = oneOf("random", "Random", "loc", "LOC", "least_outstanding_connections", "LeastOutstandingConnections")
	hashing    = oneOf("pg_bigint_hash", "PgBigintHash", "sha1", "Sha1")
	authType   = oneOf("md5", "MD5", "trust", "Trust")
	serverRole = oneOf("primary", "Primary", "replica", "Replica", "mirror", "Mirror")
	anyRole    = oneOf("any", "primary", "replica")
	whichShard = shape{name: `"random", "random_healthy" or "shard_<n>"`, kind: stringKind, values: []string{"random", "random_healthy"}, prefix: "shard_"}

	strings1 = shape{name: "an array of strings", kind: arrayKind, depth: 1}
	strings2 = shape{name: "an array of arrays of strings", kind: arrayKind, depth: 2}
)

func oneOf(values ...string) shape {
	return shape{name: `"` + strings.Join(values, `", "`) + `"`, kind: stringKind, values: values}
}

func table(of section) shape { return shape{name: "a table", kind: tableKind, of: of} }
func tables(of section) shape {
	return shape{name: "a table of tables", kind: tableKind, of: of, many: true}
}
func rows(of section) shape { return shape{name: "an array", kind: arrayKind, of: of, many: true} }

// key is one key that PgCat reads.
type key struct {
	in       section
	name     string
	takes    shape
	since    Release
	required bool
}

// keys is the one list of what PgCat reads, from the structs of src/config.rs. The keys since V120 are those that
// v1.2.0 and head both read; none that v1.2.0 reads is gone from head.
var keys = []key{
	{root, "path", text, V120, false}, // overwritten by the path on the command line
	{root, "general", table(general), V120, true},
	{root, "plugins", table(plugins), V120, false},
	{root, "pools", tables(pool), V120, true},

	{general, "host", text, V120, false},
	{general, "port", u16, V120, false},
	{general, "enable_prometheus_exporter", boolean, V120, false},
	{general, "prometheus_exporter_port", i16, V120, false},
	{general, "connect_timeout", u64, V120, false},
	{general, "idle_timeout", u64, V120, false},
	{general, "tcp_keepalives_idle", u64, V120, false},
	{general, "tcp_keepalives_count", u32, V120, false},
	{general, "tcp_keepalives_interval", u64, V120, false},
	{general, "tcp_user_timeout", u64, V120, false},
	{general, "log_client_connections", boolean, V120, false},
	{general, "log_client_disconnections", boolean, V120, false},
	{general, "dns_cache_enabled", boolean, V120, false},
	{general, "dns_max_ttl", u64, V120, false},
	{general, "shutdown_timeout", u64, V120, false},
	{general, "healthcheck_timeout", u64, V120, false},
	{general, "healthcheck_delay", u64, V120, false},
	{general, "ban_time", i64, V120, false},
	{general, "idle_client_in_transaction_timeout", u64, V120, false},
	{general, "server_lifetime", u64, V120, false},
	{general, "server_round_robin", boolean, V120, false},
	{general, "worker_threads", u64, V120, false},
	{general, "autoreload", u64, V120, false},
	{general, "tls_certificate", text, V120, false},
	{general, "tls_private_key", text, V120, false},
	{general, "server_tls", boolean, V120, false},
	{general, "verify_server_certificate", boolean, V120, false},
	{general, "admin_username", text, V120, true},
	{general, "admin_password", text, V120, true},
	{general, "admin_auth_type", authType, Head, false},
	{general, "validate_config", boolean, V120, false},
	{general, "auth_query", text, V120, false},
	{general, "auth_query_user", text, V120, false},
	{general, "auth_query_password", text, V120, false},

	{pool, "pool_mode", poolMode, V120, false},
	{pool, "load_balancing_mode", balancing, V120, false},
	{pool, "default_role", anyRole, V120, false},
	{pool, "query_parser_enabled", boolean, V120, false},
	{pool, "query_parser_max_length", u64, V120, false},
	{pool, "query_parser_read_write_splitting", boolean, V120, false},
	{pool, "primary_reads_enabled", boolean, V120, false},
	{pool, "connect_timeout", u64, V120, false},
	{pool, "idle_timeout", u64, V120, false},
	{pool, "checkout_failure_limit", u64, Head, false},
	{pool, "server_lifetime", u64, V120, false},
	{pool, "sharding_function", hashing, V120, false},
	{pool, "automatic_sharding_key", text, V120, false},
	{pool, "sharding_key_regex", text, V120, false},
	{pool, "shard_id_regex", text, V120, false},
	{pool, "regex_search_limit", u64, V120, false},
	{pool, "default_shard", whichShard, V120, false}, // first in v1.2.0 (pull request 578)
	{pool, "auth_query", text, V120, false},
	{pool, "auth_query_user", text, V120, false},
	{pool, "auth_query_password", text, V120, false},
	{pool, "cleanup_server_connections", boolean, V120, false},
	{pool, "log_client_parameter_status_changes", boolean, V120, false},
	{pool, "prepared_statements_cache_size", u64, V120, false},
	{pool, "db_activity_based_routing", boolean, Head, false},
	{pool, "db_activity_init_delay", u64, Head, false},
	{pool, "db_activity_ttl", u64, Head, false},
	{pool, "table_mutation_cache_ms_ttl", u64, Head, false},
	{pool, "plugins", table(plugins), V120, false},
	{pool, "shards", tables(shard), V120, true},
	{pool, "users", tables(user), V120, true},

	{user, "username", text, V120, true},
	{user, "password", text, V120, false}, // required without auth_query: rule password-missing
	{user, "auth_type", authType, Head, false},
	{user, "server_username", text, V120, false},
	{user, "server_password", text, V120, false},
	{user, "pool_size", u32, V120, true},
	{user, "min_pool_size", u32, V120, false},
	{user, "pool_mode", poolMode, V120, false},
	{user, "server_lifetime", u64, V120, false},
	{user, "statement_timeout", u64, V120, false},
	{user, "connect_timeout", u64, V120, false},
	{user, "idle_timeout", u64, V120, false},

	{shard, "database", text, V120, true},
	{shard, "mirrors", rows(mirror), V120, false},
	{shard, "servers", rows(server), V120, true},

	{server, "host", text, V120, true},
	{server, "port", u16, V120, true},
	{server, "role", serverRole, V120, true},

	{mirror, "host", text, V120, true},
	{mirror, "port", u16, V120, true},
	{mirror, "mirroring_target_index", u64, V120, true},

	{plugins, "intercept", table(intercept), V120, false},
	{plugins, "table_access", table(tableAccess), V120, false},
	{plugins, "query_logger", table(queryLogger), V120, false},
	{plugins, "prewarmer", table(prewarmer), V120, false},
	{intercept, "enabled", boolean, V120, true},
	{intercept, "queries", tables(intercepted), V120, true},
	{intercepted, "query", text, V120, true},
	{intercepted, "schema", strings2, V120, true},
	{intercepted, "result", strings2, V120, true},
	{tableAccess, "enabled", boolean, V120, true},
	{tableAccess, "tables", strings1, V120, true},
	{queryLogger, "enabled", boolean, V120, true},
	{prewarmer, "enabled", boolean, V120, true},
	{prewarmer, "queries", strings1, V120, true},
}

// imagined are keys that people write and PgCat never had, and what they mean by them. The first three were
// searched for in every commit of PgCat; the last two are in its own CONFIG.md and Helm chart under these names.
var imagined = map[string]string{
	"automatic_failover":              "default_shard",
	"failover_timeout":                "connect_timeout",
	"query_timeout":                   "statement_timeout",
	"health_check_interval":           "healthcheck_delay",
	"healthcheck_interval":            "healthcheck_delay",
	"health_check_timeout":            "healthcheck_timeout",
	"max_connections":                 "pool_size",
	"default_pool_size":               "pool_size",
	"max_pool_size":                   "pool_size",
	"metrics_port":                    "prometheus_exporter_port",
	"server_idle_timeout":             "idle_timeout",
	"db_activity_based_ms_init_delay": "db_activity_init_delay",
	"table_mutation_cache_ttl":        "table_mutation_cache_ms_ttl",
}

// promises are the imagined keys whose readers believe that PgCat fails over because of them.
var promises = []string{"automatic_failover", "failover_timeout", "failover_enabled", "enable_failover", "failover", "auto_failover", "failover_mode", "failover_delay"}

func keysOf(in section) []key {
	var out []key
	for _, k := range keys {
		if k.in == in {
			out = append(out, k)
		}
	}
	return out
}

func find(in section, name string) (key, bool) {
	i := slices.IndexFunc(keys, func(k key) bool { return k.in == in && k.name == name })
	if i < 0 {
		return key{}, false
	}
	return keys[i], true
}

// places are the sections that have a key of this name.
func places(name string) []section {
	var out []section
	for _, k := range keys {
		if k.name == name && k.in != root {
			out = append(out, k.in)
		}
	}
	return out
}

// nearest is the real key that an unknown one was meant to be, preferably of the same section; typo tells whether
// the two differ by no more than slips of the finger.
func nearest(in section, name string) (k key, typo, ok bool) {
	if meant, is := imagined[name]; is {
		name = meant
		if k, ok = find(in, name); ok {
			return k, false, true
		}
	}
	best := 1 + len(name)/3
	for _, c := range keys {
		d := smetrics.WagnerFischer(strings.ToLower(name), c.name, 1, 1, 1)
		if d < best || d == best && ok && k.in != in && c.in == in {
			k, best, ok = c, d, true
		}
	}
	return k, ok && k.in == in && best <= 2, ok
}
