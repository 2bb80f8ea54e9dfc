package config

import (
	"sort"
	"strconv"
	"strings"
)

// Rows is SHOW CONFIG: key and value, in the order of the keys (PgCat's own order is random).
func (c *Config) Rows() [][2]string {
	g := c.General
	rows := [][2]string{
		{"host", g.Host},
		{"port", strconv.Itoa(int(g.Port))},
		{"prometheus_exporter_port", strconv.Itoa(int(g.ExporterPort))},
		{"connect_timeout", u64(g.ConnectTimeout)},
		{"idle_timeout", u64(g.IdleTimeout)},
		{"healthcheck_timeout", u64(g.HealthcheckTimeout)},
		{"shutdown_timeout", u64(g.ShutdownTimeout)},
		{"healthcheck_delay", u64(g.HealthcheckDelay)},
		{"ban_time", strconv.FormatInt(g.BanTime, 10)},
		{"idle_client_in_transaction_timeout", u64(g.IdleInTransaction)},
	}
	for name, p := range c.Pools {
		rows = append(rows, p.rows(name)...)
	}
	sort.Slice(rows, func(i, j int) bool { return rows[i][0] < rows[j][0] })
	return rows
}

func (p Pool) rows(name string) [][2]string {
	at := "pools." + name + "."
	quoted := "pools." + strconv.Quote(name) + "." // two keys are quoted upstream, the others not
	limit := "unlimited"
	if p.QueryParserMax != nil {
		limit = u64(*p.QueryParserMax)
	}
	names := []string{}
	for _, k := range p.UserKeys() {
		names = append(names, p.Users[k].Username)
	}
	return [][2]string{
		{at + "pool_mode", string(p.Mode)},
		{at + "load_balancing_mode", p.LoadBalancing},
		{at + "primary_reads_enabled", strconv.FormatBool(p.PrimaryReads)},
		{at + "query_parser_enabled", strconv.FormatBool(p.QueryParser)},
		{at + "query_parser_max_length", limit},
		{at + "query_parser_read_write_splitting", strconv.FormatBool(p.ReadWriteSplitting)},
		{at + "default_role", p.DefaultRole},
		{at + "sharding_function", p.ShardingFunction},
		{quoted + "shard_count", strconv.Itoa(len(p.Shards))},
		{quoted + "users", strings.Join(names, ", ")},
	}
}

func u64(n uint64) string { return strconv.FormatUint(n, 10) }
