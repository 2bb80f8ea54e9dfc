package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"pgcat-failover/cmd/lab/internal/image"
	"pgcat-failover/cmd/lab/internal/pgcat"
)

func pgcatCommand() *cli.Command {
	return &cli.Command{
		Name:  "pgcat",
		Usage: "tell which PgCat the lab would run",
		Description: "The first that can be had: PGCAT_IMAGE (a reference or a tar file), the program pgcat on\n" +
			"PATH (PGCAT_BINARY names another), the stand-in of this project (as v1.2.0; PGCAT_SIM_AS=head is\n" +
			"the other that it knows). Exits 3 if there is none.\n\n" +
			"Example:\n  PGCAT_BINARY=/opt/pgcat/bin/pgcat go run ./cmd/lab pgcat --json",
		Flags:  []cli.Flag{&cli.BoolFlag{Name: "json", Usage: "print JSON"}},
		Action: tellPgCat,
	}
}

// pgcatReport is the answer; the digest is there once the image is built.
type pgcatReport struct {
	pgcat.Found
	Image  string `json:"image,omitempty"`
	Digest string `json:"digest,omitempty"`
	Why    string `json:"why,omitempty"` // why there is none
}

func tellPgCat(c *cli.Context) error {
	s, err := inRepo(c.Context)
	if err != nil {
		return err
	}
	found, findErr := s.findPgCat()
	report := pgcatReport{Found: found}
	if findErr != nil {
		report.Why = findErr.Error()
	} else if built, err := s.buildOne(c.Context, "pgcat"); err != nil {
		return err
	} else {
		report.Image, report.Digest = built.Name, built.Digest
	}
	if c.Bool("json") {
		encoder := json.NewEncoder(c.App.Writer)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(report); err != nil {
			return fmt.Errorf("print the report: %w", err)
		}
	} else if findErr == nil {
		fmt.Fprintf(c.App.Writer, "source:  %s\npath:    %s\nversion: %s\nimage:   %s\ndigest:  %s\n",
			found.Source, found.Path, found.Version, report.Image, report.Digest)
	}
	return findErr
}

// pgcatFile remembers which PgCat the running lab holds: the environment of a
// later command may name another.
const pgcatFile = "pgcat.json"

func (s session) rememberPgCat(images []image.Built) error {
	var report pgcatReport
	found, err := s.findPgCat()
	report.Found = found
	if err != nil {
		report.Why = err.Error()
	}
	for _, built := range images {
		if built.Folder == "pgcat" {
			report.Image, report.Digest = built.Name, built.Digest
		}
	}
	content, err := json.MarshalIndent(report, "", "  ")
	if err == nil {
		err = os.WriteFile(filepath.Join(s.lab.State, pgcatFile), content, 0o644)
	}
	if err != nil {
		return fmt.Errorf("remember which PgCat the lab holds: %w", err)
	}
	return nil
}

func (s session) recalledPgCat() (*pgcatReport, error) {
	content, err := os.ReadFile(filepath.Join(s.lab.State, pgcatFile))
	if err != nil {
		return nil, fmt.Errorf("recall which PgCat the lab holds: %w; run \"lab up\" again", err)
	}
	report := &pgcatReport{}
	if err := json.Unmarshal(content, report); err != nil {
		return nil, fmt.Errorf("recall which PgCat the lab holds: %w", err)
	}
	return report, nil
}
