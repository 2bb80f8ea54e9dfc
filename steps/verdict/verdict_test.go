package verdict_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/verdict"
)

var base = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a made-up run: what each client saw at each moment, and where PgCat sent the clients that name no shard.
type world struct {
	scenario scenario.Scenario
	facts    history.Facts
	marks    map[history.MarkName]float64 // seconds
	end      float64
	// fails tells whether an operation of a client of that shard (or Unpinned) fails at t.
	fails func(shard int, t float64) bool
	// silent tells whether such a client waits at t: it has no sample at all.
	silent func(shard int, t float64) bool
	// to is the shard that PgCat sends the k-th operation of an unpinned client to at t.
	to func(k int, t float64) int
}

// healthy is a run of the scenario primary as it should be: shard 0 is cut from 6 s to 21 s, its pinned clients fail
// until 22 s, the others never do.
func healthy() world {
	return world{
		scenario: scenario.Scenario{Name: "primary", Fault: "endpoint-label", Endpoints: []string{"primary"}, Rate: 10,
			Expect: scenario.Expect{MaxOutage: scenario.Duration(8 * time.Second), MaxFailures: 5, MaxRecovery: scenario.Duration(5 * time.Second)}},
		facts: history.Facts{Pool: "postgres", DefaultShard: "random_healthy", ConnectTimeout: "5000ms", Shards: []history.Shard{
			{Index: 0, Endpoint: "primary"}, {Index: 1, Endpoint: "secondary"}, {Index: 2, Endpoint: "tertiary"}}},
		marks: map[history.MarkName]float64{history.BaselineReady: 0, history.FaultRequested: 5, history.FaultEffective: 6,
			history.RestoreRequested: 21, history.RestoreEffective: 22},
		end:   27,
		fails: func(shard int, t float64) bool { return shard == 0 && t > 5.5 && t < 21.5 },
		to: func(k int, t float64) int {
			if t > 5.2 && t < 21.5 {
				return 1 + k%2
			}
			return k % 3
		},
	}
}

