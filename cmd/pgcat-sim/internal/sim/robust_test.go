package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/steps/pgtest"
)

const (
	dyingClients = 500
	settleWithin = 30 * time.Second
)

// inProcess runs a stand-in inside the test, so that its goroutines can be counted.
func inProcess(t *testing.T, more string) string {
	t.Helper()
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	pg, err := pgtest.Start()
	if errors.Is(err, pgtest.ErrNoPostgres) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(pg.Stop)
	port, err := pgtest.FreePort()
	require.NoError(t, err)
	text := fmt.Sprintf(`[general]
host = "127.0.0.1"
port = %d
admin_username = "admin"
admin_password = "admin"
%s
[pools.app.users.0]
username = "postgres"
password = "postgres"
pool_size = 4
[pools.app.shards.0]
database = "postgres"
servers = [["127.0.0.1", %d, "primary"]]
`, port, more, pg.Port)
	path := filepath.Join(t.TempDir(), "pgcat.toml")
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan int, 1)
	go func() { done <- Run(ctx, release.V120, path, Signals{}) }()
	t.Cleanup(func() { cancel(); <-done })
	address := fmt.Sprintf("127.0.0.1:%d", port)
	require.NoError(t, pgtest.Eventually(settleWithin, func() error { return works(address) }))
	return address
}

func works(address string) error {
	host, port, _ := net.SplitHostPort(address)
	ctx, cancel := context.WithTimeout(context.Background(), settleWithin)
	defer cancel()
	c, err := pgconn.Connect(ctx, fmt.Sprintf("host=%s port=%s user=postgres password=postgres dbname=app sslmode=disable", host, port))
	if err != nil {
		return err
	}
	defer func() { _ = c.Close(ctx) }()
	return c.Exec(ctx, "select 1").Close()
}

// whole waits until nothing is left of the clients: no goroutine, no held server; and all servers
// still work.
func whole(t *testing.T, address string, goroutines int) {
	t.Helper()
	require.NoError(t, pgtest.Eventually(settleWithin, func() error {
		if n := runtime.NumGoroutine(); n > goroutines {
			return fmt.Errorf("%d goroutines, %d before", n, goroutines)
		}
		return nil
	}))
	var all sync.WaitGroup
	problems := make(chan error, 16)
	for range 16 { // more than pool_size: a lost server would show
		all.Add(1)
		go func() { defer all.Done(); problems <- works(address) }()
	}
	all.Wait()
	for range 16 {
		require.NoError(t, <-problems)
	}
}

// TestMalformed sends packets that no client would send, half of them before a login and half after
// it: 1,000, and with the build tag differential 10,000.
func TestMalformed(t *testing.T) {
	if testing.Short() {
		t.Skip("many connections; left out with -short")
	}
	address := inProcess(t, "")
	before := runtime.NumGoroutine()
	rnd := rand.New(rand.NewPCG(1, 2))
	jobs := make(chan []byte)
	var all sync.WaitGroup
	for range 8 {
		all.Add(1)
		go func() {
			defer all.Done()
			for packet := range jobs {
				insult(address, packet)
			}
		}()
	}
	for i := range malformedPackets {
		jobs <- malformedPacket(rnd, i%2 == 0)
	}
	close(jobs)
	all.Wait()
	whole(t, address, before)
}

// malformedPacket is noise behind a plausible start; the first byte tells insult whether to log in.
func malformedPacket(rnd *rand.Rand, login bool) []byte {
	noise := make([]byte, rnd.IntN(40))
	for i := range noise {
		noise[i] = byte(rnd.Uint32())
	}
	if !login {
		start := [][]byte{{0, 0, 0, byte(rnd.IntN(64))}, {0, 0, 0, 30, 0, 3, 0, 0}, {0, 0, 0, 8, 4, 210, 22, 47}, {0xff, 0xff}, {0, 0, 0, 16, 4, 210, 22, 46}}
		return append([]byte{0}, append(start[rnd.IntN(len(start))], noise...)...)
	}
	kinds := "QPBDECSHFdcfXpyZ\x00"
	head := []byte{1, kinds[rnd.IntN(len(kinds))], 0, 0, 0, byte(rnd.IntN(48))}
	return append(append(head, noise...), 'S', 0, 0, 0, 4)
}

// insult sends the packet and leaves without waiting for what comes of it.
func insult(address string, packet []byte) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer c.Close()
	if packet[0] == 1 && !enter(c) {
		return
	}
	_, _ = c.Write(packet[1:])
}

// enter logs in by hand.
func enter(c net.Conn) bool {
	cfg, err := pgconn.ParseConfig("host=127.0.0.1 user=postgres password=postgres dbname=app sslmode=disable")
	if err != nil {
		return false
	}
	cfg.DialFunc = func(context.Context, string, string) (net.Conn, error) { return keep{c}, nil }
	conn, err := pgconn.ConnectConfig(context.Background(), cfg)
	if err != nil {
		return false
	}
	_, err = conn.Hijack()
	return err == nil
}

// keep leaves the closing of a connection to its owner.
type keep struct{ net.Conn }

func (keep) Close() error { return nil }

// TestClientsDie: 500 clients come, do something, and die without a goodbye: idle, in a query, in a
// transaction, or before they are logged in.
func TestClientsDie(t *testing.T) {
	if testing.Short() {
		t.Skip("500 clients; left out with -short")
	}
	address := inProcess(t, "connect_timeout = 5000")
	before := runtime.NumGoroutine()
	var all sync.WaitGroup
	for i := range dyingClients {
		all.Add(1)
		go func() { defer all.Done(); dieOnce(address, i) }()
	}
	all.Wait()
	whole(t, address, before)
}

func dieOnce(address string, i int) {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return
	}
	defer c.Close()
	if i%5 == 0 || !enter(c) {
		return
	}
	front := pgproto3.NewFrontend(c, c)
	switch i % 5 {
	case 1:
		front.Send(&pgproto3.Query{String: "select pg_sleep(0.05)"})
	case 2:
		front.Send(&pgproto3.Query{String: "begin; create temp table t (n int)"})
	case 3:
		front.Send(&pgproto3.Parse{Query: "select repeat('x', 1000) from generate_series(1, 3000)"})
		front.Send(&pgproto3.Bind{})
		front.Send(&pgproto3.Execute{})
		front.Send(&pgproto3.Sync{})
	case 4:
		front.Send(&pgproto3.Query{String: "begin"})
		_ = front.Flush()
		_, _ = front.Receive()
		front.Send(&pgproto3.Query{String: "select 1/0"})
	}
	_ = front.Flush()
}
