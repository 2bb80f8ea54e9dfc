// Package run plays one scenario from a laptop: the steps of the workflow, without pods.
package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/assertmetrics"
	"pgcat-failover/steps/breaklabel"
	"pgcat-failover/steps/deploy"
	"pgcat-failover/steps/editconfig"
	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/probe"
	"pgcat-failover/steps/record"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/restore"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/verdict"
)

// Command is `failover run`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "run",
		Usage: "play one scenario from here, without Argo: deploy, probe while breaking and restoring, judge",
		Description: `The same code as in the workflow, by way of port-forwards. Ctrl-C restores first.
Exit codes: 0 pass, 1 fail, 2 bad input, 3 could not tell.

Example:
   failover run --scenario primary`,
		Flags: slices.Concat(options.Cluster(), options.Scenario(), options.Record(false), []cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "do not deploy, only look whether it is healthy"},
			deploy.AllowFlag(),
			&cli.StringFlag{Name: "image", Value: deploy.DefaultImage, Usage: "`image` of the steps, for the sidecar"},
			&cli.StringFlag{Name: "out", Value: "runs", Usage: "`folder` in which the history and the report are saved"},
		}),
		Action: action,
	}
}

func action(c *cli.Context) error {
	sc, err := options.ReadScenario(c)
	if err != nil {
		return err
	}
	allow, err := deploy.Allowed(c)
	if err != nil {
		return err
	}
	cluster, rec, err := options.Connected(c)
	if err != nil {
		return err
	}
	if rec == nil {
		rec = record.Open(cluster, "run-"+sc.Name+"-"+time.Now().UTC().Format("20060102-150405"))
	}
	p := player{cluster: cluster, scenario: sc, record: rec, logf: options.Logger(c.App.ErrWriter)}
	result, err := p.play(c.Context, deploy.Config{Cluster: cluster, Image: c.String("image"), CheckOnly: c.Bool("check"), Allow: allow, Logf: p.logf})
	if err != nil {
		return err
	}
	if err := report.Text(c.App.Writer, result); err != nil {
		return err
	}
	dir := filepath.Join(c.String("out"), rec.Name)
	if err := Save(c.Context, cluster, rec.Name, dir); err != nil {
		return err
	}
	p.logf("saved under %s", dir)
	return assertmetrics.Exit(result)
}

// baselineLimit is how long the probe may take until every client was served.
const baselineLimit = 2 * time.Minute

type player struct {
	cluster  *kube.Cluster
	scenario scenario.Scenario
	record   *record.Record
	logf     func(string, ...any)
}

func (p player) play(ctx context.Context, d deploy.Config) (verdict.Result, error) {
	facts, err := deploy.Run(ctx, d)
	if err != nil {
		return verdict.Result{}, err
	}
	if err := p.record.Begin(ctx, p.record.Name); err != nil {
		return verdict.Result{}, err
	}
	if err := p.record.SetFacts(ctx, facts); err != nil {
		return verdict.Result{}, err
	}
	probed := make(chan error, 1)
	go func() {
		probed <- probe.Run(ctx, probe.Config{Scenario: p.scenario, Record: p.record, Cluster: p.cluster, Logf: p.logf})
	}()
	err = p.breakAndMend(ctx)
	err = errors.Join(err, <-probed)
	if ctx.Err() != nil {
		return verdict.Result{}, fmt.Errorf("ended by %w; everything was put back", context.Cause(ctx))
	}
	if err != nil {
		p.logf("%v", err)
	}
	return assertmetrics.Run(ctx, assertmetrics.Config{Cluster: p.cluster, Record: p.record, Scenario: p.scenario, Logf: p.logf})
}

// breakAndMend restores whatever happens, Ctrl-C included.
func (p player) breakAndMend(ctx context.Context) error {
	err := p.breakIt(ctx)
	if err == nil {
		select {
		case <-ctx.Done():
		case <-time.After(p.scenario.Timing.Hold.Std()):
		}
	}
	mend, cancel := context.WithTimeout(context.WithoutCancel(ctx), restore.Limit)
	defer cancel()
	return errors.Join(err, restore.Run(mend, restore.Config{Cluster: p.cluster, Record: p.record, Logf: p.logf}))
}

func (p player) breakIt(ctx context.Context) error {
	if p.scenario.Edits() {
		cfg, err := editconfig.Of(p.scenario)
		if err != nil {
			return err
		}
		cfg.Cluster, cfg.Record, cfg.Baseline, cfg.Logf = p.cluster, p.record, baselineLimit, p.logf
		return editconfig.Run(ctx, cfg)
	}
	f, err := fault.Named(p.scenario.Fault)
	if err != nil {
		return err
	}
	return breaklabel.Run(ctx, breaklabel.Config{Cluster: p.cluster, Fault: f, Endpoints: p.scenario.Endpoints,
		Record: p.record, Baseline: baselineLimit, Logf: p.logf})
}

// Save copies a record out of the cluster into a folder: history.json.gz, verdict.json, report.txt.
func Save(ctx context.Context, c *kube.Cluster, name, dir string) error {
	state, err := record.Open(c, name).Read(ctx)
	if err != nil {
		return err
	}
	files := map[string][]byte{"verdict.json": state.Verdict, "report.txt": []byte(state.Report)}
	h, err := state.History()
	if err != nil {
		return err
	}
	if h != nil {
		if files["history.json.gz"], err = h.Encode(); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("save record %s: %w", name, err)
	}
	for file, data := range files {
		if len(data) == 0 {
			continue
		}
		if err := os.WriteFile(filepath.Join(dir, file), data, 0o644); err != nil {
			return fmt.Errorf("save record %s: %w", name, err)
		}
	}
	return nil
}
