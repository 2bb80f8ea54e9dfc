package deploy

import (
	"slices"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/lintconfig"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/record"
)

// DefaultImage is the image of the steps as the lab and `make image` name it.
const DefaultImage = "docker.io/pgcat-failover/failover:dev"

// Command is `failover deploy`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "deploy",
		Usage: "bring PgCat and the test Postgres to the wanted state and prove a query through every shard",
		Description: `Applies manifests/components/pgcat (built into this program) server-side, with the sidecar that tells
PgCat's connections apart by endpoint. The Secret argo-pgcat-config is made if it is missing and never
overwritten: it is yours. Breaks that an earlier run left behind are taken back first. A config that PgCat
would refuse, or that promises a failover which PgCat does not have, stops it before anything is changed
("failover lint-config" tells more; --allow goes on in spite of a rule).

Example:
   failover deploy -n argo --check`,
		Flags: slices.Concat(options.Cluster(), []cli.Flag{
			&cli.BoolFlag{Name: "check", Usage: "change nothing, only look and prove"},
			AllowFlag(),
			&cli.StringFlag{Name: "image", Value: DefaultImage, Usage: "`image` of the steps, for the sidecar"},
			&cli.StringFlag{Name: "run", Usage: "`name` of the run that the records belong to"},
			&cli.StringSliceFlag{Name: "record", Usage: "run `record` to begin, with the facts; may be given again"},
		}),
		Action: action,
	}
}

// AllowFlag is the flag that lets a rule of level error pass.
func AllowFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "allow", Usage: "lint `rule` that does not stop it; may be given again, or be a list with commas"}
}

// Allowed reads it.
func Allowed(c *cli.Context) ([]string, error) {
	rules := slices.DeleteFunc(c.StringSlice("allow"), func(r string) bool { return r == "" })
	return rules, options.Usage(lintconfig.Known(rules))
}

func action(c *cli.Context) error {
	for _, name := range append(c.StringSlice("record"), c.String("run")) {
		if err := options.CheckName("record", name); err != nil {
			return err
		}
	}
	allow, err := Allowed(c)
	if err != nil {
		return err
	}
	cluster, err := options.Connect(c)
	if err != nil {
		return err
	}
	facts, err := Run(c.Context, Config{Cluster: cluster, Image: c.String("image"), CheckOnly: c.Bool("check"), Allow: allow, Logf: options.Logger(c.App.Writer)})
	if err != nil {
		return err
	}
	for _, name := range c.StringSlice("record") {
		rec := record.Open(cluster, name)
		run := c.String("run")
		if run == "" {
			run = name
		}
		if err := rec.Begin(c.Context, run); err != nil {
			return err
		}
		if err := rec.SetFacts(c.Context, facts); err != nil {
			return err
		}
	}
	return nil
}
