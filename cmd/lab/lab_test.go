//go:build lab

// End-to-end tests of the lab itself: go test -tags lab -timeout 30m ./cmd/lab/
// They need root and make a second lab beside one that may be running.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vishvananda/netlink"
)

const (
	testLab = "e2e"
	mark    = "pgcat-failover-" + testLab // in every path, command line and control group of it
	// A cold start builds everything; the others must be quick.
	coldTimeout = 25 * time.Minute
	// A limit against hanging, generous for a busy machine; how fast it is, is for make bench to tell.
	warmLimit = 5 * time.Minute
	downLimit = 3 * time.Minute
)

type harness struct {
	t       *testing.T
	program string
	kubectl string
	config  string
}

func newHarness(t *testing.T) *harness {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("the lab needs root")
	}
	t.Setenv("LAB_NAME", testLab)
	t.Setenv("KUBECONFIG", "")
	h := &harness{t: t, program: filepath.Join(t.TempDir(), "lab")}
	out, err := exec.Command("go", "build", "-o", h.program, ".").CombinedOutput()
	require.NoError(t, err, string(out))
	h.config = "/var/lib/" + mark + "/kubeconfig"
	h.kubectl = filepath.Join(strings.TrimSpace(h.lab(time.Minute, "path")), "kubectl")
	return h
}

// lab runs one command of the lab and returns its standard output.
func (h *harness) lab(limit time.Duration, args ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, h.program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	start := time.Now()
	err := cmd.Run()
	h.t.Logf("lab %s: %s\n%s", strings.Join(args, " "), time.Since(start).Round(time.Millisecond), stderr.String())
	require.NoError(h.t, err, "lab %s", strings.Join(args, " "))
	return stdout.String()
}

// in is the same harness for a subtest.
func (h *harness) in(t *testing.T) *harness {
	sub := *h
	sub.t = t
	return &sub
}

func (h *harness) kube(args ...string) string {
	h.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, h.kubectl, append([]string{"--kubeconfig", h.config}, args...)...).CombinedOutput()
	require.NoError(h.t, err, "kubectl %s: %s", strings.Join(args, " "), out)
	return string(out)
}

func (h *harness) status() statusReport {
	h.t.Helper()
	var report statusReport
	require.NoError(h.t, json.Unmarshal([]byte(h.lab(time.Minute, "status", "--json")), &report))
	return report
}

// traces is what a lab could leave on the machine.
type traces struct {
	Processes, Mounts, Links, Namespaces, Cgroups, Files []string
	Rules                                                string
}

func look(t *testing.T) traces {
	t.Helper()
	rules, err := exec.Command("nft", "list", "ruleset").Output()
	require.NoError(t, err)
	links, err := netlink.LinkList()
	require.NoError(t, err)
	seen := traces{Rules: string(rules), Namespaces: list("/run/netns/*"), Processes: processes(t)}
	for _, link := range links {
		seen.Links = append(seen.Links, link.Attrs().Name)
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	require.NoError(t, err)
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, mark) {
			seen.Mounts = append(seen.Mounts, line)
		}
	}
	_ = filepath.WalkDir("/sys/fs/cgroup", func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() && strings.Contains(path, mark) {
			seen.Cgroups = append(seen.Cgroups, path)
		}
		return nil
	})
	for _, pattern := range []string{"/run/" + mark, "/var/lib/" + mark, "/run/containerd/*", "/var/lib/cni/*", "/var/lib/kubelet/*", "/var/log/pods/*", "/var/log/containers/*", "/tmp/pgcat-image-*"} {
		seen.Files = append(seen.Files, list(pattern)...)
	}
	return seen
}

func list(pattern string) []string {
	found, _ := filepath.Glob(pattern)
	return found
}

