package deploy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/history"
	"pgcat-failover/steps/lintconfig"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/pooler/pgcat/lint"
	"pgcat-failover/steps/stack"
)

// lintConfig reads PgCat's config as it is in the Secret, or as it would be made, and stops on what keeps PgCat from
// starting or promises a failover that PgCat does not have: to find that out from a pod that does not start takes longer.
func (cfg Config) lintConfig(ctx context.Context, objects []*unstructured.Unstructured) ([]history.ConfigFinding, error) {
	toml, err := cfg.toml(ctx, objects)
	if err != nil {
		return nil, err
	}
	var opt lint.Options
	if err := cfg.learn(ctx, objects, &opt); err != nil {
		return nil, err
	}
	findings := lint.Lint(toml, opt)
	for _, f := range findings {
		if f.Severity != lint.Info {
			cfg.Logf("config: %s: %s (line %d): %s", f.Severity, f.Rule, f.Line, f.Message)
		}
	}
	return told(findings, cfg.Allow), refuse(findings, cfg.Allow)
}

// toml is the Secret's file; where there is no Secret yet it is that of the manifest, which deploy makes.
func (cfg Config) toml(ctx context.Context, objects []*unstructured.Unstructured) ([]byte, error) {
	s, err := cfg.Cluster.Client.CoreV1().Secrets(cfg.Cluster.Namespace).Get(ctx, stack.Secret, metav1.GetOptions{})
	if err == nil {
		if s.Data[fault.ConfigKey] == nil {
			return nil, options.Usage(fmt.Errorf("lint Secret %s in %s: it has no key %s; `failover render-config` makes one", stack.Secret, cfg.Cluster.Namespace, fault.ConfigKey))
		}
		return s.Data[fault.ConfigKey], nil
	}
	if !apierrors.IsNotFound(err) || cfg.CheckOnly {
		return nil, fmt.Errorf("read Secret %s in %s: %w; `kubectl apply -f manifests/components/pgcat/` makes it", stack.Secret, cfg.Cluster.Namespace, err)
	}
	for _, o := range objects {
		if o.GetKind() == "Secret" && o.GetName() == stack.Secret {
			text, _, err := unstructured.NestedString(o.Object, "stringData", fault.ConfigKey)
			return []byte(text), err
		}
	}
	return nil, errors.New("lint the config: the component has no Secret")
}

// learn takes what the rules want to know of the pod from the Deployment that will be, or with --check from the one that is.
func (cfg Config) learn(ctx context.Context, objects []*unstructured.Unstructured, opt *lint.Options) error {
	d := new(appsv1.Deployment)
	if cfg.CheckOnly {
		var err error
		d, err = cfg.Cluster.Client.AppsV1().Deployments(cfg.Cluster.Namespace).Get(ctx, stack.Deployment, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return nil // that it is missing is said where it is waited for
		}
		if err != nil {
			return fmt.Errorf("read Deployment %s: %w", stack.Deployment, err)
		}
	} else {
		i := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool {
			return o.GetKind() == "Deployment" && o.GetName() == stack.Deployment
		})
		if i < 0 {
			return nil
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(objects[i].Object, d); err != nil {
			return fmt.Errorf("read Deployment %s: %w", stack.Deployment, err)
		}
	}
	lintconfig.Learn(opt, d.Spec.Template.Spec, stack.Secret)
	return nil
}

func told(findings []lint.Finding, allow []string) []history.ConfigFinding {
	out := []history.ConfigFinding{}
	for _, f := range findings {
		out = append(out, history.ConfigFinding{Rule: f.Rule, Severity: string(f.Severity), Line: f.Line, Message: f.Message, Mend: f.Mend,
			Allowed: f.Severity == lint.Error && slices.Contains(allow, f.Rule)})
	}
	return out
}

// refuse makes one error of all findings of level error that are not allowed.
func refuse(findings []lint.Finding, allow []string) error {
	var lines, names []string
	for _, f := range findings {
		if f.Severity != lint.Error || slices.Contains(allow, f.Rule) {
			continue
		}
		lines = append(lines, fmt.Sprintf("  line %d: %s [%s]\n    mend: %s", f.Line, f.Message, f.Rule, f.Mend))
		if !slices.Contains(names, f.Rule) {
			names = append(names, f.Rule)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return options.Usage(fmt.Errorf("deploy PgCat with the config of Secret %s: it would not do what it says; nothing was applied\n%s\nmend it, or go on in spite of it with --allow %s (in Argo: -p allow=%s)",
		stack.Secret, strings.Join(lines, "\n"), strings.Join(names, ","), strings.Join(names, ",")))
}
