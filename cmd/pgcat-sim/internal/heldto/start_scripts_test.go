package heldto

import (
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"pgcat-failover/steps/pgtest"
)

// configPath: the argument, else CONFIG_FILE, else pgcat.toml where the pooler is started.
func configPath(x *run) {
	const (
		asEnvironment = `CONFIG_FILE="$0" exec "$@"`
		asDefault     = `cd "$(dirname "$0")" && exec "$@"`
		nowhere       = `cd / && exec "$@"`
	)
	x.somethingDown = true // no server is asked for anything
	argv := x.kind.argv
	ok := conf{shards: []string{"127.0.0.1:1"}}
	for _, c := range []struct{ does, sh string }{{"CONFIG_FILE", asEnvironment}, {"pgcat.toml here", asDefault}} {
		x.kind.argv = withoutPath(argv, c.sh)
		x.start(ok)
		x.login(c.does, names("user", "admin", "database", "pgcat"), "admin-secret")
	}
	x.kind.argv = withoutPath(argv, nowhere)
	x.launch(ok)
	x.exit("none of them")
}

// withoutPath starts a pooler through a shell, which gets the path of the configuration as $0.
func withoutPath(argv func(string) []string, script string) func(string) []string {
	return func(config string) []string {
		all := argv(config)
		return append([]string{"sh", "-c", script, config}, all[:len(all)-1]...)
	}
}

// startWaits: the port is open before the pools are built, so a probe of it passes; nothing answers.
func startWaits(x *run) {
	address, _ := x.deaf()
	x.launch(conf{shards: []string{address}, general: "connect_timeout = 600\nenable_prometheus_exporter = true", user: "pool_size = 5\nmin_pool_size = 1"})
	x.eventually("the port is open", func() bool {
		c, err := x.pooler.dial()
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	x.step("a login", func() []string {
		c := x.dial()
		_, _ = c.conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47})
		return c.bytes(400 * time.Millisecond)
	})
	x.step("the exporter", func() []string {
		code, _, _ := x.pooler.scrape(x.t)
		return []string{fmt.Sprint(code)}
	})
}

// gate is an endpoint that accepts at once and lets nothing through before it is opened.
type gate struct {
	address string
	mu      sync.Mutex
	shut    chan struct{}
	came    int
}

func (x *run) gate() *gate {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(x, err)
	g := &gate{address: l.Addr().String(), shut: make(chan struct{})}
	inner, err := pgtest.NewProxy("127.0.0.1", postgres.Address())
	must(x, err)
	x.t.Cleanup(func() { l.Close(); g.open(); inner.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go g.forward(c, fmt.Sprintf("127.0.0.1:%d", inner.Port))
		}
	}()
	return g
}

func (g *gate) forward(c net.Conn, target string) {
	defer c.Close()
	g.mu.Lock()
	g.came++
	shut := g.shut
	g.mu.Unlock()
	<-shut
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, c); server.Close() }()
	_, _ = io.Copy(c, server)
}

func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	select {
	case <-g.shut:
	default:
		close(g.shut)
	}
}

func (g *gate) dials() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.came
}

// slowLogin: a dial has no timeout of its own, outlives the checkout that wanted it, and what it
// brings is there for the next.
func slowLogin(x *run) {
	g := x.gate()
	x.somethingDown = true
	x.start(conf{shards: []string{g.address, x.endpoint(postgres.Address())}, general: "connect_timeout = 400", user: "pool_size = 1"})
	x.eventually("the other shard made the pool valid", func() bool { return x.mayEnter() })
	c := x.enter()
	c.query("select 1")
	c.query("select 1")
	x.untimed("dials under way", func() []string { return []string{fmt.Sprint(g.dials())} })
	g.open()
	x.eventually("the connection is there, and nobody asked", func() bool { return x.servers() == 2 })
	c.query(where)
	x.untimed("dials in all", func() []string { return []string{fmt.Sprint(g.dials())} })
}
