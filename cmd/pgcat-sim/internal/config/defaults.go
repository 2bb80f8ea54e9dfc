package config

import (
	"fmt"

	"github.com/pelletier/go-toml/v2"
)

type table = map[string]any

// Defaults of [general] (src/config.rs, "impl General"). CONFIG.md upstream says otherwise for the
// port of the exporter's switch: absent means off.
var generalDefaults = table{
	"host": "0.0.0.0", "port": 5432, "prometheus_exporter_port": 9930,
	"connect_timeout": 1000, "idle_timeout": 600000,
	"tcp_keepalives_idle": 5, "tcp_keepalives_count": 5, "tcp_keepalives_interval": 5,
	"tcp_user_timeout": 10000, "dns_max_ttl": 30, "shutdown_timeout": 60000,
	"healthcheck_timeout": 1000, "healthcheck_delay": 30000, "ban_time": 60,
	"server_lifetime": 3600000, "server_round_robin": true, "worker_threads": 4,
	"validate_config": true, "admin_auth_type": "md5",
}

var poolDefaults = table{
	"pool_mode": "transaction", "load_balancing_mode": "random", "default_role": "any",
	"sharding_function": "pg_bigint_hash", "default_shard": "shard_0",
	"cleanup_server_connections": true, "prepared_statements_cache_size": 0,
}

var userDefaults = table{"auth_type": "md5"}

// withDefaults adds what is absent, so that "absent" and "zero" stay different things.
func withDefaults(keys table) ([]byte, error) {
	fill(keys["general"].(table), generalDefaults)
	for name, p := range keys["pools"].(table) {
		pool, ok := p.(table)
		if !ok {
			return nil, fmt.Errorf("pools.%s is not a table", name)
		}
		fill(pool, poolDefaults)
		for _, u := range pool["users"].(table) {
			if user, ok := u.(table); ok {
				fill(user, userDefaults)
			}
		}
	}
	return toml.Marshal(keys)
}

func fill(t, defaults table) {
	for k, v := range defaults {
		if _, ok := t[k]; !ok {
			t[k] = v
		}
	}
}

// requireKeys refuses what serde refuses for a missing field.
func requireKeys(keys table) error {
	general, err := subtable(keys, "general", "")
	if err != nil {
		return err
	}
	if err := demand(general, "general", "admin_username", "admin_password"); err != nil {
		return err
	}
	pools, err := subtable(keys, "pools", "")
	if err != nil {
		return err
	}
	for name, p := range pools {
		at := "pools." + name
		pool, ok := p.(table)
		if !ok {
			return fmt.Errorf("%w: could not parse config file: %s is not a table", ErrBad, at)
		}
		if err := requirePool(pool, at); err != nil {
			return err
		}
	}
	return nil
}

func requirePool(pool table, at string) error {
	users, err := subtable(pool, "users", at)
	if err != nil {
		return err
	}
	if err := requireEach(users, at+".users", "username", "pool_size"); err != nil {
		return err
	}
	shards, err := subtable(pool, "shards", at)
	if err != nil {
		return err
	}
	return requireEach(shards, at+".shards", "database", "servers")
}

func requireEach(tables table, at string, names ...string) error {
	for key, v := range tables {
		t, ok := v.(table)
		if !ok {
			return fmt.Errorf("%w: could not parse config file: %s.%s is not a table", ErrBad, at, key)
		}
		if err := demand(t, at+"."+key, names...); err != nil {
			return err
		}
	}
	return nil
}

func subtable(t table, name, at string) (table, error) {
	sub, ok := t[name].(table)
	if !ok {
		return nil, fmt.Errorf("%w: could not parse config file: missing field `%s` in [%s]", ErrBad, name, at)
	}
	return sub, nil
}

func demand(t table, at string, names ...string) error {
	for _, n := range names {
		if _, ok := t[n]; !ok {
			return fmt.Errorf("%w: could not parse config file: missing field `%s` in [%s]", ErrBad, n, at)
		}
	}
	return nil
}
