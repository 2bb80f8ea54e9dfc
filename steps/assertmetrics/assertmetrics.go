// Package assertmetrics judges a run: by what its clients saw and by PgCat's own counters, which the probe sampled
// during the whole run and of which this step takes the last reading.
package assertmetrics

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/record"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/stack"
	"pgcat-failover/steps/verdict"
)

// Config of a judgement.
type Config struct {
	Cluster  *kube.Cluster
	Record   *record.Record
	Scenario scenario.Scenario
	Logf     func(string, ...any)
}

// Run judges the record, writes the verdict into it, and gives it back.
func Run(ctx context.Context, cfg Config) (verdict.Result, error) {
	state, err := cfg.Record.Read(ctx)
	if err != nil {
		return verdict.Result{}, err
	}
	h, err := state.History()
	if err != nil {
		return verdict.Result{}, err
	}
	result := verdict.Missing(cfg.Record.Name, cfg.Scenario.Name, aborted(state))
	if h != nil {
		cfg.last(ctx, h)
		result = verdict.Judge(h)
	}
	var text strings.Builder
	if err := report.Text(&text, result); err != nil {
		return result, err
	}
	return result, cfg.Record.SaveVerdict(ctx, result, text.String())
}

func aborted(s *record.State) string {
	if m, ok := s.Marks[history.Aborted]; ok {
		return m.Note
	}
	return "the probe saved nothing in the record"
}

// last adds the exporter's reading from after the run: it must still answer.
func (cfg Config) last(ctx context.Context, h *history.History) {
	s := history.Scrape{At: time.Now()}
	st, err := stack.Open(ctx, cfg.Cluster)
	if err == nil {
		s.Values, err = pgcat.Scrape(ctx, st.Metrics(), h.Facts.Pool)
	}
	if err != nil {
		s.Err = fmt.Sprintf("after the run: %v", err)
		cfg.Logf("%s", s.Err)
	}
	h.Scrapes = append(h.Scrapes, s)
}
