package main

import (
	"context"
	"fmt"
	"io/fs"
	"time"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/submit"
	"pgcat-failover/workflows"
)

var gvr = wfv1.SchemeGroupVersion.WithResource("workflowtemplates")

func floorName(template string) string { return template + "-floor" }

// floorTemplates are the repository's templates under other names, with sleeps for steps: made from them, not
// written beside them, so that they never differ in shape.
func floorTemplates() ([]*wfv1.WorkflowTemplate, error) {
	var out []*wfv1.WorkflowTemplate
	for _, name := range []string{submit.One, submit.Suite} {
		data, err := fs.ReadFile(workflows.Files(), name+".yaml")
		if err != nil {
			return nil, fmt.Errorf("read template %s: %w", name, err)
		}
		wt := new(wfv1.WorkflowTemplate)
		if err := yaml.UnmarshalStrict(data, wt); err != nil {
			return nil, fmt.Errorf("read template %s: %w", name, err)
		}
		if err := toFloor(wt); err != nil {
			return nil, err
		}
		out = append(out, wt)
	}
	return out, nil
}

func toFloor(wt *wfv1.WorkflowTemplate) error {
	wt.Name = floorName(wt.Name)
	times, err := intended(wt)
	if err != nil {
		return err
	}
	for i := range wt.Spec.Templates {
		t := &wt.Spec.Templates[i]
		if t.Container != nil {
			t.Container.Args = []string{"sleep", times[t.Name].String()}
			t.ServiceAccountName = ""
		}
		for _, group := range t.Steps {
			for j := range group.Steps {
				if ref := group.Steps[j].TemplateRef; ref != nil {
					ref.Name = floorName(ref.Name)
				}
			}
		}
	}
	return nil
}

// intended is how long a scenario wants each step to last; what is not named wants no time at all.
func intended(wt *wfv1.WorkflowTemplate) (map[string]time.Duration, error) {
	get := func(parameter string) (time.Duration, error) {
		p := wt.Spec.Arguments.GetParameterByName(parameter)
		if p == nil {
			return 0, fmt.Errorf("read template %s: it has no parameter %s", wt.Name, parameter)
		}
		return time.ParseDuration(p.GetValue())
	}
	baseline, err := get("baseline")
	if err != nil {
		return nil, err
	}
	hold, err := get("hold")
	if err != nil {
		return nil, err
	}
	settle, err := get("settle")
	if err != nil {
		return nil, err
	}
	return map[string]time.Duration{"probe": baseline + hold + settle, "break-label": baseline, "edit-config": baseline}, nil
}

func (b bench) apply(ctx context.Context, list []*wfv1.WorkflowTemplate) error {
	for _, wt := range list {
		raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wt)
		if err != nil {
			return fmt.Errorf("make template %s: %w", wt.Name, err)
		}
		_, err = b.cluster.Dyn.Resource(gvr).Namespace(b.cluster.Namespace).Apply(ctx, wt.Name, &unstructured.Unstructured{Object: raw},
			metav1.ApplyOptions{FieldManager: kube.Manager, Force: true})
		if err != nil {
			return fmt.Errorf("apply template %s: %w", wt.Name, err)
		}
	}
	return nil
}

func (b bench) remove(ctx context.Context, list []*wfv1.WorkflowTemplate) {
	for _, wt := range list {
		if err := b.cluster.Dyn.Resource(gvr).Namespace(b.cluster.Namespace).Delete(ctx, wt.Name, metav1.DeleteOptions{}); err != nil {
			b.logf("remove template %s: %v", wt.Name, err)
		}
	}
}
