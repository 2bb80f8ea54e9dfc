package history

import (
	"slices"
	"time"
)

// ArmSamples are the samples of one arm, by time.
func (h *History) ArmSamples(arm int) []Sample {
	var out []Sample
	for _, s := range h.Samples {
		if s.Arm == arm {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b Sample) int { return int(a.Start - b.Start) })
	return out
}

// Tally counts the operations of one or more arms within a window.
type Tally struct {
	OK, Failed int
	ByText     map[string]int // failures by what the client was told
}

// Total is how many operations there were.
func (t Tally) Total() int { return t.OK + t.Failed }

// Tally counts the operations of the arms that chosen picks: those that started and ended in the window.
func (h *History) Tally(w Window, chosen func(Arm) bool) Tally {
	t := Tally{ByText: map[string]int{}}
	for _, s := range h.Samples {
		if !chosen(h.Arms[s.Arm]) || !w.Contains(h.Time(s.Start), h.Time(s.End)) {
			continue
		}
		if s.Outcome == OK {
			t.OK += s.Count()
			continue
		}
		t.Failed++
		t.ByText[h.describe(s)]++
	}
	return t
}

func (h *History) describe(s Sample) string {
	text := h.Text(s)
	if text == "" {
		text = string(s.Outcome)
	}
	if s.SQLSTATE != "" {
		text = s.SQLSTATE + " " + text
	}
	return text
}

// Outage is a span in which an arm had no success: from the end of its last one to the end of the next.
type Outage struct {
	Arm      string
	From, To time.Time
	Failures int
	Open     bool // no success came any more
}

// Length of the outage. The true one is at most this, and shorter by two intervals of the probe at most.
func (o Outage) Length() time.Duration { return o.To.Sub(o.From) }

// Outages lists the spans without a success of one arm that end after w.From and begin before w.To: those with
// a failure in them, and those that are longer than slack although nothing failed.
func (h *History) Outages(arm int, w Window, slack time.Duration) []Outage {
	if w.Empty() {
		return nil
	}
	var out []Outage
	last, failures := w.From, 0
	add := func(to time.Time, open bool) {
		if to.Before(w.From) || last.After(w.To) {
			return
		}
		if failures > 0 || to.Sub(last) > slack {
			out = append(out, Outage{Arm: h.Arms[arm].Name, From: last, To: to, Failures: failures, Open: open})
		}
	}
	for _, s := range h.ArmSamples(arm) {
		if h.Time(s.End).Before(w.From) {
			last = h.Time(s.End)
			continue
		}
		if h.Time(s.Start).After(w.To) {
			break
		}
		if s.Outcome != OK {
			failures++
			continue
		}
		add(h.Time(s.firstEnd()), false)
		last, failures = h.Time(s.End), 0
	}
	if w.To.After(last) {
		add(w.To, true)
	}
	return out
}

// LongestOutage is the longest of the arms that chosen picks; ok is false if there was none.
func (h *History) LongestOutage(w Window, slack time.Duration, chosen func(Arm) bool) (longest Outage, ok bool) {
	for i, a := range h.Arms {
		if !chosen(a) {
			continue
		}
		for _, o := range h.Outages(i, w, slack) {
			if !ok || o.Length() > longest.Length() {
				longest, ok = o, true
			}
		}
	}
	return longest, ok
}

// FirstSuccess is the end of the first operation of the arm that started at or after t and succeeded.
func (h *History) FirstSuccess(arm int, t time.Time) (time.Time, bool) {
	for _, s := range h.ArmSamples(arm) {
		if s.Outcome == OK && !h.Time(s.Start).Before(t) {
			return h.Time(s.firstEnd()), true
		}
	}
	return time.Time{}, false
}

// Thin merges runs of successes of one arm into samples that span at most interval each. Failures, and the
// successes on either side of a gap longer than maxGap, are kept as they are, so no outage changes by it.
func (h *History) Thin(interval, maxGap time.Duration) {
	var out []Sample
	for arm := range h.Arms {
		out = append(out, thin(h.ArmSamples(arm), interval.Microseconds(), maxGap.Microseconds())...)
	}
	h.Samples = out
}

func thin(in []Sample, interval, maxGap int64) []Sample {
	var out []Sample
	for _, s := range in {
		if len(out) > 0 {
			p := &out[len(out)-1]
			if p.Outcome == OK && s.Outcome == OK && s.firstEnd()-p.End <= maxGap && s.End-p.Start <= interval {
				p.FirstEnd = p.firstEnd()
				p.N = p.Count() + s.Count()
				p.End, p.Missed = s.End, p.Missed+s.Missed
				continue
			}
		}
		out = append(out, s)
	}
	return out
}

// Rise is how much a counter of PgCat rose between the first and the last scrape within the window; ok is
// false with fewer than two scrapes that have it. A counter that fell was reset with PgCat: it counts from 0.
func (h *History) Rise(w Window, series string) (rise float64, ok bool) {
	var last float64
	n := 0
	for _, s := range h.Scrapes {
		v, has := s.Values[series]
		if !has || !w.Contains(s.At, s.At) {
			continue
		}
		switch {
		case n == 0:
		case v < last:
			rise += v
		default:
			rise += v - last
		}
		last = v
		n++
	}
	return rise, n >= 2
}
