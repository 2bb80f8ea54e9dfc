package history_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/scenario"
)

var base = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func at(s float64) time.Time { return base.Add(time.Duration(s * float64(time.Second))) }

// story makes one arm's samples from a line: a dot is a success, an x a failure, a space nothing; 100 ms a letter,
// each operation takes 10 ms.
func story(line string) *history.History {
	h := &history.History{Format: history.Format, Base: base, Arms: []history.Arm{{Name: "client", Shard: history.Unpinned}},
		Scenario: scenario.Scenario{Rate: 10}, Texts: []string{"AllServersDown"}}
	for i, c := range line {
		start := int64(i) * 100_000
		s := history.Sample{Seq: i, Intended: start, Start: start, End: start + 10_000, Outcome: history.OK}
		switch c {
		case ' ':
			continue
		case 'x':
			s.Outcome, s.SQLSTATE, s.Text = history.Refused, "58000", 1
		}
		h.Samples = append(h.Samples, s)
		h.End = h.Time(s.End)
	}
	return h
}

func whole(h *history.History) history.Window { return history.Window{From: base, To: h.End} }

func TestOutages(t *testing.T) {
	for _, tc := range []struct {
		story, line string
		want        []string // length, failures
	}{
		{"nothing happened", "..........", nil},
		{"one failure costs the time from the success before to the one after", "...x...", []string{"200ms/1"}},
		{"failures in a row are one outage", "..xxx..", []string{"400ms/3"}},
		{"two outages", "..x..xx..", []string{"200ms/1", "300ms/2"}},
		{"a client that waits is out although nothing failed", "..        ..", []string{"900ms/0"}},
		{"a short wait is not", "..   ..", nil},
		{"one that never ends lasts to the end", "...xxx", []string{"300ms/3 open"}},
	} {
		t.Run(tc.story, func(t *testing.T) {
			h := story(tc.line)
			var got []string
			for _, o := range h.Outages(0, whole(h), 500*time.Millisecond) {
				s := o.Length().String() + "/" + string(rune('0'+o.Failures))
				if o.Open {
					s += " open"
				}
				got = append(got, s)
			}
			assert.Equal(t, tc.want, got)
		})
	}
}

func TestThinningChangesNoOutageAndNoCount(t *testing.T) {
	for _, line := range []string{
		"..............................", "........xxx.........x..........", "....        ....x.....   ......", "xx....",
	} {
		h, thin := story(line), story(line)
		thin.Thin(time.Second, 300*time.Millisecond)
		assert.Less(t, len(thin.Samples), len(h.Samples), line)
		slack := 500 * time.Millisecond
		assert.Equal(t, h.Outages(0, whole(h), slack), thin.Outages(0, whole(h), slack), line)
		everyone := func(history.Arm) bool { return true }
		assert.Equal(t, h.Tally(whole(h), everyone), thin.Tally(whole(h), everyone), line)
	}
}

func TestAWindowHoldsOnlyWhatIsInItByBothClocks(t *testing.T) {
	h := &history.History{Marks: []history.Mark{
		{Name: history.FaultEffective, At: at(10), Seen: at(10.2)},
		{Name: history.RestoreRequested, At: at(20), Seen: at(20.3)},
	}}
	assert.Equal(t, history.Window{From: at(10.2), To: at(20)}, h.During())
	assert.True(t, h.Before().Empty(), "no marks, no window")
	h.Marks[1].Seen = at(19.9) // the probe's clock is behind
	assert.Equal(t, at(19.9), h.During().To)
}

func TestRise(t *testing.T) {
	h := &history.History{}
	for i, v := range []float64{10, 12, 15, 3, 4} {
		h.Scrapes = append(h.Scrapes, history.Scrape{At: at(float64(i)), Values: map[string]float64{"q/0": v}})
	}
	h.Scrapes = append(h.Scrapes, history.Scrape{At: at(2.5), Err: "refused"})
	rise, ok := h.Rise(history.Window{From: at(0), To: at(2)}, "q/0")
	require.True(t, ok)
	assert.Equal(t, 5.0, rise)
	rise, _ = h.Rise(history.Window{From: at(0), To: at(4)}, "q/0")
	assert.Equal(t, 9.0, rise, "PgCat restarted: its counter began again at 0")
	_, ok = h.Rise(history.Window{From: at(0), To: at(0.5)}, "q/0")
	assert.False(t, ok, "one scrape tells nothing of a rise")
	_, ok = h.Rise(history.Window{From: at(0), To: at(4)}, "q/1")
	assert.False(t, ok)
}

func TestEncodeDecode(t *testing.T) {
	h := story("..x..")
	h.Run = "r"
	data, err := h.Encode()
	require.NoError(t, err)
	got, err := history.Decode(data)
	require.NoError(t, err)
	assert.Equal(t, h, got)

	h.Format = 99
	data, err = h.Encode()
	require.NoError(t, err)
	_, err = history.Decode(data)
	require.ErrorContains(t, err, "format 99")
	_, err = history.Decode([]byte("no gzip"))
	require.Error(t, err)
}
