//go:build differential

package heldto

import (
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// leastShare is how much of the real one's throughput the stand-in must reach.
const leastShare = 0.5

// TestPgbenchMinute: 16 clients for 60 s in each mode, without an error.
func TestPgbenchMinute(t *testing.T) {
	for _, release := range []string{"v1.2.0", "head"} {
		x := fresh(t, standIn(release), withCache())
		x.pgbenchTables(t)
		for _, mode := range []string{"simple", "extended", "prepared"} {
			t.Run(release+"/"+mode, func(t *testing.T) { t.Logf("%.0f tps", x.pgbench(t, mode, "-T", "60")) })
		}
	}
}

// TestThroughput measures stand-in and real one by turns on the same machine.
func TestThroughput(t *testing.T) {
	for release, name := range program {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("SKIP %s: no %s on PATH", release, name)
			continue
		}
		real := fresh(t, kind{release: release, argv: func(c string) []string { return []string{path, "--no-color", c} }}, withCache())
		ours := fresh(t, standIn(release), withCache())
		real.pgbenchTables(t)
		ours.pgbenchTables(t)
		for _, mode := range []string{"simple", "extended", "prepared"} {
			t.Run(release+"/"+mode, func(t *testing.T) { compareThroughput(t, mode, real, ours) })
		}
	}
}

func compareThroughput(t *testing.T, mode string, real, ours *run) {
	var sumReal, sumOurs float64
	const turns = 3
	for range turns {
		sumReal += real.pgbench(t, mode, "-T", "5")
		sumOurs += ours.pgbench(t, mode, "-T", "5")
	}
	share := sumOurs / sumReal
	t.Logf("%s: stand-in %.0f tps, real %.0f tps, ratio %.2f", mode, sumOurs/turns, sumReal/turns, share)
	require.GreaterOrEqual(t, share, leastShare)
}

// TestPgxReal shows that what TestPgx asks is not more than the real one gives.
func TestPgxReal(t *testing.T) {
	for release, name := range program {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("SKIP %s: no %s on PATH", release, name)
			continue
		}
		pgxModes(t, kind{release: release, argv: func(c string) []string { return []string{path, "--no-color", c} }})
	}
}
