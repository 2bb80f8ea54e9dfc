package backend

import (
	"context"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Sockets are the options PgCat sets on every socket, its clients' too (rule 50). NODELAY is Go's default.
type Sockets struct {
	UserTimeout, KeepIdle, KeepInterval time.Duration
	KeepCount                           int

	slow func(net.Conn) net.Conn // for tests: a connection that takes its time
}

// Configure sets the options; like upstream it goes on if one cannot be set.
func (s Sockets) Configure(conn net.Conn) {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return
	}
	_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: s.KeepIdle, Interval: s.KeepInterval, Count: s.KeepCount})
	raw, err := tcp.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Control(func(fd uintptr) {
		_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(s.UserTimeout.Milliseconds()))
	})
}

// dial has no timeout but the kernel's own (rule 34).
func (s Sockets) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	s.Configure(conn)
	if s.slow != nil {
		conn = s.slow(conn)
	}
	return conn, nil
}
