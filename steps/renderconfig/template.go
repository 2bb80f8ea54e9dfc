package renderconfig

import (
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"unicode"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The comments are for whoever edits the file next: PgCat says nothing of a key that it ignores.
var pgcatTOML = template.Must(template.New("pgcat.toml").Funcs(template.FuncMap{
	"q": quote, "key": bare, "ms": func(d metav1.Duration) int64 { return d.Milliseconds() },
}).Parse(`# Written by ` + "`failover render-config`" + `; ` + "`failover lint-config`" + ` checks it after an edit. PgCat ignores every key that it does
# not know, without a word, and expands no environment variables. Times are milliseconds.
[general]
host = "0.0.0.0"                      # an IP literal: with the exporter on PgCat exits 78 on a name
port = {{.Port}}
# Of the database "pgcat", on the same port: SHOW POOLS, RELOAD, PAUSE, BAN, SHUTDOWN.
admin_username = {{q .AdminUsername}}
admin_password = {{q .AdminPassword}}
enable_prometheus_exporter = true     # absent means off
prometheus_exporter_port = {{.MetricsPort}}        # GET /metrics and nothing else; at most 32767
# The wait of a checkout, for each shard tried in turn. It counts in full where a connection is refused at once.
connect_timeout = {{ms .ConnectTimeout}}
# Not a period: a server connection that sat idle longer than this is tested when it is handed out.
healthcheck_delay = {{ms .HealthcheckDelay}}
healthcheck_timeout = 1000
# Connections to an endpoint that left its Service go on working: these make PgCat dial, and so notice.
idle_timeout = {{ms .IdleTimeout}}
server_lifetime = {{ms .ServerLifetime}}
# What ends a query on a connection whose packets are swallowed.
tcp_user_timeout = 10000
# With min_pool_size, one endpoint that is away at start makes PgCat exit 78 unless this is off.
validate_config = false
# Below the pod's grace period (30 s unless the pod says more), so that transactions in flight end before the kubelet kills.
shutdown_timeout = {{ms .ShutdownTimeout}}
{{if .Autoreload.Duration}}# Reads this file again; works where the Secret is mounted as a folder, not by subPath.
autoreload = {{ms .Autoreload}}
{{end}}
# Clients name the pool where they would name the database.
[pools.{{key .Pool}}]
pool_mode = {{q .PoolMode}}
load_balancing_mode = "random"        # "loc" would put shards that are away first
{{if .Several}}# The failover: which shard serves a query that names none. Without it, always shard 0, up or down.
# With random_healthy a shard that failed comes back to such clients only after the others fail as often, a client
# pins it (SET SHARD TO 'n'), this pool changes, or a restart.
{{end}}default_shard = {{q .DefaultShard}}
# Named prepared statements across server connections; 0 is off.
prepared_statements_cache_size = 500

[pools.{{key .Pool}}.users.0]
# For clients to log in to PgCat, and for PgCat to log in to Postgres.
username = {{q .Username}}
password = {{q .Password}}
pool_size = {{.PoolSize}}                        # for each endpoint; a key of the user, ignored at pool level
{{if .MinPoolSize}}min_pool_size = {{.MinPoolSize}}                     # idle connections kept to each endpoint
{{end}}{{if .StatementTimeout.Duration}}statement_timeout = {{ms .StatementTimeout}}
{{end}}
# One shard for each endpoint: PgCat takes one primary a shard.
{{range $i, $e := .Shards}}[pools.{{key $.Pool}}.shards.{{$i}}]
servers = [[{{q $e.Host}}, {{$e.Port}}, "primary"]]
database = {{q $.Database}}

{{end}}`))

// document is what the template reads.
type document struct {
	Config
	Credentials
	Shards  []endpoint
	Several bool
}

// TOML is the whole pgcat.toml.
func TOML(c Config, secret Credentials) (string, error) {
	shards, err := c.endpoints()
	if err != nil {
		return "", err
	}
	if c.Pool == "" {
		c.Pool = c.Database
	}
	if len(shards) == 1 && c.DefaultShard == "random_healthy" {
		c.DefaultShard = "shard_0"
	}
	var b strings.Builder
	if err := pgcatTOML.Execute(&b, document{c, secret, shards, len(shards) > 1}); err != nil {
		return "", fmt.Errorf("render pgcat.toml: %w", err)
	}
	return strings.TrimRight(b.String(), "\n") + "\n", nil
}

var simple = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// bare writes a key without quotes where TOML takes it so.
func bare(s string) string {
	if simple.MatchString(s) {
		return s
	}
	return quote(s)
}

// quote writes a TOML basic string, of printable characters only: it stands in a YAML block as well.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteRune('\\')
			b.WriteRune(r)
		case unicode.IsPrint(r) && r != unicode.ReplacementChar:
			b.WriteRune(r)
		case r <= 0xffff:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			fmt.Fprintf(&b, `\U%08X`, r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
