package lintconfig_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/urfave/cli/v2"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/lintconfig"
	"pgcat-failover/steps/pooler/pgcat/lint"
)

const broken = "[general]\nadmin_username = \"a\"\nautomatic_failover = true\nadmin_password = \"b\"\nautoreload = 1\n[pools]\n"

// run is the command line, as a shell would give it.
func run(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var out bytes.Buffer
	app := &cli.App{Name: "failover", Writer: &out, Commands: []*cli.Command{lintconfig.Command()}, ExitErrHandler: func(*cli.Context, error) {}}
	return finish(&out, app.RunContext(t.Context(), append([]string{"failover", "lint-config"}, args...)))
}

func finish(out *bytes.Buffer, err error) (string, int) {
	if err == nil {
		return out.String(), 0
	}
	out.WriteString(err.Error())
	if exit, ok := err.(cli.ExitCoder); ok { //nolint:errorlint // as cli gives it
		return out.String(), exit.ExitCode()
	}
	return out.String(), 3
}

func put(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o640))
	return path
}

func TestTheComponentsOwnSecretIsClean(t *testing.T) {
	out, code := run(t, "--fail-on", "error", "../../manifests/components/pgcat/secret.yaml")
	assert.Zero(t, code, out)
}

func TestExitCodes(t *testing.T) {
	bad := put(t, "pgcat.toml", broken)
	for _, tc := range []struct {
		story string
		args  []string
		code  int
		says  string
	}{
		{"an error", []string{bad}, 1, "pgcat.toml:3:1: error: automatic_failover"},
		{"allowed", []string{"--allow", "failover-key-imagined", bad}, 0, "0 errors"},
		{"warnings are let through", []string{"--allow", "failover-key-imagined", "--fail-on", "warning", bad}, 1, "findings of level warning"},
		{"no file", []string{"/nowhere/pgcat.toml"}, 2, "no such file"},
		{"nothing", nil, 2, "want FILE or --secret"},
		{"a flag after the file", []string{bad, "--fix"}, 2, "flags come before it"},
		{"a rule that is none", []string{"--allow", "x", bad}, 2, `no rule "x"`},
		{"a rule that is mistyped", []string{"--allow", "failover-keys-imagined", bad}, 2, "did you mean failover-key-imagined?"},
		{"another", []string{"--allow", "default-shard-mising", bad}, 2, "did you mean default-shard-missing?"},
		{"a format that is none", []string{"--format", "xml", bad}, 2, "text, json, sarif, github"},
		{"a fix of a Secret", []string{"--fix", "--secret", "x"}, 2, "--fix writes a FILE"},
		{"a folder", []string{t.TempDir()}, 3, "is a directory"},
		{"a manifest without a Secret", []string{put(t, "x.yaml", "kind: ConfigMap\n")}, 2, "no Secret"},
		{"a manifest that is no YAML", []string{put(t, "x.yaml", "{")}, 2, "yaml"},
		{"no cluster", []string{"--kubeconfig", "/nowhere/config", "--secret", "x"}, 3, "find a cluster"},
		{"GitHub's annotations", []string{"--format", "github", bad}, 1, "::error file="},
	} {
		t.Run(tc.story, func(t *testing.T) {
			out, code := run(t, tc.args...)
			assert.Equal(t, tc.code, code, out)
			assert.Contains(t, out, tc.says)
		})
	}
}

func TestFixMendsTheFileAndTellsWhatIsLeft(t *testing.T) {
	path := put(t, "pgcat.toml", broken)
	out, code := run(t, "--fix", path)
	assert.Zero(t, code, out)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Contains(t, string(got), "# automatic_failover = true\n")
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o640), info.Mode().Perm())
}

