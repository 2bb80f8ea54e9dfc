package observe

import (
	"math/rand/v2"
	"sync/atomic"
	"time"
)

// State is what a client or a server is doing.
type State string

// The states of clients (idle, waiting, active) and of servers (login, active, tested, idle).
const (
	Idle    State = "idle"
	Waiting State = "waiting"
	Active  State = "active"
	Login   State = "login"
	Tested  State = "tested"
)

const undefinedApplication = "Undefined"

// ServerStats is one server connection, from the start of its dial to its end (rule 55).
type ServerStats struct {
	ID                  int32
	Pool, User, Address string
	Since               time.Time
	address             *AddressStats
	registry            *Registry

	application, state                          atomic.Value
	Transactions, Queries, Sent, Received       atomic.Uint64
	CacheHits, CacheMisses, CacheEvicts, Cached atomic.Uint64
}

// NewServer registers a server that is about to be dialled.
func (r *Registry) NewServer(pool, user, addressName string, address *AddressStats) *ServerStats {
	s := &ServerStats{
		ID: int32(rand.Uint32()), Pool: pool, User: user, Address: addressName,
		Since: time.Now(), address: address, registry: r,
	}
	s.state.Store(Login)
	s.application.Store(undefinedApplication)
	r.mu.Lock()
	r.servers[s.ID] = s
	r.mu.Unlock()
	return s
}

// Disconnect takes the server out of the books.
func (s *ServerStats) Disconnect() {
	s.registry.mu.Lock()
	delete(s.registry.servers, s.ID)
	s.registry.mu.Unlock()
}

// State is what the server is doing now.
func (s *ServerStats) State() State { return s.state.Load().(State) }

// Application is the name of the client's application that the server last worked for.
func (s *ServerStats) Application() string { return s.application.Load().(string) }

// Idle says: back in the pool.
func (s *ServerStats) Idle() { s.state.Store(Idle) }

// Tested says: a health check is under way.
func (s *ServerStats) Tested() {
	s.application.Store(undefinedApplication)
	s.state.Store(Tested)
}

// CheckedOut says: held by a client that waited for it.
func (s *ServerStats) CheckedOut(waited time.Duration, application string) {
	s.application.Store(application)
	s.address.Waited(uint64(waited.Microseconds()))
	s.state.Store(Active)
}

// Query counts a completed Query or Sync (rule 52).
func (s *ServerStats) Query(took time.Duration, application string) {
	s.application.Store(application)
	s.address.query(uint64(took.Milliseconds()))
	s.Queries.Add(1)
}

// Transaction counts a return to idle (rule 53).
func (s *ServerStats) Transaction(application string) {
	s.application.Store(application)
	s.address.transaction()
	s.Transactions.Add(1)
}

// DataSent counts bytes to the server.
func (s *ServerStats) DataSent(n int) {
	s.Sent.Add(uint64(n))
	s.address.sent(uint64(n))
}

// DataReceived counts bytes from the server.
func (s *ServerStats) DataReceived(n int) {
	s.Received.Add(uint64(n))
	s.address.received(uint64(n))
}
