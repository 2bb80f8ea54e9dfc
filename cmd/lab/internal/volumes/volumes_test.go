package volumes

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func claimOf(className string) *corev1.PersistentVolumeClaim {
	return &corev1.PersistentVolumeClaim{
		ObjectMeta: metav1.ObjectMeta{Namespace: "argo", Name: "data", UID: "uid-1"},
		Spec:       corev1.PersistentVolumeClaimSpec{StorageClassName: &className},
	}
}

func controller(t *testing.T) *Controller {
	t.Helper()
	return New(fake.NewClientset(), t.TempDir(), t.Logf)
}

func TestAClaimGetsOneVolumeThatAnyUserCanWriteTo(t *testing.T) {
	ctx, c := context.Background(), controller(t)
	require.NoError(t, c.claim(ctx, claimOf(class)))
	require.NoError(t, c.claim(ctx, claimOf(class)))
	found, err := c.client.CoreV1().PersistentVolumes().List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	require.Len(t, found.Items, 1)
	require.EqualValues(t, "uid-1", found.Items[0].Spec.ClaimRef.UID)
	info, err := os.Stat(found.Items[0].Spec.HostPath.Path)
	require.NoError(t, err)
	require.EqualValues(t, 0o777, info.Mode().Perm())
}

func TestClaimsOfOtherClassesAreLeftAlone(t *testing.T) {
	c := controller(t)
	require.NoError(t, c.claim(context.Background(), claimOf("another")))
	entries, err := os.ReadDir(c.root)
	require.NoError(t, err)
	require.Empty(t, entries)
}

func TestAReleasedVolumeGoesWithItsData(t *testing.T) {
	ctx, c := context.Background(), controller(t)
	require.NoError(t, c.claim(ctx, claimOf(class)))
	volumes := c.client.CoreV1().PersistentVolumes()
	volume, err := volumes.Get(ctx, "pvc-uid-1", metav1.GetOptions{})
	require.NoError(t, err)

	require.NoError(t, c.volume(ctx, volume)) // still bound
	require.DirExists(t, filepath.Join(c.root, volume.Name))

	volume.Status.Phase = corev1.VolumeReleased
	require.NoError(t, c.volume(ctx, volume))
	require.NoDirExists(t, filepath.Join(c.root, volume.Name))
	left, err := volumes.List(ctx, metav1.ListOptions{})
	require.NoError(t, err)
	require.Empty(t, left.Items)
}
