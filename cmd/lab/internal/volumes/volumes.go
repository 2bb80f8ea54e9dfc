// Package volumes gives the lab's claims their volumes: directories on the
// node. It is the provisioner of the default StorageClass.
package volumes

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
)

// Provisioner is the name in the StorageClass.
const Provisioner = "pgcat-failover/lab-local"

// class is the name of the StorageClass itself.
const class = "lab-local"

// retry is how soon a claim that could not be served is looked at again.
const retry = 10 * time.Second

// Controller makes a directory for each claim and removes it with its volume.
type Controller struct {
	client kubernetes.Interface
	root   string
	log    func(string, ...any)
}

// New returns a controller that keeps its directories under root.
func New(client kubernetes.Interface, root string, log func(string, ...any)) *Controller {
	return &Controller{client: client, root: root, log: log}
}

// Run works until ctx ends.
func (c *Controller) Run(ctx context.Context) error {
	factory := informers.NewSharedInformerFactory(c.client, retry)
	err := errors.Join(
		watch(ctx, factory.Core().V1().PersistentVolumeClaims().Informer(), c, c.claim),
		watch(ctx, factory.Core().V1().PersistentVolumes().Informer(), c, c.volume),
	)
	if err != nil {
		return fmt.Errorf("watch claims and volumes: %w", err)
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
	return nil
}

func watch[T any](ctx context.Context, informer cache.SharedIndexInformer, c *Controller, do func(context.Context, T) error) error {
	handle := func(object any) {
		seen, ok := object.(T)
		if !ok {
			return
		}
		if err := do(ctx, seen); err != nil {
			c.log("%v", err)
		}
	}
	_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    handle,
		UpdateFunc: func(_, object any) { handle(object) },
	})
	return err
}

// claim makes the volume of a claim that waits for one.
func (c *Controller) claim(ctx context.Context, claim *corev1.PersistentVolumeClaim) error {
	if claim.Spec.StorageClassName == nil || *claim.Spec.StorageClassName != class || claim.Spec.VolumeName != "" {
		return nil
	}
	volume := volumeFor(claim, c.root)
	if err := makeOpen(volume.Spec.HostPath.Path); err != nil {
		return fmt.Errorf("make the directory of claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	_, err := c.client.CoreV1().PersistentVolumes().Create(ctx, volume, metav1.CreateOptions{})
	if err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("make the volume of claim %s/%s: %w", claim.Namespace, claim.Name, err)
	}
	return nil
}

// makeOpen makes a directory that every user of every pod may write to, as the
// umask would not let it be.
func makeOpen(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return unix.Chmod(dir, 0o777)
}

// volume removes a volume whose claim is gone.
func (c *Controller) volume(ctx context.Context, volume *corev1.PersistentVolume) error {
	mine := volume.Annotations["pv.kubernetes.io/provisioned-by"] == Provisioner
	if !mine || volume.Status.Phase != corev1.VolumeReleased {
		return nil
	}
	if err := os.RemoveAll(filepath.Join(c.root, volume.Name)); err != nil {
		return fmt.Errorf("remove the directory of volume %s: %w", volume.Name, err)
	}
	err := c.client.CoreV1().PersistentVolumes().Delete(ctx, volume.Name, metav1.DeleteOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("remove the volume %s: %w", volume.Name, err)
	}
	return nil
}

// volumeFor names the volume after the claim's UID: a second look at the same
// claim makes no second volume.
func volumeFor(claim *corev1.PersistentVolumeClaim, root string) *corev1.PersistentVolume {
	name := "pvc-" + string(claim.UID)
	kind := corev1.HostPathDirectoryOrCreate
	return &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{
			Name:        name,
			Annotations: map[string]string{"pv.kubernetes.io/provisioned-by": Provisioner},
		},
		Spec: corev1.PersistentVolumeSpec{
			StorageClassName: class,
			AccessModes:      claim.Spec.AccessModes,
			Capacity:         claim.Spec.Resources.Requests,
			// Delete is what the class says; this controller does the deleting.
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			VolumeMode:                    claim.Spec.VolumeMode,
			ClaimRef: &corev1.ObjectReference{
				APIVersion: "v1", Kind: "PersistentVolumeClaim",
				Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID,
			},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				HostPath: &corev1.HostPathVolumeSource{Path: filepath.Join(root, name), Type: &kind},
			},
		},
	}
}
