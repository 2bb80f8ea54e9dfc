// Package submit starts a workflow in Argo, tells what it does while it does it, and fetches its verdict.
package submit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/urfave/cli/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"

	"pgcat-failover/steps/assertmetrics"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/run"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/summary"
	"pgcat-failover/workflows"
)

// Templates are the names of the WorkflowTemplates.
const (
	One   = "pgcat-failover"
	Suite = "pgcat-failover-suite"
)

// stopLimit is how long the exit handler of a stopped workflow may take to put everything back.
const stopLimit = 3 * time.Minute

var gvr = wfv1.SchemeGroupVersion.WithResource("workflows")

// Command is `failover submit`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "submit",
		Usage: "run one scenario, or all of them, as an Argo workflow; watch it, print the table, save the record",
		Description: `Ctrl-C stops the workflow, waits until it has put everything back, and then ends.
Exit codes: 0 pass, 1 fail, 2 bad input, 3 could not tell.

Example:
   failover submit --scenario primary -p hold=20s`,
		Flags: slices.Concat(options.Cluster(), []cli.Flag{
			&cli.StringFlag{Name: "scenario", Aliases: []string{"s"}, Usage: "`name` of one scenario (default: the suite of all)"},
			&cli.StringSliceFlag{Name: "parameter", Aliases: []string{"p"}, Usage: "`name=value` of a parameter of the workflow; may be given again"},
			&cli.StringFlag{Name: "out", Value: "runs", Usage: "`folder` in which the record is saved"},
		}),
		Action: action,
	}
}

func action(c *cli.Context) error {
	names, err := scenario.Names(workflows.Scenarios())
	if err != nil {
		return err
	}
	if s := c.String("scenario"); s != "" {
		if !slices.Contains(names, s) {
			return options.Usage(fmt.Errorf("scenario %q is unknown; choose one of %s", s, strings.Join(names, ", ")))
		}
		names = []string{s}
	}
	wf, err := build(c.String("scenario"), c.StringSlice("parameter"))
	if err != nil {
		return options.Usage(err)
	}
	cluster, err := options.Connect(c)
	if err != nil {
		return err
	}
	logf := options.Logger(c.App.ErrWriter)
	name, err := Create(c.Context, cluster, wf)
	if err != nil {
		return err
	}
	logf("workflow %s submitted", name)
	if _, err := Watch(c.Context, cluster, name, logf); err != nil {
		return err
	}
	results, err := summary.Results(c.Context, cluster, name, names)
	if err != nil {
		return err
	}
	for _, r := range results {
		dir := filepath.Join(c.String("out"), name, r.Scenario)
		if err := run.Save(c.Context, cluster, r.Run, dir); err != nil {
			logf("%v", err)
		}
	}
	logf("saved under %s\n", filepath.Join(c.String("out"), name))
	if err := report.Table(c.App.Writer, results); err != nil {
		return err
	}
	return assertmetrics.Exit(results...)
}

// build makes the workflow: the suite, or one scenario.
func build(name string, parameters []string) (*wfv1.Workflow, error) {
	template := Suite
	var args []wfv1.Parameter
	if name != "" {
		template = One
		args = append(args, wfv1.Parameter{Name: "scenario", Value: wfv1.AnyStringPtr(name)})
	}
	parameters, err := whole(parameters)
	if err != nil {
		return nil, err
	}
	for _, p := range parameters {
		k, v, _ := strings.Cut(p, "=")
		args = append(args, wfv1.Parameter{Name: k, Value: wfv1.AnyStringPtr(v)})
	}
	return &wfv1.Workflow{
		TypeMeta:   metav1.TypeMeta{APIVersion: wfv1.SchemeGroupVersion.String(), Kind: "Workflow"},
		ObjectMeta: metav1.ObjectMeta{GenerateName: template + "-"},
		Spec: wfv1.WorkflowSpec{
			WorkflowTemplateRef: &wfv1.WorkflowTemplateRef{Name: template},
			Arguments:           wfv1.Arguments{Parameters: args},
		},
	}, nil
}

// whole puts together again what the flag took apart: it splits at commas, and the value of allow is a list with commas.
func whole(parameters []string) ([]string, error) {
	var out []string
	for _, p := range parameters {
		switch {
		case strings.Contains(p, "="):
			out = append(out, p)
		case len(out) > 0:
			out[len(out)-1] += "," + p
		default:
			return nil, fmt.Errorf("--parameter %q: want name=value", p)
		}
	}
	return out, nil
}

