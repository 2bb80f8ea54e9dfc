package restore

import (
	"slices"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/options"
)

// Command is `failover restore`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "restore",
		Usage: "put everything back and prove it: labels, Services, a query through PgCat on every shard",
		Description: `Needs no record and no arguments: what was broken is written on the objects that were broken.
Running it when nothing is broken changes nothing and proves the same.

Example:
   failover restore -n argo`,
		Flags: slices.Concat(options.Cluster(), options.Record(false)),
		Action: func(c *cli.Context) error {
			cluster, err := options.Connect(c)
			if err != nil {
				return err
			}
			rec, err := options.ReadRecord(c, cluster)
			if err != nil {
				return err
			}
			return Run(c.Context, Config{Cluster: cluster, Record: rec, Logf: options.Logger(c.App.Writer)})
		},
	}
}
