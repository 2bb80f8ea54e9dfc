// Package config reads pgcat.toml as PgCat reads it: the same keys and defaults, the same silence
// about unknown keys, the same refusals. Whatever PgCat refuses ends the process with exit code 78
// (rule 1).
package config

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strconv"
	"time"

	"github.com/pelletier/go-toml/v2"
)

// ErrBad is any reason for which PgCat rejects a configuration.
var ErrBad = errors.New("BadConfig")

// Config is the whole file. PgCat ignores keys that it does not know, so nothing here is strict.
type Config struct {
	Path    string          `toml:"path"`
	General General         `toml:"general"`
	Plugins map[string]any  `toml:"plugins"`
	Pools   map[string]Pool `toml:"pools"`
}

// General holds the keys of [general].
type General struct {
	Host                   string  `toml:"host"`
	Port                   uint16  `toml:"port"`
	Exporter               bool    `toml:"enable_prometheus_exporter"`
	ExporterPort           int16   `toml:"prometheus_exporter_port"` // 16 bits, signed: 40000 is a parse error
	ConnectTimeout         uint64  `toml:"connect_timeout"`
	IdleTimeout            uint64  `toml:"idle_timeout"`
	KeepalivesIdle         uint64  `toml:"tcp_keepalives_idle"`
	KeepalivesCount        uint32  `toml:"tcp_keepalives_count"`
	KeepalivesInterval     uint64  `toml:"tcp_keepalives_interval"`
	UserTimeout            uint64  `toml:"tcp_user_timeout"`
	LogClientConnections   bool    `toml:"log_client_connections"`
	LogClientDisconnection bool    `toml:"log_client_disconnections"`
	DNSCache               bool    `toml:"dns_cache_enabled"`
	DNSMaxTTL              uint64  `toml:"dns_max_ttl"`
	ShutdownTimeout        uint64  `toml:"shutdown_timeout"`
	HealthcheckTimeout     uint64  `toml:"healthcheck_timeout"`
	HealthcheckDelay       uint64  `toml:"healthcheck_delay"`
	BanTime                int64   `toml:"ban_time"`
	IdleInTransaction      uint64  `toml:"idle_client_in_transaction_timeout"`
	ServerLifetime         uint64  `toml:"server_lifetime"`
	RoundRobin             bool    `toml:"server_round_robin"`
	WorkerThreads          uint64  `toml:"worker_threads"`
	Autoreload             *uint64 `toml:"autoreload"`
	TLSCertificate         *string `toml:"tls_certificate"`
	TLSPrivateKey          *string `toml:"tls_private_key"`
	ServerTLS              bool    `toml:"server_tls"`
	VerifyServer           bool    `toml:"verify_server_certificate"`
	AdminUsername          string  `toml:"admin_username"`
	AdminPassword          string  `toml:"admin_password"`
	AdminAuthType          string  `toml:"admin_auth_type"` // head only
	Validate               bool    `toml:"validate_config"`
	AuthQuery
}

// AuthQuery is the trio of keys with which PgCat asks Postgres for the hash of a client's password.
type AuthQuery struct {
	Query    *string `toml:"auth_query"`
	User     *string `toml:"auth_query_user"`
	Password *string `toml:"auth_query_password"`
}

// Configured tells whether all three keys are there.
func (a AuthQuery) Configured() bool { return a.Query != nil && a.User != nil && a.Password != nil }

// PoolMode is how long a client keeps its server.
type PoolMode string

// A server is kept for a transaction, or until the client leaves.
const (
	Transaction PoolMode = "transaction"
	Session     PoolMode = "session"
)

// Role is what a server is to its shard. The empty role of a router means any.
type Role string

// The roles a server can have.
const (
	Any     Role = ""
	Primary Role = "primary"
	Replica Role = "replica"
	Mirror  Role = "mirror"
)

// Pool is one [pools.x].
type Pool struct {
	Mode                PoolMode `toml:"pool_mode"`
	LoadBalancing       string   `toml:"load_balancing_mode"`
	DefaultRole         string   `toml:"default_role"`
	QueryParser         bool     `toml:"query_parser_enabled"`
	QueryParserMax      *uint64  `toml:"query_parser_max_length"`
	ReadWriteSplitting  bool     `toml:"query_parser_read_write_splitting"`
	PrimaryReads        bool     `toml:"primary_reads_enabled"`
	ConnectTimeout      *uint64  `toml:"connect_timeout"`
	IdleTimeout         *uint64  `toml:"idle_timeout"`
	ServerLifetime      *uint64  `toml:"server_lifetime"`
	CheckoutFailures    *uint64  `toml:"checkout_failure_limit"` // head only
	ShardingFunction    string   `toml:"sharding_function"`
	AutomaticKey        *string  `toml:"automatic_sharding_key"`
	ShardingKeyRegex    *string  `toml:"sharding_key_regex"`
	ShardIDRegex        *string  `toml:"shard_id_regex"`
	RegexSearchLimit    *uint64  `toml:"regex_search_limit"`
	DefaultShard        string   `toml:"default_shard"`
	CleanupServers      bool     `toml:"cleanup_server_connections"`
	LogParameterChanges bool     `toml:"log_client_parameter_status_changes"`
	PreparedStatements  uint64   `toml:"prepared_statements_cache_size"`
	AuthQuery
	Plugins map[string]any   `toml:"plugins"`
	Shards  map[string]Shard `toml:"shards"`
	Users   map[string]User  `toml:"users"`
}

