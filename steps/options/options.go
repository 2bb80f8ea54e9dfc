// Package options is the command line that steps share: which cluster, which scenario, which record.
package options

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/pooler/pgcat/edit"
	"pgcat-failover/steps/record"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/workflows"
)

// Exit codes of every step.
const (
	ExitFail    = 1 // the verdict is fail
	ExitUsage   = 2 // bad input
	ExitUnknown = 3 // could not tell
)

// Usage makes an error of bad input.
func Usage(err error) error {
	if err == nil {
		return nil
	}
	return cli.Exit(err, ExitUsage)
}

// Cluster are the flags that choose a cluster.
func Cluster() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "namespace", Aliases: []string{"n"}, Value: "argo", EnvVars: []string{"FAILOVER_NAMESPACE"}, Usage: "`namespace` of PgCat and the test Postgres"},
		&cli.StringFlag{Name: "kubeconfig", Usage: "kubeconfig `file` (default: the pod's own account, else $KUBECONFIG, else ~/.kube/config)"},
	}
}

// Connect opens the cluster that the flags choose.
func Connect(c *cli.Context) (*kube.Cluster, error) {
	return kube.Connect(c.String("kubeconfig"), c.String("namespace"))
}

// Scenario are the flags that choose a scenario and change its numbers.
func Scenario() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "scenario", Aliases: []string{"s"}, Required: true, Usage: "`name` of the scenario; one of " + scenarios()},
		&cli.StringFlag{Name: "fault", Usage: "break its endpoints by another `fault`: endpoint-label or template-label (not for config-*, which edit the config)"},
		&cli.StringFlag{Name: "baseline", Usage: "how long every client must be served first (`5s`)"},
		&cli.StringFlag{Name: "hold", Usage: "how long the fault stays (`15s`)"},
		&cli.StringFlag{Name: "settle", Usage: "how long clients are watched afterwards (`5s`)"},
		&cli.StringFlag{Name: "rate", Usage: "operations per second and client (`10`)"},
		&cli.StringFlag{Name: "max-outage", Usage: "longest time without an answer for clients that name no shard (`8s`)"},
		&cli.StringFlag{Name: "max-failures", Usage: "most operations of such clients that may fail (`20`)"},
		&cli.StringFlag{Name: "max-recovery", Usage: "longest time from the restore until everybody is served (`10s`)"},
	}
}

func scenarios() string {
	names, err := scenario.Names(workflows.Scenarios())
	if err != nil {
		return err.Error()
	}
	return strings.Join(names, ", ")
}

// ReadScenario loads the scenario and applies the flags that are set. An empty value leaves the scenario's own, so
// that a workflow can pass every parameter along.
func ReadScenario(c *cli.Context) (scenario.Scenario, error) {
	s, err := scenario.Load(workflows.Scenarios(), c.String("scenario"))
	if err != nil {
		return s, Usage(err)
	}
	if err := known(&s, c.String("fault")); err != nil {
		return s, Usage(err)
	}
	durations := map[string]*scenario.Duration{
		"baseline": &s.Timing.Baseline, "hold": &s.Timing.Hold, "settle": &s.Timing.Settle,
		"max-outage": &s.Expect.MaxOutage, "max-recovery": &s.Expect.MaxRecovery,
	}
	for name, d := range durations {
		if err := setDuration(c.String(name), d); err != nil {
			return s, Usage(fmt.Errorf("--%s: %w", name, err))
		}
	}
	if err := setNumber(c.String("rate"), &s.Rate); err != nil {
		return s, Usage(fmt.Errorf("--rate: %w", err))
	}
	if err := setNumber(c.String("max-failures"), &s.Expect.MaxFailures); err != nil {
		return s, Usage(fmt.Errorf("--max-failures: %w", err))
	}
	return s, Usage(s.Validate())
}

// known sees that the fault or the edit exists. Another fault takes the place of a scenario's own; a scenario that edits
// the config has none to be replaced, and a workflow that passes every parameter along passes it one too.
func known(s *scenario.Scenario, otherFault string) error {
	if s.Edits() {
		e, err := edit.Named(s.Edit)
		if err == nil && e.Breaks != (len(s.Endpoints) > 0) {
			err = fmt.Errorf("scenario %q: its edit %s and its endpoints %v do not go together", s.Name, s.Edit, s.Endpoints)
		}
		return err
	}
	s.Fault = cmp.Or(otherFault, s.Fault)
	_, err := fault.Named(s.Fault)
	return err
}

func setDuration(text string, d *scenario.Duration) error {
	if text == "" {
		return nil
	}
	return d.UnmarshalJSON([]byte(text))
}

func setNumber[T int | float64](text string, n *T) error {
	if text == "" {
		return nil
	}
	var rest string
	if k, _ := fmt.Sscanf(text, "%v%s", n, &rest); k != 1 {
		return fmt.Errorf("%q is not a number", text)
	}
	return nil
}

// Record are the flags that name the run record.
func Record(required bool) []cli.Flag {
	return []cli.Flag{&cli.StringFlag{Name: "record", Required: required, Usage: "`name` of the run record, a ConfigMap; Argo's templates pass the workflow's name"}}
}

// dns1123 is what Kubernetes takes as a name; it also keeps quotes out of the probe's SQL.
var dns1123 = regexp.MustCompile(`^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$`)

// Connected opens the cluster and the record that the flags name; the record is nil if they name none. Bad input
// is told before a cluster is looked for.
func Connected(c *cli.Context) (*kube.Cluster, *record.Record, error) {
	name := c.String("record")
	if err := CheckName("record", name); err != nil {
		return nil, nil, err
	}
	cluster, err := Connect(c)
	if err != nil || name == "" {
		return cluster, nil, err
	}
	return cluster, record.Open(cluster, name), nil
}

// CheckName refuses what Kubernetes would not take as a name; nothing at all is no name, and fine.
func CheckName(flag, name string) error {
	if name == "" || dns1123.MatchString(name) {
		return nil
	}
	return Usage(fmt.Errorf("--%s %q: want a Kubernetes name, of small letters, digits, dots and dashes", flag, name))
}

// Logger writes progress, each line with the time since the step began.
func Logger(w io.Writer) func(string, ...any) {
	var mu sync.Mutex
	start := time.Now()
	return func(format string, a ...any) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = fmt.Fprintf(w, "%6.1fs  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, a...))
	}
}