func (w world) history() *history.History {
	h := &history.History{Format: history.Format, Run: "r", Scenario: w.scenario, Facts: w.facts, Base: base,
		End: base.Add(time.Duration(w.end * float64(time.Second))), Texts: []string{"AllServersDown"}}
	for name, s := range w.marks {
		h.Marks = append(h.Marks, history.Mark{Name: name, At: base.Add(time.Duration(s * float64(time.Second)))})
	}
	counts := map[int]float64{}
	h.Arms = []history.Arm{{Name: "unpinned", Shard: history.Unpinned}}
	for i := range 3 {
		h.Arms = append(h.Arms, history.Arm{Name: fmt.Sprintf("shard %d", i), Shard: i})
	}
	for k := 0; float64(k)*0.1 < w.end; k++ {
		t := float64(k) * 0.1
		for i, a := range h.Arms {
			if w.silent != nil && w.silent(a.Shard, t) {
				continue
			}
			us := int64(k) * 100_000
			s := history.Sample{Arm: i, Seq: k, Start: us, End: us + 5_000, Outcome: history.OK}
			switch {
			case w.fails(a.Shard, t):
				s.Outcome, s.SQLSTATE, s.Text = history.Refused, "58000", 1
			case a.Shard == history.Unpinned:
				counts[w.to(k, t)]++
			default:
				counts[a.Shard]++
			}
			h.Samples = append(h.Samples, s)
		}
		if k%5 == 4 {
			values := map[string]float64{}
			for i := range 3 {
				values[fmt.Sprintf("stats_total_query_count/%d", i)] = counts[i]
			}
			h.Scrapes = append(h.Scrapes, history.Scrape{At: base.Add(time.Duration(k)*100*time.Millisecond + 50*time.Millisecond), Values: values})
		}
	}
	return h
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		story string
		world func(*world)
		want  verdict.Verdict
		check string // the finding that says so
		says  string // in its got, why or mend
	}{
		{"all as it should be", func(*world) {}, verdict.Pass, "", ""},
		{"the seed's own config has no default_shard: everybody is sent to the cut shard", func(w *world) {
			w.facts.DefaultShard = ""
			w.to = func(int, float64) int { return 0 }
			w.fails = func(s int, t float64) bool { return s <= 0 && t > 5.5 && t < 21.5 }
		}, verdict.Fail, "failover", "default-shard-missing"},
		{"and its failures are told too, with the mend", func(w *world) {
			w.facts.DefaultShard = ""
			w.to = func(int, float64) int { return 0 }
			w.fails = func(s int, t float64) bool { return s <= 0 && t > 5.5 && t < 21.5 }
		}, verdict.Fail, "failures", `set default_shard = "random_healthy"`},
		{"without default_shard the loss of a shard that nobody used proves nothing", func(w *world) {
			w.facts.DefaultShard = ""
			w.scenario.Endpoints = []string{"secondary"}
			w.to = func(int, float64) int { return 0 }
			w.fails = func(s int, t float64) bool { return s == 1 && t > 5.5 && t < 21.5 }
		}, verdict.Unknown, "exposed", "proves nothing"},
		{"the fault did not take hold: not green, whatever clients saw", func(w *world) {
			w.fails = func(int, float64) bool { return false }
		}, verdict.Unknown, "broken", "did not take hold"},
		{"something was wrong before anything was broken", func(w *world) {
			f := w.fails
			w.fails = func(s int, t float64) bool { return f(s, t) || s == 2 && t > 2 && t < 2.3 }
		}, verdict.Unknown, "healthy-before", "AllServersDown"},
		{"a shard that was not cut failed too", func(w *world) {
			f := w.fails
			w.fails = func(s int, t float64) bool { return f(s, t) || s == 2 && t > 12 && t < 13 }
		}, verdict.Fail, "survivors", "AllServersDown"},
		{"a shard that was not cut kept its clients waiting, without a failure", func(w *world) {
			w.scenario.Rate = 10
			w.scenario.Expect.MaxOutage = scenario.Duration(time.Second)
			w.silent = func(s int, t float64) bool { return s == 2 && t > 12 && t < 14 }
		}, verdict.Fail, "survivors", "shard 2 had no answer for 2."},
		{"failover took longer than the limit", func(w *world) {
			f := w.fails
			w.fails = func(s int, t float64) bool { return f(s, t) || s == history.Unpinned && t > 5.5 && t < 15 }
		}, verdict.Fail, "failover", "9."},
		{"short, but too many errors", func(w *world) {
			f := w.fails
			w.fails = func(s int, t float64) bool { return f(s, t) || s == history.Unpinned && t > 5.5 && t < 6.5 }
		}, verdict.Fail, "failures", "9 of"},
		{"PgCat's counters contradict the clients", func(w *world) {
			w.to = func(k int, _ float64) int { return k % 3 }
		}, verdict.Fail, "counters", "shard 0 +"},
		{"clients of the cut shard do not come back", func(w *world) {
			w.fails = func(s int, t float64) bool { return s == 0 && t > 5.5 }
		}, verdict.Fail, "recovered", "never served again"},
		{"they come back late", func(w *world) {
			w.fails = func(s int, t float64) bool { return s == 0 && t > 5.5 && t < 26.5 }
		}, verdict.Fail, "recovered", "after 5.5 s"},
		{"nobody said that the fault was effective", func(w *world) {
			delete(w.marks, history.FaultEffective)
		}, verdict.Unknown, "evidence", "fault-effective"},
		{"the run was given up", func(w *world) {
			w.marks[history.Aborted] = 5.5
		}, verdict.Unknown, "evidence", "given up"},
		{"the fault held too short to tell", func(w *world) {
			w.marks[history.RestoreRequested], w.marks[history.RestoreEffective] = 6.2, 7
		}, verdict.Unknown, "evidence", "hold"},
		{"Postgres restarted: everybody dropped, and that is not PgCat's failure", func(w *world) {
			w.facts.RestartsPostgres = true
			w.fails = func(s int, t float64) bool {
				return s == 0 && t > 5 && t < 25 || t > 5 && t < 6 || t > 21 && t < 25
			}
		}, verdict.Pass, "", ""},
	} {
		t.Run(tc.story, func(t *testing.T) {
			w := healthy()
			tc.world(&w)
			got := verdict.Judge(w.history())
			require.Equal(t, tc.want, got.Verdict, "%+v", got.Findings)
			if tc.check == "" {
				return
			}
			for _, f := range got.Findings {
				if f.Check == tc.check {
					assert.Equal(t, tc.want, f.Verdict)
					assert.Contains(t, f.Got+" "+f.Why+" "+f.Mend, tc.says)
					return
				}
			}
			t.Fatalf("no check %s", tc.check)
		})
	}
}

