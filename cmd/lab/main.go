// Command lab brings up a real Kubernetes cluster with Argo Workflows on one
// bare Debian machine, and takes it down again without a trace.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/urfave/cli/v2"

	"pgcat-failover/cmd/lab/internal/pgcat"
)

// Exit codes: noPgCat lets a caller skip what needs a PgCat.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitNoPgCat = 3
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := newApp().RunContext(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
		os.Exit(exitCode(err))
	}
}

func exitCode(err error) int {
	switch {
	case errors.Is(err, pgcat.ErrNone):
		return exitNoPgCat
	case errors.Is(err, errUsage):
		return exitUsage
	default:
		return exitFailed
	}
}

var errUsage = errors.New("usage")

func newApp() *cli.App {
	app := &cli.App{
		Name:  "lab",
		Usage: "a throw-away Kubernetes cluster with Argo Workflows on this machine",
		Description: "Example:\n  go run ./cmd/lab up && export KUBECONFIG=/var/lib/pgcat-failover-lab/kubeconfig\n\n" +
			"LAB_NAME=other makes a second lab beside the first. The environment also knows\n" +
			"PGCAT_IMAGE, PGCAT_BINARY and PGCAT_SIM_AS (see \"lab pgcat --help\") and XDG_CACHE_HOME.",
		HideVersion:    true,
		ExitErrHandler: func(*cli.Context, error) {}, // main maps errors to exit codes
		OnUsageError:   usageError,
		Action:         noCommand,
		Commands: []*cli.Command{
			upCommand(), downCommand(), statusCommand(), buildCommand(), imagesCommand(), imageCommand(),
			pgcatCommand(), kubeconfigCommand(), pathCommand(), superviseCommand(),
		},
	}
	for _, command := range app.Commands {
		command.OnUsageError = usageError // not inherited
	}
	return app
}

func usageError(_ *cli.Context, err error, _ bool) error {
	return fmt.Errorf("%w: %w; see \"lab --help\"", errUsage, err)
}

// noCommand is reached when the first argument names no command.
func noCommand(c *cli.Context) error {
	if c.NArg() > 0 {
		return fmt.Errorf("%w: there is no command %q; see \"lab --help\"", errUsage, c.Args().First())
	}
	return cli.ShowAppHelp(c)
}
