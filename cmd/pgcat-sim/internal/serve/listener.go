// Package serve is the side that clients see: login, the relay between a client and the servers it
// borrows, cancel requests, and the end (rules 5 to 14, 39 to 49, 57 to 59).
package serve

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
)

// Console is the admin database. It gets one message and gives the reply; an error closes the
// connection without a word.
type Console interface {
	Handle(message []byte) ([]byte, error)
}

// Pooler is all that clients share.
type Pooler struct {
	Release  release.Release
	Config   func() *config.Config
	Pools    *pool.Pools
	Registry *observe.Registry
	Console  Console

	mu       sync.Mutex
	clients  map[*client]struct{} // logged in, admins excluded
	stopping bool
	drained  chan struct{}

	cancelMu sync.Mutex
	holding  map[clientKey]backend.Handle
}

type clientKey struct{ pid, secret uint32 }

// Init makes p ready for clients.
func (p *Pooler) Init() {
	p.clients = map[*client]struct{}{}
	p.holding = map[clientKey]backend.Handle{}
	p.drained = make(chan struct{})
}

// Serve accepts clients until the listener is closed.
func (p *Pooler) Serve(l net.Listener) error {
	for {
		conn, err := l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			slog.Error("accept: " + err.Error())
			continue
		}
		adminOnly := p.isStopping()
		go p.serve(conn, adminOnly)
	}
}

func (p *Pooler) serve(conn net.Conn, adminOnly bool) {
	began := time.Now()
	defer conn.Close()
	pool.SocketsFor(p.Config()).Configure(conn)
	err := p.greet(conn, adminOnly)
	log := slog.Debug
	if err == nil && p.Config().General.LogClientDisconnection {
		log = slog.Info
	}
	if err != nil && !errors.Is(err, errBadStartup) {
		log = slog.Warn
	}
	log("Client disconnected", "client", conn.RemoteAddr(), "session", time.Since(began), "error", err)
}

// Shutdown is SIGINT: nobody new but admins, idle clients go at once, the others after their
// transaction (rule 57). The channel closes when nobody is left.
func (p *Pooler) Shutdown() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return p.drained
	}
	p.stopping = true
	for c := range p.clients {
		c.wake()
	}
	p.checkDrained()
	return p.drained
}

func (p *Pooler) isStopping() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.stopping
}

// Count is how many clients are logged in, admins excluded.
func (p *Pooler) Count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.clients)
}

func (p *Pooler) enter(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clients[c] = struct{}{}
}

func (p *Pooler) leave(c *client) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.clients, c)
	p.checkDrained()
}

func (p *Pooler) checkDrained() {
	if !p.stopping || len(p.clients) > 0 {
		return
	}
	select {
	case <-p.drained:
	default:
		close(p.drained)
	}
}

// claim lets a client cancel what it does on a server; release ends that.
func (p *Pooler) claim(k clientKey, h backend.Handle) {
	p.cancelMu.Lock()
	defer p.cancelMu.Unlock()
	p.holding[k] = h
}

func (p *Pooler) release(k clientKey) {
	p.cancelMu.Lock()
	defer p.cancelMu.Unlock()
	delete(p.holding, k)
}

// cancel forwards a cancel request to the server that the key's client holds now. No such client:
// close without a word (rule 7).
func (p *Pooler) cancel(k clientKey) error {
	p.cancelMu.Lock()
	h, ok := p.holding[k]
	p.cancelMu.Unlock()
	if !ok {
		return nil
	}
	return h.Cancel(context.Background(), pool.SocketsFor(p.Config()))
}

func tlsConfig(g config.General) (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(*g.TLSCertificate, *g.TLSPrivateKey)
	if err != nil {
		return nil, err
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}}, nil
}
