// Package app is the command line of pgcat-sim: pgcat's, and --as.
package app

import (
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/cmd/pgcat-sim/internal/sim"
)

// Main runs the stand-in with the arguments of a process and gives its exit code.
func Main(args []string) int {
	code := 0
	app := command(&code)
	if err := app.Run(args); err != nil {
		fmt.Fprintln(os.Stderr, "pgcat-sim:", err)
		return 2
	}
	return code
}

func command(code *int) *cli.App {
	cli.VersionPrinter = func(*cli.Context) {
		fmt.Printf("pgcat-sim (stand-in for PgCat %s)\n", release.V120.Number())
	}
	return &cli.App{
		Name:      "pgcat-sim",
		Usage:     "a stand-in for PgCat, for tests; not PgCat",
		ArgsUsage: "[pgcat.toml]",
		Description: `Serves as PgCat would with the same file: clients on general.port, metrics on
general.prometheus_exporter_port. SIGHUP reloads, SIGINT lets clients finish, SIGTERM ends it.

Example, with a new config, which needs no Postgres to start:
   echo app > user; echo secret > password
   failover render-config --endpoint localhost:5432 --endpoint localhost:5433 --database app \
      --username-file user --password-file password --min-pool-size 0 --out pgcat.toml
   pgcat-sim --as head pgcat.toml
   curl -s http://127.0.0.1:9930/metrics | grep pgcat_sim_info`,
		Version: release.V120.Number(),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "as", Value: string(release.V120), EnvVars: []string{"PGCAT_SIM_AS"},
				Usage: "the PgCat to behave as: v1.2.0 or head"},
			&cli.StringFlag{Name: "log-level", Aliases: []string{"l"}, Value: "info", EnvVars: []string{"LOG_LEVEL"},
				Usage: "error, warn, info or debug"},
			&cli.StringFlag{Name: "log-format", Aliases: []string{"F"}, Value: "text", EnvVars: []string{"LOG_FORMAT"},
				Usage: "text, structured or debug"},
			&cli.BoolFlag{Name: "no-color", Aliases: []string{"n"}, Usage: "taken for PgCat's sake; there are no colours"},
		},
		Action: func(c *cli.Context) error {
			rel, err := release.Parse(c.String("as"))
			if err != nil {
				return err
			}
			if err := setLog(c.String("log-level"), c.String("log-format")); err != nil {
				return err
			}
			*code = sim.Run(c.Context, rel, configPath(c), notifications())
			return nil
		},
	}
}

// configPath is the first argument, else CONFIG_FILE, else pgcat.toml (rule 1).
func configPath(c *cli.Context) string {
	if path := c.Args().First(); path != "" {
		return path
	}
	if path := os.Getenv("CONFIG_FILE"); path != "" {
		return path
	}
	return "pgcat.toml"
}

// setLog logs to standard output, as PgCat does.
func setLog(level, format string) error {
	var l slog.Level
	if level == "trace" {
		level = "debug"
	}
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return fmt.Errorf("read --log-level: %q is no level; use error, warn, info or debug", level)
	}
	var h slog.Handler = slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{Level: l})
	if format == "structured" {
		h = slog.NewJSONHandler(os.Stdout, &slog.HandlerOptions{Level: l})
	}
	slog.SetDefault(slog.New(h))
	return nil
}

func notifications() sim.Signals {
	on := func(s os.Signal) <-chan os.Signal {
		c := make(chan os.Signal, 1)
		signal.Notify(c, s)
		return c
	}
	return sim.Signals{Reload: on(syscall.SIGHUP), Drain: on(syscall.SIGINT), Terminate: on(syscall.SIGTERM)}
}
