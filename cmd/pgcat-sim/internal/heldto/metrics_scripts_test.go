package heldto

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

// metricsFormat: the whole body, with its numbers hidden where time or chance makes them.
func metricsFormat(x *run) {
	x.start(conf{general: "enable_prometheus_exporter = true"})
	c := x.enter()
	c.query("select 1")
	c.query("begin")
	x.step("GET /metrics", func() []string { return x.exposition() })
	c.query("commit")
	for _, r := range [][2]string{{http.MethodGet, "/"}, {http.MethodGet, "/health"}, {http.MethodPost, "/metrics"}, {http.MethodGet, "/metrics?x=1"}} {
		x.step(r[0]+" "+r[1], func() []string {
			code, kind, body := x.pooler.get(x.t, r[0], r[1])
			return []string{fmt.Sprint(code), kind, fmt.Sprint(len(body) > 0)}
		})
	}
}

// metricsFailover: what an outage does to the numbers.
func metricsFailover(x *run) {
	x.start(conf{general: "enable_prometheus_exporter = true\nconnect_timeout = 400\nhealthcheck_delay = 0", pool: `default_shard = "random_healthy"`})
	x.shards[0].Down()
	c := x.enter()
	c.query("set shard to 0")
	x.letIdle()
	c.query("select 1")
	c.query("select 1")
	x.step("the dead shard has no connections", func() []string { return x.samples(`(databases_current_connections|stats_total_query_count|pools_.*)`) })
	x.step("its servers are gone", func() []string { return x.samples(`servers_(query_count|error_count|idle_count|is_banned)`) })
	x.step("SHOW STATS knows", func() []string {
		var errors []string
		for _, s := range x.enter("database", "pgcat").ask("SHOW STATS") {
			if f := strings.Split(s, "|"); len(f) > 10 {
				errors = append(errors, f[0]+" total_errors "+f[10])
			}
		}
		return errors
	})
}

// standInOnly is the one metric that PgCat does not have.
const standInOnly = "pgcat_sim_info"

// exposition is the body in its blocks, each block sorted, so that PgCat's random order does not
// matter and its form does.
func (x *run) exposition() []string {
	code, kind, body := x.pooler.scrape(x.t)
	seen := []string{fmt.Sprint(code), kind, "starts with " + edge(body[:1]), "ends with " + edge(body[len(body)-1:])}
	var blocks []string
	for _, block := range strings.Split(strings.Trim(body, "\n"), "\n\n") {
		if strings.Contains(block, standInOnly) {
			continue
		}
		lines := strings.Split(block, "\n")
		for i, l := range lines {
			lines[i] = x.mask(normal(l))
		}
		slices.Sort(lines)
		blocks = append(blocks, strings.Join(lines, " / "))
	}
	slices.Sort(blocks)
	return append(seen, blocks...)
}

func edge(s string) string {
	if s == "\n" {
		return "newline"
	}
	return "text"
}

var (
	sampleLine = regexp.MustCompile(`^(\w+)\{(.*)\} (\d+)$`)
	uncertain  = regexp.MustCompile(`_time|bytes_|_received|_sent|avg_|maxwait`)
)

// normal sorts the labels and hides numbers that differ between runs.
func normal(line string) string {
	m := sampleLine.FindStringSubmatch(line)
	if m == nil {
		return line
	}
	labels := strings.Split(m[2], ",")
	slices.Sort(labels)
	value := m[3]
	if uncertain.MatchString(m[1]) {
		value = "*"
	}
	return m[1] + "{" + strings.Join(labels, ",") + "} " + value
}

func (x *run) samples(pattern string) []string {
	re := regexp.MustCompile(`^pgcat_` + pattern + `\{`)
	_, _, body := x.pooler.scrape(x.t)
	var all []string
	for _, l := range strings.Split(body, "\n") {
		if re.MatchString(l) {
			all = append(all, normal(l))
		}
	}
	slices.Sort(all)
	return all
}
