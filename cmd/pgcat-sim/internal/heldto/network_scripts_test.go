package heldto

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"pgcat-failover/steps/pgtest"
)

// network is a network namespace of one script's own, in which packets can be lost.
type network struct{ fd int }

// newNetwork makes a namespace with nothing but loopback.
func (x *run) newNetwork() *network {
	if os.Geteuid() != 0 {
		x.t.Skip("packets can only be dropped by root, in a network namespace")
	}
	for program, pkg := range map[string]string{"iptables": "iptables", "ip": "iproute2"} {
		if _, err := exec.LookPath(program); err != nil {
			x.t.Skipf("no %s to lose packets with: apt-get install %s", program, pkg)
		}
	}
	n := &network{fd: -1}
	err := onOwnThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var err error
		n.fd, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		x.t.Skip("no network namespace: ", err)
	}
	x.t.Cleanup(func() { _ = unix.Close(n.fd) })
	n.run(x, "ip", "link", "set", "lo", "up")
	return n
}

// onOwnThread lets do change the thread's namespace, and puts it back. A thread that cannot be put
// back is never used again.
func onOwnThread(do func() error) error {
	runtime.LockOSThread()
	home, err := unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer func() { _ = unix.Close(home) }()
	err = do()
	if unix.Setns(home, unix.CLONE_NEWNET) == nil {
		runtime.UnlockOSThread()
	}
	return err
}

// in runs do inside; sockets that it makes and processes that it starts stay there. nil is here.
func (n *network) in(do func() error) error {
	if n == nil {
		return do()
	}
	return onOwnThread(func() error {
		if err := unix.Setns(n.fd, unix.CLONE_NEWNET); err != nil {
			return err
		}
		return do()
	})
}

func (n *network) run(x *run, name string, args ...string) {
	must(x, n.in(func() error {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s %v: %w: %s", name, args, err, out)
		}
		return nil
	}))
}

// lose drops all packets to and from a port; nobody is told. find undoes it.
func (n *network) lose(x *run, port int) { n.filter(x, "-A", port) }
func (n *network) find(x *run, port int) { n.filter(x, "-D", port) }

func (n *network) filter(x *run, how string, port int) {
	for _, side := range []string{"--dport", "--sport"} {
		n.run(x, "iptables", "-w", how, "INPUT", "-p", "tcp", side, fmt.Sprint(port), "-j", "DROP")
	}
}

// inNetwork moves the script: endpoints, pooler and clients.
func (x *run) inNetwork() { x.kind.network = x.newNetwork() }

// podLost: an address that answers nothing any more, neither old connections nor new ones.
func podLost(x *run) {
	x.inNetwork()
	x.start(conf{general: "connect_timeout = 500\ntcp_user_timeout = 2000\ntcp_keepalives_idle = 1\ntcp_keepalives_interval = 1\ntcp_keepalives_count = 2"})
	held, idle := x.enter(), x.enter()
	held.query("begin")
	idle.query("select 1")
	x.kind.network.lose(x, x.shards[0].Port)
	held.query("select 1") // nobody acknowledges it: tcp_user_timeout, E3
	idle.query("select 2") // its connection died of the same, and says so at the send: E4
	next := x.enter()
	next.query("select 1") // a dial whose SYN is lost: E1
	next.query("select 1")
	next.query("set shard to 1")
	next.query(where)
	next.query("set shard to 0")
	x.kind.network.find(x, x.shards[0].Port)
	x.untimed("it is back", func() []string {
		x.within(3*patience, func() bool { return next.value(where) != "" })
		return []string{next.value(where)}
	})
}

// podLostInQuery: the server has the query, and can neither answer nor be asked whether it lives.
func podLostInQuery(x *run) {
	x.inNetwork()
	x.start(conf{general: "tcp_user_timeout = 2000\ntcp_keepalives_idle = 1\ntcp_keepalives_interval = 1\ntcp_keepalives_count = 2"})
	c := x.enter()
	x.sleepIn(c)
	x.kind.network.lose(x, x.shards[0].Port)
	x.step("only keepalive can tell", func() []string { return c.after(c.until(3 * patience)) })
}

