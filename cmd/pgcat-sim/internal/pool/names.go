package pool

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"time"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/config"
)

// names is dns_cache_enabled. It does not resolve for dials, which ask the system each time; it only
// remembers what a host was, looks again every dns_max_ttl, and so knows which servers, dialled
// before, are on an address that the name no longer has. A lookup that fails changes nothing.
type names struct {
	mu      sync.Mutex
	enabled bool
	stop    context.CancelFunc
	known   map[string][]string
}

// configure follows the configuration; what is known stays known.
func (n *names) configure(g config.General) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.known == nil {
		n.known = map[string][]string{}
	}
	if n.stop != nil {
		n.stop()
		n.stop = nil
	}
	n.enabled = g.DNSCache
	if n.enabled {
		ctx, cancel := context.WithCancel(context.Background())
		n.stop = cancel
		go n.refresh(ctx, time.Duration(max(g.DNSMaxTTL, 1))*time.Second)
	}
}

func (n *names) refresh(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		for _, host := range n.hosts() {
			n.learn(ctx, host)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (n *names) hosts() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	all := make([]string, 0, len(n.known))
	for host := range n.known {
		all = append(all, host)
	}
	return all
}

func (n *names) learn(ctx context.Context, host string) {
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil {
		slog.Error("There was an error trying to resolv " + host + ": " + err.Error())
		return
	}
	slices.Sort(found)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.known[host] = found
}

// watch makes a server count as bad once its host has other addresses than now. It is looked at when
// the server comes back, so each serves once more after the change (upstream #249).
func (n *names) watch(ctx context.Context, s *backend.Server, host string) {
	n.mu.Lock()
	enabled, was := n.enabled, n.known[host]
	n.mu.Unlock()
	if !enabled || net.ParseIP(host) != nil {
		return
	}
	if was == nil {
		n.learn(ctx, host)
		was = n.addresses(host)
	}
	if was != nil {
		s.DropIf(func() bool { return !slices.Equal(was, n.addresses(host)) })
	}
}

func (n *names) addresses(host string) []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.known[host]
}
