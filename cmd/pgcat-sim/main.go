// Command pgcat-sim is a stand-in for PgCat on machines that have no PgCat: the same configuration,
// the same wire, the same failures. It is a test double and says so in SHOW VERSION, in its log and
// in the metric pgcat_sim_info. It is called as pgcat is called, so that it can be put in its place.
package main

import (
	"os"

	"pgcat-failover/cmd/pgcat-sim/internal/app"
)

func main() { os.Exit(app.Main(os.Args)) }
