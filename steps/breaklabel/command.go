package breaklabel

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/scenario"
)

// Command is `failover break-label`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "break-label",
		Usage: "break endpoints, and return when the break is felt by new and by established connections",
		Description: `Either the endpoints of a scenario (--scenario) or the named ones (--endpoint).
"failover restore" takes every break back.

Faults:
` + faults() + `
Example:
   failover break-label --endpoint primary --endpoint secondary`,
		Flags: slices.Concat(options.Cluster(), optional(options.Scenario()), options.Record(false), []cli.Flag{
			&cli.StringSliceFlag{Name: "endpoint", Aliases: []string{"e"}, Usage: "`endpoint` to break: primary, secondary or tertiary; may be given again"},
			&cli.DurationFlag{Name: "wait-baseline", Value: 2 * time.Minute, Usage: "with --record: how long to wait for the probe's baseline at most"},
		}),
		Action: action,
	}
}

func faults() string {
	var b strings.Builder
	for _, f := range fault.All {
		fmt.Fprintf(&b, "   %-16s %s\n", f.Name(), f.Summary())
	}
	return b.String()
}

// optional makes copies of flags that are required elsewhere.
func optional(flags []cli.Flag) []cli.Flag {
	for _, f := range flags {
		if s, ok := f.(*cli.StringFlag); ok {
			s.Required = false
		}
	}
	return flags
}

func action(c *cli.Context) error {
	names, faultName, err := what(c)
	if err != nil {
		return err
	}
	f, err := fault.Named(faultName)
	if err != nil {
		return options.Usage(err)
	}
	cluster, rec, err := options.Connected(c)
	if err != nil {
		return err
	}
	return Run(c.Context, Config{Cluster: cluster, Fault: f, Endpoints: names, Record: rec,
		Baseline: c.Duration("wait-baseline"), Logf: options.Logger(c.App.Writer)})
}

// what tells the endpoints and the fault from either kind of flag.
func what(c *cli.Context) (names []string, faultName string, err error) {
	names, faultName = c.StringSlice("endpoint"), c.String("fault")
	switch {
	case c.String("scenario") != "" && len(names) > 0:
		return nil, "", options.Usage(fmt.Errorf("--scenario and --endpoint both say what to break; give one of them"))
	case c.String("scenario") != "":
		s, err := options.ReadScenario(c)
		if err == nil && s.Edits() {
			err = options.Usage(fmt.Errorf("scenario %s breaks no label; `failover edit-config` makes its edit", s.Name))
		}
		return s.Endpoints, s.Fault, err
	case len(names) == 0:
		return nil, "", options.Usage(fmt.Errorf("nothing to break; give --scenario, or --endpoint with one of %s", strings.Join(scenario.Endpoints, ", ")))
	}
	for _, n := range names {
		if !slices.Contains(scenario.Endpoints, n) {
			return nil, "", options.Usage(fmt.Errorf("--endpoint %q is unknown; it is one of %s", n, strings.Join(scenario.Endpoints, ", ")))
		}
	}
	if faultName == "" {
		faultName = fault.EndpointLabel{}.Name()
	}
	return names, faultName, nil
}
