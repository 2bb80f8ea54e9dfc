//go:build e2e

package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/stack"
)

// PgCat's HEAD, which calls itself 1.3.0, prints other metrics. It takes the place of v1.2.0 in the lab for two scenarios;
// where there is no program pgcat-head, the stand-in does, as HEAD.
func TestHEAD(t *testing.T) {
	if !strings.Contains(sh(t, "kubectl get nodes -o name"), "node/lab") {
		t.Skip("skipped: this cluster is not the lab, whose image could be exchanged")
	}
	load := func(env string) {
		sh(t, env+" go run ./cmd/lab images")
		sh(t, "kubectl rollout restart -n argo deployment/pgcat")
		require.NoError(t, cluster.Rollout(t.Context(), stack.Deployment, time.Minute))
	}
	load("PGCAT_IMAGE= PGCAT_BINARY=pgcat-head PGCAT_SIM_AS=head")
	defer load("")
	for _, scenario := range []string{"primary", "config-host"} {
		code, out := exitCode("submit", "--scenario", scenario, "--out", t.TempDir())
		require.Zero(t, code, out)
		assert.Contains(t, out, "PgCat 1.3.0")
	}
	whole(t)
}
