// Package observe counts what the pooler does, the way PgCat counts it, and prints it as each
// version's exporter prints it (rules 51 to 56).
package observe

import "sync/atomic"

// Period is the window of the averages (rule 54).
const periodSeconds = 15

// counters of one address. xact_time exists upstream and nothing ever adds to it.
type counters struct {
	xacts, queries, received, sent, xactTime, queryTime, waitTime, errors atomic.Uint64
}

// AddressStats counts for one address, over the life of its pool.
type AddressStats struct {
	total, current, average counters
}

// NamedValue is one counter with its name.
type NamedValue struct {
	Name  string
	Value uint64
}

// Values lists all counters in the order of SHOW STATS.
func (a *AddressStats) Values() []NamedValue {
	t, v := &a.total, &a.average
	return []NamedValue{
		{"total_xact_count", t.xacts.Load()},
		{"total_query_count", t.queries.Load()},
		{"total_received", t.received.Load()},
		{"total_sent", t.sent.Load()},
		{"total_xact_time", t.xactTime.Load()},
		{"total_query_time", t.queryTime.Load()},
		{"total_wait_time", t.waitTime.Load()},
		{"total_errors", t.errors.Load()},
		{"avg_xact_count", v.xacts.Load()},
		{"avg_query_count", v.queries.Load()},
		{"avg_recv", v.received.Load()},
		{"avg_sent", v.sent.Load()},
		{"avg_errors", v.errors.Load()},
		{"avg_xact_time", v.xactTime.Load()},
		{"avg_query_time", v.queryTime.Load()},
		{"avg_wait_time", v.waitTime.Load()},
	}
}

func (a *AddressStats) add(pick func(*counters) *atomic.Uint64, n uint64) {
	pick(&a.total).Add(n)
	pick(&a.current).Add(n)
}

// Error counts a failed checkout; nothing else counts as an error of an address (rule 35).
func (a *AddressStats) Error() {
	a.add(func(c *counters) *atomic.Uint64 { return &c.errors }, 1)
}

// Waited adds the time of a checkout to the address that ended it, also the time lost on others.
func (a *AddressStats) Waited(micros uint64) {
	a.add(func(c *counters) *atomic.Uint64 { return &c.waitTime }, micros)
}

func (a *AddressStats) query(millis uint64) {
	a.add(func(c *counters) *atomic.Uint64 { return &c.queries }, 1)
	a.add(func(c *counters) *atomic.Uint64 { return &c.queryTime }, millis)
}

func (a *AddressStats) transaction() {
	a.add(func(c *counters) *atomic.Uint64 { return &c.xacts }, 1)
}

func (a *AddressStats) sent(n uint64) {
	a.add(func(c *counters) *atomic.Uint64 { return &c.sent }, n)
}

func (a *AddressStats) received(n uint64) {
	a.add(func(c *counters) *atomic.Uint64 { return &c.received }, n)
}

// closeWindow turns the counts of the last window into averages: integer division, so that fewer
// than 15 events in 15 seconds are an average of 0 (rule 54).
func (a *AddressStats) closeWindow() {
	c, v := &a.current, &a.average
	xacts, queries := c.xacts.Swap(0), c.queries.Swap(0)
	v.xacts.Store(xacts / periodSeconds)
	v.xactTime.Store(perEvent(c.xactTime.Swap(0), xacts))
	v.queries.Store(queries / periodSeconds)
	v.queryTime.Store(perEvent(c.queryTime.Swap(0), queries))
	v.received.Store(c.received.Swap(0) / periodSeconds)
	v.sent.Store(c.sent.Swap(0) / periodSeconds)
	v.waitTime.Store(c.waitTime.Swap(0) / periodSeconds)
	v.errors.Store(c.errors.Swap(0) / periodSeconds)
}

func perEvent(sum, events uint64) uint64 {
	if events == 0 {
		return 0
	}
	return sum / events
}
