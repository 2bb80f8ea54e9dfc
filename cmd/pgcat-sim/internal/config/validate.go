package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// ErrPanics is a configuration that PgCat accepts and then dies of: exit code 101, Rust's for a
// panic, instead of 78.
var ErrPanics = errors.New("PgCat panics on this configuration")

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBad, fmt.Sprintf(format, args...))
}

// normalise gives every spelling PgCat accepts its one value.
func (c *Config) normalise() error {
	if err := oneOf("admin_auth_type", &c.General.AdminAuthType, spellings("md5", "MD5"), spellings("trust", "Trust")); err != nil {
		return err
	}
	for name, p := range c.Pools {
		if err := p.normalise(); err != nil {
			return fmt.Errorf("pools.%s: %w", name, err)
		}
		inherit(&p.AuthQuery, c.General.AuthQuery)
		c.Pools[name] = p
	}
	return nil
}

func (p *Pool) normalise() error {
	if err := oneOf("pool_mode", (*string)(&p.Mode), poolModes...); err != nil {
		return err
	}
	if err := oneOf("load_balancing_mode", &p.LoadBalancing, spellings("random", "Random"),
		spellings("least_outstanding_connections", "loc", "LOC", "LeastOutstandingConnections")); err != nil {
		return err
	}
	if err := oneOf("sharding_function", &p.ShardingFunction, spellings("pg_bigint_hash", "PgBigintHash"), spellings("sha1", "Sha1")); err != nil {
		return err
	}
	for key, u := range p.Users {
		if err := oneOf("auth_type", &u.AuthType, spellings("md5", "MD5"), spellings("trust", "Trust")); err != nil {
			return err
		}
		if u.Mode != nil {
			if err := oneOf("pool_mode", (*string)(u.Mode), poolModes...); err != nil {
				return err
			}
		}
		p.Users[key] = u
	}
	for key, s := range p.Shards {
		servers, err := readServers(s.RawServers)
		if err != nil {
			return err
		}
		s.Servers = servers
		p.Shards[key] = s
	}
	return nil
}

// spellings is one value: how it is printed, and then how else it may be written.
func spellings(all ...string) []string { return all }

var poolModes = [][]string{spellings("transaction", "Transaction"), spellings("session", "Session")}

func oneOf(key string, value *string, values ...[]string) error {
	for _, v := range values {
		for _, spelling := range v {
			if *value == spelling {
				*value = v[0]
				return nil
			}
		}
	}
	return bad("could not parse config file: unknown variant `%s` for %s", *value, key)
}

func inherit(pool *AuthQuery, general AuthQuery) {
	if pool.Query == nil {
		pool.Query = general.Query
	}
	if pool.User == nil {
		pool.User = general.User
	}
	if pool.Password == nil {
		pool.Password = general.Password
	}
}

