// Package breaklabel breaks the named endpoints and proves that the break is felt: the Services have no
// backends, a new connection from PgCat's own place in the network is refused, and PgCat holds no
// established connection to them any more. Only then is the fault effective, and only then is it said so.
package breaklabel

import (
	"context"
	"strings"
	"time"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/record"
	"pgcat-failover/steps/stack"
)

// EffectiveLimit is how long a break may take until it is felt. Nearly all of it is for a Postgres that restarts.
const EffectiveLimit = 2 * time.Minute

// Config of a break.
type Config struct {
	Cluster   *kube.Cluster
	Fault     fault.Fault
	Endpoints []string
	// Record, if there is one, is told when; the break then waits for its baseline first.
	Record *record.Record
	// Baseline is how long to wait for that at most.
	Baseline time.Duration
	Logf     func(string, ...any)
}

// Run breaks and proves. If it cannot prove the break it says so in the record, takes the break back, and fails.
func Run(ctx context.Context, cfg Config) error {
	return cfg.Record.GiveUp(ctx, run(ctx, cfg))
}

func run(ctx context.Context, cfg Config) error {
	if err := fault.Nothing(ctx, cfg.Cluster); err != nil {
		return err
	}
	st, err := stack.Open(ctx, cfg.Cluster)
	if err != nil {
		return err
	}
	cutter, err := newCutter(ctx, st, cfg.Endpoints)
	if err != nil {
		return err
	}
	if cfg.Record != nil {
		cfg.Logf("waiting for the probe's baseline")
		if _, err := cfg.Record.Await(ctx, history.BaselineReady, cfg.Baseline); err != nil {
			return err
		}
	}
	if err := cfg.Record.Say(ctx, cfg.Logf, history.FaultRequested, cfg.Fault.Name()); err != nil {
		return err
	}
	if err := inject(ctx, cfg, cutter); err != nil {
		undo(ctx, cfg)
		return err
	}
	return cfg.Record.Say(ctx, cfg.Logf, history.FaultEffective, cutter.proof())
}

func inject(ctx context.Context, cfg Config, cutter *cutter) error {
	started := time.Now()
	if err := cfg.Fault.Inject(ctx, cfg.Cluster, cfg.Endpoints); err != nil {
		return err
	}
	err := kube.Until(ctx, "Kubernetes to take the endpoints away", EffectiveLimit, func(ctx context.Context) (bool, string, error) {
		return cfg.Fault.Settled(ctx, cfg.Cluster, cfg.Endpoints)
	})
	if err != nil {
		return err
	}
	cfg.Logf("Services without backends after %s", time.Since(started).Round(time.Millisecond))
	return kube.Until(ctx, "PgCat to have neither old nor new connections to the endpoints", EffectiveLimit, cutter.cut)
}

// undo takes a half-made break back at once, even if the step is being ended.
func undo(ctx context.Context, cfg Config) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	undone, err := cfg.Fault.Revert(ctx, cfg.Cluster)
	if err != nil {
		cfg.Logf("taking the break back failed: %v; run `failover restore`", err)
		return
	}
	cfg.Logf("taken back: %s", strings.Join(undone, "; "))
}

// shardsOf lists the shards of the pool that lead to the endpoints.
func shardsOf(st *stack.Stack, endpoints []string) (map[int]string, error) {
	out := map[int]string{}
	for _, e := range endpoints {
		sh, err := st.ShardOf(e)
		if err != nil {
			return nil, err
		}
		out[sh.Index] = e
	}
	return out, nil
}
