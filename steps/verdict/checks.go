package verdict

import (
	"fmt"
	"strings"
	"time"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/scenario"
)

type check struct {
	name string
	// ground is what the others stand on: where it does not hold there was no experiment, and what they find
	// cannot be laid at PgCat's door.
	ground bool
	judge  func(*history.History) Finding
	// of tells whether the scenario claims what the check looks at; nil: every scenario does.
	of func(scenario.Scenario) bool
}

// cuts: a scenario in which endpoints are lost.
func cuts(s scenario.Scenario) bool { return len(s.Endpoints) > 0 }

// checks in the order in which a reader asks: can this be trusted, what was claimed, did it hold.
var checks = []check{
	{"evidence", true, evidence, nil},
	{"healthy-before", true, healthyBefore, nil},
	{"broken", true, broken, cuts},
	{"effect", false, effect, scenario.Scenario.Edits},
	{"exposed", false, exposed, cuts},
	{"survivors", false, survivors, nil},
	{"failover", false, failover, nil},
	{"failures", false, failures, nil},
	{"counters", false, counters, nil},
	{"recovered", false, recovered, nil},
	{"rejoined", false, rejoined, cuts},
}

// minPerWindow is how many operations an arm must have in a window for it to prove anything.
const minPerWindow = 5

// evidence: every mark was made, and every client tried often enough before the fault and while it held.
func evidence(h *history.History) Finding {
	f := Finding{Want: "all five marks, and operations of every client before the fault and while it held"}
	if m, ok := h.Mark(history.Aborted); ok {
		f.Verdict, f.Got, f.Why = Unknown, "the run was given up", m.Note
		return f
	}
	var missing []string
	for _, n := range []history.MarkName{history.BaselineReady, history.FaultRequested, history.FaultEffective, history.RestoreRequested, history.RestoreEffective} {
		if _, ok := h.Mark(n); !ok {
			missing = append(missing, string(n))
		}
	}
	if len(missing) > 0 {
		f.Verdict, f.Got = Unknown, "no mark "+strings.Join(missing, ", ")
		f.Mend = "look at the log of the step that makes it; run `failover restore` if anything is broken"
		return f
	}
	for i, a := range h.Arms {
		if thin := tooFew(h, i); thin != "" {
			f.Verdict, f.Got, f.Mend = Unknown, a.Name+" has too few operations "+thin, "hold the fault longer (parameter hold), or raise the rate"
			return f
		}
	}
	f.Got = fmt.Sprintf("%d operations, %d scrapes, fault effective for %s", h.Tally(h.Whole(), everyone).Total(), len(h.Scrapes), seconds(h.During().Length()))
	return f
}

// tooFew names the window in which an arm has too few operations. One that waits for PgCat through the whole window
// has few because it was not served, which is an outage and not a lack of evidence: overlap counts.
func tooFew(h *history.History, arm int) string {
	for _, w := range []struct {
		name   string
		window history.Window
	}{{"before the fault", h.Before()}, {"while the fault held", h.During()}} {
		n := 0
		for _, s := range h.ArmSamples(arm) {
			if h.Time(s.End).After(w.window.From) && h.Time(s.Start).Before(w.window.To) {
				n += s.Count() + s.Missed
			}
		}
		if n < minPerWindow {
			return w.name
		}
	}
	return ""
}

// healthyBefore: nothing failed while nothing was broken.
func healthyBefore(h *history.History) Finding {
	t := h.Tally(h.Before(), everyone)
	f := Finding{Want: "every client served before anything was broken", Got: fmt.Sprintf("%d of %d operations served", t.OK, t.Total())}
	switch {
	case t.Total() == 0:
		f.Verdict = Unknown
	case t.Failed > 0:
		f.Verdict, f.Why = Unknown, "something else was wrong before the fault: "+most(t)
		f.Mend = "look at PgCat's log from before the fault, and run again"
	}
	return f
}

// exposed: the endpoint that was broken carried queries of clients that name no shard. Where it carried none, that
// they did not notice its loss proves nothing.
func exposed(h *history.History) Finding {
	f := Finding{Want: "each endpoint to be broken served clients that name no shard before the fault"}
	w := h.Before()
	var got, idle []string
	for _, sh := range h.Facts.Shards {
		if !h.Scenario.Breaks(sh.Endpoint) {
			continue
		}
		n, ok := unpinnedQueries(h, w, sh.Index)
		if !ok {
			f.Verdict, f.Got = Unknown, fmt.Sprintf("too few scrapes of shard %d", sh.Index)
			f.Why = scrapeTrouble(h)
			return f
		}
		got = append(got, fmt.Sprintf("shard %d (%s) answered about %d of their queries", sh.Index, sh.Endpoint, n))
		if n < minPerWindow {
			idle = append(idle, sh.Endpoint)
		}
	}
	f.Got = strings.Join(got, ", ")
	if len(idle) > 0 {
		f.Verdict = Unknown
		f.Why = fmt.Sprintf("PgCat sent %s none of them (%s), so their not noticing its loss proves nothing", strings.Join(idle, " and "), defaultShard(h))
		f.Mend = mendDefaultShard(h)
	}
	return f
}

