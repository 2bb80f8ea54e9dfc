//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/scenario"
)

// The commands that the seed document prints without -n argo look into the namespace of the context, where PgCat is not.
func TestTheSeedsCommandsWithoutANamespace(t *testing.T) {
	for _, tc := range []struct{ story, line, want string }{
		{"logs", "kubectl logs -l app=pgcat", "No resources found in default namespace"},
		{"get secret", "kubectl get secret argo-pgcat-config -o yaml", `secrets "argo-pgcat-config" not found`},
		{"exec psql", "kubectl exec deployment/pgcat -- psql -h localhost -p 6432 -U postgres -d postgres", `deployments.apps "pgcat" not found`},
	} {
		t.Run(tc.story, func(t *testing.T) {
			out, _ := try(strings.Replace(tc.line, "kubectl", "kubectl --namespace=default", 1))
			assert.Contains(t, out, tc.want)
		})
	}
}

// client starts a pod that is neither PgCat nor its Postgres, as an application would be, and gives its shell.
func client(t *testing.T) func(line string) (string, error) {
	t.Helper()
	const name = "seed-client"
	image := sh(t, "kubectl get deployment postgres-failover-test -n argo -o jsonpath='{.spec.template.spec.containers[0].image}'")
	remove := "kubectl delete pod " + name + " -n argo --ignore-not-found --grace-period=0 --force"
	sh(t, remove)
	t.Cleanup(func() { _, _ = try(remove) })
	sh(t, "kubectl run "+name+" -n argo --restart=Never --image-pull-policy=IfNotPresent --image="+image+" --command -- sleep 600")
	sh(t, "kubectl wait -n argo --for=condition=Ready pod/"+name+" --timeout=60s")
	return func(line string) (string, error) {
		out, err := command("kubectl", "exec", name, "-n", "argo", "--", "bash", "-c", line).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
}

// httpGet needs no curl, which no image here has. The exit code of timeout, 124, is what silence looks like.
func httpGet(port int, path string) string {
	return fmt.Sprintf(`exec 3<>/dev/tcp/pgcat/%d && printf 'GET %s HTTP/1.0\r\nHost: pgcat\r\n\r\n' >&3 && timeout 4 cat <&3`, port, path)
}

// What the seed document tells applications to connect to, and the URLs that it gives, from a pod of the cluster.
func TestTheSeedsAddressesInsideTheCluster(t *testing.T) {
	shell := client(t)
	psql := func(host string) (string, error) {
		return shell("psql postgresql://postgres:postgres@" + host + ":6432/postgres -Atc 'SELECT 40 + 2'")
	}
	t.Run("pgcat.default is nobody: PgCat's Service is in argo", func(t *testing.T) {
		out, err := psql("pgcat.default.svc.cluster.local")
		require.Error(t, err)
		assert.Contains(t, out, "could not translate host name")
	})
	t.Run("pgcat.argo serves by the seed's connection string", func(t *testing.T) {
		out, err := psql("pgcat.argo.svc.cluster.local")
		require.NoError(t, err, out)
		assert.Equal(t, "42", out)
	})
	t.Run("pgcat:6432/health is silent", func(t *testing.T) {
		out, err := shell(httpGet(6432, "/health"))
		require.ErrorContains(t, err, "124", out)
		assert.NotContains(t, out, "HTTP/")
	})
	t.Run("pgcat:8080/health is what it was meant to be", func(t *testing.T) {
		code, out := exitCode("deploy")
		require.Zero(t, code, out)
		out, err := shell(httpGet(8080, "/health"))
		require.NoError(t, err, out)
		assert.Contains(t, out, "200 OK")
	})
	t.Run("pgcat:9930/metrics", func(t *testing.T) {
		out, err := shell(httpGet(9930, "/metrics"))
		require.NoError(t, err, out)
		assert.Contains(t, out, "pgcat_pools_cl_idle")
	})
}

// The seed document's scenarios 1 to 3 by its own patches, with its own two commands to watch them.
func TestTheSeedsScenarios(t *testing.T) {
	fresh(t)
	const psql = "kubectl exec deployment/pgcat -n argo -- psql -h localhost -p 6432 -U postgres -d postgres -At"
	for shard, e := range scenario.Endpoints {
		t.Run(e, func(t *testing.T) {
			label := scenario.ServiceOf(e)
			set := func(value string) {
				sh(t, `kubectl patch deployment postgres-failover-test -n argo --type='merge' -p='{"spec":{"template":{"metadata":{"labels":{"`+label+`":"`+value+`"}}}}}'`)
			}
			patch := func(value string) {
				set(value)
				require.NoError(t, cluster.Rollout(t.Context(), fault.Postgres, 3*time.Minute))
			}
			addresses := func(want int) string {
				t.Helper()
				var out string
				require.Eventually(t, func() bool {
					out = sh(t, "kubectl get endpoints -n argo | grep postgres")
					return strings.Count(out, ":5432") == want
				}, 30*time.Second, 500*time.Millisecond)
				return out
			}
			// kubectl is ended first, since grep prints what it has at the end: its output is no terminal.
			var seen bytes.Buffer
			dir := t.TempDir()
			pid, all := filepath.Join(dir, "kubectl.pid"), filepath.Join(dir, "pgcat.log")
			logs := command("bash", "-c", `(echo $BASHPID >`+pid+`; exec kubectl logs -l app=pgcat -n argo -f) | tee `+all+` | grep -i "failover\|health\|shard"`)
			logs.Stdout = &seen
			require.NoError(t, logs.Start())
			patch("false")
			t.Cleanup(func() {
				_, _ = try("kill $(cat " + pid + ")")
				if t.Failed() {
					set("true")
				}
			})
			assert.Regexp(t, label+` +<none>`, addresses(len(scenario.Endpoints)-1))
			// A connection that died with the old pod costs the client that is handed it its query, and is gone then; if PgCat
			// health-checks it first, that client too is told AllServersDown, with "Failed health check" in the log. Only when
			// all are gone does PgCat meet the endpoint that has nothing behind it.
			pinned := fmt.Sprintf(`%s -c "SET SHARD TO '%d'" -c "SELECT 1"`, psql, shard)
			away := regexp.MustCompile(fmt.Sprintf(`Connection checkout error for instance Address .*host: \\?"%s\..*shard: %d,`, label, shard))
			require.Eventually(t, func() bool {
				out, _ := try(pinned)
				said, err := os.ReadFile(all)
				return err == nil && strings.Contains(out, "AllServersDown") && away.Match(said)
			}, time.Minute, 100*time.Millisecond)
			require.Eventually(t, func() bool { _, err := try(psql + ` -c "SELECT 1"`); return err == nil }, time.Minute, 100*time.Millisecond)
			patch("true")
			addresses(len(scenario.Endpoints))
			require.Eventually(t, func() bool {
				out, err := try(pinned)
				return err == nil && strings.HasSuffix(strings.TrimSpace(out), "1")
			}, time.Minute, 500*time.Millisecond)
			sh(t, "kill $(cat "+pid+")")
			require.NoError(t, logs.Wait(), "grep found nothing")
			assert.Regexp(t, away, seen.String())
			assert.NotContains(t, strings.ToLower(seen.String()), "failover", "a word that PgCat never logs")
			whole(t)
		})
	}
}
