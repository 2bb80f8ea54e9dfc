package verdict_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/pooler/pgcat/lint"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/verdict"
)

// stuck is the run of a config without default_shard: everybody without a shard is sent to the cut one.
func stuck(found ...string) world {
	w := healthy()
	w.facts.DefaultShard = ""
	w.facts.Findings = []history.ConfigFinding{}
	for _, rule := range found {
		w.facts.Findings = append(w.facts.Findings, history.ConfigFinding{Rule: rule, Severity: "warning", Line: 1})
	}
	w.to = func(int, float64) int { return 0 }
	w.fails = func(s int, t float64) bool { return s <= 0 && t > 5.5 && t < 21.5 }
	return w
}

func TestTheCauseIsWhatTheRulesFound(t *testing.T) {
	for _, tc := range []struct {
		story string
		world world
		with  func(*world)
		want  []string
	}{
		{"the rule that explains it, once, although two checks fail by it", stuck("default-shard-missing"), nil, []string{"default-shard-missing"}},
		{"what was found beside it explains nothing", stuck("admin-password-weak", "default-shard-missing", "trust"), nil, []string{"default-shard-missing"}},
		{"no rule found anything: no rule is named", stuck(), nil, nil},
		{"a run from before there were rules", stuck(), func(w *world) { w.facts.Findings = nil }, []string{"default-shard-missing"}},
		{"one from then whose default_shard names a shard", stuck(), func(w *world) {
			w.facts.Findings, w.facts.DefaultShard = nil, "shard_0"
		}, []string{"default-shard-fixed"}},
		{"a run that passes has no cause, whatever was found", healthy(), func(w *world) {
			w.facts.Findings = []history.ConfigFinding{{Rule: "connect-timeout-long"}}
		}, nil},
		{"something was wrong before: it is not laid at PgCat's door, nor at its config's", stuck("default-shard-missing"), func(w *world) {
			f := w.fails
			w.fails = func(s int, t float64) bool { return f(s, t) || s == 2 && t > 2 && t < 2.3 }
		}, nil},
		{"the fault was never effective: that there was no failover has no cause", stuck("default-shard-missing"), func(w *world) {
			delete(w.marks, history.FaultEffective)
		}, nil},
		{"rules about reading the file again explain nothing where nobody edits it", stuck("autoreload-off"), func(w *world) {
			delete(w.marks, history.FaultEffective)
		}, nil},
	} {
		t.Run(tc.story, func(t *testing.T) {
			if tc.with != nil {
				tc.with(&tc.world)
			}
			got := verdict.Judge(tc.world.history())
			assert.Equal(t, tc.want, report.Cause(got), "%+v", got.Findings)
		})
	}
}

// The table of causes is by name, so that the verdict need not know the linter: a name that is none would never be found.
func TestEveryCauseIsARuleAndEveryCheckIsOne(t *testing.T) {
	var checks []string
	for _, f := range verdict.Judge(healthy().history()).Findings {
		checks = append(checks, f.Check)
	}
	checks = append(checks, "effect") // of scenarios that edit the config
	for check, rules := range verdict.Explains() {
		assert.True(t, slices.Contains(checks, check), "no check %s", check)
		for _, rule := range rules {
			_, ok := lint.Named(rule)
			assert.True(t, ok, "%s: no rule %s", check, rule)
		}
	}
}
