package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"text/tabwriter"
	"time"
)

// benchLab names the lab whose start is measured: beside the one in use, and never that one, which would be found
// running and then taken down.
func benchLab() string { return fmt.Sprintf("LAB_NAME=bench-%d", os.Getpid()) }

// labFigures measures the embedded cluster: its start with a warm cache and, if asked, with an empty one and an empty
// Go build cache; the memory of the running lab; the size of the steps' image.
func labFigures(ctx context.Context, w io.Writer, cold bool, logf func(string, ...any)) error {
	dir, err := os.MkdirTemp("", "bench-lab-")
	if err != nil {
		return fmt.Errorf("measure the lab: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	lab := filepath.Join(dir, "lab")
	if _, err := labRun(ctx, nil, "go", "build", "-o", lab, "./cmd/lab"); err != nil {
		return err
	}
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	// A figure that took half an hour is printed also when a later one fails.
	defer func() { _ = tw.Flush() }()
	name := benchLab()
	logf("starting a second lab with a warm cache")
	warm, err := start(ctx, lab, []string{name})
	if err != nil {
		return err
	}
	fmt.Fprintf(tw, "lab up, warm cache\t%.0f s\n", warm.Seconds())
	if cold {
		logf("starting a second lab with empty caches: this builds everything")
		env := []string{name, "XDG_CACHE_HOME=" + filepath.Join(dir, "cache"), "GOCACHE=" + filepath.Join(dir, "go"), "GOMODCACHE=" + filepath.Join(dir, "mod")}
		d, err := start(ctx, lab, env)
		if err != nil {
			return err
		}
		fmt.Fprintf(tw, "lab up, empty caches\t%.1f min\n", d.Minutes())
	}
	if err := memory(ctx, tw, lab); err != nil {
		return err
	}
	if err := imageSize(ctx, tw, lab, filepath.Join(dir, "failover.tar")); err != nil {
		return err
	}
	return tw.Flush()
}

func labRun(ctx context.Context, env []string, name string, args ...string) ([]byte, error) {
	c := exec.CommandContext(ctx, name, args...)
	c.Env = append(os.Environ(), env...)
	c.Stderr = os.Stderr
	out, err := c.Output()
	if err != nil {
		return nil, fmt.Errorf("run %s %v: %w", filepath.Base(name), args, err)
	}
	return out, nil
}

// start brings a lab up and down and gives the time until it was ready.
func start(ctx context.Context, lab string, env []string) (time.Duration, error) {
	defer func() { _, _ = labRun(context.WithoutCancel(ctx), env, lab, "down") }()
	begin := time.Now()
	_, err := labRun(ctx, env, lab, "up")
	return time.Since(begin), err
}

func memory(ctx context.Context, w io.Writer, lab string) error {
	out, err := labRun(ctx, nil, lab, "status", "--json")
	if err != nil {
		return err
	}
	var s struct {
		PSS     int64 `json:"pssBytes"`
		Cluster int64 `json:"clusterPSSBytes"`
	}
	if err := json.Unmarshal(out, &s); err != nil {
		return fmt.Errorf("read the lab's status: %w", err)
	}
	fmt.Fprintf(w, "memory of the lab in use, everything (PSS)\t%d MiB\n", s.PSS>>20)
	fmt.Fprintf(w, "  of it the cluster's own programs\t%d MiB\n", s.Cluster>>20)
	return nil
}

func imageSize(ctx context.Context, w io.Writer, lab, file string) error {
	if _, err := labRun(ctx, nil, lab, "image", "--out", file, "failover"); err != nil {
		return err
	}
	info, err := os.Stat(file)
	if err != nil {
		return fmt.Errorf("measure the image: %w", err)
	}
	fmt.Fprintf(w, "image of the steps, compressed\t%.1f MB\n", float64(info.Size())/1e6)
	return nil
}
