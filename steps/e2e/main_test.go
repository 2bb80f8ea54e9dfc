//go:build e2e

// Package e2e plays the product as its users do, on a real cluster with a real Argo: the seed's own commands,
// argo submit, the night's cron, a resubmit through the Argo server, a config that cannot fail over.
// It needs KUBECONFIG, kubectl and argo on PATH; `make e2e` sees to that.
package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/stack"
	"pgcat-failover/steps/submit"
	"pgcat-failover/steps/summary"
	"pgcat-failover/steps/verdict"
)

const namespace = "argo"

var (
	cluster  *kube.Cluster
	root     string // of the repository
	failover string // the binary
)

func TestMain(m *testing.M) {
	code, err := setUp(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

func setUp(m *testing.M) (int, error) {
	var err error
	if root, err = filepath.Abs("../.."); err != nil {
		return 1, err
	}
	if os.Getenv("KUBECONFIG") == "" {
		return 1, fmt.Errorf("KUBECONFIG is not set; run `make e2e`")
	}
	if cluster, err = kube.Connect("", namespace); err != nil {
		return 1, err
	}
	dir, err := os.MkdirTemp("", "failover-e2e-")
	if err != nil {
		return 1, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	failover = filepath.Join(dir, "failover")
	build := exec.Command("go", "build", "-o", failover, "./cmd/failover")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("build failover: %w\n%s", err, out)
	}
	if err := install(); err != nil {
		return 1, err
	}
	return m.Run(), nil
}

// install is what the README tells a user to do on a cluster of their own.
func install() error {
	out, err := command("kubectl", "apply", "-f", "manifests/components/pgcat/", "-f", "manifests/rbac/", "-f", "workflows/").CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl apply: %w\n%s", err, out)
	}
	ctx := context.Background()
	for _, d := range []string{fault.Postgres, stack.Deployment} {
		if err := cluster.Rollout(ctx, d, 5*time.Minute); err != nil {
			return err
		}
	}
	return nil
}

func command(name string, args ...string) *exec.Cmd {
	c := exec.Command(name, args...)
	c.Dir = root
	return c
}

// sh runs a line as a user would type it, from the repository's root.
func sh(t *testing.T, line string) string {
	t.Helper()
	out, err := try(line)
	require.NoError(t, err, "%s\n%s", line, out)
	return out
}

func try(line string) (string, error) {
	out, err := command("bash", "-c", line).CombinedOutput()
	return string(out), err
}

// exitCode runs the failover binary and gives its exit code and what it said.
func exitCode(args ...string) (int, string) {
	c := command(failover, args...)
	out, _ := c.CombinedOutput()
	return c.ProcessState.ExitCode(), string(out)
}

// finish waits for a workflow and gives its verdicts.
func finish(t *testing.T, workflow string, scenarios ...string) []verdict.Result {
	t.Helper()
	var log bytes.Buffer
	_, err := submit.Watch(t.Context(), cluster, workflow, options.Logger(&log))
	require.NoError(t, err, log.String())
	t.Logf("%s", log.String())
	results, err := summary.Results(t.Context(), cluster, workflow, scenarios)
	require.NoError(t, err)
	return results
}

func pass(t *testing.T, results []verdict.Result) {
	t.Helper()
	for _, r := range results {
		require.Equal(t, verdict.Pass, r.Verdict, "%s: %+v", r.Scenario, r.Findings)
	}
	whole(t)
}

// whole asserts that nothing is broken.
func whole(t *testing.T) {
	t.Helper()
	broken, err := fault.Broken(t.Context(), cluster)
	require.NoError(t, err)
	require.Empty(t, broken)
	pods, err := cluster.ReadyPods(t.Context(), fault.PostgresPods)
	require.NoError(t, err)
	for _, p := range pods {
		for _, a := range []string{"primary", "secondary", "tertiary"} {
			require.Equal(t, "true", p.Labels["postgres-"+a], p.Name)
		}
		for k := range p.Annotations {
			require.False(t, strings.HasPrefix(k, "pgcat-failover/undo"), k)
		}
	}
}

// as writes a kubeconfig that acts with the rights of a service account.
func as(t *testing.T, account string) string {
	t.Helper()
	cfg, err := clientcmd.LoadFromFile(os.Getenv("KUBECONFIG"))
	require.NoError(t, err)
	cfg.AuthInfos[cfg.Contexts[cfg.CurrentContext].AuthInfo].Impersonate = "system:serviceaccount:" + namespace + ":" + account
	file := filepath.Join(t.TempDir(), "kubeconfig")
	require.NoError(t, clientcmd.WriteToFile(*cfg, file))
	return file
}

// secret edits pgcat.toml in the Secret for the time of a test.
func secret(t *testing.T, edit func(string) string) {
	t.Helper()
	api := cluster.Client.CoreV1().Secrets(namespace)
	set := func(ctx context.Context, change func(string) string) string {
		s, err := api.Get(ctx, stack.Secret, metav1.GetOptions{})
		require.NoError(t, err)
		old := string(s.Data["pgcat.toml"])
		s.Data["pgcat.toml"] = []byte(change(old))
		_, err = api.Update(ctx, s, metav1.UpdateOptions{})
		require.NoError(t, err)
		return old
	}
	old := set(t.Context(), edit)
	t.Cleanup(func() {
		set(context.Background(), func(string) string { return old })
		code, out := exitCode("deploy")
		require.Zero(t, code, out)
	})
}

// fresh gives PgCat new pods when the test is over: of a Postgres that was restarted, or an endpoint that was cut, it keeps
// connections that are dead, up to five for each shard, and each costs the client that is handed it its query. The tests
// that follow are not about that.
func fresh(t *testing.T) {
	t.Helper()
	t.Cleanup(func() {
		out, err := command("kubectl", "rollout", "restart", "deployment/"+stack.Deployment, "-n", namespace).CombinedOutput()
		require.NoError(t, err, string(out))
		require.NoError(t, cluster.Rollout(context.Background(), stack.Deployment, time.Minute))
	})
}

// forward starts the seed's port-forward and gives the address once it answers.
func forward(t *testing.T, service string, port int) {
	t.Helper()
	c := command("kubectl", "port-forward", "svc/"+service, fmt.Sprintf("%d:%d", port, port), "-n", namespace)
	require.NoError(t, c.Start())
	t.Cleanup(func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	})
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	}, 20*time.Second, 100*time.Millisecond)
}
