// Package probe is the client's view of a run: operations at a fixed rate before, during and after the fault,
// each recorded with its times, its outcome and PgCat's own words; and PgCat's counters beside them.
// It never stops at an error: a failure observed is data, a failure to observe is an error.
package probe

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/record"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/stack"
)

// Limits of the probe.
const (
	// baselineLimit is how much longer than the baseline it may take until every arm is served.
	baselineLimit = 30 * time.Second
	// faultLimit is how long the fault may take to become effective, and again the restore: a Postgres that
	// restarts has to start, and PgCat to find it again.
	faultLimit = 3 * time.Minute
	// scrapeEvery is the resolution of PgCat's counters in the record.
	scrapeEvery = 500 * time.Millisecond
	// markEvery is how often the record is looked at for marks of the other steps.
	markEvery = 200 * time.Millisecond
)

// Max is when a probe gives up at the latest.
func Max(t scenario.Timing) time.Duration {
	return t.Baseline.Std() + baselineLimit + 2*faultLimit + t.Hold.Std() + t.Settle.Std()
}

// Config of a probe.
type Config struct {
	Scenario scenario.Scenario
	Record   *record.Record
	Cluster  *kube.Cluster
	Logf     func(string, ...any)
}

// Run probes until the restore was seen and its settle time is over, and saves the history in the record.
// What it has seen is saved too when it is ended early.
func Run(ctx context.Context, cfg Config) error {
	restarts, err := restarts(cfg.Scenario)
	if err != nil {
		return err
	}
	st, err := stack.Open(ctx, cfg.Cluster)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, Max(cfg.Scenario.Timing), fmt.Errorf("the probe's own limit of %s", Max(cfg.Scenario.Timing)))
	defer cancel()
	p := &prober{Config: cfg, restarts: restarts, stack: st, arms: Arms(st.Shards), marks: map[history.MarkName]history.Mark{}}
	p.base = time.Now()
	p.log = newLog(p.base, len(p.arms))
	stop := p.start(ctx)
	err = p.follow(ctx)
	end := time.Now()
	stop()
	saveCtx, done := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer done()
	if saveErr := cfg.Record.Save(saveCtx, p.history(end)); saveErr != nil {
		return saveErr
	}
	cfg.Logf("probe over: %s in %s", p.log.summary(), end.Sub(p.base).Round(time.Second))
	return err
}

// restarts tells whether Postgres ends in the scenario. An edit of the config never ends it.
func restarts(s scenario.Scenario) (bool, error) {
	if s.Edits() {
		return false, nil
	}
	f, err := fault.Named(s.Fault)
	if err != nil {
		return false, err
	}
	return f.RestartsPostgres(), nil
}

type prober struct {
	Config
	restarts bool        // the fault restarts Postgres
	aside    atomic.Bool // clients pinned to a shard that is about to be cut step aside
	stack    *stack.Stack
	arms     []history.Arm
	base     time.Time
	log      *log
	marks    map[history.MarkName]history.Mark
	mu       sync.Mutex
	scrapes  []history.Scrape
}

// start sets the arms and the scraper going; the function that it gives ends them and waits for them.
func (p *prober) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	for i, spec := range p.arms {
		a := &arm{Arm: spec, index: i, run: p.Record.Name, login: p.stack.Login(), interval: p.Scenario.Interval(), log: p.log}
		if p.cut(spec.Shard) {
			a.aside = p.aside.Load
		}
		wg.Go(func() { a.loop(ctx, p.base) })
	}
	wg.Go(func() { p.scrape(ctx) })
	return func() { cancel(); wg.Wait() }
}

// cut tells whether the scenario breaks the endpoint of the shard.
func (p *prober) cut(shard int) bool {
	return slices.ContainsFunc(p.stack.Shards, func(s history.Shard) bool {
		return s.Index == shard && p.Scenario.Breaks(s.Endpoint)
	})
}

// stepAside is how long the clients pinned to a cut shard keep still once the fault is felt.
//
// PgCat counts errors by shard, whoever meets them, and random_healthy goes by that count: clients that are pinned to
// the cut shard would warn PgCat on behalf of those that name none, and these would look better than they fare in
// production, where nobody pins. So they find out for themselves first.
func (p *prober) stepAside() time.Duration { return min(5*time.Second, p.Scenario.Timing.Hold.Std()/3) }