// unpinnedQueries is PgCat's count for the shard less the operations of the clients that are pinned to it.
func unpinnedQueries(h *history.History, w history.Window, shard int) (int, bool) {
	rise, ok := h.Rise(w, pgcat.Series("stats_total_query_count", shard))
	if !ok {
		return 0, false
	}
	var scraped history.Window
	for _, s := range h.Scrapes {
		if !w.Contains(s.At, s.At) || s.Err != "" {
			continue
		}
		if scraped.From.IsZero() {
			scraped.From = s.At
		}
		scraped.To = s.At
	}
	pinned := h.Tally(scraped, func(a history.Arm) bool { return a.Shard == shard })
	return max(0, int(rise)-pinned.OK), true
}

// broken: clients pinned to a broken shard were not served while the fault held, else it was no fault.
func broken(h *history.History) Finding {
	t := h.Tally(h.During(), pinnedTo(h, true))
	f := Finding{Want: "clients pinned to " + list(h) + " not served while it was cut", Got: fmt.Sprintf("%d served, %d failed", t.OK, t.Failed)}
	switch {
	case h.During().Empty():
		f.Verdict, f.Got = Unknown, "the fault was never effective"
	case t.OK > 0:
		f.Verdict = Unknown
		f.Why = "the fault did not take hold, so nothing can be said of PgCat"
		f.Mend = "see whether something else gives the pod its label back"
	}
	return f
}

// effect: PgCat went by the edited file, or refused it, in time. The edit step proves that it did; how long it took is
// read off the marks, all on that step's clock.
func effect(h *history.History) Finding {
	limit := h.Scenario.Expect.MaxEffect.Std()
	f := Finding{Want: fmt.Sprintf("the edit in effect within %s of writing the Secret", seconds(limit))}
	m, ok := h.Mark(history.FaultEffective)
	if !ok {
		f.Verdict, f.Got = Unknown, "it was never in effect"
		return f
	}
	took := between(h, history.FaultRequested, history.FaultEffective)
	f.Got = fmt.Sprintf("after %s, of which %s until the pod had the file (%s)", seconds(took),
		seconds(between(h, history.FaultRequested, history.ConfigMounted)), learned(h.Scenario.Reload))
	if took > limit {
		f.Verdict, f.Why = Fail, m.Note
	}
	return f
}

func learned(r scenario.Reload) string {
	if r == scenario.ByCommand {
		return "the kubelet nudged, PgCat told to RELOAD"
	}
	return "the kubelet at its own pace, PgCat by autoreload"
}

// survivors: clients pinned to the other shards were served all along.
func survivors(h *history.History) Finding {
	// No failure, and no wait that a client without a shard would not be allowed: shorter ones are the machine's.
	w, limit := h.Whole(), h.Scenario.Expect.MaxOutage.Std()
	t := h.Tally(w, pinnedTo(h, false))
	d := h.Tally(h.During(), pinnedTo(h, false))
	f := Finding{Want: fmt.Sprintf("clients pinned to %s served throughout: no failure, and no wait over %s", others(h), seconds(limit)),
		Got: fmt.Sprintf("%d served, %d failed; while the fault held %d and %d", t.OK, t.Failed, d.OK, d.Failed)}
	if h.Facts.RestartsPostgres {
		limit = h.Scenario.Expect.Restart()
		f.Want = fmt.Sprintf("clients pinned to the other shards served again within %s of each restart of Postgres", seconds(limit))
	}
	o, _ := h.LongestOutage(w, slack(h), pinnedTo(h, false))
	switch {
	case d.Total() == 0 && h.Facts.RestartsPostgres && o.Length() > 0 && !o.Open:
	case d.Total() == 0:
		f.Verdict = Unknown
	case d.OK == 0:
		f.Verdict = Fail
	case t.Failed > 0 && !h.Facts.RestartsPostgres:
		f.Verdict, f.Why = Fail, "they were told: "+most(t)
	case o.Length() > limit:
		f.Verdict = Fail
		f.Got += fmt.Sprintf("; %s had no answer for %s", o.Arm, seconds(o.Length()))
	}
	return f
}

// failover: clients that name no shard were without an answer for no longer than the limit.
func failover(h *history.History) Finding {
	limit := h.Scenario.Expect.MaxOutage.Std()
	if h.Facts.RestartsPostgres {
		limit = h.Scenario.Expect.Restart()
	}
	f := Finding{Want: fmt.Sprintf("clients that name no shard never without an answer for more than %s", seconds(limit))}
	w := h.Whole()
	if w.Empty() || h.During().Empty() {
		f.Verdict, f.Got = Unknown, "the fault was never effective"
		return f
	}
	o, had := h.LongestOutage(w, slack(h), unpinned)
	if !had {
		f.Got = "no outage, and no failure"
		return f
	}
	f.Got = fmt.Sprintf("%s: %s without an answer (-%s/+0), %d failures in it", o.Arm, seconds(o.Length()), seconds(2*h.Scenario.Interval()), o.Failures)
	if o.Open {
		f.Got += ", and still none at the end"
	}
	if o.Length() > limit || o.Open {
		f.Verdict = Fail
		f.Why, f.Mend = cause(h)
	}
	return f
}

