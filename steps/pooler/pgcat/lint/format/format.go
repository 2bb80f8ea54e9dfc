// Package format writes findings for those who read them: people, scripts, code scanners, GitHub's annotations.
package format

import (
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"pgcat-failover/steps/pooler/pgcat/lint"
)

// Formats is the one list of names, as --format takes them.
var Formats = []string{"text", "json", "sarif", "github"}

// Write writes the findings of one file in a format of the list.
func Write(w io.Writer, name, file string, findings []lint.Finding) error {
	switch name {
	case "json":
		return writeJSON(w, file, findings)
	case "sarif":
		return writeSARIF(w, file, findings)
	case "github":
		return writeGitHub(w, file, findings)
	case "text":
		return writeText(w, file, findings)
	}
	return fmt.Errorf("format %q: want one of %s", name, strings.Join(Formats, ", "))
}

func count(findings []lint.Finding, s lint.Severity) int {
	n := 0
	for _, f := range findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

func writeText(w io.Writer, file string, findings []lint.Finding) error {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%s:%d:%d: %s: %s [%s]\n", file, f.Line, f.Column, f.Severity, f.Message, f.Rule)
		fmt.Fprintf(&b, "%5d | %s\n      | %s%s\n", f.Line, f.Source, strings.Repeat(" ", f.Caret-1), strings.Repeat("^", f.Width))
		if f.Exit != 0 {
			fmt.Fprintf(&b, "  PgCat exits with code %d.\n", f.Exit)
		}
		fmt.Fprintf(&b, "  why: %s\n  in a failover: %s\n  mend: %s%s\n\n", f.Why, f.Failover, f.Mend, fixable(f))
	}
	fmt.Fprintf(&b, "%s: %s\n", file, summary(findings))
	_, err := io.WriteString(w, b.String())
	return err
}

func fixable(f lint.Finding) string {
	if f.Fixable {
		return " (--fix does it)"
	}
	return ""
}

func summary(findings []lint.Finding) string {
	return fmt.Sprintf("%d errors, %d warnings, %d notes", count(findings, lint.Error), count(findings, lint.Warning), count(findings, lint.Info))
}

func writeJSON(w io.Writer, file string, findings []lint.Finding) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		File     string         `json:"file"`
		Errors   int            `json:"errors"`
		Warnings int            `json:"warnings"`
		Notes    int            `json:"notes"`
		Findings []lint.Finding `json:"findings"`
	}{file, count(findings, lint.Error), count(findings, lint.Warning), count(findings, lint.Info), findings})
}

// annotations are GitHub's names of the severities.
var annotations = map[lint.Severity]string{lint.Error: "error", lint.Warning: "warning", lint.Info: "notice"}

// GitHub's workflow commands escape line ends, and in properties what separates them
// (docs.github.com, "Workflow commands for GitHub Actions").
var (
	escape   = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

func writeGitHub(w io.Writer, file string, findings []lint.Finding) error {
	for _, f := range findings {
		_, err := fmt.Fprintf(w, "::%s file=%s,line=%d,endLine=%d,col=%d,endColumn=%d,title=%s::%s\n", annotations[f.Severity], property.Replace(file),
			f.Line, f.Line, f.Column, f.EndColumn, property.Replace(f.Rule), escape.Replace(f.Message+"\nin a failover: "+f.Failover+"\nmend: "+f.Mend))
		if err != nil {
			return err
		}
	}
	return nil
}

// The parts of SARIF 2.1.0 that a code scanner reads (OASIS, sarif-v2.1.0-os).
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name  string      `json:"name"`
		Rules []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID      string      `json:"id"`
		Short   sarifText   `json:"shortDescription"`
		Full    sarifText   `json:"fullDescription"`
		Help    sarifText   `json:"help"`
		Default sarifConfig `json:"defaultConfiguration"`
	}
	sarifConfig struct {
		Level string `json:"level"`
	}
	sarifText struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifText       `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		Physical sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		Artifact sarifArtifact `json:"artifactLocation"`
		Region   sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
		EndColumn   int `json:"endColumn"`
	}
)

var levels = map[lint.Severity]string{lint.Error: "error", lint.Warning: "warning", lint.Info: "note"}

func writeSARIF(w io.Writer, file string, findings []lint.Finding) error {
	run := sarifRun{ColumnKind: "unicodeCodePoints", Tool: sarifTool{sarifDriver{Name: "failover lint-config"}}, Results: []sarifResult{}}
	for _, r := range lint.Rules() {
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{ID: r.ID, Short: sarifText{r.What}, Full: sarifText{r.Why},
			Help: sarifText{"In a failover: " + r.Failover + " Mend: " + r.Mend}, Default: sarifConfig{levels[r.Severity]}})
	}
	for _, f := range findings {
		run.Results = append(run.Results, sarifResult{RuleID: f.Rule,
			RuleIndex: slices.IndexFunc(run.Tool.Driver.Rules, func(r sarifRule) bool { return r.ID == f.Rule }),
			Level:     levels[f.Severity], Message: sarifText{f.Message + ". Mend: " + f.Mend},
			Locations: []sarifLocation{{sarifPhysical{sarifArtifact{filepath.ToSlash(file)}, sarifRegion{f.Line, f.Column, f.EndColumn}}}}})
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(sarifLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}})
}
