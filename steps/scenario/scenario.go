// Package scenario holds what a failover scenario is: data. Which endpoints are broken, how, for how
// long, and what is claimed of PgCat meanwhile. One YAML file a scenario, under workflows/scenarios.
package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"sigs.k8s.io/yaml"
)

// Endpoints are the Services of the test Postgres, in the order of PgCat's shards. Each is a Service
// postgres-<endpoint> that selects the pod label of the same name.
var Endpoints = []string{"primary", "secondary", "tertiary"}

// ServiceOf names the Service, and the pod label, of an endpoint.
func ServiceOf(endpoint string) string { return "postgres-" + endpoint }

// Duration is a time.Duration that reads and writes itself as "5s" in YAML and JSON.
type Duration time.Duration

// MarshalJSON writes the duration as a string such as "1.5s".
func (d Duration) MarshalJSON() ([]byte, error) {
	return []byte(`"` + time.Duration(d).String() + `"`), nil
}

// UnmarshalJSON reads a string such as "1.5s"; a bare number has no unit and is refused.
func (d *Duration) UnmarshalJSON(b []byte) error {
	s := strings.Trim(string(b), `"`)
	v, err := time.ParseDuration(s)
	if err != nil || v < 0 {
		return fmt.Errorf("duration %s: want a number with a unit, such as 5s or 500ms", b)
	}
	*d = Duration(v)
	return nil
}

// Std is the duration as the standard library knows it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// Timing says how long each part of a run lasts. The windows that are judged are not taken from
// here but from what was seen to happen.
type Timing struct {
	// Baseline is how long every client must be served before anything is broken.
	Baseline Duration `json:"baseline"`
	// Hold is how long the fault stays once it is effective.
	Hold Duration `json:"hold"`
	// Settle is how long clients are watched after the endpoints are proved whole again.
	Settle Duration `json:"settle"`
}

// Expect are the limits of a scenario.
type Expect struct {
	// MaxOutage is the longest time for which a client that names no shard may go without an answer,
	// at any moment of the run.
	MaxOutage Duration `json:"maxOutage"`
	// MaxFailures is how many operations of such clients may fail in the whole run.
	MaxFailures int `json:"maxFailures"`
	// MaxRecovery is the longest time from the request to restore until clients of a broken shard are served.
	MaxRecovery Duration `json:"maxRecovery"`
	// MaxEffect is the longest time from writing an edit until PgCat goes by it, or has refused it.
	MaxEffect Duration `json:"maxEffect,omitempty"`
	// MaxRestart takes the place of MaxOutage and MaxRecovery, for every client, where the fault restarts
	// Postgres: that is Postgres' time, not PgCat's. Zero means DefaultMaxRestart.
	MaxRestart Duration `json:"maxRestart,omitempty"`
}

// DefaultMaxRestart is generous: it bounds a pod's shutdown, its start, and PgCat's next checkout.
const DefaultMaxRestart = 90 * time.Second

// Restart is MaxRestart or its default.
func (e Expect) Restart() time.Duration {
	if e.MaxRestart > 0 {
		return e.MaxRestart.Std()
	}
	return DefaultMaxRestart
}

// Reload is how PgCat learns that its file has changed.
type Reload string

// The ways of it.
const (
	// ByItself is what happens after a mere `kubectl apply`: the kubelet brings the file to the pod when it next
	// looks at it, and autoreload reads it at its next tick.
	ByItself Reload = "by-itself"
	// ByCommand is what somebody in a hurry does: the pod is annotated, so that the kubelet looks at once, and PgCat's
	// admin is told to RELOAD.
	ByCommand Reload = "by-command"
)

// Scenario is one experiment: what is broken, and what is claimed.
type Scenario struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	Claim string `json:"claim"`
	// Fault breaks the endpoints; a scenario has either a fault or an edit.
	Fault string `json:"fault,omitempty"`
	// Edit is a change of pgcat.toml while clients run.
	Edit string `json:"edit,omitempty"`
	// Reload is how PgCat learns of an edit.
	Reload Reload `json:"reload,omitempty"`
	// Endpoints are those that are lost. An edit may lose none.
	Endpoints []string `json:"endpoints"`
	Timing    Timing   `json:"timing"`
	// Rate is operations per second for each arm of the probe.
	Rate   float64 `json:"rate"`
	Expect Expect  `json:"expect"`
}

// Breaks tells whether the scenario breaks the endpoint.
func (s Scenario) Breaks(endpoint string) bool { return slices.Contains(s.Endpoints, endpoint) }

// Edits tells whether the scenario changes the config rather than break endpoints by a fault.
func (s Scenario) Edits() bool { return s.Edit != "" }

