package deploy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/stack"
)

// with is a cluster whose Secret has that config; "" is a cluster without the Secret. The API server is a fake: what is
// tested is what stops a deploy. That the real one is left alone then is for the end-to-end tests.
func with(toml string) *kube.Cluster {
	if toml == "" {
		return &kube.Cluster{Namespace: "argo", Client: fake.NewClientset()}
	}
	return &kube.Cluster{Namespace: "argo", Client: fake.NewClientset(&corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: stack.Secret, Namespace: "argo"}, Data: map[string][]byte{"pgcat.toml": []byte(toml)}})}
}

// shipped is the component's own config.
func shipped(t *testing.T) string {
	t.Helper()
	objects, err := Objects("")
	require.NoError(t, err)
	cfg := Config{Cluster: with("")}
	toml, err := cfg.toml(t.Context(), objects)
	require.NoError(t, err)
	return string(toml)
}

func TestWhatStopsADeploy(t *testing.T) {
	for _, tc := range []struct {
		story    string
		from, to string // in the shipped config
		allow    []string
		stops    []string // what it says; nothing: it goes on
		finds    string   // a rule
	}{
		{"the shipped config", "", "", nil, nil, "random-healthy-no-rejoin"},
		{"a key from a blog post that promises a failover", "[general]", "[general]\nautomatic_failover = true", nil,
			[]string{"failover-key-imagined", "line 2", "automatic_failover", "--allow failover-key-imagined", "nothing was applied"}, ""},
		{"the same in spite of it", "[general]", "[general]\nautomatic_failover = true", []string{"failover-key-imagined"}, nil, "failover-key-imagined"},
		{"no default_shard: a warning, so that the scenario can show what it does", `default_shard = "random_healthy"`, "", nil, nil, "default-shard-missing"},
		{"what PgCat exits 78 on", "pool_size = 25", "pool_size = 2", nil, []string{"min-pool-size-over-pool-size"}, ""},
		{"two errors, one of them allowed", "pool_size = 25", "pool_size = 2\nfailover_timeout = 5000", []string{"failover-key-imagined"},
			[]string{"min-pool-size-over-pool-size"}, ""},
		{"no TOML at all", "[general]", "[general", nil, []string{"not-toml", "line 1"}, ""},
	} {
		t.Run(tc.story, func(t *testing.T) {
			toml := shipped(t)
			if tc.from != "" {
				toml = strings.Replace(toml, tc.from, tc.to, 1)
				require.NotEqual(t, shipped(t), toml)
			}
			var log strings.Builder
			cfg := Config{Cluster: with(toml), Allow: tc.allow, Logf: func(f string, a ...any) { fmt.Fprintf(&log, f+"\n", a...) }}
			objects, err := Objects("")
			require.NoError(t, err)
			findings, err := cfg.lintConfig(t.Context(), objects)
			assert.NotContains(t, log.String()+fmt.Sprint(err), `"postgres"`, "no password")
			if tc.stops != nil {
				require.Error(t, err)
				for _, s := range tc.stops {
					assert.ErrorContains(t, err, s)
				}
				for _, a := range tc.allow {
					assert.NotContains(t, err.Error(), "["+a+"]")
				}
				return
			}
			require.NoError(t, err)
			assert.Contains(t, rules(findings), tc.finds)
			for _, f := range findings {
				assert.Equal(t, f.Severity == "error", f.Allowed, f.Rule)
			}
		})
	}
}

// With --check it is the pod that runs which says its grace period and its mount, not the one that a deploy would make.
func TestACheckLooksAtThePodThatRuns(t *testing.T) {
	grace := int64(5)
	cfg := Config{Cluster: with(shipped(t)), CheckOnly: true, Logf: func(string, ...any) {}}
	own := []string{"shutdown-timeout-over-grace", "autoreload-subpath"}
	findings, err := cfg.lintConfig(t.Context(), nil)
	require.NoError(t, err)
	assert.Empty(t, common(rules(findings), own), "there is none")

	_, err = cfg.Cluster.Client.AppsV1().Deployments("argo").Create(t.Context(), &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: stack.Deployment, Namespace: "argo"},
		Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{TerminationGracePeriodSeconds: &grace,
			Volumes:    []corev1.Volume{{Name: "c", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: stack.Secret}}}},
			Containers: []corev1.Container{{Image: "x/pgcat:v1.2.0", VolumeMounts: []corev1.VolumeMount{{Name: "c", SubPath: "pgcat.toml"}}}}}}}}, metav1.CreateOptions{})
	require.NoError(t, err)
	findings, err = cfg.lintConfig(t.Context(), nil)
	require.NoError(t, err)
	assert.Subset(t, rules(findings), own)

	objects, err := Objects("")
	require.NoError(t, err)
	cfg.CheckOnly = false
	findings, err = cfg.lintConfig(t.Context(), objects)
	require.NoError(t, err)
	assert.Empty(t, common(rules(findings), own), "the deploy mends that pod")
}

func common(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(s string) bool { return !slices.Contains(b, s) })
}

func rules(findings []history.ConfigFinding) []string {
	var out []string
	for _, f := range findings {
		out = append(out, f.Rule)
	}
	return out
}

func TestAClusterWithoutTheSecret(t *testing.T) {
	objects, err := Objects("")
	require.NoError(t, err)
	cfg := Config{Cluster: with(""), Logf: func(string, ...any) {}}
	_, err = cfg.lintConfig(t.Context(), objects)
	require.NoError(t, err, "deploy makes it, so what it would make is looked at")
	cfg.CheckOnly = true
	_, err = cfg.lintConfig(t.Context(), nil)
	require.ErrorContains(t, err, "kubectl apply -f manifests/components/pgcat/")
}