// Create submits a workflow and gives its name.
func Create(ctx context.Context, c *kube.Cluster, wf *wfv1.Workflow) (string, error) {
	raw, err := runtime.DefaultUnstructuredConverter.ToUnstructured(wf)
	if err != nil {
		return "", fmt.Errorf("submit workflow: %w", err)
	}
	obj, err := c.Dyn.Resource(gvr).Namespace(c.Namespace).Create(ctx, &unstructured.Unstructured{Object: raw}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("submit workflow from template %s in %s: %w; `kubectl apply -f workflows/` makes the templates, Argo Workflows must be installed",
			wf.Spec.WorkflowTemplateRef.Name, c.Namespace, err)
	}
	return obj.GetName(), nil
}

// Watch tells of a workflow's nodes as they change until it is over. When ctx ends it stops the workflow and waits
// until its exit handler has put everything back.
func Watch(ctx context.Context, c *kube.Cluster, name string, logf func(string, ...any)) (wfv1.WorkflowPhase, error) {
	phase, err := follow(ctx, c, name, logf)
	if err == nil || ctx.Err() == nil {
		return phase, err
	}
	logf("interrupted: stopping workflow %s, which puts everything back", name)
	end, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	body, err := json.Marshal(map[string]any{"spec": map[string]any{"shutdown": "Stop"}})
	if err != nil {
		return phase, err
	}
	if _, err := c.Dyn.Resource(gvr).Namespace(c.Namespace).Patch(end, name, types.MergePatchType, body, metav1.PatchOptions{}); err != nil {
		return phase, fmt.Errorf("stop workflow %s: %w; run `failover restore`", name, err)
	}
	if _, err := follow(end, c, name, logf); err != nil {
		return phase, fmt.Errorf("stop workflow %s: %w; run `failover restore`", name, err)
	}
	return phase, errors.New("interrupted; everything was put back")
}

func follow(ctx context.Context, c *kube.Cluster, name string, logf func(string, ...any)) (wfv1.WorkflowPhase, error) {
	told := map[string]wfv1.NodePhase{}
	for {
		wf, err := Get(ctx, c, name)
		if err != nil {
			return "", err
		}
		tell(wf, told, logf)
		if wf.Status.Fulfilled() {
			logf("workflow %s: %s %s", name, wf.Status.Phase, wf.Status.Message)
			return wf.Status.Phase, nil
		}
		select {
		case <-ctx.Done():
			return wf.Status.Phase, context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
}

// Get reads a workflow.
func Get(ctx context.Context, c *kube.Cluster, name string) (*wfv1.Workflow, error) {
	obj, err := c.Dyn.Resource(gvr).Namespace(c.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read workflow %s in %s: %w", name, c.Namespace, err)
	}
	wf := new(wfv1.Workflow)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, wf); err != nil {
		return nil, fmt.Errorf("read workflow %s: %w", name, err)
	}
	return wf, nil
}

// tell prints the nodes that do something and whose phase is new.
func tell(wf *wfv1.Workflow, told map[string]wfv1.NodePhase, logf func(string, ...any)) {
	var changed []wfv1.NodeStatus
	for id, n := range wf.Status.Nodes {
		if (n.Type == wfv1.NodeTypePod || n.Type == wfv1.NodeTypeSuspend) && told[id] != n.Phase && n.Phase != wfv1.NodePending {
			told[id] = n.Phase
			changed = append(changed, n)
		}
	}
	slices.SortFunc(changed, func(a, b wfv1.NodeStatus) int { return a.StartedAt.Compare(b.StartedAt.Time) })
	for _, n := range changed {
		logf("%-44s %s", path(wf, n), n.Phase)
	}
}

// path is a node's name as people read it: without the workflow's name and the numbers of steps.
func path(wf *wfv1.Workflow, n wfv1.NodeStatus) string {
	var parts []string
	for _, p := range strings.Split(strings.TrimPrefix(n.Name, wf.Name), ".") {
		if i := strings.Index(p, "["); i >= 0 && strings.HasSuffix(p, "]") {
			p = p[:i]
		}
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, "/")
}
