package scenario_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pooler/pgcat/edit"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/workflows"
)

func TestEveryScenarioFileIsGood(t *testing.T) {
	names, err := scenario.Names(workflows.Scenarios())
	require.NoError(t, err)
	assert.Equal(t, []string{"primary", "secondary", "tertiary", "multiple"}, names[:4])
	for _, n := range names {
		s, err := scenario.Load(workflows.Scenarios(), n)
		require.NoError(t, err)
		assert.NotEmpty(t, s.Title, n)
	}
}

const good = `
name: x
claim: it holds
fault: endpoint-label
endpoints: [primary]
timing: {baseline: 5s, hold: 10s, settle: 5s}
rate: 10
expect: {maxOutage: 5s, maxFailures: 3, maxRecovery: 5s}
`

func TestParseRefusesWhatItDoesNotUnderstand(t *testing.T) {
	_, err := scenario.Parse([]byte(good))
	require.NoError(t, err)
	for _, tc := range []struct{ story, more, want string }{
		{"a typo in a field", "holdd: 3s", "unknown field"},
		{"a duration without a unit", "timing: {baseline: 5, hold: 10s, settle: 5s}", "want a number with a unit"},
		{"an endpoint that is none", "endpoints: [quaternary]", "one of primary, secondary, tertiary"},
		{"nothing left to fail over to", "endpoints: [primary, secondary, tertiary]", "leave at least one"},
		{"the same twice", "endpoints: [primary, primary]", "named twice"},
		{"a rate of nothing", "rate: 0", "operations per second"},
		{"a baseline that proves nothing", "timing: {baseline: 1ms, hold: 10s, settle: 5s}", "at least 1s"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			_, err := scenario.Parse([]byte(override(good, tc.more)))
			require.ErrorContains(t, err, tc.want)
		})
	}
}

const edits = `
name: x
claim: nobody sees it
edit: pool-size
reload: by-command
endpoints: []
timing: {baseline: 5s, hold: 10s, settle: 5s}
rate: 10
expect: {maxOutage: 2s, maxFailures: 0, maxRecovery: 5s, maxEffect: 30s}
`

func TestAScenarioThatEditsTheConfig(t *testing.T) {
	s, err := scenario.Parse([]byte(edits))
	require.NoError(t, err)
	assert.True(t, s.Edits())
	for _, tc := range []struct{ story, more, want string }{
		{"a fault as well", "fault: endpoint-label", "one experiment changes one thing"},
		{"nobody tells PgCat", "reload: never", "say by-itself or by-command"},
		{"no limit for the effect", "expect: {maxOutage: 2s, maxFailures: 0, maxRecovery: 5s}", "maxEffect"},
		{"neither an edit nor endpoints", "edit:", "endpoints is empty"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			_, err := scenario.Parse([]byte(override(edits, tc.more)))
			require.ErrorContains(t, err, tc.want)
		})
	}
}

func TestEveryEditHasItsScenario(t *testing.T) {
	names, err := scenario.Names(workflows.Scenarios())
	require.NoError(t, err)
	for _, e := range edit.All {
		assert.Contains(t, names, "config-"+e.Name)
	}
	for _, n := range names {
		s, err := scenario.Load(workflows.Scenarios(), n)
		require.NoError(t, err)
		assert.Equal(t, strings.HasPrefix(n, "config-"), s.Edits(), "%s: the workflow chooses its step by the name", n)
		if s.Edits() {
			e, err := edit.Named(s.Edit)
			require.NoError(t, err)
			assert.Equal(t, e.Breaks, len(s.Endpoints) > 0, n)
		}
	}
}

func TestLoadNamesTheScenariosThatThereAre(t *testing.T) {
	_, err := scenario.Load(workflows.Scenarios(), "primry")
	require.ErrorContains(t, err, "choose one of primary, secondary, tertiary, multiple")
}

// override replaces the line that begins like the new one, or adds it.
func override(doc, line string) string {
	key := line[:strings.Index(line, ":")+1]
	out, done := "", false
	for _, l := range strings.Split(doc, "\n") {
		if strings.HasPrefix(l, key) {
			l, done = line, true
		}
		out += l + "\n"
	}
	if !done {
		out += line + "\n"
	}
	return out
}
