// Package fault breaks endpoints and mends them. One file a fault, one line in All.
//
// Every fault writes its undo in the same patch as the break, as an annotation on the object that it
// breaks, so that the state of the cluster alone suffices to mend it: no workflow, no record, no arguments.
package fault

import (
	"context"
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

// Fault is one way to break endpoints.
type Fault interface {
	// Name is the word for it in a scenario.
	Name() string
	// Summary says in a sentence what it does.
	Summary() string
	// RestartsPostgres is true if the server itself ends, and with it every endpoint.
	RestartsPostgres() bool
	// Broken lists the endpoints that this fault holds broken now.
	Broken(ctx context.Context, c *kube.Cluster) ([]string, error)
	// Inject breaks the endpoints, and writes the undo in the same patch. It does not wait.
	Inject(ctx context.Context, c *kube.Cluster, endpoints []string) error
	// Settled tells whether what Kubernetes does about it is over; seen says what was seen.
	Settled(ctx context.Context, c *kube.Cluster, endpoints []string) (done bool, seen string, err error)
	// Revert takes back every break of this fault that it finds, and names what it took back. Idempotent.
	Revert(ctx context.Context, c *kube.Cluster) (undone []string, err error)
}

// All is every fault there is.
var All = []Fault{EndpointLabel{}, TemplateLabel{}}

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

// Broken lists what any fault holds broken, as fault/endpoint.
func Broken(ctx context.Context, c *kube.Cluster) ([]string, error) {
	var out []string
	for _, f := range All {
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
