package lint_test

import (
	"strings"
	"time"

	"pgcat-failover/steps/pooler/pgcat/lint"
)

// file is a config that no rule above info has anything to say of, with holes to put things in.
type file struct {
	top, general, pool, user, shard, more string
	users, shards                         string // instead of the only user's and the two shards' sections
	host                                  string
	admin                                 string
	balancing                             string
	port                                  string
	drop                                  string // a line to leave out
}

func or(s, byDefault string) string {
	if s == "" {
		return byDefault
	}
	return s
}

func (f file) String() string {
	return strings.NewReplacer(or(f.drop, "\x00"), "", "HOST", or(f.host, `"127.0.0.1"`), "ADMIN", or(f.admin, `admin_username = "root"
admin_password = "s3cret-a"`), "PORT", or(f.port, "port = 6432")).Replace(f.top+`
[general]
host = HOST
PORT
ADMIN
enable_prometheus_exporter = true
shutdown_timeout = 20000
autoreload = 15000
`+f.general+`
[pools.app]
`+or(f.balancing, `default_shard = "random_healthy"`)+`
`+f.pool+`
`+or(f.users, `[pools.app.users.0]
username = "u"
password = "s3cret-u"
pool_size = 2
`+f.user)+`
`+or(f.shards, `[pools.app.shards.0]
servers = [["127.0.0.1", 1, "primary"]]
database = "app"
`+f.shard+`
[pools.app.shards.1]
servers = [["127.0.0.2", 1, "primary"]]
database = "app"`)) + "\n" + f.more
}

const (
	twoHoles   = "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1, \"primary\"]]\ndatabase = \"a\"\n[pools.app.shards.1]\nservers = [[\"127.0.0.2\", 1, \"primary\"]]\ndatabase = \"b\"\n"
	justOne    = "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1, \"primary\"]]\ndatabase = \"app\"\n"
	plainUser  = "username = \"u\"\npassword = \"s3cret-u\"\n"
	firstShard = `default_shard = "shard_0"`
)

