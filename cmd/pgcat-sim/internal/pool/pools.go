package pool

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"sync"
	"time"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
)

// ID names a pool: what clients call the database, and the user.
type ID struct{ Name, User string }

// Pools is the table of all pools.
type Pools struct {
	release  release.Release
	registry *observe.Registry
	names    names

	mu   sync.RWMutex
	byID map[ID]*Pool
	raw  map[string]config.Pool // what each was built from
}

// NewPools makes an empty table.
func NewPools(rel release.Release, registry *observe.Registry) *Pools {
	return &Pools{release: rel, registry: registry, byID: map[ID]*Pool{}, raw: map[string]config.Pool{}}
}

// Get finds a pool; Release it when done.
func (t *Pools) Get(name, user string) *Pool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if p := t.byID[ID{name, user}]; p != nil {
		return p.retain()
	}
	return nil
}

// Each visits all pools, in the order of their names.
func (t *Pools) Each(visit func(*Pool)) {
	t.mu.RLock()
	all := make([]*Pool, 0, len(t.byID))
	for _, p := range t.byID {
		all = append(all, p.retain())
	}
	t.mu.RUnlock()
	slices.SortFunc(all, func(a, b *Pool) int {
		return cmp.Or(cmp.Compare(a.settings.Name, b.settings.Name),
			cmp.Compare(a.settings.User.Username, b.settings.User.Username))
	})
	for _, p := range all {
		visit(p)
		p.Release()
	}
}

// Views is all pools at this moment.
func (t *Pools) Views() []observe.PoolView {
	var all []observe.PoolView
	t.Each(func(p *Pool) { all = append(all, p.view()) })
	return all
}

// Build makes the table what the configuration says. A pool whose own section has not changed is
// kept as it is; others start from nothing, error counts included. On an error the old table stays.
func (t *Pools) Build(c *config.Config) error {
	t.names.configure(c.General)
	next, raw := map[ID]*Pool{}, map[string]config.Pool{}
	var fresh []*Pool
	for name, p := range c.Pools {
		for _, key := range p.UserKeys() {
			user := p.Users[key]
			id := ID{name, user.Username}
			if old := t.unchanged(id, p); old != nil {
				slog.Info(fmt.Sprintf("[pool: %s][user: %s] has not changed", name, user.Username))
				next[id] = old
				continue
			}
			slog.Info(fmt.Sprintf("[pool: %s][user: %s] creating new pool", name, user.Username))
			built, err := t.build(c, name, p, user)
			if built != nil {
				fresh = append(fresh, built)
			}
			if err != nil {
				releaseAll(fresh)
				return err
			}
			next[id] = built
		}
		raw[name] = p
	}
	t.swap(next, raw)
	if c.General.Validate {
		for _, p := range fresh {
			validateInBackground(p)
		}
	}
	return nil
}

func (t *Pools) unchanged(id ID, p config.Pool) *Pool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if old, ok := t.raw[id.Name]; ok && config.SamePool(old, p) {
		return t.byID[id]
	}
	return nil
}

func (t *Pools) swap(next map[ID]*Pool, raw map[string]config.Pool) {
	t.mu.Lock()
	old := t.byID
	t.byID, t.raw = next, raw
	t.mu.Unlock()
	for id, p := range old {
		if next[id] != p {
			p.Release()
		}
	}
}

func validateInBackground(p *Pool) {
	p.retain()
	go func() {
		defer p.Release()
		_ = p.Validate() // logged there; the next login tries again (rule 12)
	}()
}

func releaseAll(pools []*Pool) {
	for _, p := range pools {
		p.Release()
	}
}

func (t *Pools) build(c *config.Config, name string, p config.Pool, user config.User) (*Pool, error) {
	settings, err := newSettings(c, name, p, user)
	if err != nil {
		return nil, err
	}
	built := &Pool{
		settings: settings, bans: newBans(len(p.Shards)), params: backend.NewParams(),
		Statements: newStatementCache(p.PreparedStatements),
		dials:      backend.Target{TLS: c.General.ServerTLS, VerifyTLS: c.General.VerifyServer, Sockets: SocketsFor(c)},
	}
	built.retain()
	for _, key := range p.ShardKeys() {
		shard, err := t.buildShard(c, built, p, key)
		built.shards = append(built.shards, shard)
		if err != nil {
			return built, err
		}
	}
	return built, nil
}

