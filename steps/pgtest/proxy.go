package pgtest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
)

// Proxy is one endpoint: an address of its own in front of a server, that can go away.
type Proxy struct {
	Host   string
	Port   int
	target string

	mu       sync.Mutex
	listener net.Listener
	open     map[net.Conn]struct{}
	hole     atomic.Bool
}

// NewProxy forwards a free port of host, a loopback address, to target.
func NewProxy(host, target string) (*Proxy, error) {
	return NewProxyOn(host, 0, target)
}

// NewProxyOn is NewProxy with a given port.
func NewProxyOn(host string, port int, target string) (*Proxy, error) {
	p := &Proxy{Host: host, Port: port, target: target, open: map[net.Conn]struct{}{}}
	for try := 0; ; try++ {
		if port == 0 {
			free, err := FreePort()
			if err != nil {
				return nil, err
			}
			p.Port = free
		}
		err := p.Restore()
		if err == nil {
			return p, nil
		}
		// Another process may have been quicker with a port that was free a moment ago.
		if port != 0 || try == portTries || !errors.Is(err, syscall.EADDRINUSE) {
			return nil, err
		}
	}
}

// Restore makes the endpoint answer again, on the port it had.
func (p *Proxy) Restore() error {
	p.hole.Store(false)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(p.Host, fmt.Sprint(p.Port)))
	if err != nil {
		return fmt.Errorf("open endpoint %s:%d: %w", p.Host, p.Port, err)
	}
	p.listener, p.Port = l, l.Addr().(*net.TCPAddr).Port
	go p.accept(l)
	return nil
}

// Refuse takes the endpoint away from new connections; established ones go on, as through a
// Service that lost its endpoints.
func (p *Proxy) Refuse() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		p.listener.Close()
		p.listener = nil
	}
}

// Cut closes what is established, in order or with a reset.
func (p *Proxy) Cut(reset bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.open {
		if tcp, ok := c.(*net.TCPConn); ok && reset {
			_ = tcp.SetLinger(0)
		}
		c.Close()
	}
	p.open = map[net.Conn]struct{}{}
}

// Down is Refuse and Cut: the endpoint is gone.
func (p *Proxy) Down() { p.Refuse(); p.Cut(false) }

// BlackHole swallows all that comes, from old and new connections alike, and answers nothing.
func (p *Proxy) BlackHole() { p.hole.Store(true) }

// Open is how many connections are established.
func (p *Proxy) Open() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open) / 2
}

func (p *Proxy) accept(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go p.forward(c)
	}
}

func (p *Proxy) forward(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		client.Close() // a dead server behind a living endpoint
		return
	}
	p.track(client, server)
	go p.pump(server, client)
	p.pump(client, server)
}

func (p *Proxy) track(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		p.open[c] = struct{}{}
	}
}

// pump copies one way; in a black hole it only reads.
func (p *Proxy) pump(to, from net.Conn) {
	_, _ = io.Copy(&holed{p, to}, from)
	if p.hole.Load() {
		return
	}
	p.mu.Lock()
	delete(p.open, to)
	delete(p.open, from)
	p.mu.Unlock()
	to.Close()
	from.Close()
}

type holed struct {
	proxy *Proxy
	to    net.Conn
}

func (h *holed) Write(b []byte) (int, error) {
	if h.proxy.hole.Load() {
		return len(b), nil
	}
	return h.to.Write(b)
}

// Close ends the endpoint for good.
func (p *Proxy) Close() { p.Down() }
