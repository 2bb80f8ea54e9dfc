package assertmetrics

import (
	"fmt"
	"slices"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/options"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/verdict"
)

// Command is `failover assert-metrics`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "assert-metrics",
		Usage: "judge a run by what clients saw and by PgCat's counters; the exit code is the verdict",
		Description: `Exit codes: 0 pass, 1 fail, 2 bad input, 3 could not tell.

Example:
   failover assert-metrics --scenario primary --record my-run`,
		Flags: slices.Concat(options.Cluster(), options.Scenario(), options.Record(true)),
		Action: func(c *cli.Context) error {
			sc, err := options.ReadScenario(c)
			if err != nil {
				return err
			}
			cluster, err := options.Connect(c)
			if err != nil {
				return err
			}
			rec, err := options.ReadRecord(c, cluster)
			if err != nil {
				return err
			}
			result, err := Run(c.Context, Config{Cluster: cluster, Record: rec, Scenario: sc, Logf: options.Logger(c.App.ErrWriter)})
			if err != nil {
				return err
			}
			if err := report.Text(c.App.Writer, result); err != nil {
				return err
			}
			return Exit(result)
		},
	}
}

// Exit turns a verdict into an exit code.
func Exit(results ...verdict.Result) error {
	worst := verdict.Pass
	for _, r := range results {
		worst = max(worst, r.Verdict)
	}
	switch worst {
	case verdict.Pass:
		return nil
	case verdict.Fail:
		return cli.Exit("verdict: fail", options.ExitFail)
	default:
		return cli.Exit(fmt.Sprintf("verdict: %s", worst), options.ExitUnknown)
	}
}
