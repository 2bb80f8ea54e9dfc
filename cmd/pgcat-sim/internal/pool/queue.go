package pool

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
)

// errTimedOut is a checkout that got nothing within connect_timeout.
var errTimedOut = errors.New("TimedOut")

// reaperRate is the longest time between two visits of the reaper (rule 37).
const reaperRate = 30 * time.Second

// queue is the pool of one address. It is bb8's, of which v1.2.0 has 0.8.1 and head 0.8.6: they
// differ in who waits how, and so in how an outage looks from a client (rules 30 and 32).
type queue struct {
	release release.Release
	timing  config.Timing
	max     uint32
	minIdle uint32
	lifo    bool
	dial    func(context.Context) (*backend.Server, error)

	mu      sync.Mutex
	idle    []idleServer
	open    uint32 // connections, idle or held
	pending uint32 // dials under way
	closed  chan struct{}
	gone    bool

	waiters []*waiter // v1.2.0: each dial and each return serves the first of them

	waiting uint32 // head: checkouts under way
	bell    bell   // head: wakes one of them
}

type idleServer struct {
	*backend.Server
	since time.Time
}

// waiter is a checkout that waits for a hand-out: a server, or the error of a dial.
type waiter struct{ out chan handout }

type handout struct {
	server *backend.Server
	err    error
}

// get takes a server, without a test of its health (rule 29), or waits for one.
func (q *queue) get() (*backend.Server, error) {
	if q.release == release.Head {
		return q.getHead()
	}
	return q.getV120()
}

// getV120 starts one dial for each checkout that finds nothing idle, and queues up. The first to
// become free, dialled or returned, goes to the first in the queue; so does the last error of any
// dial, which ends that wait early (rule 32).
func (q *queue) getV120() (*backend.Server, error) {
	q.mu.Lock()
	if s := q.pop(); s != nil {
		q.start(q.wanted())
		q.mu.Unlock()
		return s, nil
	}
	w := &waiter{out: make(chan handout, 1)}
	q.waiters = append(q.waiters, w)
	q.start(q.approve(1))
	q.mu.Unlock()

	timeout := time.NewTimer(q.timing.Connect)
	defer timeout.Stop()
	select {
	case h := <-w.out:
		return h.server, h.err
	case <-timeout.C:
		return q.leave(w)
	}
}

// leave gives up waiting, unless something was handed out at the last moment.
func (q *queue) leave(w *waiter) (*backend.Server, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, other := range q.waiters {
		if other == w {
			q.waiters = append(q.waiters[:i], q.waiters[i+1:]...)
			return nil, errTimedOut
		}
	}
	h := <-w.out
	return h.server, h.err
}

// getHead dials only while checkouts outnumber dials, so one dial that hangs can keep a single
// waiter from ever trying again; and nothing but the timeout ends its wait (rules 30 and 32).
func (q *queue) getHead() (*backend.Server, error) {
	timeout := time.NewTimer(q.timing.Connect)
	defer timeout.Stop()
	q.mu.Lock()
	q.waiting++
	defer func() { q.waiting--; q.mu.Unlock() }()
	for {
		if s := q.pop(); s != nil {
			q.start(q.wanted())
			return s, nil
		}
		if q.waiting > q.pending {
			q.start(q.approve(1))
		}
		if !q.bell.wait(&q.mu, timeout.C) {
			return nil, errTimedOut
		}
	}
}

func (q *queue) pop() *backend.Server {
	if len(q.idle) == 0 {
		return nil
	}
	s := q.idle[0].Server
	q.idle = q.idle[1:]
	return s
}

// wanted is how many dials it takes to have min_pool_size idle connections.
func (q *queue) wanted() uint32 {
	available := uint32(len(q.idle)) + q.pending
	if available >= q.minIdle {
		return 0
	}
	return q.approve(q.minIdle - available)
}

// approve grants up to n dials within pool_size and counts them as pending.
func (q *queue) approve(n uint32) uint32 {
	current := q.open + q.pending
	if current >= q.max || q.gone {
		return 0
	}
	n = min(n, q.max-current)
	q.pending += n
	return n
}

