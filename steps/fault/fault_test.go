package fault_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/kube"
)

// The API server is a fake: what is tested is which patches a fault makes. That they work is for the end-to-end tests.
func cluster() *kube.Cluster {
	labels := func() map[string]string {
		return map[string]string{"app": fault.Postgres, "postgres-primary": "true", "postgres-secondary": "true", "postgres-tertiary": "true"}
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "pg-0", Namespace: "argo", Labels: labels()}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
	other := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "other", Namespace: "argo", Labels: map[string]string{"app": "other", "postgres-primary": "true"}}}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: fault.Postgres, Namespace: "argo"}}
	d.Spec.Template.Labels = labels()
	return &kube.Cluster{Namespace: "argo", Client: fake.NewClientset(pod, other, d)}
}

func TestEveryFaultIsUndoneFromTheClusterAlone(t *testing.T) {
	for _, f := range fault.All {
		t.Run(f.Name(), func(t *testing.T) {
			c, ctx := cluster(), t.Context()
			before := snapshot(t, c)
			undone, err := f.Revert(ctx, c)
			require.NoError(t, err)
			assert.Empty(t, undone, "nothing is broken: nothing to undo")
			assert.Equal(t, before, snapshot(t, c))

			require.NoError(t, f.Inject(ctx, c, []string{"primary", "tertiary"}))
			broken, err := f.Broken(ctx, c)
			require.NoError(t, err)
			assert.Equal(t, []string{"primary", "tertiary"}, broken)
			all, err := fault.Broken(ctx, c)
			require.NoError(t, err)
			assert.Equal(t, []string{f.Name() + "/primary", f.Name() + "/tertiary"}, all, "no other fault claims it")

			undone, err = f.Revert(ctx, c)
			require.NoError(t, err)
			assert.Len(t, undone, 1)
			assert.Equal(t, before, snapshot(t, c), "exactly as it was")
		})
	}
}

func TestAPodBrokenByHandIsMendedToo(t *testing.T) {
	c := cluster()
	pods := c.Client.CoreV1().Pods("argo")
	p, err := pods.Get(t.Context(), "pg-0", metav1.GetOptions{})
	require.NoError(t, err)
	delete(p.Labels, "postgres-secondary")
	_, err = pods.Update(t.Context(), p, metav1.UpdateOptions{})
	require.NoError(t, err)
	undone, err := fault.EndpointLabel{}.Revert(t.Context(), c)
	require.NoError(t, err)
	assert.Equal(t, []string{"pod pg-0: secondary"}, undone)
}

func secretOf(t *testing.T, c *kube.Cluster) *corev1.Secret {
	t.Helper()
	s, err := c.Client.CoreV1().Secrets("argo").Get(t.Context(), fault.ConfigSecret, metav1.GetOptions{})
	require.NoError(t, err)
	return s
}

func withSecret(t *testing.T) *kube.Cluster {
	t.Helper()
	c := cluster()
	_, err := c.Client.CoreV1().Secrets("argo").Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: fault.ConfigSecret, Namespace: "argo"},
		Data:       map[string][]byte{fault.ConfigKey: []byte("as it was"), "password": []byte("p")}}, metav1.CreateOptions{})
	require.NoError(t, err)
	return c
}

func TestAnEditOfTheConfigIsUndoneFromTheClusterAlone(t *testing.T) {
	c, ctx := withSecret(t), t.Context()
	undone, err := fault.Revert(ctx, c)
	require.NoError(t, err)
	assert.Empty(t, undone)

	require.NoError(t, fault.Config{}.Write(ctx, c, []byte("as it was"), []byte("edited")))
	assert.Equal(t, "edited", string(secretOf(t, c).Data[fault.ConfigKey]))
	broken, err := fault.Broken(ctx, c)
	require.NoError(t, err)
	assert.Equal(t, []string{"config/pgcat.toml"}, broken)
	assert.ErrorContains(t, fault.Nothing(ctx, c), "run `failover restore` first")
	assert.ErrorContains(t, fault.Config{}.Write(ctx, c, []byte("edited"), []byte("again")), "earlier edit")

	for range 2 { // idempotent
		_, err = fault.Revert(ctx, c)
		require.NoError(t, err)
		s := secretOf(t, c)
		assert.Equal(t, map[string][]byte{fault.ConfigKey: []byte("as it was"), "password": []byte("p")}, s.Data, "and no copy is left")
		assert.Empty(t, s.Annotations)
	}
}

func TestWhatSomebodyElseWroteIsTheirs(t *testing.T) {
	c, ctx := withSecret(t), t.Context()
	assert.ErrorContains(t, fault.Config{}.Write(ctx, c, []byte("something older"), []byte("edited")), "changed it meanwhile")
	require.NoError(t, fault.Config{}.Write(ctx, c, []byte("as it was"), []byte("edited")))
	s := secretOf(t, c)
	s.Data[fault.ConfigKey] = []byte("theirs")
	_, err := c.Client.CoreV1().Secrets("argo").Update(ctx, s, metav1.UpdateOptions{})
	require.NoError(t, err)
	undone, err := fault.Revert(ctx, c)
	require.NoError(t, err)
	require.Len(t, undone, 1)
	assert.Contains(t, undone[0], "somebody else changed")
	assert.Equal(t, "theirs", string(secretOf(t, c).Data[fault.ConfigKey]))
	assert.NoError(t, fault.Nothing(ctx, c))
}

func TestNoSecretIsNothingBroken(t *testing.T) {
	assert.NoError(t, fault.Nothing(t.Context(), cluster()))
}

func TestOnlyOneFaultRestartsPostgres(t *testing.T) {
	assert.False(t, fault.EndpointLabel{}.RestartsPostgres())
	assert.True(t, fault.TemplateLabel{}.RestartsPostgres())
	_, err := fault.Named("pod-kill")
	require.ErrorContains(t, err, "choose one of endpoint-label, template-label")
}

type state struct {
	pods     map[string]map[string]string
	template map[string]string
	notes    int
}

func snapshot(t *testing.T, c *kube.Cluster) state {
	t.Helper()
	s := state{pods: map[string]map[string]string{}}
	pods, err := c.Client.CoreV1().Pods("argo").List(t.Context(), metav1.ListOptions{})
	require.NoError(t, err)
	for _, p := range pods.Items {
		s.pods[p.Name] = p.Labels
		s.notes += len(p.Annotations)
	}
	d, err := c.Client.AppsV1().Deployments("argo").Get(t.Context(), fault.Postgres, metav1.GetOptions{})
	require.NoError(t, err)
	s.template = d.Spec.Template.Labels
	s.notes += len(d.Annotations)
	return s
}
