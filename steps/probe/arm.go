package probe

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/pooler/pgcat"
)

// Table is where writing arms write: one row an operation, so that what was acknowledged can be counted.
const Table = "pgcat_failover.ledger"

// opLimit bounds one operation. It is longer than PgCat may take at a checkout that tries three shards one after
// the other (3 × connect_timeout 5 s), so that PgCat's own answer is seen rather than the probe's impatience.
const opLimit = 20 * time.Second

// arm is one client: it holds a connection, uses it at a fixed rate, and makes a new one when it is lost.
type arm struct {
	history.Arm
	index    int
	run      string
	login    pgcat.Login
	interval time.Duration
	log      *log
	conn     *pgconn.PgConn
	seq      int
}

// loop runs until ctx ends. The operations are intended at fixed times; one that is late because its
// predecessor was slow starts at once, and those that were displaced altogether are counted, not forgotten.
func (a *arm) loop(ctx context.Context, base time.Time) {
	defer func() {
		if a.conn != nil {
			_ = a.conn.Close(context.WithoutCancel(ctx))
		}
	}()
	next := base.Add(time.Duration(a.index) * a.interval / 16) // arms do not fire together
	missed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Until(next)):
		}
		s := a.once(ctx, next)
		if ctx.Err() != nil && s.Outcome != history.OK {
			return // it was cut short by the end of the probe, which says nothing of PgCat
		}
		s.sample.Missed = missed
		a.log.add(a.index, s)
		missed = 0
		for next = next.Add(a.interval); time.Since(next) > a.interval; next = next.Add(a.interval) {
			missed++
		}
	}
}

// outcome is a sample before its times are made relative and its text is interned.
type outcome struct {
	sample   history.Sample
	Outcome  history.Outcome
	intended time.Time
	start    time.Time
	end      time.Time
	text     string
}

func (a *arm) once(ctx context.Context, intended time.Time) outcome {
	a.seq++
	o := outcome{intended: intended, start: time.Now(), Outcome: history.OK}
	o.sample.Arm, o.sample.Seq = a.index, a.seq
	opCtx, cancel := context.WithTimeout(ctx, opLimit)
	defer cancel()
	err := a.operate(opCtx, &o)
	o.end = time.Now()
	if err != nil {
		f := pgcat.Explain(err)
		o.sample.SQLSTATE, o.text = f.SQLSTATE, f.Text
		switch {
		case opCtx.Err() != nil:
			o.Outcome, o.text = history.Timeout, fmt.Sprintf("no answer within %s", opLimit)
		case o.Outcome == history.Connect:
		case f.Answered:
			o.Outcome = history.Refused
		default:
			o.Outcome = history.Closed
		}
	}
	return o
}

func (a *arm) operate(ctx context.Context, o *outcome) error {
	if a.conn == nil || a.conn.IsClosed() {
		conn, err := a.login.Connect(ctx)
		if err != nil {
			o.Outcome = history.Connect
			return err
		}
		a.conn = conn
		if a.Shard != history.Unpinned {
			if err := pgcat.Pin(ctx, conn, a.Shard); err != nil {
				return err
			}
		}
	}
	_, err := a.conn.Exec(ctx, a.sql()).ReadAll()
	return err
}

func (a *arm) sql() string {
	if !a.Write {
		return "SELECT 1"
	}
	return fmt.Sprintf("INSERT INTO %s (run, arm, seq) VALUES ('%s', '%s', %d)", Table, a.run, a.Name, a.seq)
}

// Arms are the clients of a probe: a reader and a writer that name no shard, and a pair pinned to each shard.
func Arms(shards []history.Shard) []history.Arm {
	arms := []history.Arm{{Name: "unpinned read", Shard: history.Unpinned}, {Name: "unpinned write", Shard: history.Unpinned, Write: true}}
	for _, s := range shards {
		arms = append(arms,
			history.Arm{Name: fmt.Sprintf("shard %d read", s.Index), Shard: s.Index},
			history.Arm{Name: fmt.Sprintf("shard %d write", s.Index), Shard: s.Index, Write: true})
	}
	return arms
}

// log gathers the samples of all arms.
type log struct {
	mu      sync.Mutex
	base    time.Time
	samples []history.Sample
	texts   map[string]int
	list    []string
	last    []lastSeen // by arm
	counts  map[history.Outcome]int
}

type lastSeen struct {
	ok, failed time.Time
	text       string
}

func newLog(base time.Time, arms int) *log {
	return &log{base: base, texts: map[string]int{}, last: make([]lastSeen, arms), counts: map[history.Outcome]int{}}
}

func (l *log) add(arm int, o outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := o.sample
	s.Outcome = o.Outcome
	s.Intended = o.intended.Sub(l.base).Microseconds()
	s.Start = o.start.Sub(l.base).Microseconds()
	s.End = o.end.Sub(l.base).Microseconds()
	if o.text != "" {
		if _, ok := l.texts[o.text]; !ok {
			l.list = append(l.list, o.text)
			l.texts[o.text] = len(l.list)
		}
		s.Text = l.texts[o.text]
	}
	l.samples = append(l.samples, s)
	l.counts[s.Outcome]++
	if s.Outcome == history.OK {
		l.last[arm].ok = o.end
	} else {
		l.last[arm].failed, l.last[arm].text = o.end, o.text
	}
}

// healthySince is the time since when every arm was served without a failure; why names one that is not.
func (l *log) healthySince(arms []history.Arm) (since time.Time, why string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, s := range l.last {
		switch {
		case s.ok.IsZero() && s.failed.IsZero():
			return time.Time{}, arms[i].Name + " has no answer yet"
		case s.ok.Before(s.failed):
			return time.Time{}, arms[i].Name + ": " + s.text
		}
		first := s.failed
		if first.IsZero() {
			first = l.base
		}
		if first.After(since) {
			since = first
		}
	}
	return since, ""
}

func (l *log) summary() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	ok, failed := l.counts[history.OK], 0
	for o, n := range l.counts {
		if o != history.OK {
			failed += n
		}
	}
	return fmt.Sprintf("%d served, %d failed", ok, failed)
}
