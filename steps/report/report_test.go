package report_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/verdict"
)

func failed(found ...history.ConfigFinding) verdict.Result {
	return verdict.Result{Run: "r", Scenario: "primary", Verdict: verdict.Fail, Facts: history.Facts{Findings: found},
		Findings: []verdict.Finding{
			{Check: "failover", Verdict: verdict.Fail, Got: "26.5 s", Rules: []string{"default-shard-missing"}},
			{Check: "failures", Verdict: verdict.Fail, Got: "99 failed", Rules: []string{"default-shard-missing"}}}}
}

func text(t *testing.T, r verdict.Result) string {
	t.Helper()
	var b strings.Builder
	require.NoError(t, report.Text(&b, r))
	return b.String()
}

func TestTheReportTellsWhatTheRulesFound(t *testing.T) {
	got := text(t, failed(
		history.ConfigFinding{Rule: "failover-key-imagined", Severity: "error", Line: 2, Message: "automatic_failover is no key of PgCat", Mend: "m", Allowed: true},
		history.ConfigFinding{Rule: "default-shard-missing", Severity: "warning", Line: 9, Message: "it never fails over"},
		history.ConfigFinding{Rule: "trust", Severity: "warning", Line: 10, Message: "no password is asked for"},
		history.ConfigFinding{Rule: "session-mode", Severity: "info", Line: 11, Message: "worth knowing"}))
	assert.Contains(t, got, "  cause    rule default-shard-missing\n")
	assert.Equal(t, 1, strings.Count(got, "cause "), "two checks, one cause")
	assert.Contains(t, got, `
  what lint-config says of pgcat.toml: 1 error, 2 warnings, 1 note
  error, allowed, line 2: automatic_failover is no key of PgCat [failover-key-imagined]
  warning, line 9: it never fails over [default-shard-missing]
  warning, line 10: no password is asked for [trust]
`)
	assert.NotContains(t, got, "worth knowing", "notes are counted, not shown")
}

func TestACleanConfigAndOneThatNobodyLinted(t *testing.T) {
	r := failed()
	r.Facts.Findings = []history.ConfigFinding{}
	assert.Contains(t, text(t, r), "pgcat.toml: 0 errors, 0 warnings, 0 notes\n")
	r.Facts.Findings = nil
	assert.NotContains(t, text(t, r), "lint-config", "a run from before there were rules")
}

func TestTheTableGivesTheCauseInALine(t *testing.T) {
	var b strings.Builder
	passed, unknown := failed(), failed()
	passed.Scenario, passed.Verdict, passed.Findings = "secondary", verdict.Pass, []verdict.Finding{{Check: "failover"}}
	unknown.Scenario, unknown.Verdict = "multiple", verdict.Unknown
	require.NoError(t, report.Table(&b, []verdict.Result{failed(), passed, unknown}))
	assert.Contains(t, b.String(), "\nprimary failed: rule default-shard-missing\n")
	assert.Contains(t, b.String(), "\nmultiple is unknown: rule default-shard-missing\n")
	assert.NotContains(t, b.String(), "secondary failed")
}
