package pool

import (
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"sync"
	"sync/atomic"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
)

// ErrAllDown is a checkout that no server answered; a pool that is merely exhausted says so too.
var ErrAllDown = errors.New("AllServersDown")

// ErrNoSuchShard is a shard whose key is beyond their number: PgCat's task panics, the client is
// closed without a word.
var ErrNoSuchShard = errors.New("PgCat panics: shard keys have gaps")

// InvalidShard is a pin beyond the last shard.
type InvalidShard int

// Error implements error.
func (e InvalidShard) Error() string { return fmt.Sprintf("InvalidShardId(%d)", int(e)) }

// Settings are what a pool was built with. General keys are baked in here: a reload that leaves
// the pool's own section alone does not change them.
type Settings struct {
	config.Pool
	Name               string
	User               config.User
	Mode               config.PoolMode
	DefaultShard       config.DefaultShard
	DefaultRole        config.Role
	HealthcheckDelay   uint64
	HealthcheckTimeout uint64
	BanTime            int64
	ShardID, Key       *regexp.Regexp
	SearchLimit        int
}

// Pool is all shards for one user of one [pools.x].
type Pool struct {
	settings  Settings
	shards    [][]*Address
	bans      *bans
	validated atomic.Bool
	refs      atomic.Int64

	paramsMu sync.RWMutex
	params   backend.Params

	pauseMu sync.Mutex
	paused  chan struct{} // nil: not paused; closed by Resume

	hashMu sync.RWMutex
	hash   string         // of the user's password, from auth_query
	dials  backend.Target // how its servers are connected to; the rest differs from one to the next

	Statements *StatementCache // nil: prepared statements are passed through
}

// Settings are what the pool was built with.
func (p *Pool) Settings() *Settings { return &p.settings }

// Shards is how many there are.
func (p *Pool) Shards() int { return len(p.shards) }

// Addresses lists the servers of all shards.
func (p *Pool) Addresses() []*Address {
	var all []*Address
	for _, shard := range p.shards {
		all = append(all, shard...)
	}
	return all
}

// Validated tells whether any shard ever answered. Once it did, logins need no server (rule 13).
func (p *Pool) Validated() bool { return p.validated.Load() }

// Validate connects to all servers at once; one success will do (rules 4 and 12).
func (p *Pool) Validate() error {
	var all sync.WaitGroup
	for _, a := range p.Addresses() {
		all.Add(1)
		go func() {
			defer all.Done()
			p.probe(a)
		}()
	}
	all.Wait()
	if !p.Validated() {
		slog.Error("Could not validate connection pool")
		return ErrAllDown
	}
	return nil
}

func (p *Pool) probe(a *Address) {
	s, err := a.queue.get()
	if err != nil {
		slog.Error(fmt.Sprintf("Shard %d down or misconfigured: %v", a.Shard, err))
		return
	}
	defer a.queue.giveBack(s)
	p.paramsMu.Lock()
	p.params = s.Params() // the last shard to answer wins
	p.paramsMu.Unlock()
	p.validated.Store(true)
}

// Params are what clients are told at login: those of the shard that was validated last.
func (p *Pool) Params() backend.Params {
	p.paramsMu.RLock()
	defer p.paramsMu.RUnlock()
	return p.params.Clone()
}

// Pause makes checkouts wait (rule 49).
func (p *Pool) Pause() {
	p.pauseMu.Lock()
	defer p.pauseMu.Unlock()
	if p.paused == nil {
		p.paused = make(chan struct{})
	}
}

// Resume lets them go on.
func (p *Pool) Resume() {
	p.pauseMu.Lock()
	defer p.pauseMu.Unlock()
	if p.paused != nil {
		close(p.paused)
		p.paused = nil
	}
}

// Paused tells whether checkouts wait.
func (p *Pool) Paused() bool { return p.pauseGate() != nil }

// WaitPaused returns once the pool is not paused.
func (p *Pool) WaitPaused() {
	if gate := p.pauseGate(); gate != nil {
		<-gate
	}
}

func (p *Pool) pauseGate() chan struct{} {
	p.pauseMu.Lock()
	defer p.pauseMu.Unlock()
	return p.paused
}

// retain and Release count who can still reach the pool: the table of pools, and clients, which
// hold an old pool until their next checkout (upstream #894). The last one closes it.
func (p *Pool) retain() *Pool {
	p.refs.Add(1)
	return p
}

// Release gives up a pool got from Pools.Get.
func (p *Pool) Release() {
	if p == nil || p.refs.Add(-1) > 0 {
		return
	}
	for _, a := range p.Addresses() {
		a.queue.close()
	}
}

// GiveBack ends a checkout.
func (p *Pool) GiveBack(a *Address, s *backend.Server) { a.queue.giveBack(s) }

func (p *Pool) view() observe.PoolView {
	v := observe.PoolView{
		Name: p.settings.Name, User: p.settings.User.Username, Mode: p.settings.Mode,
		Size: p.settings.User.PoolSize, Paused: p.Paused(), BanDuration: p.settings.BanTime,
	}
	if p.settings.User.MinPoolSize != nil {
		v.MinSize = *p.settings.User.MinPoolSize
	}
	for _, a := range p.Addresses() {
		open, _ := a.queue.state()
		v.Servers = append(v.Servers, observe.ServerView{
			Name: a.Name(), Host: a.Host, Port: a.Port, Database: a.Database,
			FirstDatabase: p.shards[a.position][0].Database, Shard: a.Shard, Index: a.Index, Role: a.Role,
			Banned: p.Banned(a), Connections: open, Stats: a.Stats,
		})
	}
	return v
}