// edited is a run of config-pool-size as it should be: PgCat's pod has the file after 1 s, PgCat goes by it after 2 s.
func edited() world {
	w := healthy()
	w.scenario = scenario.Scenario{Name: "config-pool-size", Edit: "pool-size", Reload: scenario.ByCommand, Rate: 10, Expect: scenario.Expect{
		MaxOutage: scenario.Duration(2 * time.Second), MaxRecovery: scenario.Duration(5 * time.Second), MaxEffect: scenario.Duration(30 * time.Second)}}
	w.marks = map[history.MarkName]float64{history.BaselineReady: 0, history.FaultRequested: 5, history.ConfigMounted: 6,
		history.FaultEffective: 7, history.RestoreRequested: 21, history.RestoreEffective: 22}
	w.fails = func(int, float64) bool { return false }
	w.to = func(k int, _ float64) int { return k % 3 }
	return w
}

func TestJudgeAnEdit(t *testing.T) {
	for _, tc := range []struct {
		story string
		world func(*world)
		want  verdict.Verdict
		check string
		says  string
	}{
		{"nobody sees anything of it", func(*world) {}, verdict.Pass, "effect", "after 2.0 s, of which 1.0 s until the pod had the file"},
		{"it took too long", func(w *world) {
			w.scenario.Expect.MaxEffect = scenario.Duration(time.Second)
		}, verdict.Fail, "effect", "after 2.0 s"},
		{"PgCat never took it", func(w *world) {
			delete(w.marks, history.FaultEffective)
		}, verdict.Unknown, "effect", "never in effect"},
		{"a client was told an error", func(w *world) {
			w.fails = func(s int, t float64) bool { return s == history.Unpinned && t > 6.9 && t < 7.05 }
		}, verdict.Fail, "failures", "1 of"},
		{"a pinned client was told one", func(w *world) {
			w.fails = func(s int, t float64) bool { return s == 1 && t > 6.9 && t < 7.05 }
		}, verdict.Fail, "survivors", "each shard"},
		{"clients had to wait while pools were built anew", func(w *world) {
			w.silent = func(s int, t float64) bool { return s == history.Unpinned && t > 7 && t < 10 }
		}, verdict.Fail, "failover", "3.0 s without an answer"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			w := edited()
			tc.world(&w)
			got := verdict.Judge(w.history())
			require.Equal(t, tc.want, got.Verdict, "%+v", got.Findings)
			for _, f := range got.Findings {
				assert.NotContains(t, []string{"broken", "exposed", "rejoined"}, f.Check, "no endpoint is lost: there is nothing to look at")
				if f.Check == tc.check {
					assert.Contains(t, f.Got+" "+f.Want, tc.says)
					assert.Equal(t, tc.want, f.Verdict)
				}
			}
		})
	}
}

func TestARunWithoutScrapesIsNotGreen(t *testing.T) {
	h := healthy().history()
	for i := range h.Scrapes {
		h.Scrapes[i] = history.Scrape{At: h.Scrapes[i].At, Err: "connection refused"}
	}
	got := verdict.Judge(h)
	assert.Equal(t, verdict.Unknown, got.Verdict)
}

func TestARunWithoutAHistoryIsNotGreen(t *testing.T) {
	assert.Equal(t, verdict.Unknown, verdict.Missing("r", "primary", "nothing").Verdict)
}

func TestTheSameHistoryGivesTheSameVerdict(t *testing.T) {
	h := healthy().history()
	data, err := h.Encode()
	require.NoError(t, err)
	again, err := history.Decode(data)
	require.NoError(t, err)
	assert.Equal(t, verdict.Judge(h), verdict.Judge(again))
}
