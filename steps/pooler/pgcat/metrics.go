package pgcat

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// prefix of every name that PgCat's exporter prints (src/prometheus.rs).
const prefix = "pgcat_"

// Kept are the series that a run records: what served (query_count), what it was connected to, and who waited.
// servers_error_count, servers_is_banned and *_xact_time are left out: PgCat never moves them for a primary.
var Kept = []string{
	"stats_total_query_count", "stats_total_wait_time", "stats_avg_errors", "databases_current_connections",
	"pools_cl_waiting", "pools_cl_active", "pools_maxwait_us", "pools_sv_login",
}

// Series names a shard's series as a run records it.
func Series(name string, shard int) string { return fmt.Sprintf("%s/%d", name, shard) }

// Scrape asks the exporter at base (http://host:9930) for the kept series of one pool.
func Scrape(ctx context.Context, base, pool string) (map[string]float64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/metrics", nil)
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", base, err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", base, err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("scrape %s: it answered %s; is enable_prometheus_exporter = true in pgcat.toml?", base, resp.Status)
	}
	families, err := ParseMetrics(body)
	if err != nil {
		return nil, fmt.Errorf("scrape %s: %w", base, err)
	}
	return pick(families, pool), nil
}

// ParseMetrics reads the text format as PgCat writes it. v1.2.0 repeats HELP and TYPE before every sample
// (src/prometheus.rs:166-183, issue 563) and ends without a line feed; the parser takes neither.
func ParseMetrics(body []byte) (map[string]*dto.MetricFamily, error) {
	var p expfmt.TextParser
	families, err := p.TextToMetricFamilies(bytes.NewReader(dedupe(body)))
	if err != nil {
		return nil, fmt.Errorf("parse metrics: %w", err)
	}
	return families, nil
}

func dedupe(body []byte) []byte {
	seen := map[string]bool{}
	var out bytes.Buffer
	for line := range strings.Lines(string(body)) {
		line = strings.TrimRight(line, "\r\n")
		if f := strings.Fields(line); len(f) >= 3 && f[0] == "#" {
			key := f[1] + " " + f[2]
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		out.WriteString(line)
		out.WriteByte('\n')
	}
	return out.Bytes()
}

func pick(families map[string]*dto.MetricFamily, pool string) map[string]float64 {
	out := map[string]float64{}
	for _, name := range Kept {
		for _, m := range families[prefix+name].GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["pool"] != pool {
				continue
			}
			key := name
			if shard, ok := labels["shard"]; ok {
				key += "/" + shard
			}
			out[key] += value(m)
		}
	}
	return out
}

func value(m *dto.Metric) float64 {
	switch {
	case m.Counter != nil:
		return m.Counter.GetValue()
	case m.Gauge != nil:
		return m.Gauge.GetValue()
	default:
		return m.GetUntyped().GetValue()
	}
}
