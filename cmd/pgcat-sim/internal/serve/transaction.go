package serve

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// hold is a client with a server in its hands: for one transaction, or in session mode to the end.
type hold struct {
	*client
	server  *backend.Server
	address *pool.Address
}

func (c *client) heedsLimit() bool { return c.pooler.Release == release.Head }

// errSilent closes the client without a word (E4); the cause is in the log.
var errSilent = errors.New("server lost")

// transaction serves the message at hand, and all that follow until the server is free again.
func (c *client) transaction() (done bool, err error) {
	s, a, err := c.checkout()
	if s == nil || err != nil {
		return false, err
	}
	h := &hold{c, s, a}
	// Whatever happens, the server goes back; a bad one is closed there. After an error it goes back
	// as it is, even inside a transaction: upstream cleans up on the good path only.
	defer func() {
		s.Stats().Idle()
		c.pool.GiveBack(a, s)
	}()
	if err := s.Sync(c.params); err != nil {
		return false, fmt.Errorf("%w: sync parameters: %v", errSilent, err)
	}
	gone, err := h.serve()
	if err != nil {
		return false, err
	}
	if err := s.Cleanup(); err != nil {
		return false, fmt.Errorf("%w: clean up: %v", errSilent, err)
	}
	c.pooler.release(c.key)
	c.stats.Idle()
	return gone, nil
}

// verdict is what is to be done after a message.
type verdict int

const (
	hang    verdict = iota // keep the server, read on
	free                   // the server is free
	goodbye                // so is the client
)

func (h *hold) serve() (gone bool, err error) {
	for {
		v, err := h.handle()
		if v != hang || err != nil {
			return v == goodbye, err
		}
		if v, err = h.await(); v != hang || err != nil {
			return v == goodbye, err
		}
	}
}

// await reads the client's next message inside a transaction.
func (h *hold) await() (verdict, error) {
	timeout := h.pooler.Config().General.IdleInTransaction
	if timeout > 0 {
		_ = h.conn.SetReadDeadline(time.Now().Add(time.Duration(timeout) * time.Millisecond))
		defer func() { _ = h.conn.SetReadDeadline(time.Time{}) }()
	}
	err := h.read()
	switch {
	case err == nil:
		return hang, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		slog.Error("Client idle in transaction timeout", "pool_name", h.database, "username", h.user)
		return free, h.fail(idleTransaction) // E9: rolled back, and the client stays
	}
	// The client is gone: the server is rolled back and used again (rule 45).
	if cleanup := h.server.Cleanup(); cleanup != nil {
		return hang, cleanup
	}
	return hang, err
}

// handle serves one message of a client that holds a server.
func (h *hold) handle() (verdict, error) {
	switch h.message[0] {
	case 'Q':
		if err := h.exchange(h.message); err != nil {
			return hang, err
		}
		return h.afterQuery(), nil
	case 'S':
		return h.sync()
	case 'X':
		return goodbye, nil
	case 'd':
		return hang, h.copyData()
	case 'c', 'f':
		return h.copyEnd()
	}
	kept, err := h.keep()
	if !kept && err == nil {
		slog.Error(fmt.Sprintf("Unexpected code: %c", h.message[0])) // Flush, too: it is never forwarded
	}
	return hang, err
}

// afterQuery counts a finished transaction, and frees the server in transaction mode (rule 41).
// A COPY from the client has only begun: it counts, and holds the server.
func (h *hold) afterQuery() verdict {
	if h.server.InTransaction() {
		return hang
	}
	h.countTransaction()
	if h.transactionMode && !h.server.InCopy() {
		return free
	}
	return hang
}

func (h *hold) countTransaction() {
	h.stats.Transactions.Add(1)
	h.server.Stats().Transaction(h.params.Application())
}

// exchange sends messages and relays the whole reply.
func (h *hold) exchange(messages []byte) error {
	if err := h.send(messages); err != nil {
		return err
	}
	began := time.Now()
	for more := true; more; more = h.server.More() {
		if err := h.relay(); err != nil {
			return err
		}
	}
	h.stats.Queries.Add(1)
	h.server.Stats().Query(time.Since(began), h.params.Application())
	return nil
}

// send passes messages to the server. If that fails the client is closed without a word (rule 42).
func (h *hold) send(messages []byte) error {
	if err := h.server.Send(messages); err != nil {
		h.pool.Fail(h.address, pool.MessageSendFailed, h.stats)
		return fmt.Errorf("%w: %v", errSilent, err)
	}
	return nil
}

// relay passes one piece of the reply on.
func (h *hold) relay() error {
	reply, err := h.receive()
	if err != nil {
		return err
	}
	if _, err := h.conn.Write(reply); err != nil {
		h.server.MarkBad(err.Error())
		return err
	}
	return nil
}

func (h *hold) receive() ([]byte, error) {
	if timeout := h.pool.Settings().User.StatementTimeout; timeout > 0 {
		h.server.Deadline(time.Now().Add(time.Duration(timeout) * time.Millisecond))
		defer h.server.Deadline(time.Time{})
	}
	reply, err := h.server.Recv(h.params)
	switch {
	case err == nil:
		return reply, nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		h.pool.Fail(h.address, pool.StatementTimeout, h.stats)
		return nil, h.last(statementTimeout, err) // E5
	}
	h.pool.Fail(h.address, pool.MessageReceiveFailed, h.stats)
	return nil, h.last(fmt.Sprintf(receiveFailed, wire.DebugError(err)), err) // E3
}

// last tells the client why it is closed.
func (h *hold) last(text string, cause error) error {
	if err := h.write(wire.Fatal(wire.SystemError, text)); err != nil {
		return err
	}
	return fmt.Errorf("%w: %v", errRefused, cause)
}

// copyLimit is how much of a COPY is gathered before it is sent on.
const copyLimit = 8196

func (h *hold) copyData() error {
	h.out = append(h.out, h.message...)
	if len(h.out) <= copyLimit {
		return nil
	}
	err := h.send(h.out)
	h.out = h.out[:0]
	return err
}

// deaf is the end of a COPY that never began: Postgres does not answer it, and PgCat waits for the
// answer for ever, client and server with it. Here the server comes back when the client leaves.
func (h *hold) deaf() error {
	_, err := io.Copy(io.Discard, h.in)
	if cleanup := h.server.Cleanup(); cleanup != nil {
		return cleanup
	}
	return fmt.Errorf("%w: left after a COPY that never was: %v", errRefused, err)
}

func (h *hold) copyEnd() (verdict, error) {
	copying := h.server.InCopy()
	h.out = append(h.out, h.message...)
	err := h.send(h.out)
	h.out = h.out[:0]
	if err != nil {
		return hang, err
	}
	if !copying {
		return hang, h.deaf()
	}
	if err := h.relay(); err != nil {
		return hang, err
	}
	if h.server.InTransaction() {
		return hang, nil
	}
	h.countTransaction()
	if h.transactionMode {
		return free, nil
	}
	return hang, nil
}
