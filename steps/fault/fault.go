// Package fault breaks endpoints and mends them. One file a fault, one line in All.
//
// Every fault writes its undo in the same patch as the break, as an annotation on the object that it
// breaks, so that the state of the cluster alone suffices to mend it: no workflow, no record, no arguments.
package fault

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/scenario"
)

// Postgres is the Deployment of the test Postgres, and the value of the label app on its pods.
const Postgres = "postgres-failover-test"

// PostgresPods selects the pods of the test Postgres.
var PostgresPods = labels.Set{"app": Postgres}

// Held is something that a run leaves in the cluster until it is taken back.
type Held interface {
	// Name is the word for it in a scenario.
	Name() string
	// Broken lists what it holds broken now: endpoints, or pgcat.toml.
	Broken(ctx context.Context, c *kube.Cluster) ([]string, error)
	// Revert takes back all of it that it finds, and names what it took back. Idempotent.
	Revert(ctx context.Context, c *kube.Cluster) (undone []string, err error)
}

// Fault is one way to break endpoints.
type Fault interface {
	Held
	// Summary says in a sentence what it does.
	Summary() string
	// RestartsPostgres is true if the server itself ends, and with it every endpoint.
	RestartsPostgres() bool
	// Inject breaks the endpoints, and writes the undo in the same patch. It does not wait.
	Inject(ctx context.Context, c *kube.Cluster, endpoints []string) error
	// Settled tells whether what Kubernetes does about it is over; seen says what was seen.
	Settled(ctx context.Context, c *kube.Cluster, endpoints []string) (done bool, seen string, err error)
}

// All is every fault there is.
var All = []Fault{EndpointLabel{}, TemplateLabel{}}

// held is everything that can be held, in the order in which it is taken back: the config first, which PgCat needs in
// order to find the endpoints again, and faults that replace pods before those that touch the pods.
var held = []Held{Config{}, TemplateLabel{}, EndpointLabel{}}

// Named finds a fault.
func Named(name string) (Fault, error) {
	var names []string
	for _, f := range All {
		if f.Name() == name {
			return f, nil
		}
		names = append(names, f.Name())
	}
	return nil, fmt.Errorf("fault %q is unknown; choose one of %s", name, strings.Join(names, ", "))
}

// Revert takes back all that the cluster holds, and does not stop at the first thing that fails.
func Revert(ctx context.Context, c *kube.Cluster) (undone []string, err error) {
	for _, h := range held {
		done, e := h.Revert(ctx, c)
		if e != nil {
			err = errors.Join(err, fmt.Errorf("take back %s: %w", h.Name(), e))
		}
		for _, d := range done {
			undone = append(undone, h.Name()+" "+d)
		}
	}
	return undone, err
}

// Broken lists what is held broken, as fault/endpoint.
func Broken(ctx context.Context, c *kube.Cluster) ([]string, error) {
	var out []string
	for _, f := range held {
		eps, err := f.Broken(ctx, c)
		if err != nil {
			return nil, err
		}
		for _, e := range eps {
			out = append(out, f.Name()+"/"+e)
		}
	}
	return out, nil
}

// Nothing is an error if anything is held broken.
func Nothing(ctx context.Context, c *kube.Cluster) error {
	broken, err := Broken(ctx, c)
	if err == nil && len(broken) > 0 {
		err = fmt.Errorf("look for what is broken already: %s; run `failover restore` first", strings.Join(broken, ", "))
	}
	return err
}

// emptied tells whether the Services of the endpoints have no backends left and those of the others still have.
func emptied(ctx context.Context, c *kube.Cluster, broken []string) (bool, string, error) {
	done := true
	var seen []string
	for _, e := range scenario.Endpoints {
		n, err := c.Backends(ctx, scenario.ServiceOf(e))
		if err != nil {
			return false, err.Error(), nil
		}
		seen = append(seen, fmt.Sprintf("%s has %d backends", scenario.ServiceOf(e), n))
		if slices.Contains(broken, e) != (n == 0) {
			done = false
		}
	}
	return done, strings.Join(seen, ", "), nil
}

// labelsFor is the labels that break the endpoints.
func labelsFor(endpoints []string, value string) map[string]string {
	out := map[string]string{}
	for _, e := range endpoints {
		out[scenario.ServiceOf(e)] = value
	}
	return out
}

// brokenIn lists the endpoints whose label in the set is not "true".
func brokenIn(set map[string]string) []string {
	var out []string
	for _, e := range scenario.Endpoints {
		if set[scenario.ServiceOf(e)] != "true" {
			out = append(out, e)
		}
	}
	return out
}
