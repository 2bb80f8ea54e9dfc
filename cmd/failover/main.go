// Command failover is every step of a failover run, in one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps"
	"pgcat-failover/steps/options"
)

// version is set at link time.
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := Main(ctx, os.Args)
	stop()
	os.Exit(code)
}

// Main runs one command and maps its error to an exit code.
func Main(ctx context.Context, args []string) int {
	app := &cli.App{
		Name:            "failover",
		Usage:           "break PgCat's endpoints, see what clients see, judge it, put everything back",
		Description:     "Exit codes: 0 pass, 1 verdict fail, 2 usage or bad input, 3 could not tell.",
		Version:         version,
		HideHelpCommand: true,
		Suggest:         true,
		Commands:        steps.Commands(),
		ExitErrHandler:  func(*cli.Context, error) {}, // below, in one place
		OnUsageError:    usage,
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return cli.Exit(fmt.Sprintf("no command %q; see `failover --help`", c.Args().First()), options.ExitUsage)
			}
			return cli.ShowAppHelp(c)
		},
	}
	for _, c := range app.Commands {
		c.OnUsageError = usage
	}
	err := app.RunContext(ctx, args)
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "failover:", err)
	var exit cli.ExitCoder
	if strings.HasPrefix(err.Error(), "Required flag") { // cli has no type for it
		return options.ExitUsage
	}
	if errors.As(err, &exit) {
		return exit.ExitCode()
	}
	return options.ExitUnknown
}

func usage(c *cli.Context, err error, _ bool) error {
	return cli.Exit(fmt.Sprintf("%v; see `%s --help`", err, c.Command.HelpName), options.ExitUsage)
}
