package verdict

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"pgcat-failover/steps/history"
)

func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func list(h *history.History) string { return strings.Join(h.Scenario.Endpoints, " and ") }

// others names the shards that are not cut.
func others(h *history.History) string {
	if cuts(h.Scenario) {
		return "the other shards"
	}
	return "each shard"
}

// most is what clients were told most often.
func most(t history.Tally) string {
	text, n := "", 0
	for s, k := range t.ByText {
		if k > n || k == n && s < text {
			text, n = s, k
		}
	}
	return fmt.Sprintf("%q (%d times)", text, n)
}

func scrapeTrouble(h *history.History) string {
	for _, s := range h.Scrapes {
		if s.Err != "" {
			return s.Err
		}
	}
	return ""
}

func defaultShard(h *history.History) string {
	if h.Facts.DefaultShard == "" {
		return "the pool has no default_shard, so every query that names no shard goes to shard 0"
	}
	return fmt.Sprintf("default_shard = %q", h.Facts.DefaultShard)
}

func mendDefaultShard(h *history.History) string {
	if h.Facts.DefaultShard == "random_healthy" || h.Facts.DefaultShard == "random" {
		return ""
	}
	return fmt.Sprintf("set default_shard = \"random_healthy\" in [pools.%s] of pgcat.toml", h.Facts.Pool)
}

// explains lists, for each check, the lint rules whose finding is a cause of its failing, the likeliest first. What only
// may have to do with it is not here: the report lists every finding anyway.
var explains = map[string][]string{
	"evidence": {"exporter-off", "autoreload-subpath", "autoreload-off", "min-pool-size-validated"},
	"effect":   {"autoreload-subpath", "autoreload-off", "min-pool-size-validated"},
	"exposed":  {"default-shard-missing", "default-shard-fixed"},
	"failover": {"default-shard-missing", "default-shard-fixed", "connect-timeout-long", "healthcheck-timeout-long"},
	"failures": {"default-shard-missing", "default-shard-fixed"},
	"counters": {"exporter-off"},
}

// ofEdits are rules that explain nothing where the config stays as it is.
var ofEdits = []string{"autoreload-subpath", "autoreload-off", "min-pool-size-validated"}

// explaining lists the rules that found something in the config of the run and explain the check.
func explaining(h *history.History, check string) []string {
	found := map[string]bool{}
	for _, f := range h.Facts.Findings {
		found[f.Rule] = true
	}
	if h.Facts.Findings == nil && mendDefaultShard(h) != "" { // a run from before there were rules
		found["default-shard-missing"], found["default-shard-fixed"] = h.Facts.DefaultShard == "", h.Facts.DefaultShard != ""
	}
	var out []string
	for _, rule := range explains[check] {
		if found[rule] && (h.Scenario.Edits() || !slices.Contains(ofEdits, rule)) {
			out = append(out, rule)
		}
	}
	return out
}

// cause names what in the config explains that clients which name no shard were not served: without default_shard, or
// with one that names a shard, PgCat keeps a single candidate (src/pool.rs:726-762) and never fails over.
func cause(h *history.History) (why, mend string) {
	mend = mendDefaultShard(h)
	if mend == "" {
		return fmt.Sprintf("PgCat waits connect_timeout (%s) for each cut shard that a checkout tries", h.Facts.ConnectTimeout), ""
	}
	if h.Facts.DefaultShard == "" {
		return "the pool has no default_shard, so PgCat sends every query that names no shard to shard 0, whether it answers or not; it never fails over", mend
	}
	return fmt.Sprintf("default_shard = %q sends every query that names no shard to that one, whether it answers or not", h.Facts.DefaultShard), mend
}
