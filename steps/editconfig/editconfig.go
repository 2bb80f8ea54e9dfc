// Package editconfig changes PgCat's config while clients run, the way a team does it: the Secret is written, the kubelet
// brings the file to the pod, PgCat reads it. Each of these is waited for and proved; only when PgCat itself says that it
// goes by the new file, or refuses one that it cannot read, is the edit effective.
package editconfig

import (
	"context"
	"errors"
	"fmt"
	"time"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/pooler/pgcat/config"
	"pgcat-failover/steps/pooler/pgcat/edit"
	"pgcat-failover/steps/record"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/stack"
)

// EffectiveLimit is how long an edit may take from the API server into PgCat: a kubelet with its defaults looks at a pod
// once in 60 to 90 s, and PgCat at its file once in autoreload.
const EffectiveLimit = 3 * time.Minute

// Config of an edit.
type Config struct {
	Cluster   *kube.Cluster
	Edit      edit.Edit
	Endpoints []string
	Reload    scenario.Reload
	// Record, if there is one, is told when; the edit then waits for its baseline first.
	Record *record.Record
	// Baseline is how long to wait for that at most.
	Baseline time.Duration
	Logf     func(string, ...any)
}

// Run edits and proves. If it cannot prove the edit it says so in the record, takes the edit back, and fails.
func Run(ctx context.Context, cfg Config) error {
	return cfg.Record.GiveUp(ctx, cfg.run(ctx))
}

func (cfg Config) run(ctx context.Context) error {
	if err := fault.Nothing(ctx, cfg.Cluster); err != nil {
		return err
	}
	st, err := stack.Open(ctx, cfg.Cluster)
	if err != nil {
		return err
	}
	edited, err := cfg.edited(st)
	if err != nil {
		return err
	}
	if cfg.Record != nil {
		cfg.Logf("waiting for the probe's baseline")
		if _, err := cfg.Record.Await(ctx, history.BaselineReady, cfg.Baseline); err != nil {
			return err
		}
	}
	if err := cfg.Record.Say(ctx, cfg.Logf, history.FaultRequested, cfg.Edit.Summary); err != nil {
		return err
	}
	note, err := cfg.apply(ctx, st, edited)
	if err != nil {
		cfg.undo(ctx)
		return err
	}
	return cfg.Record.Say(ctx, cfg.Logf, history.FaultEffective, note)
}

// edited is the file as it will be.
func (cfg Config) edited(st *stack.Stack) ([]byte, error) {
	var hosts []string
	for _, e := range cfg.Endpoints {
		sh, err := st.ShardOf(e)
		if err != nil {
			return nil, err
		}
		hosts = append(hosts, sh.Host)
	}
	return cfg.Edit.Apply(st.Raw, hosts)
}

// apply writes the file, follows it into the pods, and proves what PgCat made of it.
func (cfg Config) apply(ctx context.Context, st *stack.Stack, edited []byte) (note string, err error) {
	started := time.Now()
	if err := (fault.Config{}).Write(ctx, cfg.Cluster, st.Raw, edited); err != nil {
		return "", err
	}
	if cfg.Reload == scenario.ByCommand {
		if err := st.Refresh(ctx); err != nil {
			return "", err
		}
	}
	err = kube.Until(ctx, "the kubelet to bring the edited file to PgCat's pod", EffectiveLimit, func(ctx context.Context) (bool, string, error) {
		return st.Mounted(ctx, fault.Sum(edited))
	})
	if err != nil {
		return "", err
	}
	mounted := fmt.Sprintf("in the pod after %.1f s", time.Since(started).Seconds())
	if err := cfg.Record.Say(ctx, cfg.Logf, history.ConfigMounted, mounted); err != nil {
		return "", err
	}
	taken, err := cfg.taken(ctx, st, edited)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s, %s after %.1f s", mounted, taken, time.Since(started).Seconds()), nil
}

// taken proves what PgCat made of the file that its pod has now.
func (cfg Config) taken(ctx context.Context, st *stack.Stack, edited []byte) (string, error) {
	if cfg.Edit.Refused {
		return cfg.refused(ctx, st)
	}
	want, err := config.Parse(edited)
	if err != nil {
		return "", err
	}
	if cfg.Reload == scenario.ByCommand {
		if err := st.Reload(ctx); err != nil {
			return "", err
		}
	}
	err = kube.Until(ctx, "PgCat to go by the edited file", EffectiveLimit, func(ctx context.Context) (bool, string, error) {
		return st.Runs(ctx, want)
	})
	if err != nil && st.Config.General.Autoreload == 0 && cfg.Reload == scenario.ByItself {
		return "", fmt.Errorf("%w; autoreload is not set in [general], so PgCat reads its file only when it is told to", err)
	}
	if err != nil {
		return "", err
	}
	return "PgCat goes by it", cfg.added(ctx, st, want)
}

// added asks every shard that was not there before: that PgCat lists it is not yet that it serves.
func (cfg Config) added(ctx context.Context, st *stack.Stack, want *config.Config) error {
	for i := len(st.Pool.Shards); i < len(want.Pools[0].Shards); i++ {
		shard := want.Pools[0].Shards[i].Index
		err := kube.Until(ctx, fmt.Sprintf("the new shard %d to answer a client that pins it", shard), EffectiveLimit, func(ctx context.Context) (bool, string, error) {
			if _, err := st.Login().Ask(ctx, shard, "SELECT 1"); err != nil {
				return false, err.Error(), nil
			}
			return true, "", nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// refused proves that PgCat read the bad file, refused it, and goes by the one that it had. It is told to read, so that
// the proof does not rest on waiting; its own autoreload meets the file as well while it stays.
func (cfg Config) refused(ctx context.Context, st *stack.Stack) (string, error) {
	err := st.Reload(ctx)
	if err == nil {
		return "", errors.New("tell PgCat to read a file that is no TOML: it did not refuse; is it reading another file?")
	}
	if ctx.Err() != nil {
		return "", err
	}
	cfg.Logf("as wanted: %v", err)
	runs, seen, err := st.Runs(ctx, st.Config)
	if err != nil {
		return "", err
	}
	if !runs {
		return "", fmt.Errorf("look at what PgCat does after it refused the file: %s", seen)
	}
	return "PgCat refused it and goes by the old one", nil
}

// undo takes a half-made edit back at once, even if the step is being ended. PgCat follows when `failover restore` makes
// it, or by itself.
func (cfg Config) undo(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	undone, err := (fault.Config{}).Revert(ctx, cfg.Cluster)
	if err != nil {
		cfg.Logf("taking the edit back failed: %v; run `failover restore`", err)
		return
	}
	cfg.Logf("taken back: %v", undone)
}