func (p *prober) scrape(ctx context.Context) {
	tick := time.NewTicker(scrapeEvery)
	defer tick.Stop()
	for {
		c, cancel := context.WithTimeout(ctx, 2*time.Second)
		values, err := pgcat.Scrape(c, p.stack.Metrics(), p.stack.Pool.Name)
		cancel()
		if ctx.Err() != nil {
			return
		}
		s := history.Scrape{At: time.Now(), Values: values}
		if err != nil {
			s.Err = err.Error()
		}
		p.mu.Lock()
		p.scrapes = append(p.scrapes, s)
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// follow waits for the baseline, says so, and then for the marks of the other steps until the run is over.
func (p *prober) follow(ctx context.Context) error {
	if err := p.baseline(ctx); err != nil {
		return p.Record.GiveUp(ctx, err)
	}
	m, err := p.see(ctx, history.RestoreEffective, Max(p.Scenario.Timing))
	if err != nil {
		return err
	}
	p.Logf("restore seen; watching clients for another %s", p.Scenario.Timing.Settle)
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Until(m.Seen.Add(p.Scenario.Timing.Settle.Std()))):
		return nil
	}
}

func (p *prober) baseline(ctx context.Context) error {
	want := p.Scenario.Timing.Baseline.Std()
	p.Logf("probing with %d clients, %g operations a second each; nothing is broken until all were served for %s", len(p.arms), p.Scenario.Rate, want)
	var since time.Time
	err := kube.Until(ctx, "every client to be served before anything is broken", want+baselineLimit, func(context.Context) (bool, string, error) {
		var why string
		since, why = p.log.healthySince(p.arms)
		return !since.IsZero() && time.Since(since) >= want, why, nil
	})
	if err != nil {
		return err
	}
	// At is when the healthy span began, so that the window before the fault starts there.
	m := history.Mark{Name: history.BaselineReady, At: since, Seen: since}
	p.marks[m.Name] = m
	p.Logf("baseline ready: %s", p.log.summary())
	p.aside.Store(true) // before anybody learns that the fault may come
	return p.Record.Mark(ctx, m)
}

// see notes each mark as it appears, on the probe's clock, until the last one is there or the run is given up.
func (p *prober) see(ctx context.Context, last history.MarkName, limit time.Duration) (history.Mark, error) {
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(markEvery)
	defer tick.Stop()
	for time.Now().Before(deadline) {
		state, err := p.Record.Read(ctx)
		if err == nil {
			p.note(state)
			if m, ok := p.marks[last]; ok {
				return m, nil
			}
		}
		select {
		case <-ctx.Done():
			return history.Mark{}, fmt.Errorf("wait for mark %s: ended by %w", last, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return history.Mark{}, fmt.Errorf("wait for mark %s: not within %s; marks seen: %s", last, limit, p.seen())
}

func (p *prober) note(state *record.State) {
	now := time.Now()
	for name, m := range state.Marks {
		if _, ok := p.marks[name]; ok {
			continue
		}
		m.Seen = now
		p.marks[name] = m
		p.Logf("%s (%s)", name, p.log.summary())
		switch name {
		case history.FaultEffective:
			time.AfterFunc(p.stepAside(), func() { p.aside.Store(false) })
		case history.Aborted, history.RestoreRequested, history.RestoreEffective:
			p.aside.Store(false)
		}
	}
}

func (p *prober) seen() string {
	var names []string
	for n := range p.marks {
		names = append(names, string(n))
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func (p *prober) history(end time.Time) *history.History {
	h := &history.History{Format: history.Format, Run: p.Record.Name, Scenario: p.Scenario, Base: p.base, End: end,
		Facts: history.Facts{RestartsPostgres: p.restarts}, Arms: p.arms, Samples: p.log.samples, Texts: p.log.list, Scrapes: p.scrapes}
	for _, m := range p.marks {
		h.Marks = append(h.Marks, m)
	}
	slices.SortFunc(h.Marks, func(a, b history.Mark) int { return a.At.Compare(b.At) })
	slices.SortStableFunc(h.Samples, func(a, b history.Sample) int { return a.Arm - b.Arm })
	return h
}
