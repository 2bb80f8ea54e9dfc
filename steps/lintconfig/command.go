// Package lintconfig is the step that tells what is wrong with a PgCat config before a pod starts with it.
package lintconfig

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/options"
	"pgcat-failover/steps/pooler/pgcat/lint"
	"pgcat-failover/steps/pooler/pgcat/lint/format"
)

// Command is `failover lint-config`.
func Command() *cli.Command {
	return &cli.Command{
		Name:      "lint-config",
		Usage:     "tell what PgCat will refuse, ignore or do in a failover with this config",
		ArgsUsage: "FILE",
		Description: `FILE is a pgcat.toml, or a manifest (.yaml) of a Secret that holds one; - is standard input.
With --secret it is a Secret of the cluster, and the pod that mounts it is looked at too.

Example:
   failover lint-config manifests/components/pgcat/secret.yaml
   failover lint-config --namespace argo --secret argo-pgcat-config
   failover lint-config --format sarif --fail-on warning pgcat.toml

Exit codes: 0 clean, 1 findings at or above --fail-on, 2 bad input, 3 could not tell.`,
		Flags: append([]cli.Flag{
			&cli.StringFlag{Name: "secret", Usage: "`name` of a Secret of the cluster, whose key pgcat.toml is read"},
			&cli.StringFlag{Name: "format", Value: "text", Usage: "`format` of the findings: " + strings.Join(format.Formats, ", ")},
			&cli.StringFlag{Name: "fail-on", Value: string(lint.Error), Usage: "the least `severity` to exit 1 for: error or warning"},
			&cli.StringSliceFlag{Name: "allow", Usage: "`rule` to leave out; may be given again"},
			&cli.BoolFlag{Name: "fix", Usage: "write the mends that change nothing that works into FILE, then tell what is left"},
			&cli.StringSliceFlag{Name: "mend", Usage: "with --fix, `rule` to mend too although that changes which server answers; may be given again"},
			&cli.StringFlag{Name: "release", Usage: "the PgCat to be: v1.2.0 or head (default: the image's tag with --secret, else either)"},
			&cli.DurationFlag{Name: "outage", Usage: "the outage that clients are to survive (default: `30s`)"},
			&cli.DurationFlag{Name: "grace", Usage: "the pod's grace period (default: the pod's with --secret, else `30s`)"},
			&cli.StringFlag{Name: "mount", Usage: "how the file comes to the pod: folder or subPath (default: as it is with --secret, else unknown)"},
		}, options.Cluster()...),
		Action: func(c *cli.Context) error {
			cfg, err := configure(c)
			if err != nil {
				return options.Usage(err)
			}
			if cfg.Secret != "" {
				cluster, err := options.Connect(c)
				if err != nil {
					return err
				}
				return Run(c.Context, cfg, Deps{Out: c.App.Writer, In: c.App.Reader, Cluster: cluster})
			}
			return Run(c.Context, cfg, Deps{Out: c.App.Writer, In: c.App.Reader})
		},
	}
}

func configure(c *cli.Context) (Config, error) {
	cfg := Config{
		File: c.Args().First(), Secret: c.String("secret"), Format: c.String("format"), FailOn: lint.Severity(c.String("fail-on")),
		Allow: c.StringSlice("allow"), Fix: c.Bool("fix"), Mend: c.StringSlice("mend"),
		Lint: lint.Options{Release: lint.Release(c.String("release")), Mount: lint.Mount(c.String("mount")), Grace: c.Duration("grace"), Outage: c.Duration("outage")},
	}
	if c.NArg() > 1 {
		return cfg, fmt.Errorf("one FILE at a time, and flags come before it: got %q", c.Args().Slice())
	}
	return cfg, cfg.check()
}

// Known refuses a rule that does not exist, and names the nearest one that does.
func Known(rules []string) error {
	for _, rule := range rules {
		if _, ok := lint.Named(rule); !ok {
			return fmt.Errorf("no rule %q; did you mean %s? docs/lint-rules.md lists them", rule, lint.NearestRule(rule))
		}
	}
	return nil
}

func (cfg Config) check() error {
	if (cfg.File == "") == (cfg.Secret == "") {
		return fmt.Errorf("want FILE or --secret; see `failover lint-config --help`")
	}
	if cfg.Fix && (cfg.Secret != "" || cfg.File == "-") {
		return fmt.Errorf("--fix writes a FILE: mend the one that the Secret was made of, and apply it")
	}
	if len(cfg.Mend) > 0 && !cfg.Fix {
		return fmt.Errorf("--mend goes with --fix")
	}
	if err := Known(slices.Concat(cfg.Allow, cfg.Mend)); err != nil {
		return err
	}
	for _, choice := range []struct {
		flag, value string
		of          []string
	}{
		{"format", cfg.Format, format.Formats},
		{"fail-on", string(cfg.FailOn), []string{"error", "warning"}},
		{"release", string(cfg.Lint.Release), []string{"", "v1.2.0", "head"}},
		{"mount", string(cfg.Lint.Mount), []string{"", "folder", "subPath"}},
	} {
		if !slices.Contains(choice.of, choice.value) {
			return fmt.Errorf("--%s %q: want one of %s", choice.flag, choice.value, strings.TrimPrefix(strings.Join(choice.of, ", "), ", "))
		}
	}
	if cfg.Lint.Grace < 0 || cfg.Lint.Outage < 0 || cfg.Lint.Outage > 24*time.Hour {
		return fmt.Errorf("--grace and --outage: want a time, such as 30s")
	}
	return nil
}