// failures: clients that name no shard were told no more errors than the limit.
func failures(h *history.History) Finding {
	limit := h.Scenario.Expect.MaxFailures
	t := h.Tally(h.Whole(), unpinned)
	f := Finding{Want: fmt.Sprintf("at most %d operations of clients that name no shard fail", limit), Got: fmt.Sprintf("%d of %d failed", t.Failed, t.Total())}
	switch {
	case t.Total() == 0:
		f.Verdict = Unknown
	case t.Failed > 0 && h.Facts.RestartsPostgres:
		f.Got += " (not judged: Postgres itself restarted)"
	case t.Failed > limit:
		f.Verdict = Fail
		f.Why, f.Mend = cause(h)
		f.Why = strings.TrimSpace("they were told: " + most(t) + ". " + f.Why)
	}
	return f
}

// counters: PgCat's own counters tell the same story: no query on a broken shard, and some on every other.
func counters(h *history.History) Finding {
	f := Finding{Want: "by PgCat's own counters the cut shards answered no query while the fault held, and the others did"}
	if !cuts(h.Scenario) {
		f.Want = "by PgCat's own counters every shard answered queries while the edit held"
	}
	var got []string
	for _, sh := range h.Facts.Shards {
		rise, ok := h.Rise(h.During(), pgcat.Series("stats_total_query_count", sh.Index))
		if !ok {
			f.Verdict, f.Got, f.Why = Unknown, fmt.Sprintf("too few scrapes of shard %d", sh.Index), scrapeTrouble(h)
			return f
		}
		got = append(got, fmt.Sprintf("shard %d +%d", sh.Index, int(rise)))
		cut := h.Scenario.Breaks(sh.Endpoint)
		if cut && rise > 0 || !cut && rise == 0 {
			f.Verdict = Fail
		}
	}
	f.Got = strings.Join(got, ", ")
	if len(got) == 0 {
		f.Verdict, f.Got = Unknown, "no shards are known"
	}
	return f
}

// recovered: after the restore every client is served again, in time, and stays so.
func recovered(h *history.History) Finding {
	limit := h.Scenario.Expect.MaxRecovery.Std()
	if h.Facts.RestartsPostgres {
		limit = h.Scenario.Expect.Restart()
	}
	f := Finding{Want: fmt.Sprintf("every client served again within %s of the request to restore, and at the end", seconds(limit))}
	m, ok := h.Mark(history.RestoreRequested)
	if !ok || h.After().Empty() {
		f.Verdict, f.Got = Unknown, "the restore was not seen"
		return f
	}
	var slowest time.Duration
	for i, a := range h.Arms {
		at, ok := h.FirstSuccess(i, m.At)
		if !ok {
			f.Verdict, f.Got = Fail, a.Name+" was never served again"
			return f
		}
		if d := at.Sub(m.At); d > slowest {
			slowest = d
			f.Got = fmt.Sprintf("the last was %s, after %s", a.Name, seconds(d))
		}
		samples := h.ArmSamples(i)
		if last := samples[len(samples)-1]; last.Outcome != history.OK {
			f.Verdict, f.Got = Fail, a.Name+" fails again at the end: "+h.Text(last)
			return f
		}
	}
	if slowest > limit {
		f.Verdict = Fail
	}
	return f
}

// rejoined tells whether clients that name no shard came back to the shards that were cut. It is told and not judged:
// with random_healthy PgCat sends nobody to a shard that failed once until a client that is pinned to it succeeds
// (src/pool.rs:756-792), and the probe's own pinned clients do. Time alone, and ban_time, bring nothing back.
func rejoined(h *history.History) Finding {
	f := Finding{Want: "told, not judged: whether clients that name no shard use the cut shards again"}
	var got []string
	for _, sh := range h.Facts.Shards {
		if !h.Scenario.Breaks(sh.Endpoint) {
			continue
		}
		n, ok := unpinnedQueries(h, h.After(), sh.Index)
		switch {
		case !ok:
			got = append(got, fmt.Sprintf("shard %d: too few scrapes to tell", sh.Index))
		case n < minPerWindow:
			got = append(got, fmt.Sprintf("shard %d: no, within %s", sh.Index, seconds(h.After().Length())))
		default:
			got = append(got, fmt.Sprintf("shard %d: yes, about %d queries", sh.Index, n))
		}
	}
	f.Got = strings.Join(got, ", ")
	if h.Facts.DefaultShard == "random_healthy" && !h.Scenario.Edits() { // a reload forgets what failed
		f.Got += " (the probe's pinned clients brought it back; without one PgCat leaves a shard that failed aside)"
	}
	return f
}