// In a manifest places are those of the manifest, and its other lines stay.
func TestAManifestIsReadAndMendedInPlace(t *testing.T) {
	manifest := "# first\nkind: ConfigMap\n---\nkind: Secret\nstringData:\n  username: x\n  pgcat.toml: |\n\n    " +
		strings.ReplaceAll(strings.TrimSpace(broken), "\n", "\n    ") + "\n  password: y\n"
	path := put(t, "secret.yaml", manifest)
	out, _ := run(t, path)
	assert.Contains(t, out, path+":11:5: error: automatic_failover")
	out, code := run(t, "--fix", path)
	assert.Zero(t, code, out)
	got, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.Equal(t, strings.Replace(strings.Replace(manifest, "automatic_failover", "# automatic_failover", 1),
		"[general]\n", "[general]\n    shutdown_timeout = 20000\n", 1), string(got))
	var back map[string]any
	require.NoError(t, yaml.Unmarshal([]byte(strings.Split(string(got), "---\n")[1]), &back))
}

// The pod that mounts the Secret says its grace period, its mount and its release.
func TestASecretOfTheClusterIsReadWithItsPod(t *testing.T) {
	grace := int64(5)
	pod := corev1.PodSpec{TerminationGracePeriodSeconds: &grace,
		Volumes:    []corev1.Volume{{Name: "c", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}},
		Containers: []corev1.Container{{Image: "x/pgcat:v1.2.0", VolumeMounts: []corev1.VolumeMount{{Name: "c", SubPath: "pgcat.toml"}}}}}
	meta := metav1.ObjectMeta{Name: "s", Namespace: "n"}
	client := fake.NewClientset(
		&corev1.Secret{ObjectMeta: meta, Data: map[string][]byte{"pgcat.toml": []byte(broken + "[pools.a]\ncheckout_failure_limit = 1\n")}},
		&appsv1.Deployment{ObjectMeta: meta, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: pod}}})
	deps := func(out *bytes.Buffer) lintconfig.Deps {
		return lintconfig.Deps{Out: out, Cluster: &kube.Cluster{Namespace: "n", Client: client}}
	}
	var b bytes.Buffer
	out, code := finish(&b, lintconfig.Run(context.Background(), lintconfig.Config{Secret: "s", Format: "text", FailOn: lint.Error}, deps(&b)))
	assert.Equal(t, 1, code)
	for _, rule := range []string{"autoreload-subpath", "shutdown-timeout-over-grace", "key-newer-than-release"} {
		assert.Contains(t, out, "["+rule+"]")
	}
	assert.Contains(t, out, "grace period 5s")

	b.Reset()
	out, code = finish(&b, lintconfig.Run(context.Background(), lintconfig.Config{Secret: "other", Format: "text", FailOn: lint.Error}, deps(&b)))
	assert.Equal(t, 2, code)
	assert.Contains(t, out, "read Secret n/other: it is not there")
}

// The steps' accounts may list no Deployments; PgCat's by its name they may read. Who may not even do that is told what
// the file alone shows.
func TestAnAccountThatMayNotListStillReadsPgCatsPod(t *testing.T) {
	grace := int64(5)
	client := fake.NewClientset(
		&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "s", Namespace: "n"}, Data: map[string][]byte{"pgcat.toml": []byte(broken)}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "pgcat", Namespace: "n"}, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace, Volumes: []corev1.Volume{
				{Name: "c", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "s"}}}}}}}})
	forbid := func(verb string) {
		client.PrependReactor(verb, "deployments", func(k8stesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Group: "apps", Resource: "deployments"}, "", nil)
		})
	}
	look := func() string {
		var b bytes.Buffer
		out, code := finish(&b, lintconfig.Run(t.Context(), lintconfig.Config{Secret: "s", Format: "text", FailOn: lint.Error},
			lintconfig.Deps{Out: &b, Cluster: &kube.Cluster{Namespace: "n", Client: client}}))
		assert.Equal(t, 1, code, out)
		assert.Contains(t, out, "secret/s:3:1: error: automatic_failover")
		return out
	}
	forbid("list")
	assert.Contains(t, look(), "grace period 5s")
	forbid("get")
	assert.Contains(t, look(), "grace period 30s")
}
