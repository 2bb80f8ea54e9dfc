package pool

import (
	"fmt"
	"log/slog"
	"sync"
	"time"

	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
)

// Reason is why a server was banned, as SHOW BANS prints it.
type Reason string

// The reasons. A statement timeout bans a replica but is no error of the address.
const (
	FailedHealthCheck    Reason = "FailedHealthCheck"
	MessageSendFailed    Reason = "MessageSendFailed"
	MessageReceiveFailed Reason = "MessageReceiveFailed"
	FailedCheckout       Reason = "FailedCheckout"
	StatementTimeout     Reason = "StatementTimeout"
)

// Ban is one entry of the ban list. Primaries are never on it (rule 38).
type Ban struct {
	Address *Address
	Reason  Reason
	At      time.Time
	Seconds int64
}

func (b Ban) over(now time.Time) bool { return now.Unix()-b.At.Unix() > b.Seconds }

type bans struct {
	mu      sync.RWMutex
	byShard []map[*Address]Ban
}

func newBans(shards int) *bans {
	b := &bans{byShard: make([]map[*Address]Ban, shards)}
	for i := range b.byShard {
		b.byShard[i] = map[*Address]Ban{}
	}
	return b
}

// Fail counts an error of an address, and bans it if it is a replica. client may be nil.
func (p *Pool) Fail(a *Address, why Reason, client *observe.ClientStats) {
	if why != StatementTimeout {
		a.errors.Add(1)
	}
	if client != nil && a.Role != config.Primary {
		client.BanError()
		a.Stats.Error()
	}
	p.ban(a, why, p.settings.BanTime)
}

// BanFor is the admin's BAN. For a primary it does nothing, and still tells that it did (rule 38).
func (p *Pool) BanFor(a *Address, seconds int64) {
	p.ban(a, Reason(fmt.Sprintf("AdminBan(%d)", seconds)), seconds)
}

func (p *Pool) ban(a *Address, why Reason, seconds int64) {
	if a.Role == config.Primary {
		return
	}
	slog.Error("Banning instance", "address", a.Name(), "reason", why)
	p.bans.mu.Lock()
	defer p.bans.mu.Unlock()
	p.bans.byShard[a.position][a] = Ban{a, why, time.Now().UTC(), seconds}
}

// Unban takes an address off the list.
func (p *Pool) Unban(a *Address) {
	p.bans.mu.Lock()
	defer p.bans.mu.Unlock()
	delete(p.bans.byShard[a.position], a)
}

// Banned tells whether an address is on the list, its time over or not.
func (p *Pool) Banned(a *Address) bool {
	p.bans.mu.RLock()
	defer p.bans.mu.RUnlock()
	_, banned := p.bans.byShard[a.position][a]
	return banned
}

// Bans lists the bans that still last.
func (p *Pool) Bans() []Ban {
	p.bans.mu.RLock()
	defer p.bans.mu.RUnlock()
	var all []Ban
	for _, shard := range p.bans.byShard {
		for _, b := range shard {
			if !b.over(time.Now()) {
				all = append(all, b)
			}
		}
	}
	return all
}

// tryUnban lifts a ban whose time is over, and all bans of a shard of which every replica is banned.
func (p *Pool) tryUnban(a *Address) bool {
	p.bans.mu.Lock()
	defer p.bans.mu.Unlock()
	shard := p.bans.byShard[a.position]
	if len(shard) == p.replicas(a.position) {
		slog.Warn("Unbanning all replicas.")
		clear(shard)
		return true
	}
	b, banned := shard[a]
	if !banned {
		return true
	}
	if b.over(time.Now()) {
		slog.Warn("Unbanning", "address", a.Name())
		delete(shard, a)
		return true
	}
	return false
}

func (p *Pool) replicas(shard int) int {
	n := 0
	for _, a := range p.shards[shard] {
		if a.Role == config.Replica {
			n++
		}
	}
	return n
}
