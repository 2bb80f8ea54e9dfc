// Package report shows a verdict: as text for people, as a table for many, as Markdown. All from the same Result.
package report

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/verdict"
)

// standIn is the first line of every report of a run that had no real PgCat.
const standIn = "NOT PGCAT: the pooler of this run is a stand-in for it, a test double"

// Text writes everything that is known of one run.
func Text(w io.Writer, r verdict.Result) error {
	var b strings.Builder
	if r.Facts.StandIn {
		fmt.Fprintln(&b, standIn)
	}
	fmt.Fprintf(&b, "%s: %s  (%s, run %s)\n", r.Scenario, strings.ToUpper(r.Verdict.String()), r.Title, r.Run)
	for _, rule := range Cause(r) {
		fmt.Fprintf(&b, "  cause    rule %s\n", rule)
	}
	fmt.Fprintf(&b, "  claim    %s\n", r.Claim)
	fmt.Fprintf(&b, "  parts    %s\n", Parts(r.Facts))
	switch {
	case r.Edit != "":
		fmt.Fprintf(&b, "  edit     %s\n", broke(r))
	case r.Facts.RestartsPostgres:
		fmt.Fprintf(&b, "  fault    %s of %s: RESTARTS POSTGRES, every endpoint drops twice; its figures are not those of an endpoint lost\n", r.Fault, strings.Join(r.Endpoints, " and "))
	default:
		fmt.Fprintf(&b, "  fault    %s of %s\n", r.Fault, strings.Join(r.Endpoints, " and "))
	}
	mounted := ""
	if r.Saw.ToMounted > 0 {
		mounted = fmt.Sprintf("in the pod after %s, ", sec(r.Saw.ToMounted))
	}
	fmt.Fprintf(&b, "  times    %seffective after %s, held %s, proved whole after %s\n\n", mounted, sec(r.Saw.ToEffective), sec(r.Saw.Held), sec(r.Saw.ToRestored))
	arms(&b, r)
	findings(&b, r)
	linted(&b, r.Facts.Findings)
	if len(r.Saw.Errors) > 0 {
		fmt.Fprintf(&b, "\n  what clients were told\n")
		for _, e := range r.Saw.Errors {
			fmt.Fprintf(&b, "  %6d × %s\n", e.Count, e.Text)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func arms(b *strings.Builder, r verdict.Result) {
	tw := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(tw, "  client\tbefore\twhile held\twhole run\tlongest outage\n")
	for _, a := range r.Saw.Arms {
		name := a.Name
		if a.Broken {
			name += " (cut)"
		}
		fmt.Fprintf(tw, "  %s\t%s\t%s\t%s\t%s\n", name, count(a.Before), count(a.During), count(a.Whole), outage(a.Outage, a.Open))
	}
	_ = tw.Flush() // into a strings.Builder, which cannot fail
	b.WriteString("\n")
}

func findings(b *strings.Builder, r verdict.Result) {
	for _, f := range r.Findings {
		fmt.Fprintf(b, "  %-7s  %-14s  %s\n", strings.ToUpper(f.Verdict.String()), f.Check, f.Got)
		if f.Verdict == verdict.Pass {
			continue
		}
		fmt.Fprintf(b, "%27swant: %s\n", "", f.Want)
		if f.Why != "" {
			fmt.Fprintf(b, "%27swhy:  %s\n", "", f.Why)
		}
		if f.Mend != "" {
			fmt.Fprintf(b, "%27smend: %s\n", "", f.Mend)
		}
	}
}

// Cause lists the lint rules that explain why a run did not pass, each once.
func Cause(r verdict.Result) []string {
	var out []string
	for _, f := range r.Findings {
		for _, rule := range f.Rules {
			if !slices.Contains(out, rule) {
				out = append(out, rule)
			}
		}
	}
	return out
}

// linted tells what the rules said of the config: how much, and the errors and warnings by line.
func linted(b *strings.Builder, list []history.ConfigFinding) {
	if list == nil {
		return
	}
	n := map[string]int{}
	for _, f := range list {
		n[f.Severity]++
	}
	fmt.Fprintf(b, "\n  what lint-config says of pgcat.toml: %s, %s, %s\n", some(n["error"], "error"), some(n["warning"], "warning"), some(n["info"], "note"))
	for _, f := range list {
		if f.Severity == "info" {
			continue
		}
		allowed := ""
		if f.Allowed {
			allowed = ", allowed"
		}
		fmt.Fprintf(b, "  %s%s, line %d: %s [%s]\n", f.Severity, allowed, f.Line, f.Message, f.Rule)
	}
}

func some(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func count(c verdict.Count) string {
	if c.Failed == 0 {
		return fmt.Sprintf("%d ok", c.OK)
	}
	return fmt.Sprintf("%d ok, %d failed", c.OK, c.Failed)
}

func sec(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }

func outage(d time.Duration, open bool) string {
	switch {
	case d == 0:
		return "none"
	case open:
		return sec(d) + ", not over"
	default:
		return sec(d)
	}
}

// Parts names what ran.
func Parts(f history.Facts) string {
	if f.PgCatVersion == "" {
		return "unknown"
	}
	return fmt.Sprintf("%s (%s %s), PostgreSQL %s (%s)", f.PgCatVersion, f.PgCatImage.Name, f.PgCatImage.Digest, f.PostgresVersion, f.PostgresImage.Name)
}

// row is what the table says of one run.
func row(r verdict.Result) []string {
	var failed, total, cutOK, cutTotal, others int
	for _, a := range r.Saw.Arms {
		switch {
		case a.Pinned == history.Unpinned:
			failed += a.Whole.Failed
			total += a.Whole.OK + a.Whole.Failed
		case a.Broken:
			cutOK += a.During.OK
			cutTotal += a.During.OK + a.During.Failed
		default:
			others += a.Whole.Failed
		}
	}
	if len(r.Saw.Arms) == 0 {
		return []string{r.Scenario, "-", "-", "-", "-", "-", "-", strings.ToUpper(r.Verdict.String())}
	}
	cut := "-"
	if len(r.Endpoints) > 0 {
		cut = fmt.Sprintf("%d of %d", cutOK, cutTotal)
	}
	return []string{r.Scenario, broke(r), sec(r.Saw.ToEffective), outage(r.Saw.MaxOutage, r.Saw.Open),
		fmt.Sprintf("%d of %d", failed, total), cut, fmt.Sprintf("%d failed", others),
		strings.ToUpper(r.Verdict.String())}
}

// broke says what was broken in a few words.
func broke(r verdict.Result) string {
	what := strings.Join(r.Endpoints, " + ")
	if r.Edit == "" {
		return what
	}
	return strings.TrimSpace("config: " + r.Edit + " " + what)
}

var heads = []string{"SCENARIO", "BROKEN", "FELT AFTER", "OUTAGE", "FAILED", "CUT SHARD SERVED", "OTHER SHARDS", "VERDICT"}

// Table writes a line for each run, and the reason below for each that did not pass.
func Table(w io.Writer, results []verdict.Result) error {
	var b strings.Builder
	if len(results) > 0 {
		if results[0].Facts.StandIn {
			fmt.Fprintln(&b, standIn)
		}
		fmt.Fprintf(&b, "%s\n\n", Parts(results[0].Facts))
	}
	tw := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, strings.Join(heads, "\t"))
	for _, r := range results {
		fmt.Fprintln(tw, strings.Join(row(r), "\t"))
	}
	_ = tw.Flush() // into a strings.Builder, which cannot fail
	fmt.Fprintf(&b, "\nFELT AFTER: from the change until it was proved to take effect. OUTAGE and FAILED: clients that name no shard, over the whole\n"+
		"run. CUT SHARD SERVED: clients pinned to a lost shard, while it was lost.\n")
	for _, r := range results {
		if rules := Cause(r); len(rules) > 0 {
			fmt.Fprintf(&b, "\n%s %s: rule %s\n", r.Scenario, ended(r.Verdict), strings.Join(rules, ", rule "))
		}
		for _, f := range r.Findings {
			if f.Verdict != verdict.Pass {
				fmt.Fprintf(&b, "\n%s, %s: %s\n%s", r.Scenario, f.Check, f.Got, indent("want", f.Want)+indent("why", f.Why)+indent("mend", f.Mend))
			}
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func ended(v verdict.Verdict) string {
	if v == verdict.Fail {
		return "failed"
	}
	return "is " + v.String()
}

func indent(word, text string) string {
	if text == "" {
		return ""
	}
	return fmt.Sprintf("  %s: %s\n", word, text)
}

// Markdown writes the table for a page.
func Markdown(w io.Writer, results []verdict.Result) error {
	var b strings.Builder
	if len(results) > 0 && results[0].Facts.StandIn {
		fmt.Fprintf(&b, "**%s**\n\n", standIn)
	}
	fmt.Fprintf(&b, "| %s |\n|%s\n", strings.ToLower(strings.Join(heads, " | ")), strings.Repeat("---|", len(heads)))
	for _, r := range results {
		fmt.Fprintf(&b, "| %s |\n", strings.Join(row(r), " | "))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
