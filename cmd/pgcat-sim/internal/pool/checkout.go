package pool

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"time"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
)

// leastOutstanding is the load balancing mode that prefers the least busy.
const leastOutstanding = "least_outstanding_connections"

// Get takes a server for a client. shard is the client's pin, or nil.
//
// Candidates are tried in order within this one call, so each that fails costs the client up to
// connect_timeout (rule 25), and nothing is tried twice.
func (p *Pool) Get(shard *int, role config.Role, client *observe.ClientStats) (*backend.Server, *Address, error) {
	candidates, err := p.candidates(shard, role)
	if err != nil {
		return nil, nil, err
	}
	began := time.Now()
	client.Waiting()
	for _, a := range candidates {
		if a.Shard >= p.Shards() {
			return nil, nil, ErrNoSuchShard
		}
		if s := p.try(a, began, client); s != nil {
			return s, a, nil
		}
	}
	client.CheckoutOver(false)
	return nil, nil, ErrAllDown
}

// candidates lists whom to ask, first choice first (rules 21 to 24).
func (p *Pool) candidates(shard *int, role config.Role) ([]*Address, error) {
	if shard != nil && *shard >= p.Shards() && p.Shards() > 1 {
		return nil, InvalidShard(*shard)
	}
	var list []*Address
	for _, a := range p.Addresses() {
		if role == config.Any || a.Role == role {
			list = append(list, a)
		}
	}
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	list = p.choose(list, shard)
	// Least busy goes after most healthy: a dead shard has nothing busy and is asked first whenever
	// the others work.
	if p.settings.LoadBalancing == leastOutstanding {
		sortBy(list, func(a *Address) uint64 { return uint64(a.busy()) })
	}
	return list, nil
}

func (p *Pool) choose(list []*Address, shard *int) []*Address {
	if p.Shards() == 1 {
		return onShard(list, 0)
	}
	if shard != nil {
		return onShard(list, *shard)
	}
	switch d := p.settings.DefaultShard; d.Kind {
	case config.ShardN:
		return onShard(list, d.N)
	case config.RandomHealthy:
		sortBy(list, (*Address).Errors)
	}
	return list
}

func onShard(list []*Address, shard int) []*Address {
	return slices.DeleteFunc(list, func(a *Address) bool { return a.Shard != shard })
}

// sortBy keeps the order of equals, so that ties stay random. Each key is read once: it can change
// while the sort is under way.
func sortBy(list []*Address, key func(*Address) uint64) {
	keys := make(map[*Address]uint64, len(list))
	for _, a := range list {
		keys[a] = key(a)
	}
	slices.SortStableFunc(list, func(a, b *Address) int {
		switch {
		case keys[a] < keys[b]:
			return -1
		case keys[a] > keys[b]:
			return 1
		}
		return 0
	})
}

// try asks one address; nil means the next one is to be asked.
func (p *Pool) try(a *Address, began time.Time, client *observe.ClientStats) *backend.Server {
	unbanned := false
	if p.Banned(a) {
		if !p.tryUnban(a) {
			return nil
		}
		unbanned = true
	}
	s, err := a.queue.get()
	if err != nil {
		slog.Error(fmt.Sprintf("Connection checkout error for instance %s, error: %v", a, err))
		p.Fail(a, FailedCheckout, client)
		a.Stats.Error()
		client.CheckoutOver(false)
		return nil
	}
	a.errors.Store(0) // before the health check: a dead connection clears the count, too
	if (unbanned || p.stale(s)) && !p.healthy(a, s, client) {
		a.queue.giveBack(s)
		return nil
	}
	s.Stats().CheckedOut(time.Since(began), client.Application)
	client.CheckoutOver(true)
	return s
}

func (p *Pool) stale(s *backend.Server) bool {
	return uint64(s.IdleFor().Milliseconds()) > p.settings.HealthcheckDelay
}

// healthy asks the server for the cheapest answer there is (rule 36). A failure does not lead to
// another connection of the same address.
func (p *Pool) healthy(a *Address, s *backend.Server, client *observe.ClientStats) bool {
	s.Stats().Tested()
	s.Deadline(time.Now().Add(time.Duration(p.settings.HealthcheckTimeout) * time.Millisecond))
	err := s.Query(";")
	s.Deadline(time.Time{})
	if err == nil {
		return true
	}
	slog.Error("Failed health check on instance", "address", a.Name(), "host", a.Host, "error", err)
	s.MarkBad("failed health check")
	p.Fail(a, FailedHealthCheck, client)
	return false
}
