// Package sleep is a step that does nothing for a while: `make bench` builds workflows of it, to learn what Argo
// itself takes for a workflow of that shape.
package sleep

import (
	"context"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/options"
)

// Command is `failover sleep`, which help does not show.
func Command() *cli.Command {
	return &cli.Command{
		Name: "sleep", Hidden: true, Usage: "do nothing for a while", ArgsUsage: "DURATION",
		Description: "Example:\n   failover sleep 5s",
		Action: func(c *cli.Context) error {
			d, err := time.ParseDuration(c.Args().First())
			if err != nil {
				return options.Usage(fmt.Errorf("sleep %q: want a duration such as 5s", c.Args().First()))
			}
			select {
			case <-c.Done():
				return context.Cause(c.Context)
			case <-time.After(d):
				return nil
			}
		},
	}
}
