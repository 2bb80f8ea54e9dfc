//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/submit"
	"pgcat-failover/steps/verdict"
)

var all = []string{"primary", "secondary", "tertiary", "multiple", "config-host", "config-shard", "config-pool-size", "config-unparsable"}

func TestLintIsClean(t *testing.T) {
	sh(t, "argo lint --offline --kinds=workflowtemplates,cronworkflows workflows/*.yaml")
}

// The suite as the night runs it: the CronWorkflow of the repository with another hour.
func TestCronRunsTheSuite(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(root, "workflows/pgcat-failover-nightly.yaml"))
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "cron.yaml")
	edited := strings.Replace(string(data), `"17 2 * * *"`, `"* * * * *"`, 1)
	require.NotEqual(t, string(data), edited)
	require.NoError(t, os.WriteFile(file, []byte(edited), 0o644))
	sh(t, "kubectl apply -f "+file)
	var name string
	require.Eventually(t, func() bool {
		name = strings.TrimSpace(sh(t, "kubectl get workflows -n argo -l workflows.argoproj.io/cron-workflow=pgcat-failover-nightly -o name --sort-by=.metadata.creationTimestamp | tail -n 1"))
		return name != ""
	}, 90*time.Second, time.Second)
	sh(t, "kubectl apply -f workflows/pgcat-failover-nightly.yaml") // back to its hour, before it starts a second one
	name = strings.TrimPrefix(name, "workflow.argoproj.io/")
	results := finish(t, name, all...)
	require.Len(t, results, len(all))
	pass(t, results)
	for _, r := range results {
		assert.Contains(t, r.Facts.PgCatVersion, "PgCat 1.")
		assert.True(t, strings.HasPrefix(r.Facts.PgCatImage.Digest, "sha256:"), "%+v", r.Facts.PgCatImage)
		assert.NotContains(t, r.Facts.Config, `password = "postgres"`)
	}
	code, out := exitCode("summary", "--run", name)
	require.Zero(t, code, out)
}

// argo submit as the README prints it, then the same run again through the server's API, as the UI's button does.
func TestArgoSubmitAndResubmit(t *testing.T) {
	name := strings.TrimSpace(sh(t, "argo submit -n argo --from workflowtemplate/pgcat-failover -p scenario=primary -o name"))
	pass(t, finish(t, name, "primary"))

	forward(t, "argo-server", 2746)
	body, err := json.Marshal(map[string]any{"name": name, "namespace": namespace, "memoized": false})
	require.NoError(t, err)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut,
		fmt.Sprintf("http://127.0.0.1:2746/api/v1/workflows/%s/%s/resubmit", namespace, name), bytes.NewReader(body))
	require.NoError(t, err)
	resp, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, string(answer))
	var again wfv1.Workflow
	require.NoError(t, json.Unmarshal(answer, &again))
	require.NotEqual(t, name, again.Name)
	pass(t, finish(t, again.Name, "primary"))
}

// The seed's own config has no default_shard: the scenario must fail, and say why.
func TestWithoutDefaultShardPrimaryFails(t *testing.T) {
	secret(t, func(toml string) string {
		edited := strings.Replace(toml, `default_shard = "random_healthy"`, "", 1)
		require.NotEqual(t, toml, edited)
		return edited
	})
	code, out := exitCode("submit", "--scenario", "primary", "--out", t.TempDir())
	require.Equal(t, 1, code, out)
	assert.Contains(t, out, "primary failed: rule default-shard-missing")
	assert.Contains(t, out, `set default_shard = "random_healthy"`)
	whole(t)
}

// An edit that is ended half way: Argo runs no exit handler on terminate, and the Secret is put right all the same.
func TestATerminatedEditIsTakenBack(t *testing.T) {
	before := sh(t, "kubectl get secret argo-pgcat-config -n argo -o jsonpath='{.data}'")
	name := strings.TrimSpace(sh(t, "argo submit -n argo --from workflowtemplate/pgcat-failover -p scenario=config-unparsable -p hold=60s -o name"))
	require.Eventually(t, func() bool {
		broken, err := fault.Broken(t.Context(), cluster)
		return err == nil && len(broken) > 0
	}, 2*time.Minute, 200*time.Millisecond, "the Secret was never edited")
	assert.Contains(t, sh(t, "kubectl get secret argo-pgcat-config -n argo -o jsonpath='{.data}'"), "before-edit", "the undo is in the same patch")
	sh(t, "argo terminate -n argo "+name)
	for _, r := range finish(t, name, "config-unparsable") {
		assert.NotEqual(t, verdict.Pass, r.Verdict)
	}
	for range 2 {
		code, out := exitCode("restore")
		require.Zero(t, code, out)
	}
	assert.Equal(t, before, sh(t, "kubectl get secret argo-pgcat-config -n argo -o jsonpath='{.data}'"))
	whole(t)
}

