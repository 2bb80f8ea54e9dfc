// Package verdict judges a History. It reads no clock, no network and no cluster: the same history gives
// the same verdict, today and in a year.
package verdict

import (
	"fmt"
	"time"

	"pgcat-failover/steps/history"
)

// Verdict is pass, unknown or fail; the worst wins, and missing evidence is never green.
type Verdict int

// The verdicts, from best to worst.
const (
	Pass Verdict = iota
	Unknown
	Fail
)

var words = [...]string{"pass", "unknown", "fail"}

func (v Verdict) String() string { return words[v] }

// MarshalText writes the word.
func (v Verdict) MarshalText() ([]byte, error) { return []byte(v.String()), nil }

// UnmarshalText reads the word.
func (v *Verdict) UnmarshalText(b []byte) error {
	for i, w := range words {
		if w == string(b) {
			*v = Verdict(i)
			return nil
		}
	}
	return fmt.Errorf("verdict %q is none of pass, unknown, fail", b)
}

// Finding is the outcome of one check.
type Finding struct {
	Check   string  `json:"check"`
	Verdict Verdict `json:"verdict"`
	Want    string  `json:"want"`
	Got     string  `json:"got"`
	Why     string  `json:"why,omitempty"`  // the cause, where it is known
	Mend    string  `json:"mend,omitempty"` // what to do about it
	// Rules are the lint rules that found in the config what explains it.
	Rules []string `json:"rules,omitempty"`
}

// Result is a run, judged.
type Result struct {
	Run       string        `json:"run"`
	Scenario  string        `json:"scenario"`
	Title     string        `json:"title"`
	Claim     string        `json:"claim"`
	Fault     string        `json:"fault,omitempty"`
	Edit      string        `json:"edit,omitempty"`
	Endpoints []string      `json:"endpoints"`
	Verdict   Verdict       `json:"verdict"`
	Findings  []Finding     `json:"findings"`
	Facts     history.Facts `json:"facts"`
	Saw       Saw           `json:"saw"`
}

// Saw is what clients saw, in figures.
type Saw struct {
	// MaxOutage is the longest time in which a client that names no shard had no answer; the true one is
	// shorter by at most Resolution. Zero means that there was none.
	MaxOutage  time.Duration `json:"maxOutageNs"`
	Open       bool          `json:"open,omitempty"` // it had not ended when the probe stopped
	Resolution time.Duration `json:"resolutionNs"`
	Arms       []ArmSaw      `json:"arms"`
	// Times of the run, from the first mark.
	ToEffective time.Duration `json:"toEffectiveNs"`
	ToMounted   time.Duration `json:"toMountedNs,omitempty"` // of an edit: until PgCat's pod had the file
	Held        time.Duration `json:"heldNs"`
	ToRestored  time.Duration `json:"toRestoredNs"`
	Errors      []ErrorCount  `json:"errors,omitempty"`
	// Rises are PgCat's own counts of queries by shard while the fault was effective.
	Rises map[int]float64 `json:"queriesDuring,omitempty"`
}

// ArmSaw is one client's account.
type ArmSaw struct {
	Name    string        `json:"name"`
	Before  Count         `json:"before"`
	During  Count         `json:"during"`
	Whole   Count         `json:"whole"`
	Outage  time.Duration `json:"longestOutageNs"`
	Open    bool          `json:"open,omitempty"`
	Pinned  int           `json:"shard"`
	Broken  bool          `json:"broken"` // it is pinned to a shard whose endpoint was broken
	Missing int           `json:"displaced,omitempty"`
}

// Count of operations.
type Count struct {
	OK     int `json:"ok"`
	Failed int `json:"failed"`
}

// ErrorCount is one text that clients were told, and how often.
type ErrorCount struct {
	Text  string `json:"text"`
	Count int    `json:"count"`
}

// Judge runs every check over the history.
func Judge(h *history.History) Result {
	r := Result{Run: h.Run, Scenario: h.Scenario.Name, Title: h.Scenario.Title, Claim: h.Scenario.Claim,
		Fault: h.Scenario.Fault, Edit: h.Scenario.Edit, Endpoints: h.Scenario.Endpoints, Facts: h.Facts, Saw: see(h)}
	missing := "" // the ground that does not hold
	for _, c := range checks {
		if c.of != nil && !c.of(h.Scenario) {
			continue
		}
		f := c.judge(h)
		f.Check = c.name
		switch {
		case c.ground && f.Verdict != Pass && missing == "":
			missing = c.name
		case !c.ground && f.Verdict == Fail && missing != "":
			f.Verdict, f.Why, f.Mend = Unknown, "not laid at PgCat's door: "+missing+" does not hold", ""
		}
		// Without its ground a check says nothing of PgCat, so no rule of PgCat's config is its cause either.
		if f.Verdict != Pass && (c.ground || missing == "") {
			f.Rules = explaining(h, c.name)
		}
		r.Findings = append(r.Findings, f)
		r.Verdict = max(r.Verdict, f.Verdict)
	}
	return r
}

// Missing is the result of a run that left no history.
func Missing(run, scenario, why string) Result {
	return Result{Run: run, Scenario: scenario, Verdict: Unknown, Findings: []Finding{{
		Check: "evidence", Verdict: Unknown, Want: "a history of the run", Got: "none", Why: why,
		Mend: "look at the log of the step that failed first"}}}
}
