//go:build e2e

package e2e

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/fault"
)

// The commands of the seed document, as printed there, less -it, -f and the waiting for a person.
func TestTheSeedsCommands(t *testing.T) {
	t.Run("logs", func(t *testing.T) {
		assert.NotEmpty(t, sh(t, "kubectl logs -l app=pgcat -n argo"))
	})
	t.Run("get secret", func(t *testing.T) {
		out := sh(t, "kubectl get secret argo-pgcat-config -n argo -o yaml")
		for _, key := range []string{"pgcat.toml:", "username:", "password:"} {
			assert.Contains(t, out, key)
		}
	})
	t.Run("exec psql in the pgcat pod", func(t *testing.T) {
		out := sh(t, "kubectl exec deployment/pgcat -n argo -- psql -h localhost -p 6432 -U postgres -d postgres -Atc 'SELECT 40 + 2'")
		assert.Equal(t, "42", strings.TrimSpace(out))
	})
	t.Run("port 5432 in the pgcat pod is nobody's, as the README says", func(t *testing.T) {
		out, err := try("kubectl exec deployment/pgcat -n argo -- psql -h localhost -p 5432 -U postgres -d postgres -Atc 'SELECT 1'")
		require.Error(t, err)
		assert.Contains(t, out, "refused")
	})
	t.Run("get endpoints", func(t *testing.T) {
		out := sh(t, "kubectl get endpoints -n argo | grep postgres")
		assert.Equal(t, 3, strings.Count(out, ":5432"), out)
	})
	t.Run("port-forward to the metrics", func(t *testing.T) {
		forward(t, "pgcat", 9930)
		resp, err := http.Get("http://localhost:9930/metrics")
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		assert.Contains(t, string(body), "pgcat_stats_total_query_count")
	})
}

// What the seed wanted of http://pgcat:6432/health, on the Service's port 8080; and as the pod's readiness probe where the
// user wants that, which a later deploy leaves alone.
func TestHealthByTheService(t *testing.T) {
	deploy := func() {
		code, out := exitCode("deploy")
		require.Zero(t, code, out)
	}
	deploy()
	get := func(path string) (int, string) {
		resp, err := http.Get("http://localhost:8080" + path)
		require.NoError(t, err)
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		return resp.StatusCode, string(body)
	}
	forward(t, "pgcat", 8080)
	for _, path := range []string{"/health", "/health?shard=1", "/ready"} {
		code, body := get(path)
		assert.Equal(t, http.StatusOK, code, path+": "+body)
	}
	code, body := get("/connections")
	assert.Equal(t, http.StatusOK, code)
	assert.Equal(t, 3, strings.Count(body, "postgres-"), body)

	const probe = "kubectl get deployment pgcat -n argo -o jsonpath='{.spec.template.spec.containers[?(@.name==\"health\")].readinessProbe.httpGet.path}'"
	sh(t, "kubectl patch deployment pgcat -n argo --patch-file manifests/sidecar/readiness.yaml")
	t.Cleanup(func() {
		sh(t, `kubectl patch deployment pgcat -n argo --type=strategic -p '{"spec":{"template":{"spec":{"containers":[{"name":"health","readinessProbe":null}]}}}}'`)
		deploy()
	})
	deploy()
	assert.Equal(t, "/ready", sh(t, probe))
}

// The seed's four patches of the Deployment. Each restarts Postgres; its data must be there afterwards.
func TestTheSeedsPatchesKeepTheData(t *testing.T) {
	fresh(t)
	psql := func(sql string) string {
		return strings.TrimSpace(sh(t, `kubectl exec deployment/postgres-failover-test -n argo -- psql -h /var/run/postgresql -U postgres -Atc "`+sql+`"`))
	}
	psql("CREATE TABLE IF NOT EXISTS seed_patch(n int)")
	psql("TRUNCATE seed_patch")
	psql("INSERT INTO seed_patch VALUES (1)")
	patch := func(labels string) {
		sh(t, `kubectl patch deployment postgres-failover-test -n argo --type='merge' -p='{"spec":{"template":{"metadata":{"labels":{`+labels+`}}}}}'`)
		require.NoError(t, cluster.Rollout(t.Context(), fault.Postgres, 3*time.Minute))
	}
	backends := func(endpoint string, want int) {
		t.Helper()
		require.Eventually(t, func() bool {
			n, err := cluster.Backends(t.Context(), "postgres-"+endpoint)
			return err == nil && n == want
		}, 30*time.Second, 200*time.Millisecond, endpoint)
	}
	patch(`"postgres-primary":"false","postgres-secondary":"false"`)
	backends("primary", 0)
	backends("secondary", 0)
	backends("tertiary", 1)
	patch(`"postgres-primary":"true","postgres-secondary":"true"`)
	backends("primary", 1)
	backends("secondary", 1)
	assert.Equal(t, "1", psql("SELECT count(*) FROM seed_patch"), "the data survived both restarts")
	psql("DROP TABLE seed_patch")
	whole(t)
}

// The seed's way as a fault of its own: the report must say that it restarted Postgres.
func TestTemplateLabelIsAnotherFault(t *testing.T) {
	fresh(t)
	code, out := exitCode("run", "--scenario", "secondary", "--fault", "template-label", "--hold", "10s", "--out", t.TempDir())
	assert.Contains(t, out, "RESTARTS POSTGRES")
	require.Zero(t, code, out)
	whole(t)
}

// A laptop without Argo.
func TestRunFromALaptop(t *testing.T) {
	code, out := exitCode("run", "--scenario", "tertiary", "--out", t.TempDir())
	require.Zero(t, code, out)
	assert.Contains(t, out, "tertiary: PASS")
	whole(t)
}

// Ctrl-C in the middle of the break, of both ways to run: everything is put back before the program ends.
func TestCtrlCPutsEverythingBack(t *testing.T) {
	fresh(t)
	for _, command := range []string{"run", "submit"} {
		t.Run(command, func(t *testing.T) {
			c := exec.Command(failover, command, "--scenario", "primary", "--out", t.TempDir())
			var out bytes.Buffer
			c.Stdout, c.Stderr, c.Dir = &out, &out, root
			require.NoError(t, c.Start())
			isBroken := func() bool {
				broken, err := fault.Broken(t.Context(), cluster)
				return err == nil && len(broken) > 0
			}
			require.Eventually(t, isBroken, 2*time.Minute, 100*time.Millisecond, "it was never broken")
			require.NoError(t, c.Process.Signal(os.Interrupt))
			require.Error(t, c.Wait())
			assert.Equal(t, 3, c.ProcessState.ExitCode(), out.String())
			assert.Contains(t, out.String(), "put back")
			whole(t)
		})
	}
}

func TestDeployChecksWithoutChanging(t *testing.T) {
	fresh(t)
	code, out := exitCode("deploy", "--check")
	require.Zero(t, code, out)
	code, out = exitCode("break-label", "--endpoint", "tertiary")
	require.Zero(t, code, out)
	code, out = exitCode("deploy", "--check")
	assert.Equal(t, 3, code, out)
	assert.Contains(t, out, "failover restore")
	code, out = exitCode("break-label", "--endpoint", "primary")
	assert.Equal(t, 3, code, "a second break on top of the first: "+out)
	for range 2 { // idempotent
		code, out = exitCode("restore")
		require.Zero(t, code, out)
	}
	whole(t)
}
