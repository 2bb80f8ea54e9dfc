package main

import (
	"fmt"
	"os"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/cmd/lab/internal/cluster"
	"pgcat-failover/cmd/lab/internal/components"
	"pgcat-failover/cmd/lab/internal/debian"
)

// defaultPort is where the API server is reached from the host.
const defaultPort = 16443

func upCommand() *cli.Command {
	return &cli.Command{
		Name:  "up",
		Usage: "bring the lab up; does nothing if it is up",
		Description: "Installs missing Debian packages, builds what the cache lacks, starts the cluster and\n" +
			"waits until the node, CoreDNS and Argo are ready.\n\nExample:\n  go run ./cmd/lab up",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "port", Value: defaultPort, Usage: "port of the API server on 127.0.0.1; a free one if it is busy"},
		},
		Action: up,
	}
}

func up(c *cli.Context) error {
	start := time.Now()
	s, err := inRepo(c.Context)
	if err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	if given := os.Getenv("KUBECONFIG"); given != "" && given != s.lab.Kubeconfig() {
		s.say.Say("note: KUBECONFIG is %s; lab up leaves that cluster alone and starts its own", given)
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := debian.Install(c.Context, s.say); err != nil {
		return err
	}
	set, images, err := s.build(c.Context)
	if err != nil {
		return err
	}
	if err := s.cluster(set).Up(c.Context, images, c.Int("port")); err != nil {
		return err
	}
	if err := s.rememberPgCat(images); err != nil {
		return err
	}
	s.say.Say("the lab is ready after %s", time.Since(start).Round(100*time.Millisecond))
	fmt.Fprintf(c.App.Writer, "export KUBECONFIG=%s\n", s.lab.Kubeconfig())
	return nil
}

func downCommand() *cli.Command {
	return &cli.Command{
		Name:        "down",
		Usage:       "take the lab down and leave nothing behind but the cache",
		Description: "Example:\n  go run ./cmd/lab down",
		Flags: []cli.Flag{
			&cli.BoolFlag{Name: "purge-cache", Usage: "remove the built programs and images too; the next start builds them again"},
		},
		Action: down,
	}
}

func down(c *cli.Context) error {
	s, err := newSession()
	if err != nil {
		return err
	}
	if err := needRoot(); err != nil {
		return err
	}
	unlock, err := s.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := cluster.Down(c.Context, s.lab); err != nil {
		return fmt.Errorf("take the lab down: %w", err)
	}
	if !c.Bool("purge-cache") {
		return nil
	}
	if err := os.RemoveAll(s.lab.Cache); err != nil {
		return fmt.Errorf("purge the cache: %w", err)
	}
	return nil
}

func buildCommand() *cli.Command {
	return &cli.Command{
		Name:        "build",
		Usage:       "build the cluster's programs into the cache, and start nothing",
		Description: "Example:\n  go run ./cmd/lab build",
		Action: func(c *cli.Context) error {
			s, err := inRepo(c.Context)
			if err != nil {
				return err
			}
			unlock, err := s.lock()
			if err != nil {
				return err
			}
			defer unlock()
			_, err = components.Build(c.Context, s.lab, s.repo, s.say)
			return err
		},
	}
}

func pathCommand() *cli.Command {
	return &cli.Command{
		Name:        "path",
		Usage:       "print the directory that holds kubectl and argo",
		Description: "Example:\n  export PATH=$(go run ./cmd/lab path):$PATH",
		Action: func(c *cli.Context) error {
			s, err := newSession()
			if err != nil {
				return err
			}
			fmt.Fprintln(c.App.Writer, s.lab.Bin())
			return nil
		},
	}
}

func superviseCommand() *cli.Command {
	return &cli.Command{
		Name:   "supervise",
		Usage:  "the life of the supervisor; lab up starts it",
		Hidden: true,
		Action: func(*cli.Context) error {
			s, err := newSession()
			if err != nil {
				return err
			}
			return cluster.Supervise(s.lab)
		},
	}
}
