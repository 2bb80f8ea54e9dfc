package probe

import (
	"slices"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/options"
)

// Command is `failover probe`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "probe",
		Usage: "be the clients: operate through PgCat at a fixed rate and record each outcome, until the restore was seen",
		Description: `Needs the run record that "failover deploy --record" begins; the other steps write into it when
things happen, the probe writes what clients saw. Failed operations are data: the probe
exits 0 when it observed, and 3 when it could not.

Example:
   failover probe --scenario primary --record my-run`,
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
			return Run(c.Context, Config{Scenario: sc, Record: rec, Cluster: cluster, Logf: options.Logger(c.App.Writer)})
		},
	}
}
