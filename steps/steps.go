package steps

import (
	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/assertmetrics"
	"pgcat-failover/steps/breaklabel"
	"pgcat-failover/steps/deploy"
	"pgcat-failover/steps/editconfig"
	"pgcat-failover/steps/health"
	"pgcat-failover/steps/lintconfig"
	"pgcat-failover/steps/probe"
	"pgcat-failover/steps/renderconfig"
	"pgcat-failover/steps/restore"
	"pgcat-failover/steps/run"
	"pgcat-failover/steps/sleep"
	"pgcat-failover/steps/submit"
	"pgcat-failover/steps/summary"
)

// Commands is the one table of what `failover` can do, in the order of its help.
func Commands() []*cli.Command {
	return []*cli.Command{
		deploy.Command(),
		probe.Command(),
		breaklabel.Command(),
		editconfig.Command(),
		restore.Command(),
		assertmetrics.Command(),
		run.Command(),
		submit.Command(),
		summary.Command(),
		lintconfig.Command(),
		renderconfig.Command(),
		health.Command(),
		sleep.Command(),
	}
}
