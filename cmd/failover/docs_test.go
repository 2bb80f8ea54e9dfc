package main

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps"
	"pgcat-failover/steps/history"
	"pgcat-failover/steps/pooler/pgcat/edit"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/verdict"
	"pgcat-failover/workflows"
)

var update = flag.Bool("update", false, "write the generated blocks of the README anew")

const readme = "../../README.md"

func TestTheREADMEsGeneratedBlocksAreUpToDate(t *testing.T) {
	data, err := os.ReadFile(readme)
	require.NoError(t, err)
	want := string(data)
	for name, text := range map[string]string{
		"run": recorded(t, "v1.2.0-primary", "v1.2.0-secondary", "v1.2.0-tertiary", "v1.2.0-multiple",
			"v1.2.0-config-host", "v1.2.0-config-shard", "v1.2.0-config-pool-size", "v1.2.0-config-unparsable"),
		"seed":       recorded(t, "v1.2.0-no-default-shard"),
		"seed-table": seedTable(t),
		"scenarios":  scenarioTable(t),
		"commands":   commandTable(),
	} {
		re := regexp.MustCompile(`(?s)(<!-- begin ` + name + ` -->\n).*(<!-- end ` + name + ` -->)`)
		require.True(t, re.MatchString(want), name)
		want = re.ReplaceAllStringFunc(want, func(block string) string {
			m := re.FindStringSubmatch(block)
			return m[1] + text + m[2]
		})
	}
	if *update {
		require.NoError(t, os.WriteFile(readme, []byte(want), 0o644))
		return
	}
	if diff := cmp.Diff(want, string(data)); diff != "" {
		t.Errorf("run `go test ./cmd/failover -update`:\n%s", diff)
	}
}

func TestAStrangerReadsTwoHundredLines(t *testing.T) {
	data, err := os.ReadFile(readme)
	require.NoError(t, err)
	assert.LessOrEqual(t, strings.Count(string(data), "\n"), 200)
}

func recorded(t *testing.T, dirs ...string) string {
	t.Helper()
	var results []verdict.Result
	for _, d := range dirs {
		data, err := os.ReadFile("../../steps/verdict/testdata/" + d + "/history.json.gz")
		require.NoError(t, err)
		h, err := history.Decode(data)
		require.NoError(t, err)
		results = append(results, verdict.Judge(h))
	}
	var b strings.Builder
	require.NoError(t, report.Table(&b, results))
	return "```\n" + strings.TrimSpace(b.String()) + "\n```\n"
}

func scenarioTable(t *testing.T) string {
	t.Helper()
	names, err := scenario.Names(workflows.Scenarios())
	require.NoError(t, err)
	var b strings.Builder
	b.WriteString("| scenario | what is broken | held | longest outage allowed | failures allowed |\n|---|---|---|---|---|\n")
	for _, n := range names {
		s, err := scenario.Load(workflows.Scenarios(), n)
		require.NoError(t, err)
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %d |\n", n, broken(t, s), s.Timing.Hold, s.Expect.MaxOutage, s.Expect.MaxFailures)
	}
	return b.String()
}

func broken(t *testing.T, s scenario.Scenario) string {
	t.Helper()
	if !s.Edits() {
		return "endpoint " + strings.Join(s.Endpoints, ", ")
	}
	e, err := edit.Named(s.Edit)
	require.NoError(t, err)
	return e.Summary
}

func commandTable() string {
	var b strings.Builder
	b.WriteString("| `failover` … | |\n|---|---|\n")
	for _, c := range steps.Commands() {
		if !c.Hidden {
			fmt.Fprintf(&b, "| `%s` | %s |\n", c.Name, c.Usage)
		}
	}
	return b.String()
}
