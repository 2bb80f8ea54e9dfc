// Package backend is one connection to a Postgres server: its login, its relay, its cleanup.
package backend

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/observe"
)

// applicationName is what PgCat calls itself to Postgres. Every client with another name costs a
// SET on each server it meets first.
const applicationName = "pgcat"

// readBuffer is about what PgCat reads at once.
const readBuffer = 16 << 10

// Target is a Postgres and how to log in to it.
type Target struct {
	Host                     string
	Port                     uint16
	Database, User, Password string
	// Hash is what auth_query knows in the place of a password; nil, or empty: nothing.
	Hash           func() string
	TLS, VerifyTLS bool
	Sockets        Sockets
	// Statements is how many prepared statements to keep on the server; 0 switches the cache off.
	Statements int
	// Cleanup tells whether a server that clients altered is reset at check-in.
	Cleanup bool
}

// Dial connects and logs in. Nothing bounds the time it takes but the kernel (rule 34); the name
// is resolved anew each time.
func Dial(ctx context.Context, t Target, stats *observe.ServerStats) (*Server, error) {
	hijacked, in, err := connect(ctx, t)
	if err != nil {
		return nil, err
	}
	s := &Server{
		conn: hijacked.Conn, in: bufio.NewReaderSize(in, readBuffer),
		host: t.Host, port: t.Port, pid: hijacked.PID, secret: hijacked.SecretKey,
		params: NewParams(), stats: stats, cleanup: t.Cleanup,
		born: time.Now(), lastActivity: time.Now(),
	}
	for k, v := range hijacked.ParameterStatuses {
		s.params.Set(k, v)
	}
	if t.Statements > 0 {
		s.statements, _ = simplelru.NewLRU[string, struct{}](t.Statements, nil) // fails for sizes below 1 only
	}
	return s, nil
}

// connect logs in and gives the connection away, and with it the reader through which all further
// reads must go. A write of the login that took more than 15 ms, on a busy machine, leaves pgconn's
// background reader in the middle of a read; who then reads from the socket itself never sees what
// that one got, and waits for ever.
func connect(ctx context.Context, t Target) (*pgconn.HijackedConn, io.Reader, error) {
	var in io.Reader
	conn, err := open(ctx, t, func(r io.Reader) { in = r })
	if err != nil {
		return nil, nil, err
	}
	hijacked, err := conn.Hijack()
	return hijacked, in, err
}

// Ask runs one query on a connection of its own.
func Ask(ctx context.Context, t Target, sql string) (*pgconn.Result, error) {
	conn, err := open(ctx, t, func(io.Reader) {})
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(results) != 1 {
		return nil, fmt.Errorf("expected one result, got %d", len(results))
	}
	return results[0], results[0].Err
}

// open logs in; raw is told the reader under pgconn's own.
func open(ctx context.Context, t Target, raw func(io.Reader)) (*pgconn.PgConn, error) {
	conf, err := pgconn.ParseConfig("sslmode=disable")
	if err != nil {
		return nil, fmt.Errorf("prepare login to %s: %w", t.Host, err)
	}
	conf.Host, conf.Port, conf.Database = t.Host, t.Port, t.Database
	conf.User, conf.Password = t.User, t.Password
	conf.RuntimeParams = map[string]string{"application_name": applicationName}
	conf.Fallbacks, conf.ValidateConnect, conf.ConnectTimeout = nil, nil, 0
	conf.DialFunc = t.Sockets.dial
	conf.BuildFrontend = func(r io.Reader, w io.Writer) *pgproto3.Frontend {
		raw(r)
		if hash := t.hash(); hash != "" {
			h := &hashLogin{hash: hash, r: r, w: w}
			r, w = h, h
		}
		return pgproto3.NewFrontend(r, w)
	}
	conn, err := preferTLS(ctx, conf, t)
	if err != nil {
		slog.Error("Could not connect to server: " + err.Error())
		return nil, err
	}
	return conn, nil
}

func (t Target) hash() string {
	if t.Hash == nil || t.Password != "" {
		return ""
	}
	return t.Hash()
}

// preferTLS is server_tls: TLS if the server has it, plain if it says that it has none. What goes
// wrong after it said yes, a certificate that cannot be verified above all, is an error: there is no
// second try without.
func preferTLS(ctx context.Context, conf *pgconn.Config, t Target) (*pgconn.PgConn, error) {
	if !t.TLS {
		return pgconn.ConnectConfig(ctx, conf)
	}
	plain := conf.Copy()
	conf.TLSConfig = &tls.Config{ServerName: t.Host, InsecureSkipVerify: !t.VerifyTLS} // upstream's default, too
	conn, err := pgconn.ConnectConfig(ctx, conf)
	if err != nil && strings.Contains(err.Error(), refusedTLS) {
		return pgconn.ConnectConfig(ctx, plain)
	}
	return conn, err
}

// refusedTLS is pgconn's word for a server without TLS; there is no value to compare with.
const refusedTLS = "server refused TLS connection"

// Handle is what a cancel request needs to know of a server.
type Handle struct {
	Host   string
	Port   uint16
	PID    uint32
	Secret []byte
}

// Handle tells where and under which key the server can be cancelled.
func (s *Server) Handle() Handle { return Handle{s.host, s.port, s.pid, s.secret} }

// Cancel forwards a cancel request to the server under its real key (rule 7).
func (h Handle) Cancel(ctx context.Context, sockets Sockets) error {
	conn, err := sockets.dial(ctx, "tcp", net.JoinHostPort(h.Host, strconv.Itoa(int(h.Port))))
	if err != nil {
		return fmt.Errorf("forward cancel request to %s:%d: %w", h.Host, h.Port, err)
	}
	defer conn.Close()
	request, err := (&pgproto3.CancelRequest{ProcessID: h.PID, SecretKey: h.Secret}).Encode(nil)
	if err != nil {
		return fmt.Errorf("encode cancel request for pid %d: %w", h.PID, err)
	}
	_, err = conn.Write(request)
	return err
}

// Key is a client's own pid and secret, made up by PgCat.
func Key(secret uint32) []byte { return binary.BigEndian.AppendUint32(nil, secret) }