// podLostHealthCheck: with a health check due, no query goes into the hole.
func podLostHealthCheck(x *run) {
	x.inNetwork()
	x.start(conf{pool: `default_shard = "random_healthy"`, general: "connect_timeout = 500\nhealthcheck_delay = 0\nhealthcheck_timeout = 700"})
	pinned := x.enter()
	pinned.query("set shard to 0")
	x.kind.network.lose(x, x.shards[0].Port)
	x.letIdle()
	pinned.query(where)
	pinned.query(where)
	x.where20("the others")
}

// clientLost: a client that is gone without a word holds its server until keepalive tells.
func clientLost(x *run) {
	x.inNetwork()
	x.start(conf{general: "connect_timeout = 500\ntcp_user_timeout = 2000\ntcp_keepalives_idle = 1\ntcp_keepalives_interval = 1\ntcp_keepalives_count = 2", user: "pool_size = 1"})
	lost, next := x.enter(), x.enter()
	pid := lost.value(backendPID)
	lost.query("begin")
	x.kind.network.lose(x, lost.conn.LocalAddr().(*net.TCPAddr).Port)
	began := time.Now()
	next.query("select 1")
	// Between a probe and the next is a second, so the exact moment is chance.
	x.untimed("its transaction ends", func() []string {
		x.within(3*patience, func() bool { return inTransaction(pid) == "0" })
		took := time.Since(began)
		return []string{fmt.Sprintf("%s open, after 1 to 4 s: %t", inTransaction(pid), time.Second < took && took < 4*time.Second)}
	})
	next.query("select 1")
}

func inTransaction(pid string) string {
	n, _ := postgres.Ask("postgres", "select count(*) from pg_stat_activity where state = 'idle in transaction' and pid = "+pid)
	return n
}

// mayEnter tells whether a login works. E6 comes with ReadyForQuery, and is closed.
func (x *run) mayEnter() bool {
	c := x.dial()
	defer c.conn.Close()
	return slices.Contains(c.login(names("user", "postgres", "database", "app"), "postgres"), "R ok")
}

// deaf is an endpoint whose queue of connections is full: the kernel drops every further SYN.
func (x *run) deaf() (address string, hear func()) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	must(x, err)
	port, err := pgtest.FreePort()
	must(x, err)
	must(x, unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: port}))
	must(x, unix.Listen(fd, 0))
	address = fmt.Sprintf("127.0.0.1:%d", port)
	var fill []net.Conn
	for range 4 {
		c, err := net.DialTimeout("tcp", address, 200*time.Millisecond)
		if err != nil {
			break // full
		}
		fill = append(fill, c)
	}
	closed := false
	hear = func() {
		if closed {
			return
		}
		closed = true
		for _, c := range fill {
			_ = c.Close()
		}
		_ = unix.Close(fd)
	}
	x.t.Cleanup(hear)
	return address, hear
}

// synLost: nobody answers a connect. The wait is connect_timeout, however long the kernel tries.
func synLost(x *run) {
	address, hear := x.deaf()
	_, port, _ := net.SplitHostPort(address)
	x.somethingDown = true
	x.start(conf{shards: []string{address, x.endpoint(postgres.Address())}, general: "connect_timeout = 600", pool: `default_shard = "shard_0"`})
	x.eventually("the other shard made the pool valid", func() bool { return x.mayEnter() })
	c := x.enter()
	c.query("select 1")
	c.query("select 1")
	c.query("set shard to 1")
	c.query(where)
	hear()
	n := 0
	_, _ = fmt.Sscan(port, &n)
	var proxy *pgtest.Proxy
	must(x, pgtest.Eventually(patience, func() (err error) { // the kernel may not be done with the closed one
		proxy, err = pgtest.NewProxyOn("127.0.0.1", n, postgres.Address())
		return err
	}))
	x.t.Cleanup(proxy.Close)
	c.query("set shard to 0")
	x.untimed("it hears again", func() []string {
		x.within(3*patience, func() bool { return c.value(where) != "" })
		return []string{c.value(where)}
	})
}

