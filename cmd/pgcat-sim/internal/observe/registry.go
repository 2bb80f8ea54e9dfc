package observe

import (
	"context"
	"sync"
	"time"
)

// Registry knows every client and every server connection of the process.
type Registry struct {
	mu      sync.RWMutex
	clients map[int32]*ClientStats
	servers map[int32]*ServerStats
}

// NewRegistry makes empty books.
func NewRegistry() *Registry {
	return &Registry{clients: map[int32]*ClientStats{}, servers: map[int32]*ServerStats{}}
}

// Clients lists all clients.
func (r *Registry) Clients() []*ClientStats { return list(r, r.clients) }

// Servers lists all server connections, also those still dialling.
func (r *Registry) Servers() []*ServerStats { return list(r, r.servers) }

func list[T any](r *Registry, m map[int32]*T) []*T {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*T, 0, len(m))
	for _, v := range m {
		all = append(all, v)
	}
	return all
}

// Average closes a window every 15 seconds until ctx ends, the first one at once. An address
// without a server connection is not visited: its averages stay frozen (upstream stats.rs).
func (r *Registry) Average(ctx context.Context) {
	tick := time.NewTicker(periodSeconds * time.Second)
	defer tick.Stop()
	for {
		seen := map[*AddressStats]bool{}
		for _, s := range r.Servers() {
			if !seen[s.address] {
				seen[s.address] = true
				s.address.closeWindow()
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// PoolCount is one row of SHOW POOLS.
type PoolCount struct {
	CIdle, CActive, CWaiting        uint64
	SActive, SIdle, STested, SLogin uint64
	MaxWaitMicros                   uint64
}

// CountPool adds up the clients and servers of one pool.
func (r *Registry) CountPool(pool, user string) PoolCount {
	var n PoolCount
	for _, c := range r.Clients() {
		if c.Pool == pool && c.User == user {
			n.client(c)
		}
	}
	for _, s := range r.Servers() {
		if s.Pool == pool && s.User == user {
			n.server(s)
		}
	}
	return n
}

func (n *PoolCount) client(c *ClientStats) {
	switch c.State() {
	case Active:
		n.CActive++
	case Waiting:
		n.CWaiting++
	default:
		n.CIdle++
	}
	n.MaxWaitMicros = max(n.MaxWaitMicros, uint64(c.waitedMicros()))
}

func (n *PoolCount) server(s *ServerStats) {
	switch s.State() {
	case Active:
		n.SActive++
	case Idle:
		n.SIdle++
	case Tested:
		n.STested++
	default:
		n.SLogin++
	}
}
