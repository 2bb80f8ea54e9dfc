package serve

import (
	"bufio"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/route"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// clientBuffer is what is read from a client at once.
const clientBuffer = 8 << 10

// client is one logged-in client. Its goroutine does everything; only wake comes from elsewhere.
type client struct {
	pooler *Pooler
	conn   net.Conn
	in     *bufio.Reader
	key    clientKey
	admin  bool

	user, database  string
	params          backend.Params
	transactionMode bool
	stats           *observe.ClientStats

	pool   *pool.Pool
	router *route.Router

	message    []byte                     // the one being handled
	pending    []step                     // extended protocol, kept until Sync (rule 39)
	statements map[string]*pgproto3.Parse // by the client's name; nil: not PgCat's business
	out        []byte                     // for the server
	replies    []byte                     // PgCat's own, for the client

	failedCheckouts uint64

	idleMu sync.Mutex
	idle   bool
}

// run serves the client until it leaves or is made to.
func (c *client) run() error {
	if !c.admin {
		c.pooler.enter(c)
		defer c.pooler.leave(c)
	}
	defer func() {
		c.pooler.release(c.key)
		c.pool.Release()
		c.stats.Disconnect()
	}()
	if c.admin {
		return c.serveAdmin()
	}
	c.router = route.New(c.pooler.Release, c.pool.Settings())
	for {
		if done, err := c.next(); done || err != nil {
			return err
		}
	}
}

func (c *client) serveAdmin() error {
	for {
		if err := c.read(); err != nil {
			return err
		}
		if c.message[0] == 'X' {
			return nil
		}
		reply, err := c.pooler.Console.Handle(c.message)
		if err != nil {
			return err
		}
		if _, err := c.conn.Write(reply); err != nil {
			return err
		}
	}
}

// next handles one message of a client that holds no server.
func (c *client) next() (done bool, err error) {
	if stop, err := c.await(); stop || err != nil {
		return stop, err
	}
	if c.message[0] == 'X' {
		return true, nil
	}
	if answered, err := c.command(); answered || err != nil {
		return false, err
	}
	if c.message[0] == 'Q' || c.message[0] == 'P' {
		c.router.Infer(c.message)
	}
	if kept, err := c.keep(); kept || err != nil {
		return false, err
	}
	return c.transaction()
}

// await reads the next message unless the pooler is stopping: then the client goes now (rule 57).
func (c *client) await() (stop bool, err error) {
	if c.beIdle() {
		err = c.read()
	}
	c.beBusy()
	if !c.pooler.isStopping() {
		return false, err
	}
	return true, c.write(wire.Fatal(wire.SystemError, shutdownText))
}

func (c *client) beIdle() bool {
	c.idleMu.Lock()
	defer c.idleMu.Unlock()
	c.idle = true
	return !c.pooler.isStopping()
}

func (c *client) beBusy() {
	c.idleMu.Lock()
	defer c.idleMu.Unlock()
	c.idle = false
}

// wake interrupts the wait of an idle client. The others look for themselves when they are done.
func (c *client) wake() {
	go func() {
		c.idleMu.Lock()
		defer c.idleMu.Unlock()
		if c.idle {
			_ = c.conn.SetReadDeadline(time.Unix(1, 0))
		}
	}()
}

func (c *client) read() error {
	var err error
	c.message, err = wire.Read(c.in, c.message[:0])
	return err
}

func (c *client) write(messages ...encoder) error {
	_, err := c.conn.Write(wire.Encode(nil, messages...))
	return err
}

// fail is an error after which the client stays and may go on.
func (c *client) fail(text string) error {
	return c.write(wire.Fatal(wire.SystemError, text), wire.Ready(false))
}

// command answers PgCat's own commands (rules 15 to 20).
func (c *client) command() (answered bool, err error) {
	a, ours, err := c.router.Command(c.message)
	if !ours || err != nil {
		return false, err
	}
	switch {
	case a.Error != "":
		return true, c.fail(a.Error)
	case a.Column != "":
		return true, c.write(row(a.Column), &pgproto3.DataRow{Values: [][]byte{[]byte(a.Value)}},
			&pgproto3.CommandComplete{CommandTag: []byte(a.Tag)}, wire.Ready(false))
	}
	return true, c.write(&pgproto3.CommandComplete{CommandTag: []byte(a.Tag)}, wire.Ready(false))
}

const textOID = 25

func row(column string) *pgproto3.RowDescription {
	return &pgproto3.RowDescription{Fields: []pgproto3.FieldDescription{
		{Name: []byte(column), DataTypeOID: textOID, DataTypeSize: -1, TypeModifier: -1},
	}}
}

// checkout gets a server for the message at hand. A nil server with a nil error means that the
// client was told why not, and stays.
func (c *client) checkout() (*backend.Server, *pool.Address, error) {
	c.pool.WaitPaused()
	if err := c.refreshPool(); err != nil {
		return nil, nil, err
	}
	c.stats.Waiting()
	s, a, err := c.pool.Get(c.router.Shard(), c.router.Role(), c.stats)
	if errors.Is(err, pool.ErrNoSuchShard) {
		return nil, nil, err
	}
	if err != nil {
		return nil, nil, c.noServer(err)
	}
	c.pooler.claim(c.key, s.Handle())
	c.stats.Active()
	return s, a, nil
}

// refreshPool moves the client to the newest pool of its name.
func (c *client) refreshPool() error {
	newest := c.pooler.Pools.Get(c.database, c.user)
	if newest == nil {
		if err := c.fail(fmt.Sprintf(noPool, c.database, c.user)); err != nil {
			return err
		}
		return fmt.Errorf("%w: pool gone", errRefused)
	}
	c.pool.Release()
	c.pool = newest
	c.router.Update(newest.Settings())
	return nil
}

// noServer tells the client, and throws away what it had sent for a Sync that got no server
// (rule 26). Head may then have had enough of the client (E11); the count is never reset.
func (c *client) noServer(cause error) error {
	c.stats.Idle()
	if c.message[0] == 'S' {
		c.forget()
	}
	slog.Error("Could not get connection from pool", "pool_name", c.database, "username", c.user, "error", cause)
	if err := c.fail(fmt.Sprintf(checkoutFailed, cause)); err != nil {
		return err
	}
	c.failedCheckouts++
	limit := c.pool.Settings().CheckoutFailures
	if !c.heedsLimit() || limit == nil || c.failedCheckouts < *limit {
		return nil
	}
	text := fmt.Sprintf(checkoutLimit, c.failedCheckouts, *limit)
	if err := c.write(wire.Fatal(wire.SystemError, text)); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errRefused, text)
}

func (c *client) forget() {
	c.pending, c.out, c.replies = nil, c.out[:0], c.replies[:0]
}