func newSettings(c *config.Config, name string, p config.Pool, user config.User) (Settings, error) {
	d, err := config.ParseDefaultShard(p.DefaultShard)
	if err != nil {
		return Settings{}, err
	}
	s := Settings{
		Pool: p, Name: name, User: user, Mode: config.ModeFor(p, user), DefaultShard: d,
		HealthcheckDelay: c.General.HealthcheckDelay, HealthcheckTimeout: c.General.HealthcheckTimeout,
		BanTime: c.General.BanTime, SearchLimit: 1000,
	}
	if p.DefaultRole != "any" {
		s.DefaultRole = config.Role(p.DefaultRole)
	}
	if p.RegexSearchLimit != nil {
		s.SearchLimit = int(*p.RegexSearchLimit)
	}
	if p.ShardIDRegex != nil {
		s.ShardID = regexp.MustCompile(*p.ShardIDRegex) // validated with the rest of the file
	}
	if p.ShardingKeyRegex != nil {
		s.Key = regexp.MustCompile(*p.ShardingKeyRegex)
	}
	return s, nil
}

func (t *Pools) buildShard(c *config.Config, p *Pool, conf config.Pool, key string) ([]*Address, error) {
	shard := conf.Shards[key]
	var all []*Address
	replicas := 0
	for i, server := range shard.Servers {
		a := &Address{
			Server: server, Pool: p.settings.Name, User: p.settings.User.Username, Database: shard.Database,
			Shard: config.ShardNumber(key), position: len(p.shards), Index: i, ReplicaNumber: replicas, Stats: &observe.AddressStats{},
		}
		if server.Role == config.Replica {
			replicas++
		}
		p.learnHash(a)
		a.queue = t.newQueue(c, p, conf, a)
		all = append(all, a)
		if err := a.queue.begin(c.General.Validate); err != nil {
			return all, fmt.Errorf("open min_pool_size connections to %s: %w", a.Name(), err)
		}
	}
	return all, nil
}

// begin opens min_pool_size connections: with validate_config they must all come up (rule 3).
func (q *queue) begin(validate bool) error {
	go q.reapForever()
	if validate {
		return q.fill()
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.start(q.wanted())
	return nil
}

func (t *Pools) newQueue(c *config.Config, p *Pool, conf config.Pool, a *Address) *queue {
	user := p.settings.User
	target := newTarget(p, conf, user, a)
	q := &queue{
		release: t.release, timing: c.TimingFor(conf, user), max: user.PoolSize,
		lifo: !c.General.RoundRobin, closed: make(chan struct{}),
	}
	if user.MinPoolSize != nil {
		q.minIdle = *user.MinPoolSize
	}
	q.dial = func(ctx context.Context) (*backend.Server, error) {
		slog.Info("Creating a new server connection", "address", a.Name(), "host", a.Host, "port", a.Port)
		stats := t.registry.NewServer(a.Pool, a.User, a.Name(), a.Stats)
		s, err := backend.Dial(ctx, target, stats)
		if err != nil {
			stats.Disconnect()
			return nil, err
		}
		t.names.watch(ctx, s, a.Host)
		stats.Idle()
		return s, nil
	}
	return q
}

func newTarget(p *Pool, conf config.Pool, user config.User, a *Address) backend.Target {
	t := p.dials
	t.Host, t.Port, t.Database, t.User = a.Host, a.Port, a.Database, user.Username
	t.Hash = p.knownHash
	t.Statements, t.Cleanup = int(conf.PreparedStatements), conf.CleanupServers
	if user.ServerUsername != nil {
		t.User = *user.ServerUsername
	}
	switch {
	case user.ServerPassword != nil:
		t.Password = *user.ServerPassword
	case user.Password != nil:
		t.Password = *user.Password
	}
	return t
}

// SocketsFor are the options of every socket under this configuration (rule 50).
func SocketsFor(c *config.Config) backend.Sockets {
	g := c.General
	return backend.Sockets{
		UserTimeout:  time.Duration(g.UserTimeout) * time.Millisecond,
		KeepIdle:     time.Duration(g.KeepalivesIdle) * time.Second,
		KeepInterval: time.Duration(g.KeepalivesInterval) * time.Second,
		KeepCount:    int(g.KeepalivesCount),
	}
}
