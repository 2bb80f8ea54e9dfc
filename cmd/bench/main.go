// Command bench measures the wall time of one scenario and of the suite against Argo's own floor: the same
// workflows with every step replaced by a sleep of the time that the scenario wants to spend in it. Both run side
// by side in one session, and what is reported is their ratio.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"syscall"
	"text/tabwriter"
	"time"

	wfv1 "github.com/argoproj/argo-workflows/v3/pkg/apis/workflow/v1alpha1"
	"github.com/urfave/cli/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/submit"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := app().RunContext(ctx, os.Args)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func app() *cli.App {
	return &cli.App{
		Name:        "bench",
		Usage:       "the wall time of a scenario and of the suite, as ratios to the same workflows made of sleeps",
		Description: "Example:\n   go run ./cmd/bench --rounds 1",
		HideVersion: true,
		Flags: append(options.Cluster(),
			&cli.IntFlag{Name: "rounds", Value: 2, Usage: "how often each is run; the medians are compared"},
			&cli.BoolFlag{Name: "scenario-only", Usage: "leave the suite out"},
			&cli.BoolFlag{Name: "lab-only", Usage: "measure the embedded cluster and nothing else"},
			&cli.BoolFlag{Name: "lab", Usage: "measure the embedded cluster too"},
			&cli.BoolFlag{Name: "cold", Usage: "with --lab: also its start with empty caches, which builds everything (15 minutes and more)"}),
		ExitErrHandler: func(*cli.Context, error) {},
		Action: func(c *cli.Context) error {
			cluster, err := options.Connect(c)
			if err != nil {
				return err
			}
			b := bench{cluster: cluster, rounds: max(1, c.Int("rounds")), logf: options.Logger(c.App.ErrWriter)}
			if !c.Bool("lab-only") {
				if err := b.run(c.Context, c.App.Writer, c.Bool("scenario-only")); err != nil || !c.Bool("lab") {
					return err
				}
			}
			return labFigures(c.Context, c.App.Writer, c.Bool("cold"), b.logf)
		},
	}
}

type bench struct {
	cluster *kube.Cluster
	rounds  int
	logf    func(string, ...any)
}

// row is one comparison: medians.
type row struct {
	name        string
	real, floor time.Duration
}

func (b bench) run(ctx context.Context, w io.Writer, scenarioOnly bool) error {
	floors, err := floorTemplates()
	if err != nil {
		return err
	}
	defer b.remove(context.WithoutCancel(ctx), floors)
	if err := b.apply(ctx, floors); err != nil {
		return err
	}
	// Once before it counts: the first deploy waits for images and for initdb.
	if _, err := b.once(ctx, submit.One); err != nil {
		return err
	}
	var rows []row
	for _, name := range []string{submit.One, submit.Suite} {
		if scenarioOnly && name == submit.Suite {
			continue
		}
		r, err := b.compare(ctx, name)
		if err != nil {
			return err
		}
		rows = append(rows, r)
	}
	return show(w, rows)
}

// compare alternates between the two, so that a slow spell of the machine meets both.
func (b bench) compare(ctx context.Context, name string) (row, error) {
	var real, floor []time.Duration
	for range b.rounds {
		f, err := b.once(ctx, floorName(name))
		if err != nil {
			return row{}, err
		}
		r, err := b.once(ctx, name)
		if err != nil {
			return row{}, err
		}
		real, floor = append(real, r), append(floor, f)
	}
	return row{name: name, real: median(real), floor: median(floor)}, nil
}

func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return (d[(len(d)-1)/2] + d[len(d)/2]) / 2
}

// once runs a workflow to its end and gives the time that Argo says it took.
func (b bench) once(ctx context.Context, template string) (time.Duration, error) {
	wf := &wfv1.Workflow{
		TypeMeta:   metav1.TypeMeta{APIVersion: wfv1.SchemeGroupVersion.String(), Kind: "Workflow"},
		ObjectMeta: metav1.ObjectMeta{GenerateName: "bench-"},
		Spec:       wfv1.WorkflowSpec{WorkflowTemplateRef: &wfv1.WorkflowTemplateRef{Name: template}},
	}
	name, err := submit.Create(ctx, b.cluster, wf)
	if err != nil {
		return 0, err
	}
	phase, err := submit.Watch(ctx, b.cluster, name, func(string, ...any) {})
	if err != nil {
		return 0, err
	}
	if phase != wfv1.WorkflowSucceeded {
		return 0, fmt.Errorf("run %s: workflow %s ended as %s; a failed run is no measure", template, name, phase)
	}
	done, err := submit.Get(ctx, b.cluster, name)
	if err != nil {
		return 0, err
	}
	d := done.Status.FinishedAt.Sub(done.Status.StartedAt.Time)
	b.logf("%-30s %s", template, d)
	return d, nil
}

func show(w io.Writer, rows []row) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "WORKFLOW\tREAL\tMADE OF SLEEPS\tRATIO")
	for _, r := range rows {
		fmt.Fprintf(tw, "%s\t%s\t%s\t%.2f\n", r.name, r.real, r.floor, r.real.Seconds()/r.floor.Seconds())
	}
	return tw.Flush()
}
