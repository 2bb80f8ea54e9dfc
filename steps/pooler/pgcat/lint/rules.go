package lint

import (
	"slices"

	"github.com/xrash/smetrics"
)

// Rule is one thing that can be wrong with a pgcat.toml.
type Rule struct {
	ID       string
	Severity Severity
	What     string
	Why      string
	Failover string // what happens in one
	Mend     string
	Exit     int // PgCat's exit code, for what keeps it from starting
	check    func(*document) []hit
}

// rules is the list of all rules, in the order of the documentation: what keeps PgCat from starting, what costs
// clients something in a failover, what is worth knowing.
var rules = slices.Concat(refusals, traps, notes)

// Rules is the list of all rules.
func Rules() []Rule { return slices.Clone(rules) }

// Named finds a rule.
func Named(id string) (Rule, bool) {
	i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id })
	if i < 0 {
		return Rule{}, false
	}
	return rules[i], true
}

// NearestRule is the rule whose name is most like the given one.
func NearestRule(id string) string {
	best, distance := "", -1
	for _, r := range rules {
		if d := smetrics.WagnerFischer(id, r.ID, 1, 1, 1); distance < 0 || d < distance {
			best, distance = r.ID, d
		}
	}
	return best
}

// Exit codes of PgCat: EX_CONFIG for what it refuses, Rust's own for a panic.
const (
	refused = 78
	panics  = 101
)

const noStart = "A pod that restarts in the middle of a failover stays down; a PgCat that runs keeps its old config and says so in its log only."
