package deploy_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"pgcat-failover/steps/deploy"
	"pgcat-failover/steps/scenario"
)

func component(t *testing.T) map[string]*unstructured.Unstructured {
	t.Helper()
	list, err := deploy.Objects("registry.example/failover:v1")
	require.NoError(t, err)
	out := map[string]*unstructured.Unstructured{}
	for _, o := range list {
		out[o.GetKind()+"/"+o.GetName()] = o
	}
	return out
}

func deployment(t *testing.T, name string) appsv1.Deployment {
	t.Helper()
	obj := component(t)["Deployment/"+name]
	require.NotNil(t, obj)
	var d appsv1.Deployment
	require.NoError(t, runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(obj.Object, &d, true), "no field that Kubernetes does not know")
	return d
}

func TestTheSecretComesFirstAndTheNamespaceIsNotOurs(t *testing.T) {
	list, err := deploy.Objects("")
	require.NoError(t, err)
	assert.Equal(t, "Secret", list[0].GetKind())
	for _, o := range list {
		assert.NotEqual(t, "Namespace", o.GetKind())
	}
}

func TestPostgresKeepsItsPodAndItsData(t *testing.T) {
	d := deployment(t, "postgres-failover-test")
	assert.Equal(t, appsv1.RecreateDeploymentStrategyType, d.Spec.Strategy.Type)
	assert.True(t, slices.ContainsFunc(d.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim != nil }))
	for _, e := range scenario.Endpoints {
		label := scenario.ServiceOf(e)
		assert.Equal(t, "true", d.Spec.Template.Labels[label])
		assert.NotContains(t, d.Spec.Selector.MatchLabels, label, "taking it off would orphan the pod")
		selector, _, err := unstructured.NestedStringMap(component(t)["Service/"+label].Object, "spec", "selector")
		require.NoError(t, err)
		assert.Equal(t, "true", selector[label])
	}
}

func TestTheSidecarIsLaidOverPgCat(t *testing.T) {
	pod := deployment(t, "pgcat").Spec.Template.Spec
	require.Len(t, pod.Containers, 2)
	at := slices.IndexFunc(pod.Containers, func(c corev1.Container) bool { return c.Name == "health" })
	require.GreaterOrEqual(t, at, 0)
	assert.Equal(t, "registry.example/failover:v1", pod.Containers[at].Image)
}

func TestEveryContainerHasFewRights(t *testing.T) {
	for _, name := range []string{"pgcat", "postgres-failover-test"} {
		d := deployment(t, name)
		assert.True(t, *d.Spec.Template.Spec.SecurityContext.RunAsNonRoot, name)
		assert.False(t, *d.Spec.Template.Spec.AutomountServiceAccountToken, name)
		for _, c := range d.Spec.Template.Spec.Containers {
			at := name + "/" + c.Name
			assert.True(t, *c.SecurityContext.ReadOnlyRootFilesystem, at)
			assert.False(t, *c.SecurityContext.AllowPrivilegeEscalation, at)
			assert.Equal(t, []corev1.Capability{"ALL"}, c.SecurityContext.Capabilities.Drop, at)
			assert.NotEmpty(t, c.Resources.Requests, at)
			assert.NotEmpty(t, c.Command, at)
		}
	}
}