// User is one user of a pool; every user has servers of its own.
type User struct {
	Username         string    `toml:"username"`
	Password         *string   `toml:"password"`
	AuthType         string    `toml:"auth_type"` // head only
	ServerUsername   *string   `toml:"server_username"`
	ServerPassword   *string   `toml:"server_password"`
	PoolSize         uint32    `toml:"pool_size"`
	MinPoolSize      *uint32   `toml:"min_pool_size"`
	Mode             *PoolMode `toml:"pool_mode"`
	ServerLifetime   *uint64   `toml:"server_lifetime"`
	StatementTimeout uint64    `toml:"statement_timeout"`
	ConnectTimeout   *uint64   `toml:"connect_timeout"`
	IdleTimeout      *uint64   `toml:"idle_timeout"`
}

// Shard is a Postgres database and the servers that hold it.
type Shard struct {
	Database string   `toml:"database"`
	Servers  []Server `toml:"-"`
	// RawServers is as written, either ["host", port, "role"] or a table; Servers is what it means.
	RawServers any `toml:"servers"`
	Mirrors    any `toml:"mirrors"`
}

// Server is where one Postgres listens.
type Server struct {
	Host string
	Port uint16
	Role Role
}

// Load reads and validates the file at path.
func Load(path string) (*Config, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%w: could not open %q: %w", ErrBad, path, err)
	}
	c, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	c.Path = path
	return c, nil
}

// Parse turns the text of a pgcat.toml into a validated Config.
func Parse(raw []byte) (*Config, error) {
	keys := map[string]any{}
	if err := toml.Unmarshal(raw, &keys); err != nil {
		return nil, fmt.Errorf("%w: could not parse config file: %w", ErrBad, err)
	}
	if err := requireKeys(keys); err != nil {
		return nil, err
	}
	filled, err := withDefaults(keys)
	if err != nil {
		return nil, fmt.Errorf("%w: could not parse config file: %w", ErrBad, err)
	}
	c := &Config{}
	if err := toml.NewDecoder(bytes.NewReader(filled)).Decode(c); err != nil {
		return nil, fmt.Errorf("%w: could not parse config file: %w", ErrBad, err)
	}
	if err := c.normalise(); err != nil {
		return nil, err
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// Equal tells whether a reload has anything to do.
func (c *Config) Equal(other *Config) bool { return reflect.DeepEqual(c, other) }

// SamePool tells whether a pool keeps its servers through a reload: only its own section counts.
// General keys that were baked into it do not reach an unchanged pool.
func SamePool(a, b Pool) bool { return reflect.DeepEqual(a, b) }

// AuthQueryConfigured tells whether any pool can ask Postgres for hashes.
func (c *Config) AuthQueryConfigured() bool {
	for _, p := range c.Pools {
		if p.Configured() {
			return true
		}
	}
	return false
}

// ShardKeys lists the keys of the shards in the order of their numbers.
func (p Pool) ShardKeys() []string {
	keys := make([]string, 0, len(p.Shards))
	for k := range p.Shards {
		keys = append(keys, k)
	}
	sort.Slice(keys, func(i, j int) bool { return ShardNumber(keys[i]) < ShardNumber(keys[j]) })
	return keys
}

// UserKeys lists the keys of the users in the order PgCat walks them.
func (p Pool) UserKeys() []string {
	keys := make([]string, 0, len(p.Users))
	for k := range p.Users {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// ShardNumber is the number that the key of a shard is; validated with the rest of the file.
func ShardNumber(key string) int {
	n, _ := strconv.Atoi(key)
	return n
}

// Timing is the set of durations baked into one user's pool when it is built: the user's own key,
// else the pool's, else the general one.
type Timing struct {
	Connect, Idle, Lifetime time.Duration
}

// TimingFor resolves the durations of one user of one pool.
func (c *Config) TimingFor(p Pool, u User) Timing {
	return Timing{
		Connect:  millis(first(u.ConnectTimeout, p.ConnectTimeout, c.General.ConnectTimeout)),
		Idle:     millis(first(u.IdleTimeout, p.IdleTimeout, c.General.IdleTimeout)),
		Lifetime: millis(first(u.ServerLifetime, p.ServerLifetime, c.General.ServerLifetime)),
	}
}

// ModeFor is the user's pool mode, else the pool's.
func ModeFor(p Pool, u User) PoolMode {
	if u.Mode != nil {
		return *u.Mode
	}
	return p.Mode
}

func first(user, pool *uint64, general uint64) uint64 {
	switch {
	case user != nil:
		return *user
	case pool != nil:
		return *pool
	}
	return general
}

func millis(n uint64) time.Duration { return time.Duration(n) * time.Millisecond }
