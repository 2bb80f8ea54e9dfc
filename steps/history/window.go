package history

import "time"

// Window is a span of the run. Windows are derived from marks, never configured.
type Window struct{ From, To time.Time }

// Empty tells whether the marks that would bound the window were never made.
func (w Window) Empty() bool { return w.From.IsZero() || w.To.IsZero() || !w.To.After(w.From) }

// Length of the window; 0 if it is empty.
func (w Window) Length() time.Duration {
	if w.Empty() {
		return 0
	}
	return w.To.Sub(w.From)
}

// Contains tells whether the span from a to b lies wholly in the window.
func (w Window) Contains(a, b time.Time) bool {
	return !w.Empty() && !a.Before(w.From) && !b.After(w.To)
}

// window spans two marks. Two clocks saw each; a window starts at the later reading and ends at the
// earlier one, so that what lies in it lies in it by either.
func (h *History) window(from, to MarkName) Window {
	f, okF := h.Mark(from)
	t, okT := h.Mark(to)
	if !okF || !okT {
		return Window{}
	}
	return Window{From: f.late(), To: t.early()}
}

// Before is the span in which nothing was broken yet and every client was being served.
func (h *History) Before() Window { return h.window(BaselineReady, FaultRequested) }

// During is the span in which the fault was proved effective.
func (h *History) During() Window { return h.window(FaultEffective, RestoreRequested) }

// After is the span from the proof that everything is back until the probe stopped.
func (h *History) After() Window {
	m, ok := h.Mark(RestoreEffective)
	if !ok {
		return Window{}
	}
	return Window{From: m.late(), To: h.End}
}

// Whole is the span from the end of the baseline's start to the end of the probe: every consequence
// of the fault lies in it.
func (h *History) Whole() Window {
	m, ok := h.Mark(BaselineReady)
	if !ok {
		return Window{}
	}
	return Window{From: m.late(), To: h.End}
}
