package heldto

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"pgcat-failover/steps/pgtest"
)

// names is a name server on loopback that a script can change. The pooler sees it because it runs in
// a mount namespace of its own, with another /etc/resolv.conf.
type nameServer struct {
	conn *net.UDPConn
	ip   string
	mu   sync.Mutex
	a    map[string]string
}

// serverNumber gives each script's name server an address of its own in 127.0.0.0/8.
var serverNumber atomic.Int32

const dnsPort = 53

func (x *run) nameServer() *nameServer {
	if os.Geteuid() != 0 || exec.Command("unshare", "-m", "true").Run() != nil {
		x.t.Skip("names can only be changed by root, in a mount namespace (unshare -m)")
	}
	n := serverNumber.Add(1)
	s := &nameServer{ip: fmt.Sprintf("127.53.%d.%d", os.Getpid()%250, n), a: map[string]string{}}
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.ParseIP(s.ip), Port: dnsPort})
	must(x, err)
	s.conn = conn
	x.t.Cleanup(func() { _ = conn.Close() })
	go s.serve()
	resolv := filepath.Join(x.t.TempDir(), "resolv.conf")
	must(x, os.WriteFile(resolv, []byte("nameserver "+s.ip+"\noptions timeout:1 attempts:1\n"), 0o644))
	within := x.kind.argv
	x.kind.argv = func(config string) []string {
		const script = `mount --bind "$0" /etc/resolv.conf && exec "$@"`
		return append([]string{"unshare", "-m", "sh", "-c", script, resolv}, within(config)...)
	}
	return s
}

func (s *nameServer) set(name, ip string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ip == "" {
		delete(s.a, name+".")
		return
	}
	s.a[name+"."] = ip
}

func (s *nameServer) serve() {
	buf := make([]byte, 1500)
	for {
		n, from, err := s.conn.ReadFromUDP(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buf[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		if raw, err := s.answer(m); err == nil {
			_, _ = s.conn.WriteToUDP(raw, from)
		}
	}
}

func (s *nameServer) answer(m dnsmessage.Message) ([]byte, error) {
	q := m.Questions[0]
	s.mu.Lock()
	ip, known := s.a[q.Name.String()]
	s.mu.Unlock()
	reply := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true, RecursionAvailable: true}, Questions: m.Questions}
	if !known {
		reply.RCode = dnsmessage.RCodeNameError
	} else if q.Type == dnsmessage.TypeA {
		var a dnsmessage.AResource
		copy(a.A[:], net.ParseIP(ip).To4())
		reply.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 0}, Body: &a}}
	}
	return reply.Pack()
}

const serverName = "postgres-primary.test"

// twoHomes are two addresses for one name, on one port; the first is the name's.
func (x *run) twoHomes(c conf) *nameServer {
	dns := x.nameServer()
	homes := [2]string{fmt.Sprintf("127.54.%d.1", serverNumber.Load()), fmt.Sprintf("127.54.%d.2", serverNumber.Load())}
	first, err := pgtest.NewProxy(homes[0], postgres.Address())
	must(x, err)
	second, err := pgtest.NewProxyOn(homes[1], first.Port, postgres.Address())
	must(x, err)
	x.t.Cleanup(first.Close)
	x.t.Cleanup(second.Close)
	x.shards = []*pgtest.Proxy{first, second}
	dns.set(serverName, homes[0])
	c.shards = []string{fmt.Sprintf("%s:%d", serverName, first.Port)}
	x.start(c)
	return dns
}

// home tells which address holds connections.
func (x *run) home(does string) {
	x.step(does, func() []string {
		return []string{fmt.Sprintf("first %d, second %d", x.shards[0].Open(), x.shards[1].Open())}
	})
}

// nameGone: a name that is gone hurts nobody until somebody dials.
func nameGone(x *run) {
	dns := x.twoHomes(conf{general: "connect_timeout = 700"})
	c := x.enter()
	c.query(where)
	dns.set(serverName, "")
	c.query(where)
	x.shards[0].Cut(false)
	c.query(where)
	next := x.enter()
	next.query(where)
	dns.set(serverName, x.shards[0].Host)
	x.recovered(next)
	next.query(where)
}

// addressChanged: an established connection stays where it is; a new one goes to the new address.
func addressChanged(x *run) {
	dns := x.twoHomes(conf{general: "connect_timeout = 700"})
	c := x.enter()
	c.query(where)
	x.home("at first")
	dns.set(serverName, x.shards[1].Host)
	c.query(where)
	x.home("the name has moved")
	x.shards[0].Down()
	c.query(where)
	next := x.enter()
	next.query(where)
	x.home("after the old address is gone")
}

// addressChangedDNSCache: with the cache a server whose name moved is dropped, after it served once
// more.
func addressChangedDNSCache(x *run) {
	dns := x.twoHomes(conf{general: "connect_timeout = 700\ndns_cache_enabled = true\ndns_max_ttl = 1"})
	c := x.enter()
	c.query(where)
	x.home("at first")
	dns.set(serverName, x.shards[1].Host)
	began := time.Now()
	x.eventually("the cache had its time", func() bool { return time.Since(began) > 2500*time.Millisecond })
	x.home("nothing was asked")
	c.query(where)
	x.eventually("the old connection is dropped", func() bool { return x.shards[0].Open() == 0 })
	c.query(where)
	x.home("the next is at the new address")
}
