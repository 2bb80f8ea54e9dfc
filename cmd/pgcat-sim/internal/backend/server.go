package backend

import (
	"bufio"
	"log/slog"
	"net"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// flushAt is how much of a reply is gathered before the client gets it.
const flushAt = 8196

// Server is one logged-in connection to Postgres. One goroutine uses it at a time.
type Server struct {
	conn   net.Conn
	in     *bufio.Reader
	host   string
	port   uint16
	pid    uint32
	secret []byte

	params Params
	stats  *observe.ServerStats
	reply  []byte

	inTransaction, more, inCopy bool
	bad                         bool
	moved                       func() bool
	dirty                       dirt
	cleanup                     bool

	statements  *simplelru.LRU[string, struct{}]
	registering []string

	born, lastActivity time.Time
}

// dirt is what clients left behind outside of transactions.
type dirt struct{ settings, statements bool }

// Send passes messages to the server. An error means that the server is lost (rule 42).
func (s *Server) Send(messages []byte) error {
	s.stats.DataSent(len(messages))
	if _, err := s.conn.Write(messages); err != nil {
		slog.Error("Terminating server", "server", s.stats.Address, "because", err)
		s.bad = true
		return err
	}
	s.lastActivity = time.Now()
	return nil
}

// Recv gives the next piece of the server's reply; More tells whether another follows. Changes of
// tracked parameters also go to client, which may be nil. The piece is valid until the next call.
// On an error what was gathered so far is lost: that is how a server's 57P01 never reaches a
// client (rule 43).
func (s *Server) Recv(client Params) ([]byte, error) {
	s.reply = s.reply[:0]
	for {
		at := len(s.reply)
		reply, err := wire.Read(s.in, s.reply)
		if err != nil {
			slog.Error("Terminating server", "server", s.stats.Address, "because", err)
			s.bad = true
			return nil, err
		}
		s.reply = reply
		if done := s.note(reply[at], wire.Body(reply[at:]), client); done {
			break
		}
	}
	s.stats.DataReceived(len(s.reply))
	s.lastActivity = time.Now()
	return s.reply, nil
}

// note draws from one message what the pooler must know, and tells whether the gathered reply
// goes to the client now.
func (s *Server) note(code byte, body []byte, client Params) (flush bool) {
	switch code {
	case 'Z':
		s.inTransaction = len(body) > 0 && body[0] != 'I'
		s.more = false
		return true
	case 'E':
		s.inCopy = false
		s.noteError(body)
	case 'C':
		s.inCopy = false
		s.noteCommand(body)
	case 'S':
		s.noteParameter(body, client)
	case 'D':
		s.more = true
		return len(s.reply) >= flushAt
	case 'd':
		return len(s.reply) >= flushAt
	case 'G':
		s.inCopy = true
		return true
	case 'H':
		s.inCopy, s.more = true, true
		return true
	case '1':
		s.parsed()
	}
	return false
}

func (s *Server) noteParameter(body []byte, client Params) {
	key, rest, ok := wire.CString(body)
	if !ok {
		return
	}
	value, _, ok := wire.CString(rest)
	if !ok {
		return
	}
	if client != nil {
		client.Track(key, value)
	}
	s.params.Track(key, value)
}

// noteCommand marks the server for a reset. A SET inside a transaction goes unnoticed: it may be
// local, and there is no telling (rule 46).
func (s *Server) noteCommand(body []byte) {
	tag, _, ok := wire.CString(body)
	if !ok {
		return
	}
	switch tag {
	case "SET":
		s.dirty.settings = s.dirty.settings || !s.inTransaction
	case "PREPARE":
		s.dirty.statements = true
	}
}

// noteError forgets a statement whose Parse failed. A changed result type makes the server drop
// all its statements at check-in.
func (s *Server) noteError(body []byte) {
	if s.statements == nil {
		return
	}
	if name, ok := s.parsed(); ok {
		s.statements.Remove(name)
	}
	var e pgproto3.ErrorResponse
	if e.Decode(body) == nil && e.Message == "cached plan must not change result type" {
		s.dirty.statements = true
	}
}

// Query runs a query of the pooler's own and drops its result.
func (s *Server) Query(sql string) error {
	if err := s.Send(wire.Encode(nil, &pgproto3.Query{String: sql})); err != nil {
		return err
	}
	return s.drain()
}

func (s *Server) drain() error {
	for {
		if _, err := s.Recv(nil); err != nil {
			return err
		}
		if !s.more {
			return nil
		}
	}
}

// Sync brings the tracked parameters of the server to those of the client (rule 40).
func (s *Server) Sync(client Params) error {
	set := s.params.settings(client)
	if set == "" {
		return nil
	}
	err := s.Query(set)
	s.dirty = dirt{}
	return err
}

// Cleanup makes the server fit for the next client (rules 45 and 46).
func (s *Server) Cleanup() error {
	if s.inTransaction {
		slog.Warn("Server returned while still in transaction, rolling back transaction")
		if err := s.Query("ROLLBACK"); err != nil {
			return err
		}
	}
	if s.dirty != (dirt{}) && s.cleanup {
		return s.reset()
	}
	return nil
}

func (s *Server) reset() error {
	sql := "RESET ROLE;"
	if s.dirty.settings {
		sql += "RESET ALL;"
	}
	if s.dirty.statements {
		sql += "DEALLOCATE ALL;"
		if s.statements != nil {
			s.statements.Purge()
		}
	}
	slog.Info("Server returned with session state altered, discarding state", "application", s.stats.Application())
	if err := s.Query(sql); err != nil {
		return err
	}
	s.dirty = dirt{}
	return nil
}

// Deadline bounds the next reads; the zero time lifts the bound.
func (s *Server) Deadline(t time.Time) { _ = s.conn.SetReadDeadline(t) }

// InTransaction tells whether the server is in a transaction, failed ones included.
func (s *Server) InTransaction() bool { return s.inTransaction }

// InCopy tells whether a COPY is under way.
func (s *Server) InCopy() bool { return s.inCopy }

// More tells whether Recv has more of the reply.
func (s *Server) More() bool { return s.more }

// MarkDirty makes the next check-in reset everything.
func (s *Server) MarkDirty() { s.dirty = dirt{settings: true, statements: true} }

// MarkBad keeps the server out of the pool.
func (s *Server) MarkBad(reason string) {
	slog.Error("Server marked bad", "server", s.stats.Address, "reason", reason)
	s.bad = true
}

// Bad tells whether the server must not be used again.
func (s *Server) Bad() bool { return s.bad || s.moved != nil && s.moved() }

// DropIf makes the server bad from the moment on at which moved says so.
func (s *Server) DropIf(moved func() bool) { s.moved = moved }

// Params are the server's own, as reported so far.
func (s *Server) Params() Params { return s.params.Clone() }

// Stats is the server's entry in the books.
func (s *Server) Stats() *observe.ServerStats { return s.stats }

// IdleFor is how long nothing was sent or received.
func (s *Server) IdleFor() time.Duration { return time.Since(s.lastActivity) }

// Age is how long ago the login ended.
func (s *Server) Age() time.Duration { return time.Since(s.born) }

// terminateWithin bounds the farewell to a server that may be gone.
const terminateWithin = 50 * time.Millisecond

// Close says goodbye if the socket takes it, and closes.
func (s *Server) Close() {
	s.stats.Disconnect()
	_ = s.conn.SetWriteDeadline(time.Now().Add(terminateWithin))
	_, _ = s.conn.Write(wire.Encode(nil, &pgproto3.Terminate{}))
	_ = s.conn.Close()
	slog.Info("Server connection closed", "server", s.stats.Address, "terminated", s.bad, "session", s.Age())
}
