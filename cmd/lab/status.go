package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/cmd/lab/internal/cluster"
	"pgcat-failover/cmd/lab/internal/components"
	"pgcat-failover/cmd/lab/internal/node"
)

// statusTimeout bounds the look at an API server that may hang.
const statusTimeout = 10 * time.Second

var errNotWell = errors.New("the lab is not well")

func statusCommand() *cli.Command {
	return &cli.Command{
		Name:        "status",
		Usage:       "show each program, the images and the memory; exits 0 only if all is well",
		Description: "Example:\n  go run ./cmd/lab status --json",
		Flags:       []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action:      status,
	}
}

// statusReport is what is known of a lab.
type statusReport struct {
	Name       string            `json:"name"`
	Well       bool              `json:"well"`
	Problem    string            `json:"problem,omitempty"`
	Kubeconfig string            `json:"kubeconfig,omitempty"`
	Supervisor int               `json:"supervisorPID,omitempty"`
	Started    time.Time         `json:"started,omitzero"`
	Ready      time.Time         `json:"ready,omitzero"`
	StartTook  float64           `json:"startSeconds,omitempty"` // from the supervisor's start to ready
	Processes  []node.State      `json:"processes,omitempty"`
	Count      int               `json:"processCount,omitempty"` // pods included
	RSS        uint64            `json:"rssBytes,omitempty"`
	PSS        uint64            `json:"pssBytes,omitempty"` // shared pages counted once
	ClusterPSS uint64            `json:"clusterPSSBytes,omitempty"`
	Images     map[string]string `json:"images,omitempty"`
	PgCat      *pgcatReport      `json:"pgcat,omitempty"`
}

func status(c *cli.Context) error {
	s, err := newSession()
	if err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.Context, statusTimeout)
	defer cancel()
	report, problem := s.look(ctx)
	report.Well = problem == nil
	if problem != nil {
		report.Problem = problem.Error()
	}
	if err := printStatus(c.App.Writer, report, c.Bool("json")); err != nil {
		return err
	}
	if problem != nil {
		return fmt.Errorf("%w: %w", errNotWell, problem)
	}
	return nil
}

// look gathers what is known, and returns the first thing that is wrong.
func (s session) look(ctx context.Context) (statusReport, error) {
	report := statusReport{Name: s.lab.Name}
	supervisor, err := node.Find(s.lab)
	if err != nil {
		return report, err
	}
	report.Kubeconfig, report.Supervisor, report.Started = s.lab.Kubeconfig(), supervisor.PID, supervisor.Since
	if ready, err := cluster.ReadyAt(s.lab); err == nil {
		report.Ready, report.StartTook = ready, ready.Sub(supervisor.Since).Seconds()
	}
	if memory, err := supervisor.Memory(); err == nil {
		report.Count, report.RSS, report.PSS, report.ClusterPSS = memory.Count, memory.RSS, memory.PSS, memory.Cluster
	}
	if report.Processes, err = node.Read(s.lab.Processes()); err != nil {
		return report, err
	}
	labCluster := s.cluster(components.Set{})
	if report.Images, err = labCluster.Images(ctx); err != nil {
		return report, err
	}
	if report.PgCat, err = s.recalledPgCat(); err != nil {
		return report, err
	}
	for _, p := range report.Processes {
		if p.PID == 0 || !p.Ready {
			return report, fmt.Errorf("%s does not run (%s); see %s", p.Name, p.Exit, s.lab.Log(p.Name))
		}
	}
	clients, err := labCluster.Client()
	if err != nil {
		return report, err
	}
	return report, cluster.Ready(ctx, clients)
}

func printStatus(to io.Writer, r statusReport, asJSON bool) error {
	if asJSON {
		encoder := json.NewEncoder(to)
		encoder.SetIndent("", "  ")
		return encoder.Encode(r)
	}
	if r.Supervisor == 0 {
		return nil // the error says it
	}
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "KUBECONFIG\t%s\n", r.Kubeconfig)
	fmt.Fprintf(w, "up since\t%s (process %d, ready after %.1f s)\n", r.Started.Format(time.RFC3339), r.Supervisor, r.StartTook)
	fmt.Fprintf(w, "memory\t%d MiB in %d processes, %d MiB of it the cluster's own\n", r.PSS>>20, r.Count, r.ClusterPSS>>20)
	if r.PgCat != nil {
		fmt.Fprintf(w, "PgCat\t%s %s (%s)\n", r.PgCat.Source, r.PgCat.Version, r.PgCat.Path)
	}
	fmt.Fprintln(w, "\nPROGRAM\tSTATE\tRESTARTS\tSINCE")
	for _, p := range r.Processes {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", p.Name, describe(p), p.Restarts, p.Since.Format(time.TimeOnly))
	}
	fmt.Fprintln(w, "\nIMAGE\tDIGEST")
	for _, name := range slices.Sorted(maps.Keys(r.Images)) {
		if strings.Contains(name, "/") && !strings.Contains(name, "@") { // containerd lists each under its digest too
			fmt.Fprintf(w, "%s\t%s\n", name, r.Images[name])
		}
	}
	return w.Flush()
}

func describe(p node.State) string {
	switch {
	case p.PID == 0:
		return "dead: " + p.Exit
	case !p.Ready:
		return "starting"
	default:
		return "ready"
	}
}
