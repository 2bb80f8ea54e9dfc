// Package restore puts everything back and proves it. It needs only the cluster: what was broken is written on the
// objects that were broken. It is idempotent, and does not stop at the first thing that fails.
package restore

import (
	"context"
	"fmt"
	"strings"
	"time"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/health/endpoints"
	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/record"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/stack"
)

// Limit is how long the proof may take: a Postgres that restarts has to start.
const Limit = 2 * time.Minute

// Config of a restore.
type Config struct {
	Cluster *kube.Cluster
	// Record, if there is one, is told when.
	Record *record.Record
	Logf   func(string, ...any)
}

// Run puts back and proves.
func Run(ctx context.Context, cfg Config) error {
	if err := cfg.Record.Say(ctx, cfg.Logf, history.RestoreRequested, ""); err != nil {
		cfg.Logf("%v; restoring all the same", err)
	}
	if _, err := Undo(ctx, cfg.Cluster, cfg.Logf); err != nil {
		return err
	}
	note, err := prove(ctx, cfg)
	if err != nil {
		return err
	}
	return cfg.Record.Say(ctx, cfg.Logf, history.RestoreEffective, note)
}

// Undo takes back everything that the cluster holds broken.
func Undo(ctx context.Context, c *kube.Cluster, logf func(string, ...any)) (undone []string, err error) {
	undone, err = fault.Revert(ctx, c)
	for _, d := range undone {
		logf("taken back: %s", d)
	}
	return undone, err
}

func prove(ctx context.Context, cfg Config) (string, error) {
	if err := cfg.Cluster.Rollout(ctx, fault.Postgres, Limit); err != nil {
		return "", err
	}
	err := kube.Until(ctx, "every Service to have its backend", Limit, func(ctx context.Context) (bool, string, error) {
		return backends(ctx, cfg.Cluster)
	})
	if err != nil {
		return "", err
	}
	st, err := stack.Open(ctx, cfg.Cluster)
	if err != nil {
		return "", err
	}
	if err := st.Follow(ctx, Limit); err != nil {
		return "", err
	}
	urls, _, err := st.Sidecars(ctx)
	if err != nil {
		return "", err
	}
	err = kube.Until(ctx, "PgCat's pod to reach every endpoint", Limit, func(ctx context.Context) (bool, string, error) {
		return reachable(ctx, urls)
	})
	if err != nil {
		return "", err
	}
	if err := st.Prove(ctx, Limit); err != nil {
		return "", err
	}
	return fmt.Sprintf("every Service has its backend, PgCat reaches every endpoint, a query on each of %d shards was answered", len(st.Shards)), nil
}

func backends(ctx context.Context, c *kube.Cluster) (bool, string, error) {
	var missing []string
	for _, e := range scenario.Endpoints {
		n, err := c.Backends(ctx, scenario.ServiceOf(e))
		if err != nil {
			return false, err.Error(), nil
		}
		if n == 0 {
			missing = append(missing, scenario.ServiceOf(e))
		}
	}
	return len(missing) == 0, "without a backend: " + strings.Join(missing, ", "), nil
}

func reachable(ctx context.Context, urls []string) (bool, string, error) {
	for _, url := range urls {
		list, err := endpoints.Get(ctx, url, true)
		if err != nil {
			return false, err.Error(), nil
		}
		for _, e := range list {
			if e.Dial != endpoints.DialOK {
				return false, fmt.Sprintf("%s: %s %s", e.Endpoint, e.Dial, e.DialError), nil
			}
		}
	}
	return true, "", nil
}
