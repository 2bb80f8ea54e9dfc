package lintconfig

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/pooler/pgcat/lint"
	"pgcat-failover/steps/pooler/pgcat/lint/format"
)

// Config is what to lint and how to tell of it.
type Config struct {
	File, Secret string // one of them
	Format       string
	FailOn       lint.Severity
	Allow        []string // rules
	Fix          bool
	Mend         []string // rules
	Lint         lint.Options
}

// Deps is the world around.
type Deps struct {
	In      io.Reader
	Out     io.Writer
	Cluster *kube.Cluster // nil without --secret
}

// Run lints, and mends if it is asked to. Its error has exit code 1 where findings are as bad as cfg.FailOn.
func Run(ctx context.Context, cfg Config, deps Deps) error {
	src, err := open(ctx, &cfg, deps)
	if err != nil {
		return err
	}
	if cfg.Fix {
		if src, err = fix(src, cfg); err != nil {
			return err
		}
	}
	findings := Findings(src.toml, cfg.Lint, cfg.Allow)
	for i := range findings {
		findings[i].Line += src.line
		findings[i].Column += src.column
		findings[i].EndColumn += src.column
	}
	if err := format.Write(deps.Out, cfg.Format, src.name, findings); err != nil {
		return fmt.Errorf("write the findings: %w", err)
	}
	return verdict(findings, cfg.FailOn)
}

// Findings are what the rules find, without those that are allowed.
func Findings(toml []byte, opt lint.Options, allow []string) []lint.Finding {
	return slices.DeleteFunc(lint.Lint(toml, opt), func(f lint.Finding) bool { return slices.Contains(allow, f.Rule) })
}

func verdict(findings []lint.Finding, least lint.Severity) error {
	n := 0
	for _, f := range findings {
		if f.Severity.Rank() <= least.Rank() {
			n++
		}
	}
	if n == 0 {
		return nil
	}
	return cli.Exit(fmt.Sprintf("lint-config: %d findings of level %s or worse", n, least), options.ExitFail)
}

// fix writes the mends into the file, and nothing if there are none.
func fix(src source, cfg Config) (source, error) {
	mended := lint.Fix(src.toml, cfg.Lint, cfg.Mend...)
	if string(mended) == string(src.toml) {
		return src, nil
	}
	if src.put == nil {
		return src, options.Usage(fmt.Errorf("mend %s: its pgcat.toml is no literal block (|); write it as one", cfg.File))
	}
	info, err := os.Stat(cfg.File)
	if err != nil {
		return src, fmt.Errorf("mend %s: %w", cfg.File, err)
	}
	if err := os.WriteFile(cfg.File, src.put(mended), info.Mode().Perm()); err != nil {
		return src, fmt.Errorf("mend %s: %w", cfg.File, err)
	}
	src.toml = mended
	return src, nil
}