// start runs n granted dials. They outlive the checkouts that asked for them (rule 33).
func (q *queue) start(n uint32) {
	for range n {
		go func() {
			if err := q.add(); err != nil {
				q.forward(err)
			}
		}()
	}
}

// fill opens what min_pool_size wants and waits for it; the first failure is returned (rule 3).
func (q *queue) fill() error {
	q.mu.Lock()
	n := q.wanted()
	q.mu.Unlock()
	results := make(chan error, n)
	for range n {
		go func() { results <- q.add() }()
	}
	for range n {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

const (
	firstRetry  = 400 * time.Millisecond // bb8 starts at 200 ms and doubles before the first sleep
	retryFactor = 2
)

// add dials until it succeeds or connect_timeout has passed (rule 31).
func (q *queue) add() error {
	began, delay := time.Now(), firstRetry
	for {
		s, err := q.dial(context.Background())
		if err == nil {
			q.put(s, true)
			return nil
		}
		delay = min(delay, q.timing.Connect/2)
		if time.Since(began) > q.timing.Connect || !q.pause(delay) {
			q.mu.Lock()
			q.pending--
			q.mu.Unlock()
			return err
		}
		delay *= retryFactor
	}
}

// pause waits between two dials; false means that the queue is closed meanwhile.
func (q *queue) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-q.closed:
		return false
	}
}

// forward ends the wait of the first waiter with the error of a dial that it may not have asked
// for. Head has no such waiters: there the error goes nowhere.
func (q *queue) forward(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiters) > 0 {
		w := q.waiters[0]
		q.waiters = q.waiters[1:]
		w.out <- handout{err: err}
	}
}

// put makes a server available.
func (q *queue) put(s *backend.Server, fresh bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if fresh {
		q.pending--
		q.open++
	}
	if q.gone {
		q.open--
		go s.Close()
		return
	}
	if len(q.waiters) > 0 {
		w := q.waiters[0]
		q.waiters = q.waiters[1:]
		w.out <- handout{server: s}
		return
	}
	entry := idleServer{s, time.Now()}
	if q.lifo {
		q.idle = append([]idleServer{entry}, q.idle...)
	} else {
		q.idle = append(q.idle, entry)
	}
	q.bell.ring()
}

// giveBack ends a checkout. A bad server is closed; head also drops one past its lifetime (rule 37).
func (q *queue) giveBack(s *backend.Server) {
	expired := q.release == release.Head && s.Age() >= q.timing.Lifetime
	if !s.Bad() && !expired {
		q.put(s, false)
		return
	}
	q.mu.Lock()
	q.open--
	q.start(q.wanted())
	q.bell.ring()
	q.mu.Unlock()
	s.Close()
}

// reap closes what was idle or lived too long, and refills to min_pool_size (rule 37). Only the
// idle are looked at, and nothing looks whether they are still connected.
func (q *queue) reap() {
	q.mu.Lock()
	var keep []idleServer
	var closing []*backend.Server
	for _, e := range q.idle {
		if time.Since(e.since) < q.timing.Idle && e.Age() < q.timing.Lifetime {
			keep = append(keep, e)
		} else {
			closing = append(closing, e.Server)
		}
	}
	q.idle = keep
	q.open -= uint32(len(closing))
	q.start(q.wanted())
	q.mu.Unlock()
	for _, s := range closing {
		s.Close()
	}
}

func (q *queue) reapForever() {
	tick := time.NewTicker(min(q.timing.Idle, q.timing.Lifetime, reaperRate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			q.reap()
		case <-q.closed:
			return
		}
	}
}

// state is how many connections there are, and how many of them are idle.
func (q *queue) state() (open, idle uint32) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.open, uint32(len(q.idle))
}

// close ends a queue that nobody can reach any more.
func (q *queue) close() {
	q.mu.Lock()
	if q.gone {
		q.mu.Unlock()
		return
	}
	q.gone = true
	close(q.closed)
	idle := q.idle
	q.idle = nil
	q.open -= uint32(len(idle))
	q.mu.Unlock()
	for _, e := range idle {
		e.Close()
	}
	slog.Debug("queue closed", "connections", len(idle))
}