func readServers(raw any) ([]Server, error) {
	list, ok := raw.([]any)
	if !ok {
		return nil, bad("could not parse config file: servers is not a list")
	}
	servers := make([]Server, 0, len(list))
	for _, entry := range list {
		s, err := readServer(entry)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func readServer(entry any) (Server, error) {
	var host, port, role any
	switch e := entry.(type) {
	case []any:
		if len(e) < 3 { // more are ignored
			return Server{}, bad("could not parse config file: a server is [host, port, role], got %d elements", len(e))
		}
		host, port, role = e[0], e[1], e[2]
	case table:
		host, port, role = e["host"], e["port"], e["role"]
	}
	h, okHost := host.(string)
	n, okPort := port.(int64)
	r, okRole := role.(string)
	if !okHost || !okPort || !okRole || n < 0 || n > math.MaxUint16 {
		return Server{}, bad("could not parse config file: %v is no server", entry)
	}
	if err := oneOf("role", &r, spellings("primary", "Primary"), spellings("replica", "Replica"), spellings("mirror", "Mirror")); err != nil {
		return Server{}, err
	}
	return Server{Host: h, Port: uint16(n), Role: Role(r)}, nil
}

func (c *Config) validate() error {
	if c.General.Query != nil && (c.General.User == nil || c.General.Password == nil) {
		return bad("auth_query needs auth_query_user and auth_query_password")
	}
	for name, p := range c.Pools {
		if p.Query != nil && (p.User == nil || p.Password == nil) {
			return bad("error in pool { %s }: auth_query needs auth_query_user and auth_query_password", name)
		}
		for _, u := range p.Users {
			if !p.Configured() && u.Password == nil {
				return bad("error in pool { %s }: a user needs a password if auth_query is not specified", name)
			}
		}
	}
	if err := c.General.validateTLS(); err != nil {
		return err
	}
	for name, p := range c.Pools {
		if err := p.validate(); err != nil {
			return fmt.Errorf("pools.%s: %w", name, err)
		}
		c.Pools[name] = p
	}
	return nil
}

func (g General) validateTLS() error {
	if g.TLSCertificate == nil {
		return nil
	}
	if g.TLSPrivateKey == nil {
		return bad("tls_certificate is set, but the tls_private_key is not")
	}
	// Only whether they can be read: an empty file, or the key of another certificate, is found out
	// by the first client.
	for _, path := range []string{*g.TLSCertificate, *g.TLSPrivateKey} {
		if _, err := os.ReadFile(path); err != nil {
			return bad("tls_certificate is incorrectly configured: %v", err)
		}
	}
	return nil
}

func (p *Pool) validate() error {
	switch p.DefaultRole {
	case "any", "primary", "replica":
	default:
		return bad("default_role must be 'primary', 'replica', or 'any', got: '%s'", p.DefaultRole)
	}
	for key, s := range p.Shards {
		if _, err := strconv.ParseUint(key, 10, 64); err != nil {
			return bad("shard '%s' is not a valid number, shards must be numbered starting at 0", key)
		}
		if err := s.validate(); err != nil {
			return err
		}
	}
	for _, re := range []*string{p.ShardIDRegex, p.ShardingKeyRegex} {
		if re == nil {
			continue
		}
		if _, err := regexp.Compile(*re); err != nil {
			return bad("not a valid regex: %v", err)
		}
	}
	if p.ReadWriteSplitting && !p.QueryParser {
		return bad("query_parser_read_write_splitting is only valid when query_parser_enabled is true")
	}
	if p.Plugins != nil && !p.QueryParser {
		return bad("plugins are only valid when query_parser_enabled is true")
	}
	if err := p.validateKey(); err != nil {
		return err
	}
	return p.validateSizes()
}

func (p *Pool) validateKey() error {
	if p.AutomaticKey == nil {
		return nil
	}
	key := strings.ReplaceAll(*p.AutomaticKey, `"`, "")
	if strings.Count(key, ".") != 1 {
		return bad("automatic_sharding_key '%s' must be fully qualified", key)
	}
	p.AutomaticKey = &key
	return nil
}

func (p *Pool) validateSizes() error {
	d, err := ParseDefaultShard(p.DefaultShard)
	if err != nil {
		return err
	}
	if d.Kind == ShardN && d.N >= len(p.Shards) {
		return bad("invalid shard %d", d.N)
	}
	for _, u := range p.Users {
		if u.MinPoolSize != nil && *u.MinPoolSize > u.PoolSize {
			return bad("min_pool_size of %d cannot be larger than pool_size of %d", *u.MinPoolSize, u.PoolSize)
		}
	}
	return nil
}

func (s Shard) validate() error {
	if len(s.Servers) == 0 {
		return bad("shard %s has no servers configured", s.Database)
	}
	seen, primaries := map[Server]bool{}, 0
	for _, server := range s.Servers {
		if server.Role == Primary {
			primaries++
		}
		seen[server] = true
	}
	if primaries > 1 {
		return bad("shard %s has more than one primary configured", s.Database)
	}
	if len(seen) != len(s.Servers) {
		return bad("shard %s contains duplicate server configs", s.Database)
	}
	return nil
}

// ShardChoice is how a query without a pin finds its shard.
type ShardChoice int

// The values of default_shard.
const (
	ShardN ShardChoice = iota
	Random
	RandomHealthy
)

// DefaultShard is the value of default_shard; N counts for ShardN only.
type DefaultShard struct {
	Kind ShardChoice
	N    int
}

// ParseDefaultShard reads "shard_N", "random" or "random_healthy".
func ParseDefaultShard(s string) (DefaultShard, error) {
	if digits, ok := strings.CutPrefix(s, "shard_"); ok {
		n, err := strconv.ParseUint(digits, 10, 31)
		if err != nil {
			return DefaultShard{}, bad("could not parse config file: default_shard %q: %v", s, err)
		}
		return DefaultShard{Kind: ShardN, N: int(n)}, nil
	}
	switch s {
	case "random":
		return DefaultShard{Kind: Random}, nil
	case "random_healthy":
		return DefaultShard{Kind: RandomHealthy}, nil
	}
	return DefaultShard{}, bad("could not parse config file: invalid value for no_shard_specified_behavior")
}

// ExporterAddress is where the exporter listens. PgCat takes only an IP literal for host here
// (main.rs): a name, even localhost, is exit code 78.
func (g General) ExporterAddress() (string, error) {
	if net.ParseIP(g.Host) == nil || g.ExporterPort < 0 {
		return "", bad("invalid http address: %s:%d", g.Host, g.ExporterPort)
	}
	return net.JoinHostPort(g.Host, strconv.Itoa(int(g.ExporterPort))), nil
}

// Dies finds the values that PgCat parses and then asserts against (bb8's builder, tokio's interval).
func (c *Config) Dies() error {
	for name, p := range c.Pools {
		for _, u := range p.Users {
			t := c.TimingFor(p, u)
			if u.PoolSize == 0 || t.Connect == 0 || t.Idle == 0 || t.Lifetime == 0 {
				return fmt.Errorf("%w: pools.%s: pool_size and timeouts must be above 0", ErrPanics, name)
			}
		}
	}
	return nil
}
