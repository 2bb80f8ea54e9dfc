package observe

import (
	"sync/atomic"
	"time"
)

// ClientStats is one logged-in client, as SHOW CLIENTS shows it.
type ClientStats struct {
	ID                      int32
	Application, User, Pool string
	Since                   time.Time
	registry                *Registry

	state                         atomic.Value
	Transactions, Queries, Errors atomic.Uint64
	maxWait, waitStart            atomic.Int64 // microseconds; waitStart counts from Since
}

// NewClient registers a client under its process id.
func (r *Registry) NewClient(id int32, application, user, pool string) *ClientStats {
	c := &ClientStats{ID: id, Application: application, User: user, Pool: pool, Since: time.Now(), registry: r}
	c.state.Store(Idle)
	r.mu.Lock()
	if _, taken := r.clients[id]; !taken {
		r.clients[id] = c
	}
	r.mu.Unlock()
	return c
}

// Disconnect takes the client out of the books.
func (c *ClientStats) Disconnect() {
	c.registry.mu.Lock()
	delete(c.registry.clients, c.ID)
	c.registry.mu.Unlock()
}

// State is what the client is doing now.
func (c *ClientStats) State() State { return c.state.Load().(State) }

// Idle says: holds no server.
func (c *ClientStats) Idle() { c.state.Store(Idle) }

// Active says: holds a server.
func (c *ClientStats) Active() { c.state.Store(Active) }

// Waiting says: a checkout has begun.
func (c *ClientStats) Waiting() {
	c.waitStart.Store(time.Since(c.Since).Microseconds())
	c.state.Store(Waiting)
}

// CheckoutOver ends the wait, with a server or without.
func (c *ClientStats) CheckoutOver(ok bool) {
	if ok {
		c.state.Store(Active)
	} else {
		c.state.Store(Idle)
	}
	wait := c.waitedMicros()
	if wait > c.maxWait.Load() {
		c.maxWait.Store(wait)
	}
	c.waitStart.Store(0)
}

// BanError says: the server was banned under the client.
func (c *ClientStats) BanError() {
	c.state.Store(Idle)
	c.Errors.Add(1)
}

// MaxWait is the longest wait so far.
func (c *ClientStats) MaxWait() time.Duration {
	return time.Duration(c.maxWait.Load()) * time.Microsecond
}

func (c *ClientStats) waitedMicros() int64 {
	start := c.waitStart.Load()
	if start == 0 {
		return 0
	}
	return max(0, time.Since(c.Since).Microseconds()-start)
}