// cases show every rule at least once. Those of rules with an exit code are tried on the real PgCat as well.
var cases = []struct {
	rule, story string
	in          file
	opt         lint.Options
}{
	{rule: "not-toml", story: "a section without its bracket", in: file{general: "[broken\n"}},
	{rule: "not-toml", story: "a key twice", in: file{general: "autoreload = 1\n"}},
	{rule: "required-key-missing", story: "no admin", in: file{admin: "#"}},
	{rule: "required-key-missing", story: "pool_size at pool level does not count", in: file{pool: "pool_size = 5", users: "[pools.app.users.0]\n" + plainUser}},
	{rule: "required-key-missing", story: "a shard without database", in: file{shards: "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1, \"primary\"]]\n"}},
	{rule: "required-key-missing", story: "a plugin without enabled", in: file{pool: "query_parser_enabled = true", more: "[pools.app.plugins.query_logger]\n"}},
	{rule: "wrong-type", story: "a port in quotes", in: file{port: `port = "6432"`}},
	{rule: "wrong-type", story: "a metrics port over 32767", in: file{general: "prometheus_exporter_port = 40000"}},
	{rule: "wrong-type", story: "a negative time", in: file{general: "connect_timeout = -1"}},
	{rule: "wrong-type", story: "a time with a unit", in: file{general: `connect_timeout = "5s"`}},
	{rule: "wrong-type", story: "a float", in: file{general: "connect_timeout = 1000.0"}},
	{rule: "wrong-type", story: "a server of two elements", in: file{shards: "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1]]\ndatabase = \"app\"\n"}},
	{rule: "wrong-type", story: "users as a list", in: file{users: "users = [\"u\"]\n"}},
	{rule: "unknown-value", story: "another case than PgCat's", in: file{pool: `pool_mode = "TRANSACTION"`}},
	{rule: "unknown-value", story: "a default_shard without its prefix", in: file{balancing: `default_shard = "0"`}},
	{rule: "unknown-value", story: "PgBouncer's statement mode", in: file{pool: `pool_mode = "statement"`}},
	{rule: "unknown-value", story: "a role that is none", in: file{pool: `default_role = "auto"`}},
	{rule: "unknown-value", story: "a server's role", in: file{shards: "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1, \"master\"]]\ndatabase = \"app\"\n"}},
	{rule: "unknown-value", story: "trust is head's only, and its spelling counts", in: file{user: `auth_type = "scram"`}, opt: lint.Options{Release: lint.Head}},
	{rule: "default-shard-range", story: "shard 2 of two", in: file{balancing: `default_shard = "shard_2"`}},
	{rule: "default-shard-range", story: "no shards, for the default", in: file{balancing: "#", shards: "[pools.app.shards]"}},
	{rule: "shard-not-a-number", story: "a shard named as its endpoint", in: file{more: "[pools.app.shards.primary]\nservers = [[\"127.0.0.3\", 1, \"primary\"]]\ndatabase = \"app\"\n"}},
	{rule: "shard-without-servers", story: "an empty list", in: file{shards: "[pools.app.shards.0]\nservers = []\ndatabase = \"app\"\n"}},
	{rule: "shard-two-primaries", story: "three endpoints in one shard, as the seed first had it", in: file{shards: "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1, \"primary\"], [\"127.0.0.2\", 1, \"Primary\"]]\ndatabase = \"app\"\n"}},
	{rule: "server-twice", story: "the same replica twice", in: file{shards: "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1, \"replica\"], [\"127.0.0.1\", 1, \"replica\"]]\ndatabase = \"app\"\n"}},
	{rule: "password-missing", story: "no password", in: file{users: "[pools.app.users.0]\nusername = \"u\"\npool_size = 1\n"}},
	{rule: "auth-query-incomplete", story: "a query and nobody to ask it", in: file{general: `auth_query = "select 1"`}},
	{rule: "auth-query-incomplete", story: "in a pool", in: file{pool: "auth_query = \"select 1\"\nauth_query_user = \"x\""}},
	{rule: "min-pool-size-over-pool-size", story: "3 of 2", in: file{user: "min_pool_size = 3"}},
	{rule: "regex-invalid", story: "an open parenthesis", in: file{pool: `shard_id_regex = '(\d+'`}},
	{rule: "regex-invalid", story: "a look-ahead", in: file{pool: `sharding_key_regex = '(?=x)(\d+)'`}},
	{rule: "splitting-without-parser", story: "splitting alone", in: file{pool: "query_parser_read_write_splitting = true\nprimary_reads_enabled = true"}},
	{rule: "plugins-without-parser", story: "even an empty section", in: file{more: "[pools.app.plugins]\n"}},
	{rule: "sharding-key-unqualified", story: "a column", in: file{balancing: firstShard, pool: `automatic_sharding_key = "id"`}},
	{rule: "tls-key-missing", story: "a certificate alone", in: file{general: `tls_certificate = "/nowhere"`}},
	{rule: "exporter-host-not-ip", story: "a name", in: file{host: `"localhost"`}},
	{rule: "exporter-host-not-ip", story: "IPv6 without brackets", in: file{host: `"::1"`}},
	{rule: "routing-delay-zero", story: "a time of 0", in: file{pool: "db_activity_based_routing = true\ndb_activity_ttl = 0"}, opt: lint.Options{Release: lint.Head}},
	{rule: "zero-panics", story: "no threads", in: file{general: "worker_threads = 0"}},
	{rule: "zero-panics", story: "0 for off", in: file{general: "autoreload = 0", drop: "autoreload = 15000"}},
	{rule: "zero-panics", story: "an empty pool", in: file{users: "[pools.app.users.0]\n" + plainUser + "pool_size = 0\n"}},
	{rule: "zero-panics", story: "no wait", in: file{general: "connect_timeout = 0\nhealthcheck_timeout = 0"}},
	{rule: "zero-panics", story: "a pool's own", in: file{pool: "idle_timeout = 0"}},
	{rule: "zero-panics", story: "a user's own", in: file{user: "server_lifetime = 0"}},
	{rule: "failover-key-imagined", story: "the seed's", in: file{general: "automatic_failover = true"}},
	{rule: "failover-key-imagined", story: "the seed's, with a time", in: file{pool: "failover_timeout = 5000"}},
	{rule: "shard-gap", story: "0 and 2", in: file{more: "[pools.app.shards.7]\nservers = [[\"127.0.0.3\", 1, \"primary\"]]\ndatabase = \"app\"\n"}},

	{rule: "unknown-key", story: "a slip", in: file{general: "conect_timeout = 5000"}},
	{rule: "unknown-key", story: "the seed's query_timeout", in: file{shard: "query_timeout = 30000"}},
	{rule: "unknown-key", story: "pool for pools", in: file{more: "[pool.app.plugins]\n"}},
	{rule: "unknown-key", story: "nothing like it", in: file{user: "zzz = 1"}},
	{rule: "unknown-key", story: "in a server that is a table", in: file{shards: "[pools.app.shards.0]\nservers = [{host = \"127.0.0.1\", port = 1, role = \"primary\", weight = 2}]\ndatabase = \"app\"\n"}},
	{rule: "key-in-wrong-place", story: "pool_size at pool level", in: file{pool: "pool_size = 25"}},
	{rule: "key-in-wrong-place", story: "connect_timeout in a shard", in: file{shard: "connect_timeout = 5000"}},
	{rule: "key-in-wrong-place", story: "before any section", in: file{top: "port = 6432"}},
	{rule: "key-newer-than-release", story: "head's key under v1.2.0", in: file{pool: "checkout_failure_limit = 3"}, opt: lint.Options{Release: lint.V120}},
	{rule: "default-shard-missing", story: "the seed's config", in: file{balancing: "#"}},
	{rule: "default-shard-fixed", story: "one named", in: file{balancing: firstShard}},
	{rule: "default-shard-random-on-partitions", story: "two databases", in: file{shards: twoHoles}},
	{rule: "default-shard-random", story: "random", in: file{balancing: `default_shard = "random"`}},
	{rule: "loc-with-random-healthy", story: "loc", in: file{pool: `load_balancing_mode = "loc"`}},
	{rule: "same-endpoint-twice", story: "one host under two numbers", in: file{shards: justOne + strings.Replace(justOne, "shards.0", "shards.1", 1)}},
	{rule: "min-pool-size-validated", story: "the seed's 5", in: file{user: "min_pool_size = 1"}},
	{rule: "healthcheck-delay-long", story: "over PgCat's default", in: file{general: "healthcheck_delay = 60000"}},
	{rule: "healthcheck-delay-long", story: "over what is asked for", opt: lint.Options{Outage: 10 * time.Second}},
	{rule: "healthcheck-timeout-long", story: "longer than the wait for a connection", in: file{general: "healthcheck_timeout = 5000"}},
	{rule: "connect-timeout-long", story: "two shards of 8 s", in: file{general: "connect_timeout = 8000"}},
	{rule: "tcp-user-timeout-long", story: "off", in: file{general: "tcp_user_timeout = 0"}},
	{rule: "splitting-without-replica", story: "reads for nobody", in: file{pool: "query_parser_enabled = true\nquery_parser_read_write_splitting = true"}},
	{rule: "role-without-replica", story: "replicas for nobody", in: file{pool: `default_role = "replica"`}},
	{rule: "shutdown-timeout-over-grace", story: "a short grace", opt: lint.Options{Grace: 10 * time.Second}},
	{rule: "autoreload-subpath", story: "a subPath", opt: lint.Options{Mount: lint.SubPath}},
	{rule: "exporter-off", story: "off", in: file{drop: "enable_prometheus_exporter = true"}},
	{rule: "exporter-port-clash", story: "the pooler's port", in: file{general: "prometheus_exporter_port = 6432"}},
	{rule: "pool-not-the-database", story: "another name", in: file{shards: strings.ReplaceAll(justOne, `"app"`, `"postgres"`)}},
	{rule: "pool-named-as-admin", story: "pgbouncer", in: file{more: strings.ReplaceAll("[pools.pgbouncer.users.0]\n"+plainUser+"pool_size = 1\n"+justOne, "pools.app", "pools.pgbouncer")}},
	{rule: "user-twice", story: "two of a name", in: file{more: "[pools.app.users.1]\n" + plainUser + "pool_size = 1\n"}},
	{rule: "pool-without-users", story: "nobody", in: file{users: "[pools.app.users]"}},
	{rule: "placeholder", story: "a variable for a password", in: file{users: "[pools.app.users.0]\nusername = \"u\"\npassword = \"${PGPASSWORD}\"\npool_size = 1\n"}},
	{rule: "admin-password-weak", story: "a sample's", in: file{admin: "admin_username = \"root\"\nadmin_password = \"admin_pass\""}},
	{rule: "trust", story: "a user", in: file{user: `auth_type = "trust"`}, opt: lint.Options{Release: lint.Head}},
	{rule: "mirror-of-no-server", story: "server 7 of one", in: file{shard: `mirrors = [["127.0.0.3", 1, 7]]`}},
	{rule: "too-many-connections", story: "a big pool", in: file{users: "[pools.app.users.0]\n" + plainUser + "pool_size = 101\n"}},

	{rule: "key-not-in-every-release", story: "head's key", in: file{pool: "checkout_failure_limit = 3"}},
	{rule: "random-healthy-no-rejoin", story: "the config that fails over"},
	{rule: "single-endpoint", story: "one", in: file{shards: justOne}},
	{rule: "server-lifetime-long", story: "PgCat's default"},
	{rule: "autoreload-off", story: "off", in: file{drop: "autoreload = 15000"}},
	{rule: "dns-cache-on", story: "on", in: file{general: "dns_cache_enabled = true"}},
	{rule: "session-mode", story: "a user's own", in: file{user: `pool_mode = "session"`}},
	{rule: "statement-timeout-off", story: "none"},
	{rule: "prepared-statements-off", story: "none"},
	{rule: "password-in-clear", story: "a password"},
	{rule: "port-not-given", story: "none", in: file{port: "#"}},
}