// processes lists those that belong to the lab, by their command lines.
func processes(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, path := range list("/proc/[0-9]*/cmdline") {
		line, err := os.ReadFile(path)
		if err == nil && bytes.Contains(line, []byte(mark)) {
			found = append(found, string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		}
	}
	slices.Sort(found)
	return found
}

func TestLab(t *testing.T) {
	h := newHarness(t)
	h.lab(downLimit, "down")
	before := look(t)
	t.Cleanup(func() { _ = exec.Command(h.program, "down").Run() })

	require.Contains(t, h.lab(coldTimeout, "up", "--port", "16444"), "export KUBECONFIG="+h.config)
	first := h.status()
	require.True(t, first.Well)

	t.Run("up again changes nothing", func(t *testing.T) {
		h.lab(warmLimit, "up", "--port", "16444")
		require.Equal(t, first.Supervisor, h.status().Supervisor)
	})
	t.Run("the user's tools work from the host", func(t *testing.T) { h.in(t).tools() })
	t.Run("a claim gets a volume that uid 999 can write to", func(t *testing.T) { h.in(t).claim() })
	t.Run("memory stays under 2 GiB", func(t *testing.T) {
		require.Less(t, h.status().PSS, uint64(2<<30))
	})
	t.Run("a killed program comes back", func(t *testing.T) { h.in(t).killProgram() })
	t.Run("a killed supervisor takes all with it, and up heals", func(t *testing.T) {
		kill(t, h.status().Supervisor)
		require.Eventually(t, func() bool { return len(processes(t)) == 0 }, 20*time.Second, 50*time.Millisecond)
		require.Error(t, exec.Command(h.program, "status").Run())
		start := time.Now()
		h.lab(warmLimit, "up", "--port", "16444")
		require.Less(t, time.Since(start), warmLimit)
		require.True(t, h.status().Well)
	})
	t.Run("a stopped up leaves nothing", func(t *testing.T) {
		h.lab(downLimit, "down")
		h.in(t).interruptUp()
		require.Equal(t, before, look(t))
	})
	t.Run("down finds a supervisor that nobody wrote down", func(t *testing.T) {
		h.lab(warmLimit, "up", "--port", "16444")
		require.NoError(t, os.Remove("/run/"+mark+"/supervisor.json"))
		h.lab(downLimit, "down")
		require.Equal(t, before, look(t))
	})
	t.Run("down leaves nothing", func(t *testing.T) {
		h.lab(warmLimit, "up", "--port", "16444")
		h.lab(downLimit, "down")
		require.Equal(t, before, look(t))
		h.lab(downLimit, "down") // and may be said twice
	})
}

func kill(t *testing.T, pid int) {
	t.Helper()
	process, err := os.FindProcess(pid)
	require.NoError(t, err)
	require.NoError(t, process.Kill())
}

// tools does through the printed KUBECONFIG what needs more than plain requests.
func (h *harness) tools() {
	require.Contains(h.t, h.kube("logs", "-n", "argo", "deployment/workflow-controller", "--tail", "50"), "level=")
	require.Contains(h.t, h.kube("exec", "-n", "argo", "deployment/argo-server", "--", "argo", "version"), "v3.7.18")
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	port := freePort(h.t)
	forward := exec.CommandContext(ctx, h.kubectl, "--kubeconfig", h.config, "port-forward", "-n", "argo", "service/argo-server", port+":2746")
	require.NoError(h.t, forward.Start())
	defer func() { _, _ = forward.Process.Kill(), forward.Wait() }()
	require.Eventually(h.t, func() bool {
		response, err := http.Get("http://127.0.0.1:" + port + "/api/v1/workflows/argo")
		if err != nil {
			return false
		}
		defer func() { _ = response.Body.Close() }()
		return response.StatusCode == http.StatusOK
	}, 30*time.Second, 200*time.Millisecond)
}

func freePort(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)
	return port
}

const claimed = `
apiVersion: v1
kind: PersistentVolumeClaim
metadata: {name: claimed, namespace: default}
spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}
---
apiVersion: v1
kind: Pod
metadata: {name: claimed, namespace: default}
spec:
  securityContext: {runAsUser: 999, runAsNonRoot: true}
  containers:
    - name: writer
      image: docker.io/library/postgres:15
      # A query that is worth compiling, where there is no compiler: Postgres must cope.
      command:
        - bash
        - -ec
        - |
          getent hosts kubernetes.default
          initdb -D /data/pg >/dev/null
          echo "set jit_above_cost = 0; select count(*) from generate_series(1, 10)" | postgres --single -D /data/pg postgres | grep 'count = "10"'
          touch /data/written
          exec sleep 1000
      readinessProbe: {exec: {command: [test, -f, /data/written]}, periodSeconds: 1}
      volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, persistentVolumeClaim: {claimName: claimed}}]
`

func (h *harness) claim() {
	file := filepath.Join(h.t.TempDir(), "claimed.yaml")
	require.NoError(h.t, os.WriteFile(file, []byte(claimed), 0o644))
	h.kube("apply", "-f", file)
	h.kube("wait", "-n", "default", "--for=condition=Ready", "pod/claimed", "--timeout=50s")
	require.Len(h.t, list("/var/lib/"+mark+"/volumes/*/written"), 1)
	h.kube("delete", "-f", file, "--grace-period=1")
	require.Eventually(h.t, func() bool { return len(list("/var/lib/"+mark+"/volumes/*")) == 0 }, 30*time.Second, 200*time.Millisecond)
}

// killProgram kills the scheduler, by its host's pid, and waits for another.
func (h *harness) killProgram() {
	for _, path := range list("/proc/[0-9]*/cmdline") {
		line, _ := os.ReadFile(path)
		if bytes.Contains(line, []byte("kube-scheduler")) && bytes.Contains(line, []byte(mark)) {
			pid := strings.Split(path, "/")[2]
			require.NoError(h.t, exec.Command("kill", "-9", pid).Run())
		}
	}
	require.Eventually(h.t, func() bool {
		out, _ := exec.Command(h.program, "status", "--json").Output() // not well for a moment
		var report statusReport
		if json.Unmarshal(out, &report) != nil {
			return false
		}
		for _, p := range report.Processes {
			if p.Name == "kube-scheduler" {
				return p.PID != 0 && p.Restarts == 1
			}
		}
		return false
	}, 20*time.Second, 500*time.Millisecond)
}

// interruptUp presses Ctrl-C as soon as the supervisor runs.
func (h *harness) interruptUp() {
	cmd := exec.Command(h.program, "up", "--port", "16444")
	require.NoError(h.t, cmd.Start())
	require.Eventually(h.t, func() bool { return len(list("/run/"+mark+"/processes.json")) == 1 }, 30*time.Second, 20*time.Millisecond)
	require.NoError(h.t, cmd.Process.Signal(syscall.SIGINT))
	var exit *exec.ExitError
	require.True(h.t, errors.As(cmd.Wait(), &exit))
}