// synLostAll: a pool that never saw a server refuses logins after connect_timeout.
func synLostAll(x *run) {
	address, _ := x.deaf()
	x.somethingDown = true
	x.start(conf{shards: []string{address}, general: "connect_timeout = 600"})
	x.login("the first", names("user", "postgres", "database", "app"), "postgres")
	x.login("the second", names("user", "postgres", "database", "app"), "postgres")
	x.launch(conf{shards: []string{address}, general: "connect_timeout = 600", user: "pool_size = 5\nmin_pool_size = 1"})
	x.exit("min_pool_size")
}

// socketOptions: what is set on the sockets to servers and clients.
func socketOptions(x *run) {
	for _, keys := range []string{"", "tcp_keepalives_idle = 7\ntcp_keepalives_count = 3\ntcp_keepalives_interval = 2\ntcp_user_timeout = 4321"} {
		x.shards = nil
		x.start(conf{general: keys, shards: []string{x.endpoint(postgres.Address())}})
		c := x.enter()
		c.ask("select 1")
		x.step("options: "+orElse(keys, "default"), func() []string { return x.options() })
	}
}

// options borrows each socket of the pooler and asks the kernel about it.
func (x *run) options() []string {
	pidfd, err := unix.PidfdOpen(x.pooler.cmd.Process.Pid, 0)
	if err != nil {
		x.t.Skip("no pidfd on this kernel: ", err)
	}
	defer func() { _ = unix.Close(pidfd) }()
	found := map[string]bool{}
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", x.pooler.cmd.Process.Pid))
	must(x, err)
	for _, e := range entries {
		link, _ := os.Readlink(fmt.Sprintf("/proc/%d/fd/%s", x.pooler.cmd.Process.Pid, e.Name()))
		if !strings.HasPrefix(link, "socket:") {
			continue
		}
		n := 0
		_, _ = fmt.Sscan(e.Name(), &n)
		fd, err := unix.PidfdGetfd(pidfd, n, 0)
		if err != nil {
			x.t.Skip("sockets of another process cannot be looked at: ", err)
		}
		if side := x.side(fd); side != "" {
			found[side+": "+describeSocket(fd)] = true
		}
		_ = unix.Close(fd)
	}
	return sorted(found)
}

// side tells whom a connected socket leads to.
func (x *run) side(fd int) string {
	local, err := unix.Getsockname(fd)
	remote, err2 := unix.Getpeername(fd)
	if err != nil || err2 != nil {
		return ""
	}
	if a, ok := remote.(*unix.SockaddrInet4); ok && a.Port == x.shards[0].Port {
		return "to a server"
	}
	if a, ok := local.(*unix.SockaddrInet4); ok && a.Port == x.pooler.port {
		return "to a client"
	}
	return ""
}

func describeSocket(fd int) string {
	var all []string
	for _, o := range []struct {
		name          string
		level, option int
	}{
		{"keepalive", unix.SOL_SOCKET, unix.SO_KEEPALIVE}, {"idle", syscall.IPPROTO_TCP, unix.TCP_KEEPIDLE},
		{"interval", syscall.IPPROTO_TCP, unix.TCP_KEEPINTVL}, {"count", syscall.IPPROTO_TCP, unix.TCP_KEEPCNT},
		{"user timeout", syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT}, {"nodelay", syscall.IPPROTO_TCP, unix.TCP_NODELAY},
	} {
		v, err := unix.GetsockoptInt(fd, o.level, o.option)
		all = append(all, fmt.Sprintf("%s %d", o.name, v))
		if err != nil {
			all[len(all)-1] = o.name + " " + err.Error()
		}
	}
	return strings.Join(all, ", ")
}
