// Package deploy brings the component to the wanted state, or only looks whether it is in it, and proves it
// healthy by a query through PgCat on every shard. It undoes what earlier runs left broken before all else.
package deploy

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io/fs"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"sigs.k8s.io/yaml"

	"pgcat-failover/manifests"
	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/probe"
	"pgcat-failover/steps/restore"
	"pgcat-failover/steps/stack"
)

// Limits of a deploy.
const (
	// rolloutLimit covers an image pull and a first initdb.
	rolloutLimit = 5 * time.Minute
	// proveLimit covers PgCat's retries towards endpoints that have only just come.
	proveLimit = time.Minute
)

// configHash is an annotation of PgCat's pods: a Secret that changed gives new pods, so that what is tested
// is what the Secret says.
const configHash = "pgcat-failover/config-sha256"

// Config of a deploy.
type Config struct {
	Cluster *kube.Cluster
	// Image of the steps, for the sidecar.
	Image string
	// CheckOnly changes nothing.
	CheckOnly bool
	// Allow are the lint rules of level error that do not stop a deploy.
	Allow []string
	Logf  func(string, ...any)
}

// Run deploys and proves, and tells what it found.
func Run(ctx context.Context, cfg Config) (history.Facts, error) {
	findings, err := cfg.begin(ctx)
	if err != nil {
		return history.Facts{}, err
	}
	for _, name := range []string{fault.Postgres, stack.Deployment} {
		if err := cfg.Cluster.Rollout(ctx, name, rolloutLimit); err != nil {
			return history.Facts{}, err
		}
	}
	st, err := stack.Open(ctx, cfg.Cluster)
	if err != nil {
		return history.Facts{}, err
	}
	if err := st.Prove(ctx, proveLimit); err != nil {
		return history.Facts{}, err
	}
	if !cfg.CheckOnly {
		if err := ledger(ctx, st); err != nil {
			return history.Facts{}, err
		}
	}
	facts, err := st.Facts(ctx)
	facts.Findings = findings
	if err == nil {
		cfg.Logf("healthy: %s in front of PostgreSQL %s, %d shards answer", facts.PgCatVersion, facts.PostgresVersion, len(facts.Shards))
	}
	return facts, err
}

// begin takes back what is broken, looks at the config, and only then changes anything. With CheckOnly it only looks.
func (cfg Config) begin(ctx context.Context) ([]history.ConfigFinding, error) {
	if cfg.CheckOnly {
		if err := fault.Nothing(ctx, cfg.Cluster); err != nil {
			return nil, err
		}
		return cfg.lintConfig(ctx, nil)
	}
	if _, err := restore.Undo(ctx, cfg.Cluster, cfg.Logf); err != nil {
		return nil, err
	}
	objects, err := Objects(cfg.Image)
	if err != nil {
		return nil, err
	}
	findings, err := cfg.lintConfig(ctx, objects)
	if err != nil {
		return nil, err
	}
	return findings, cfg.apply(ctx, objects)
}

func (cfg Config) apply(ctx context.Context, objects []*unstructured.Unstructured) error {
	for _, obj := range objects {
		if err := cfg.applyOne(ctx, obj); err != nil {
			return err
		}
	}
	return nil
}

// applyOne applies one object. The Secret is the user's: it is made if it is missing and never overwritten.
func (cfg Config) applyOne(ctx context.Context, obj *unstructured.Unstructured) error {
	switch {
	case obj.GetKind() == "Secret":
		there, err := cfg.Cluster.Exists(ctx, obj)
		if err != nil {
			return err
		}
		if there {
			return nil
		}
	case obj.GetKind() == "Deployment" && obj.GetName() == stack.Deployment:
		st, err := stack.ReadConfig(ctx, cfg.Cluster)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(st.Raw)
		err = unstructured.SetNestedField(obj.Object, hex.EncodeToString(sum[:]), "spec", "template", "metadata", "annotations", configHash)
		if err != nil {
			return fmt.Errorf("annotate Deployment %s: %w", obj.GetName(), err)
		}
	}
	return cfg.Cluster.Apply(ctx, obj)
}

// Objects are the component's, with the sidecar laid over PgCat's Deployment, in the order in which they are
// applied. The namespace is left out: whoever runs this is in it.
func Objects(image string) ([]*unstructured.Unstructured, error) {
	files, err := fs.Glob(manifests.Component, "components/pgcat/*.yaml")
	if err != nil {
		return nil, err
	}
	var secrets, rest []*unstructured.Unstructured
	for _, f := range files {
		data, err := manifests.Component.ReadFile(f)
		if err != nil {
			return nil, err
		}
		objs, err := kube.Decode(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		for _, o := range objs {
			switch {
			case o.GetKind() == "Namespace":
			case o.GetKind() == "Secret":
				secrets = append(secrets, o)
			case o.GetKind() == "Deployment" && o.GetName() == stack.Deployment:
				if err := addSidecar(o, image); err != nil {
					return nil, err
				}
				rest = append(rest, o)
			default:
				rest = append(rest, o)
			}
		}
	}
	return append(secrets, rest...), nil
}

func addSidecar(d *unstructured.Unstructured, image string) error {
	orig, err := json.Marshal(d.Object)
	if err != nil {
		return fmt.Errorf("lay the sidecar over Deployment %s: %w", d.GetName(), err)
	}
	patch, err := yaml.YAMLToJSON(manifests.Sidecar)
	if err != nil {
		return fmt.Errorf("read the sidecar: %w", err)
	}
	merged, err := strategicpatch.StrategicMergePatch(orig, patch, appsv1.Deployment{})
	if err != nil {
		return fmt.Errorf("lay the sidecar over Deployment %s: %w", d.GetName(), err)
	}
	d.Object = nil
	if err := json.Unmarshal(merged, &d.Object); err != nil {
		return fmt.Errorf("lay the sidecar over Deployment %s: %w", d.GetName(), err)
	}
	return setImage(d, "health", image)
}

func setImage(d *unstructured.Unstructured, container, image string) error {
	if image == "" {
		return nil
	}
	list, _, err := unstructured.NestedSlice(d.Object, "spec", "template", "spec", "containers")
	if err != nil {
		return fmt.Errorf("set the image of %s: %w", container, err)
	}
	for _, c := range list {
		if m, ok := c.(map[string]any); ok && m["name"] == container {
			m["image"] = image
		}
	}
	return unstructured.SetNestedSlice(d.Object, list, "spec", "template", "spec", "containers")
}

// ledger makes the table that writing clients write to, and forgets rows older than a day.
func ledger(ctx context.Context, st *stack.Stack) error {
	login, err := st.Postgres(ctx)
	if err != nil {
		return err
	}
	_, err = login.Ask(ctx, -1, `CREATE SCHEMA IF NOT EXISTS pgcat_failover;
		CREATE TABLE IF NOT EXISTS `+probe.Table+` (run text, arm text, seq bigint, at timestamptz NOT NULL DEFAULT now(), PRIMARY KEY (run, arm, seq));
		DELETE FROM `+probe.Table+` WHERE at < now() - interval '1 day'`)
	if err != nil {
		return fmt.Errorf("make the probe's table: %w", err)
	}
	return nil
}
