package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// resources is every kind that the component consists of. A table instead of discovery: what is not
// in it is not ours to write.
var resources = map[string]schema.GroupVersionResource{
	"Secret":                {Version: "v1", Resource: "secrets"},
	"Service":               {Version: "v1", Resource: "services"},
	"PersistentVolumeClaim": {Version: "v1", Resource: "persistentvolumeclaims"},
	"Deployment":            {Group: "apps", Version: "v1", Resource: "deployments"},
	"NetworkPolicy":         {Group: "networking.k8s.io", Version: "v1", Resource: "networkpolicies"},
}

// Decode reads the documents of a YAML file.
func Decode(data []byte) ([]*unstructured.Unstructured, error) {
	dec := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(data), 4096)
	var out []*unstructured.Unstructured
	for {
		obj := new(unstructured.Unstructured)
		err := dec.Decode(obj)
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("decode manifest: %w", err)
		}
		if len(obj.Object) > 0 {
			out = append(out, obj)
		}
	}
}

func (c *Cluster) resource(obj *unstructured.Unstructured) (schema.GroupVersionResource, error) {
	gvr, ok := resources[obj.GetKind()]
	if !ok {
		return gvr, fmt.Errorf("apply %s %s: this kind is not in the table of kinds that the component may hold", obj.GetKind(), obj.GetName())
	}
	return gvr, nil
}

// Apply brings an object to the wanted state by server-side apply.
func (c *Cluster) Apply(ctx context.Context, obj *unstructured.Unstructured) error {
	gvr, err := c.resource(obj)
	if err != nil {
		return err
	}
	obj.SetNamespace(c.Namespace)
	_, err = c.Dyn.Resource(gvr).Namespace(c.Namespace).Apply(ctx, obj.GetName(), obj,
		metav1.ApplyOptions{FieldManager: Manager, Force: true})
	if err != nil {
		return fmt.Errorf("apply %s %s in %s: %w", obj.GetKind(), obj.GetName(), c.Namespace, err)
	}
	return nil
}

// Exists tells whether an object is there.
func (c *Cluster) Exists(ctx context.Context, obj *unstructured.Unstructured) (bool, error) {
	gvr, err := c.resource(obj)
	if err != nil {
		return false, err
	}
	_, err = c.Dyn.Resource(gvr).Namespace(c.Namespace).Get(ctx, obj.GetName(), metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for %s %s in %s: %w", obj.GetKind(), obj.GetName(), c.Namespace, err)
	}
	return true, nil
}

// Rollout waits until a Deployment runs its newest template and nothing else.
func (c *Cluster) Rollout(ctx context.Context, name string, limit time.Duration) error {
	return Until(ctx, "Deployment "+name+" to roll out", limit, func(ctx context.Context) (bool, string, error) {
		d, err := c.Client.AppsV1().Deployments(c.Namespace).Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return false, "", fmt.Errorf("it is not in namespace %s; run `failover deploy`", c.Namespace)
		}
		if err != nil {
			return false, err.Error(), nil
		}
		if why := unsettled(d); why != "" {
			return false, why + c.trouble(ctx, d), nil
		}
		return c.alone(ctx, d)
	})
}

func unsettled(d *appsv1.Deployment) string {
	want := int32(1)
	if d.Spec.Replicas != nil {
		want = *d.Spec.Replicas
	}
	s := d.Status
	if s.ObservedGeneration >= d.Generation && s.UpdatedReplicas == want && s.Replicas == want && s.AvailableReplicas == want {
		return ""
	}
	return fmt.Sprintf("%d of %d pods updated, %d available", s.UpdatedReplicas, want, s.AvailableReplicas)
}

// alone tells whether the pods of earlier templates are gone. The Deployment's status does not count those that are on
// their way out, but its Service may lead to them for a moment longer.
func (c *Cluster) alone(ctx context.Context, d *appsv1.Deployment) (bool, string, error) {
	list, err := c.Client.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector)})
	if err != nil {
		return false, err.Error(), nil
	}
	for _, p := range list.Items {
		if p.DeletionTimestamp != nil {
			return false, "pod " + p.Name + " is still ending", nil
		}
	}
	return true, "", nil
}

// trouble says what keeps a Deployment's pods from being ready, as the kubelet tells it.
func (c *Cluster) trouble(ctx context.Context, d *appsv1.Deployment) string {
	if d.Spec.Selector == nil {
		return ""
	}
	pods, err := c.Pods(ctx, d.Spec.Selector.MatchLabels)
	if err != nil {
		return ""
	}
	for _, p := range pods {
		for _, st := range p.Status.ContainerStatuses {
			if w := st.State.Waiting; w != nil && w.Reason != "ContainerCreating" {
				return fmt.Sprintf("; pod %s, container %s: %s %s", p.Name, st.Name, w.Reason, w.Message)
			}
		}
		for _, cond := range p.Status.Conditions {
			if cond.Reason == "Unschedulable" {
				return fmt.Sprintf("; pod %s: %s", p.Name, cond.Message)
			}
		}
	}
	return ""
}