// Interval is the time between two operations of one arm.
func (s Scenario) Interval() time.Duration { return time.Duration(float64(time.Second) / s.Rate) }

// Parse reads one scenario strictly: an unknown field is an error.
func Parse(data []byte) (Scenario, error) {
	var s Scenario
	if err := yaml.UnmarshalStrict(data, &s); err != nil {
		return s, fmt.Errorf("read scenario: %w", err)
	}
	return s, s.Validate()
}

// Validate reports everything that is wrong with the scenario, not only the first thing.
func (s Scenario) Validate() error {
	var errs []error
	bad := func(format string, a ...any) {
		errs = append(errs, fmt.Errorf("scenario %q: "+format, append([]any{s.Name}, a...)...))
	}
	if s.Name == "" {
		bad("name is empty; give it the name of its file")
	}
	if s.Claim == "" {
		bad("claim is empty; say in a sentence what must hold")
	}
	if len(s.Endpoints) == 0 && !s.Edits() {
		bad("endpoints is empty; name at least one of %s", strings.Join(Endpoints, ", "))
	}
	for i, e := range s.Endpoints {
		if !slices.Contains(Endpoints, e) {
			bad("endpoint %q is unknown; it is one of %s", e, strings.Join(Endpoints, ", "))
		}
		if slices.Contains(s.Endpoints[:i], e) {
			bad("endpoint %q is named twice", e)
		}
	}
	if len(s.Endpoints) >= len(Endpoints) {
		bad("breaks every endpoint; leave at least one to fail over to")
	}
	if s.Rate <= 0 || s.Rate > 200 {
		bad("rate is %g; give operations per second and arm, from 0.1 to 200", s.Rate)
	}
	if s.Timing.Baseline.Std() < time.Second || s.Timing.Hold.Std() < time.Second || s.Timing.Settle.Std() < time.Second {
		bad("timing: baseline %s, hold %s and settle %s must each be at least 1s", s.Timing.Baseline, s.Timing.Hold, s.Timing.Settle)
	}
	if s.Timing.Baseline.Std()+s.Timing.Hold.Std()+s.Timing.Settle.Std() > 10*time.Minute {
		bad("timing: baseline, hold and settle add up to more than 10m, which is more than a workflow may take")
	}
	if s.Expect.MaxOutage <= 0 || s.Expect.MaxRecovery <= 0 || s.Expect.MaxFailures < 0 {
		bad("expect: maxOutage and maxRecovery must be over 0, maxFailures at least 0")
	}
	if s.Edits() {
		s.validateEdit(bad)
	} else if s.Fault == "" {
		bad("fault is empty; endpoint-label cuts one endpoint and leaves Postgres alone")
	}
	return errors.Join(errs...)
}

func (s Scenario) validateEdit(bad func(format string, a ...any)) {
	if s.Fault != "" {
		bad("has the fault %s and the edit %s; one experiment changes one thing", s.Fault, s.Edit)
	}
	if s.Reload != ByItself && s.Reload != ByCommand {
		bad("reload is %q; say %s or %s", s.Reload, ByItself, ByCommand)
	}
	if s.Expect.MaxEffect <= 0 {
		bad("expect: maxEffect must be over 0")
	}
}

// Load reads the scenario of that name from a folder of YAML files.
func Load(dir fs.FS, name string) (Scenario, error) {
	names, err := Names(dir)
	if err != nil {
		return Scenario{}, err
	}
	if !slices.Contains(names, name) {
		return Scenario{}, fmt.Errorf("scenario %q is unknown; choose one of %s", name, strings.Join(names, ", "))
	}
	data, err := fs.ReadFile(dir, name+".yaml")
	if err != nil {
		return Scenario{}, fmt.Errorf("read scenario %q: %w", name, err)
	}
	s, err := Parse(data)
	if err == nil && s.Name != name {
		err = fmt.Errorf("scenario file %s.yaml calls itself %q; both must be the same word", name, s.Name)
	}
	return s, err
}

// order is how people tell the story; scenarios that are not named here follow by alphabet.
var order = []string{"primary", "secondary", "tertiary", "multiple", "config-host", "config-shard", "config-pool-size", "config-unparsable"}

// Names lists the scenarios in a folder.
func Names(dir fs.FS) ([]string, error) {
	files, err := fs.Glob(dir, "*.yaml")
	if err != nil {
		return nil, fmt.Errorf("list scenarios: %w", err)
	}
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f, ".yaml"))
	}
	rank := func(n string) int {
		if i := slices.Index(order, n); i >= 0 {
			return i
		}
		return len(order)
	}
	slices.SortFunc(names, func(a, b string) int {
		if d := rank(a) - rank(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	return names, nil
}
