package backend

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/steps/pgtest"
)

// slowWrites comes back from a write later than pgconn waits before it starts to read in the
// background; by then the server has answered, and that reader is in its next read.
type slowWrites struct{ net.Conn }

func (c slowWrites) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	<-time.After(60 * time.Millisecond)
	return n, err
}

// TestSlowLogin: on a busy machine the writes of a login are slow, pgconn's background reader is left
// in the middle of a read, and it gets the first reply. A pooler that read past it hung for ever.
func TestSlowLogin(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Postgres; left out with -short")
	}
	pg, err := pgtest.Start()
	if errors.Is(err, pgtest.ErrNoPostgres) {
		t.Skip(err)
	}
	require.NoError(t, err)
	defer pg.Stop()
	target := Target{Host: "127.0.0.1", Port: uint16(pg.Port), Database: "postgres", User: pgtest.User, Password: pgtest.Password}
	target.Sockets = Sockets{UserTimeout: time.Second, slow: func(c net.Conn) net.Conn { return slowWrites{c} }}
	stats := observe.NewRegistry().NewServer("app", pgtest.User, "app_shard_0_primary", &observe.AddressStats{})
	s, err := Dial(context.Background(), target, stats)
	require.NoError(t, err)
	defer s.Close()
	s.Deadline(time.Now().Add(5 * time.Second))
	for range 3 {
		require.NoError(t, s.Query("select 1"))
	}
}