// The seed's own config promises a failover by keys that PgCat has never had: a deploy stops on it and changes nothing, a
// workflow ends at once, and whoever wants it all the same says so.
func TestAConfigThatPromisesTooMuchStopsTheDeploy(t *testing.T) {
	code, out := exitCode("lint-config", "--secret", "argo-pgcat-config", "-n", namespace)
	require.Zero(t, code, out)
	assert.Contains(t, out, "secret/argo-pgcat-config")
	pods := func() string { return sh(t, "kubectl get pods -n argo -l app=pgcat -o name") }
	before := pods()
	secret(t, func(toml string) string {
		return strings.Replace(toml, "[general]", "[general]\nautomatic_failover = true", 1)
	})

	code, out = exitCode("lint-config", "--secret", "argo-pgcat-config", "-n", namespace)
	assert.Equal(t, 1, code, out)
	for _, check := range []string{"--check=true", "--check=false"} {
		code, out = exitCode("deploy", check)
		assert.Equal(t, 2, code, out)
		assert.Contains(t, out, "[failover-key-imagined]")
	}
	name := strings.TrimSpace(sh(t, "argo submit -n argo --from workflowtemplate/pgcat-failover -p scenario=config-pool-size -o name"))
	var log bytes.Buffer
	phase, err := submit.Watch(t.Context(), cluster, name, options.Logger(&log))
	require.NoError(t, err)
	assert.Equal(t, wfv1.WorkflowFailed, phase, log.String())
	assert.Contains(t, sh(t, "argo logs -n argo "+name), "-p allow=failover-key-imagined")
	assert.Equal(t, before, pods(), "nothing was changed")

	code, out = exitCode("deploy", "--allow", "failover-key-imagined")
	require.Zero(t, code, out)
	code, out = exitCode("submit", "--scenario", "config-pool-size", "-p", "allow=failover-key-imagined", "--out", t.TempDir())
	require.Zero(t, code, out)
	whole(t)
}

// With the rights of the steps' own account, which may list no Deployments and read the one Secret and no other.
func TestLintConfigWithTheStepsRights(t *testing.T) {
	file := as(t, "failover-steps")
	code, out := exitCode("lint-config", "--kubeconfig", file, "-n", namespace, "--secret", "argo-pgcat-config")
	require.Zero(t, code, out)
	assert.Contains(t, out, "secret/argo-pgcat-config: 0 errors,")
	code, out = exitCode("lint-config", "--kubeconfig", file, "-n", namespace, "--secret", "another")
	assert.Equal(t, 3, code, out)
	assert.Contains(t, out, "forbidden")
}

// argo stop runs the exit handler; argo terminate does not, and `failover restore` needs nothing but the cluster.
func TestStopAndTerminateLeaveNothingBroken(t *testing.T) {
	fresh(t)
	for _, how := range []string{"stop", "terminate"} {
		t.Run(how, func(t *testing.T) {
			name := strings.TrimSpace(sh(t, "argo submit -n argo --from workflowtemplate/pgcat-failover -p scenario=multiple -p hold=60s -o name"))
			require.Eventually(t, func() bool {
				out, err := try("kubectl get pods -n argo -l app=postgres-failover-test,postgres-primary=false -o name")
				return err == nil && strings.Contains(out, "pod/")
			}, 2*time.Minute, 200*time.Millisecond, "the endpoint was never broken")
			sh(t, "argo "+how+" -n argo "+name)
			results := finish(t, name, "multiple")
			for _, r := range results {
				assert.NotEqual(t, verdict.Pass, r.Verdict, "half an experiment is not green")
			}
			if how == "terminate" {
				code, out := exitCode("restore")
				require.Zero(t, code, out)
			}
			whole(t)
		})
	}
}
