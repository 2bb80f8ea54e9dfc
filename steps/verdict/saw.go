package verdict

import (
	"cmp"
	"slices"
	"time"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/pooler/pgcat"
)

func everyone(history.Arm) bool { return true }

func unpinned(a history.Arm) bool { return a.Shard == history.Unpinned }

// pinnedTo picks the arms that are pinned to a shard whose endpoint was broken, or to one whose was not.
func pinnedTo(h *history.History, broken bool) func(history.Arm) bool {
	return func(a history.Arm) bool { return !unpinned(a) && isBroken(h, a.Shard) == broken }
}

func isBroken(h *history.History, shard int) bool {
	for _, s := range h.Facts.Shards {
		if s.Index == shard {
			return h.Scenario.Breaks(s.Endpoint)
		}
	}
	return false
}

// slack is how long an arm may go without a success before it counts as an outage although nothing failed.
func slack(h *history.History) time.Duration {
	return max(3*h.Scenario.Interval(), 500*time.Millisecond)
}

func see(h *history.History) Saw {
	s := Saw{Resolution: 2 * h.Scenario.Interval(), Rises: map[int]float64{}}
	if o, ok := h.LongestOutage(h.Whole(), slack(h), unpinned); ok {
		s.MaxOutage, s.Open = o.Length(), o.Open
	}
	s.ToEffective = between(h, history.FaultRequested, history.FaultEffective)
	s.ToMounted = between(h, history.FaultRequested, history.ConfigMounted)
	s.Held = h.During().Length()
	s.ToRestored = between(h, history.RestoreRequested, history.RestoreEffective)
	for i, a := range h.Arms {
		s.Arms = append(s.Arms, seeArm(h, i, a))
	}
	for text, n := range h.Tally(h.Whole(), everyone).ByText {
		s.Errors = append(s.Errors, ErrorCount{Text: text, Count: n})
	}
	slices.SortFunc(s.Errors, func(a, b ErrorCount) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Text, b.Text))
	})
	for _, sh := range h.Facts.Shards {
		if rise, ok := h.Rise(h.During(), pgcat.Series("stats_total_query_count", sh.Index)); ok {
			s.Rises[sh.Index] = rise
		}
	}
	return s
}

func seeArm(h *history.History, i int, a history.Arm) ArmSaw {
	only := func(b history.Arm) bool { return b == a }
	out := ArmSaw{Name: a.Name, Pinned: a.Shard, Broken: !unpinned(a) && isBroken(h, a.Shard)}
	for _, w := range []struct {
		window history.Window
		count  *Count
	}{{h.Before(), &out.Before}, {h.During(), &out.During}, {h.Whole(), &out.Whole}} {
		t := h.Tally(w.window, only)
		*w.count = Count{OK: t.OK, Failed: t.Failed}
	}
	if o, ok := h.LongestOutage(h.Whole(), slack(h), only); ok {
		out.Outage, out.Open = o.Length(), o.Open
	}
	for _, s := range h.ArmSamples(i) {
		out.Missing += s.Missed
	}
	return out
}

// between is the time from one mark to another, both on the clock of the step that made them.
func between(h *history.History, from, to history.MarkName) time.Duration {
	f, okF := h.Mark(from)
	t, okT := h.Mark(to)
	if !okF || !okT {
		return 0
	}
	return t.At.Sub(f.At)
}
