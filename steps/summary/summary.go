// Package summary puts the verdicts of one run side by side: the worst of them is the run's.
package summary

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/assertmetrics"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/record"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/verdict"
)

// Command is `failover summary`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "summary",
		Usage: "print the verdicts of one run as a table; the exit code is the worst of them",
		Description: `Exit codes: 0 pass, 1 fail, 2 bad input, 3 could not tell. A scenario without a verdict could not be told.

Example:
   failover summary --run pgcat-failover-suite-x7k2p`,
		Flags: slices.Concat(options.Cluster(), []cli.Flag{
			&cli.StringFlag{Name: "run", Required: true, Usage: "`name` of the workflow, or of the record of failover run"},
			&cli.StringFlag{Name: "scenarios", Usage: "comma-separated `names` that the run must have judged (default: those that it has records of)"},
			&cli.BoolFlag{Name: "markdown", Usage: "print the table as Markdown"},
		}),
		Action: func(c *cli.Context) error {
			cluster, err := options.Connect(c)
			if err != nil {
				return err
			}
			var want []string
			if s := c.String("scenarios"); s != "" {
				want = strings.Split(s, ",")
			}
			results, err := Results(c.Context, cluster, c.String("run"), want)
			if err != nil {
				return err
			}
			show := report.Table
			if c.Bool("markdown") {
				show = report.Markdown
			}
			if err := show(c.App.Writer, results); err != nil {
				return err
			}
			return assertmetrics.Exit(results...)
		},
	}
}

// Results are the verdicts of a run, in the order in which its scenarios ran. A wanted scenario without one is unknown.
func Results(ctx context.Context, c *kube.Cluster, run string, want []string) ([]verdict.Result, error) {
	states, err := record.List(ctx, c, run)
	if err != nil {
		return nil, err
	}
	if len(states) == 0 {
		return nil, fmt.Errorf("look for records of run %s in %s: there are none; was it pruned, or did its deploy step fail?", run, c.Namespace)
	}
	var results []verdict.Result
	judged := map[string]bool{}
	for name, s := range states {
		r := verdict.Missing(name, strings.TrimPrefix(name, run+"-"), "no step judged it")
		if s.Verdict != nil {
			if err := json.Unmarshal(s.Verdict, &r); err != nil {
				return nil, fmt.Errorf("read the verdict in record %s: %w", name, err)
			}
		}
		judged[r.Scenario] = true
		results = append(results, r)
	}
	for _, w := range want {
		if !judged[w] {
			results = append(results, verdict.Missing(run, w, "it has no record"))
		}
	}
	at := func(r verdict.Result) int {
		if i := slices.Index(want, r.Scenario); i >= 0 {
			return i
		}
		return len(want)
	}
	slices.SortFunc(results, func(a, b verdict.Result) int {
		if d := at(a) - at(b); d != 0 {
			return d
		}
		return strings.Compare(a.Run, b.Run)
	})
	return results, nil
}
