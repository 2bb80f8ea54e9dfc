package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pgcat-failover/steps/kube"
)

// EndpointLabel takes the endpoint's label off the live pod. Its Service loses its backend and refuses new
// connections at once; Postgres goes on. A Service that loses its backends keeps its established connections
// (kubernetes/kubernetes#100755): the break-label step ends those, or the fault would not be felt.
type EndpointLabel struct{}

const podUndo = "pgcat-failover/undo-endpoint-label"

// Name implements Fault.
func (EndpointLabel) Name() string { return "endpoint-label" }

// Summary implements Fault.
func (EndpointLabel) Summary() string {
	return "the endpoint's label is taken off the live Postgres pod and its established connections are ended; Postgres goes on"
}

// RestartsPostgres implements Fault.
func (EndpointLabel) RestartsPostgres() bool { return false }

// Broken implements Fault.
func (EndpointLabel) Broken(ctx context.Context, c *kube.Cluster) ([]string, error) {
	pods, err := c.Pods(ctx, PostgresPods)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, p := range pods {
		if p.Annotations[podUndo] != "" {
			out = append(out, brokenIn(p.Labels)...)
		}
	}
	return out, nil
}

// Inject implements Fault.
func (EndpointLabel) Inject(ctx context.Context, c *kube.Cluster, endpoints []string) error {
	pods, err := c.ReadyPods(ctx, PostgresPods)
	if err != nil {
		return err
	}
	for _, p := range pods {
		undo := map[string]string{}
		for k := range labelsFor(endpoints, "") {
			undo[k] = p.Labels[k]
		}
		record, err := json.Marshal(undo)
		if err != nil {
			return fmt.Errorf("label pod %s: %w", p.Name, err)
		}
		note := string(record)
		if err := patchPod(ctx, c, p.Name, labelsFor(endpoints, "false"), &note); err != nil {
			return err
		}
	}
	return nil
}

// Settled implements Fault.
func (EndpointLabel) Settled(ctx context.Context, c *kube.Cluster, endpoints []string) (bool, string, error) {
	return emptied(ctx, c, endpoints)
}

// Revert implements Fault. It goes by the labels of the Deployment's template rather than by the undo record
// alone, so that a pod that someone broke by hand is mended too.
func (EndpointLabel) Revert(ctx context.Context, c *kube.Cluster) ([]string, error) {
	pods, err := c.Pods(ctx, PostgresPods)
	if err != nil {
		return nil, err
	}
	var undone []string
	for _, p := range pods {
		broken := brokenIn(p.Labels)
		if len(broken) == 0 && p.Annotations[podUndo] == "" {
			continue
		}
		if err := patchPod(ctx, c, p.Name, labelsFor(broken, "true"), nil); err != nil {
			return undone, err
		}
		undone = append(undone, fmt.Sprintf("pod %s: %s", p.Name, strings.Join(broken, ", ")))
	}
	return undone, nil
}

// patchPod sets labels and the undo record in one patch; a nil record takes it off.
func patchPod(ctx context.Context, c *kube.Cluster, pod string, set map[string]string, undo *string) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"labels": set, "annotations": map[string]any{podUndo: undo}}})
	if err != nil {
		return fmt.Errorf("label pod %s: %w", pod, err)
	}
	_, err = c.Client.CoreV1().Pods(c.Namespace).Patch(ctx, pod, types.MergePatchType, body, metav1.PatchOptions{FieldManager: kube.Manager})
	if err != nil {
		return fmt.Errorf("label pod %s: %w", pod, err)
	}
	return nil
}