// accepted are forms that look odd and that PgCat takes: no finding of level error may come of them.
var accepted = map[string]file{
	"servers as tables":                       {shards: "[pools.app.shards.0]\nservers = [{host = \"127.0.0.1\", port = 1, role = \"primary\"}]\ndatabase = \"app\"\n"},
	"servers as array of tables":              {shards: "[pools.app.shards.0]\ndatabase = \"app\"\n[[pools.app.shards.0.servers]]\nhost = \"127.0.0.1\"\nport = 1\nrole = \"Replica\"\n"},
	"more than host, port, role":              {shards: "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1, \"mirror\", 4]]\ndatabase = \"app\"\n"},
	"numbers in other bases":                  {general: "connect_timeout = 0x3_e8\nidle_timeout = +1_000\nban_time = -1"},
	"quoted and dotted keys":                  {pool: "users.0.username = 'u'\nusers.\"0\".password = 'p'\nusers.0.\"pool_size\" = 1\nshards.\"0\".database = \"app\"\nshards.0.\"servers\" = [['127.0.0.1', 1, 'primary']]\n", shards: "#", users: "#"},
	"one-line tables":                         {shards: "[pools.app.shards]\n0 = { database = \"app\", servers = [[\"127.0.0.1\", 1, \"primary\"]] }\n"},
	"the enum's own spelling":                 {pool: "pool_mode = \"Session\"\nload_balancing_mode = \"Random\"\nsharding_function = \"Sha1\""},
	"a shard number with a plus":              {balancing: `default_shard = "shard_+1"`},
	"zeros that are times off":                {general: "healthcheck_delay = 0\nhealthcheck_timeout = 0\ntcp_user_timeout = 0\ndns_max_ttl = 0\ntcp_keepalives_idle = 0"},
	"a zero that a user overrides":            {general: "idle_timeout = 0\nserver_lifetime = 0", user: "idle_timeout = 1000\nserver_lifetime = 1000"},
	"a regex that is Rust's":                  {balancing: firstShard, pool: `shard_id_regex = '(?x) a** (\d+) # c('`},
	"a private key alone":                     {general: `tls_private_key = "/nowhere"`},
	"plugins without a parser, for all pools": {more: "[plugins]\n[plugins.query_logger]\nenabled = false\n"},
	"hashes instead of passwords":             {general: "auth_query = \"select 1\"\nauth_query_user = \"x\"\nauth_query_password = \"y\"", users: "[pools.app.users.0]\nusername = \"u\"\npool_size = 1\n"},
	"a name for a host, without the exporter": {host: `"localhost"`, drop: "enable_prometheus_exporter = true"},
	"IPv6 in brackets":                        {host: `"[::1]"`},
	"a replica only":                          {shards: "[pools.app.shards.0]\nservers = [[\"127.0.0.1\", 1, \"replica\"], [\"127.0.0.1\", 1, \"primary\"]]\ndatabase = \"app\"\n"},
	"a byte order mark's absence":             {top: "# ü\n"},
}
