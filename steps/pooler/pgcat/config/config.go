// Package config reads a pgcat.toml as PgCat does: keys that PgCat does not know are ignored, those that are not
// given have PgCat's defaults (src/config.rs).
package config

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// Config is what the steps need of a pgcat.toml.
type Config struct {
	General General
	Pools   []Pool // by name
}

// General is the section [general]. Times are milliseconds.
type General struct {
	Host                     string `toml:"host"`
	Port                     int    `toml:"port"`
	AdminUsername            string `toml:"admin_username"`
	AdminPassword            string `toml:"admin_password"`
	EnablePrometheusExporter bool   `toml:"enable_prometheus_exporter"`
	PrometheusExporterPort   int    `toml:"prometheus_exporter_port"`
	ConnectTimeout           int    `toml:"connect_timeout"`
	HealthcheckDelay         int    `toml:"healthcheck_delay"`
	HealthcheckTimeout       int    `toml:"healthcheck_timeout"`
	IdleTimeout              int    `toml:"idle_timeout"`
	ServerLifetime           int    `toml:"server_lifetime"`
	ShutdownTimeout          int    `toml:"shutdown_timeout"`
	Autoreload               int    `toml:"autoreload"` // 0: off
	ValidateConfig           bool   `toml:"validate_config"`
}

// Pool is a section [pools.<name>].
type Pool struct {
	Name              string
	PoolMode          string
	DefaultShard      string // "" if it is not given
	LoadBalancingMode string
	Users             []User
	Shards            []Shard
}

// EffectiveDefaultShard is what PgCat goes by: shard_0 where nothing is given.
func (p Pool) EffectiveDefaultShard() string { return cmp.Or(p.DefaultShard, "shard_0") }

// User is a section [pools.<name>.users.<n>].
type User struct {
	Username    string `toml:"username"`
	Password    string `toml:"password"`
	PoolSize    int    `toml:"pool_size"`
	MinPoolSize int    `toml:"min_pool_size"`
}

// Shard is a section [pools.<name>.shards.<n>].
type Shard struct {
	Index    int
	Database string
	Servers  []Server
}

// Server is one entry of a shard's servers.
type Server struct {
	Host string
	Port int
	Role string
}

type file struct {
	General General         `toml:"general"`
	Pools   map[string]pool `toml:"pools"`
}

type pool struct {
	PoolMode          string           `toml:"pool_mode"`
	DefaultShard      string           `toml:"default_shard"`
	LoadBalancingMode string           `toml:"load_balancing_mode"`
	Users             map[string]User  `toml:"users"`
	Shards            map[string]shard `toml:"shards"`
}

type shard struct {
	Database string `toml:"database"`
	Servers  []any  `toml:"servers"`
}

// Parse reads a pgcat.toml.
func Parse(data []byte) (*Config, error) {
	f := file{General: defaults()}
	if err := toml.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("parse pgcat.toml: %w", err)
	}
	c := &Config{General: f.General}
	for _, name := range slices.Sorted(maps.Keys(f.Pools)) {
		p, err := f.Pools[name].read(name)
		if err != nil {
			return nil, err
		}
		c.Pools = append(c.Pools, p)
	}
	return c, nil
}

// defaults are those of impl General (src/config.rs:347-432).
func defaults() General {
	return General{
		Host: "0.0.0.0", Port: 5432, PrometheusExporterPort: 9930, ConnectTimeout: 1000, HealthcheckDelay: 30_000,
		HealthcheckTimeout: 1000, IdleTimeout: 600_000, ServerLifetime: 3_600_000, ShutdownTimeout: 60_000, ValidateConfig: true,
	}
}

func (r pool) read(name string) (Pool, error) {
	p := Pool{Name: name, PoolMode: cmp.Or(r.PoolMode, "transaction"), DefaultShard: r.DefaultShard,
		LoadBalancingMode: cmp.Or(r.LoadBalancingMode, "random")}
	for _, k := range byNumber(r.Users) {
		p.Users = append(p.Users, r.Users[k])
	}
	for _, k := range byNumber(r.Shards) {
		index, err := strconv.Atoi(k)
		if err != nil {
			return p, fmt.Errorf("parse pgcat.toml: pool %s: shard %q is not a number", name, k)
		}
		s := Shard{Index: index, Database: r.Shards[k].Database}
		for i, row := range r.Shards[k].Servers {
			srv, err := readServer(row)
			if err != nil {
				return p, fmt.Errorf("parse pgcat.toml: pool %s: shard %d: server %d: %w", name, index, i, err)
			}
			s.Servers = append(s.Servers, srv)
		}
		p.Shards = append(p.Shards, s)
	}
	return p, nil
}

// readServer takes both forms that PgCat takes: a list, of which elements after the third are ignored, and a table.
func readServer(entry any) (Server, error) {
	var host, port, role any
	switch e := entry.(type) {
	case []any:
		if len(e) >= 3 {
			host, port, role = e[0], e[1], e[2]
		}
	case map[string]any:
		host, port, role = e["host"], e["port"], e["role"]
	}
	h, okH := host.(string)
	p, okP := port.(int64)
	r, okR := role.(string)
	if okH && okP && okR {
		return Server{Host: h, Port: int(p), Role: strings.ToLower(r)}, nil
	}
	return Server{}, errors.New("want [host, port, role], such as [\"db.example.com\", 5432, \"primary\"]")
}

func byNumber[V any](m map[string]V) []string {
	return slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		x, errX := strconv.Atoi(a)
		y, errY := strconv.Atoi(b)
		if errX != nil || errY != nil {
			return cmp.Compare(a, b)
		}
		return x - y
	})
}
