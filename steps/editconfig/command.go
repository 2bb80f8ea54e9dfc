package editconfig

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/options"
	"pgcat-failover/steps/pooler/pgcat/edit"
	"pgcat-failover/steps/scenario"
)

// Command is `failover edit-config`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "edit-config",
		Usage: "change PgCat's config while clients run, and return when PgCat goes by it or has refused it",
		Description: `Writes the Secret argo-pgcat-config as ` + "`kubectl apply`" + ` would, with the file as it was beside it;
"failover restore" takes it back. The scenario says how PgCat learns of it: by itself (the kubelet's
pace and autoreload) or by command (the kubelet is nudged, and PgCat's admin told to RELOAD).

Edits:
` + edits() + `
Example:
   failover edit-config --scenario config-pool-size`,
		Flags: slices.Concat(options.Cluster(), options.Scenario(), options.Record(false), []cli.Flag{
			&cli.DurationFlag{Name: "wait-baseline", Value: 2 * time.Minute, Usage: "with --record: how long to wait for the probe's baseline at most"},
		}),
		Action: action,
	}
}

func edits() string {
	var b strings.Builder
	for _, e := range edit.All {
		fmt.Fprintf(&b, "   %-12s %s\n", e.Name, e.Summary)
	}
	return b.String()
}

func action(c *cli.Context) error {
	sc, err := options.ReadScenario(c)
	if err != nil {
		return err
	}
	if !sc.Edits() {
		return options.Usage(fmt.Errorf("scenario %s edits no config; `failover break-label` breaks its endpoints", sc.Name))
	}
	cluster, rec, err := options.Connected(c)
	if err != nil {
		return err
	}
	cfg, err := Of(sc)
	if err != nil {
		return options.Usage(err)
	}
	cfg.Cluster, cfg.Record, cfg.Baseline, cfg.Logf = cluster, rec, c.Duration("wait-baseline"), options.Logger(c.App.Writer)
	return Run(c.Context, cfg)
}

// Of is what a scenario wants edited.
func Of(sc scenario.Scenario) (Config, error) {
	e, err := edit.Named(sc.Edit)
	return Config{Edit: e, Endpoints: sc.Endpoints, Reload: sc.Reload}, err
}
