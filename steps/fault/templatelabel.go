package fault

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pgcat-failover/steps/kube"
)

// TemplateLabel changes the endpoint's label in the Deployment's template, as people do by hand with
// `kubectl patch deployment`. That replaces the pod: Postgres restarts, and every endpoint goes away with it,
// once when it is broken and once when it is mended. It is not a finer or coarser EndpointLabel but another fault.
type TemplateLabel struct{}

const templateUndo = "pgcat-failover/undo-template-label"

// Name implements Fault.
func (TemplateLabel) Name() string { return "template-label" }

// Summary implements Fault.
func (TemplateLabel) Summary() string {
	return "the endpoint's label is changed in the Deployment's template, which RESTARTS POSTGRES: every endpoint drops, when it is broken and again when it is mended"
}

// RestartsPostgres implements Fault.
func (TemplateLabel) RestartsPostgres() bool { return true }

func deployment(ctx context.Context, c *kube.Cluster) (*appsv1.Deployment, error) {
	d, err := c.Client.AppsV1().Deployments(c.Namespace).Get(ctx, Postgres, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Deployment %s in %s: %w", Postgres, c.Namespace, err)
	}
	return d, nil
}

// Broken implements Fault.
func (TemplateLabel) Broken(ctx context.Context, c *kube.Cluster) ([]string, error) {
	d, err := deployment(ctx, c)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return brokenIn(d.Spec.Template.Labels), nil
}

// Inject implements Fault.
func (TemplateLabel) Inject(ctx context.Context, c *kube.Cluster, endpoints []string) error {
	d, err := deployment(ctx, c)
	if err != nil {
		return err
	}
	undo := map[string]string{}
	for k := range labelsFor(endpoints, "") {
		undo[k] = d.Spec.Template.Labels[k]
	}
	record, err := json.Marshal(undo)
	if err != nil {
		return fmt.Errorf("patch Deployment %s: %w", Postgres, err)
	}
	note := string(record)
	return patchTemplate(ctx, c, labelsFor(endpoints, "false"), &note)
}

// Settled implements Fault: the new pod runs, the old one is gone, and the Services are empty or not as they should be.
func (TemplateLabel) Settled(ctx context.Context, c *kube.Cluster, endpoints []string) (bool, string, error) {
	pods, err := c.Pods(ctx, PostgresPods)
	if err != nil {
		return false, err.Error(), nil
	}
	for _, p := range pods {
		broken := brokenIn(p.Labels)
		slices.Sort(broken)
		want := slices.Sorted(slices.Values(endpoints))
		if !slices.Equal(broken, want) {
			return false, fmt.Sprintf("pod %s is still of the old template", p.Name), nil
		}
	}
	return emptied(ctx, c, endpoints)
}

// Revert implements Fault.
func (TemplateLabel) Revert(ctx context.Context, c *kube.Cluster) ([]string, error) {
	d, err := deployment(ctx, c)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	broken := brokenIn(d.Spec.Template.Labels)
	if len(broken) == 0 && d.Annotations[templateUndo] == "" {
		return nil, nil
	}
	if err := patchTemplate(ctx, c, labelsFor(broken, "true"), nil); err != nil {
		return nil, err
	}
	return []string{fmt.Sprintf("template of Deployment %s: %s", Postgres, strings.Join(broken, ", "))}, nil
}

// patchTemplate sets labels of the template and the undo record in one patch; a nil record takes it off.
func patchTemplate(ctx context.Context, c *kube.Cluster, set map[string]string, undo *string) error {
	body, err := json.Marshal(map[string]any{
		"metadata": map[string]any{"annotations": map[string]any{templateUndo: undo}},
		"spec":     map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": set}}},
	})
	if err != nil {
		return fmt.Errorf("patch Deployment %s: %w", Postgres, err)
	}
	_, err = c.Client.AppsV1().Deployments(c.Namespace).Patch(ctx, Postgres, types.MergePatchType, body, metav1.PatchOptions{FieldManager: kube.Manager})
	if err != nil {
		return fmt.Errorf("patch Deployment %s: %w", Postgres, err)
	}
	return nil
}
