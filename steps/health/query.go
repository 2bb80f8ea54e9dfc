package health

import (
	"cmp"
	"context"
	"maps"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/pooler/pgcat/config"
)

// What /health and /ready say.
const (
	OK   = "ok"
	Fail = "fail"
)

// Answer is the body of /health and /ready.
type Answer struct {
	Status string    `json:"status"`
	Pool   string    `json:"pool,omitempty"`
	Shard  *int      `json:"shard,omitempty"` // the one asked for
	Error  string    `json:"error,omitempty"` // as a client of PgCat sees it
	Millis int64     `json:"ms"`
	At     time.Time `json:"at"`
}

const (
	anyShard = -1
	admin    = -2 // the admin database, which needs no server
)

// every is the least time between two logins to PgCat, and how long an answer is good.
const every = time.Second

// keep is how long answers of queries that nobody asks any more are kept. It is longer than anybody waits for a turn.
const keep = time.Minute

// askLimit bounds one login and query. PgCat itself waits connect_timeout for each shard in turn, 15 s in this
// component; a prober gives up sooner by its own timeout, and the answer is there when it asks again.
const askLimit = 20 * time.Second

// query is one thing to ask of PgCat.
type query struct {
	login pgcat.Login
	shard int
	sql   string
}

// queryOf asks the first pool as its first user who has a password; with auth_query alone there is none, and the
// login fails, which is said.
func queryOf(cfg *config.Config, shard int) query {
	p := cfg.Pools[0]
	q := query{login: pgcat.Login{Addr: local(cfg.General), Database: p.Name}, shard: shard, sql: "SELECT 1"}
	for _, u := range p.Users {
		if u.Password != "" {
			q.login.User, q.login.Password = u.Username, u.Password
			break
		}
	}
	return q
}

func adminOf(cfg *config.Config) query {
	g := cfg.General
	return query{login: pgcat.Login{Addr: local(g), Database: "pgcat", User: g.AdminUsername, Password: g.AdminPassword}, shard: admin, sql: "SHOW VERSION"}
}

// local is PgCat's address within its pod.
func local(g config.General) string {
	host := strings.Trim(g.Host, "[]") // PgCat wants brackets around IPv6
	here := map[string]string{"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
	return net.JoinHostPort(cmp.Or(here[host], host), strconv.Itoa(g.Port))
}

// pace lets one thing a second begin.
type pace struct {
	mu   sync.Mutex
	next time.Time
}

// wait gives how long to wait for the next free second, which is then taken.
func (p *pace) wait() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.next.Before(now) {
		p.next = now
	}
	d := p.next.Sub(now)
	p.next = p.next.Add(every)
	return d
}

// asker asks one thing at a time, however many want to know. /health and /ready have one each, or readiness would
// wait for a query that waits for a database; they share the pace.
type asker struct {
	turn chan struct{}
	pace *pace
	last map[query]Answer // of the config of now: a changed one is another query
}

func newAsker(p *pace) *asker {
	return &asker{turn: make(chan struct{}, 1), pace: p, last: map[query]Answer{}}
}

// ask gives the last answer while it is good, else waits for its turn. Whoever waited for the same query shares its
// answer.
func (a *asker) ask(ctx context.Context, q query) Answer {
	came := time.Now()
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return Answer{Status: Fail, Error: "waited for an earlier query: " + ctx.Err().Error(), At: time.Now()}
	}
	if last, ok := a.last[q]; ok && (last.At.After(came) || time.Since(last.At) < every) {
		return last
	}
	select {
	case <-time.After(a.pace.wait()):
	case <-ctx.Done():
		return Answer{Status: Fail, Error: "waited for the next second: " + ctx.Err().Error(), At: time.Now()}
	}
	answer := run(ctx, q)
	maps.DeleteFunc(a.last, func(_ query, was Answer) bool { return time.Since(was.At) > keep })
	a.last[q] = answer
	return answer
}

// run does not end with the request: a prober's short timeout would else abandon every query halfway, and PgCat with it.
func run(ctx context.Context, q query) Answer {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), askLimit)
	defer cancel()
	began := time.Now()
	answer := Answer{Status: OK, Pool: q.login.Database}
	if q.shard >= 0 {
		answer.Shard = &q.shard
	}
	if _, err := q.login.Ask(ctx, max(q.shard, anyShard), q.sql); err != nil {
		answer.Status, answer.Error = Fail, err.Error()
	}
	answer.At = time.Now()
	answer.Millis = answer.At.Sub(began).Milliseconds()
	return answer
}
