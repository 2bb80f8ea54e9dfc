package backend

import (
	"errors"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// ErrNotPrepared is a statement that the server refused.
var ErrNotPrepared = errors.New("PreparedStatementError")

// HasStatement tells whether the server holds the statement, and counts the question.
func (s *Server) HasStatement(name string) bool {
	if s.statements == nil {
		return false
	}
	_, ok := s.statements.Get(name)
	if ok {
		s.stats.CacheHits.Add(1)
	} else {
		s.stats.CacheMisses.Add(1)
	}
	return ok
}

// Prepare makes sure that the server holds the statement. With send the Parse goes out now, with a
// Sync of its own; without, the caller sends it. A statement that had to make room is closed.
func (s *Server) Prepare(parse *pgproto3.Parse, send bool) error {
	if !s.HasStatement(parse.Name) {
		if err := s.register(parse, send); err != nil {
			return err
		}
	}
	if !s.HasStatement(parse.Name) {
		return ErrNotPrepared
	}
	return nil
}

func (s *Server) register(parse *pgproto3.Parse, send bool) error {
	s.registering = append(s.registering, parse.Name)
	var out []byte
	if send {
		out = wire.Encode(out, parse)
	}
	if evicted, ok := s.remember(parse.Name); ok {
		out = wire.Encode(out, &pgproto3.Close{ObjectType: 'S', Name: evicted})
	}
	if len(out) == 0 {
		return nil
	}
	if err := s.Send(wire.Encode(out, &pgproto3.Sync{})); err != nil {
		return err
	}
	return s.drain()
}

func (s *Server) remember(name string) (evicted string, ok bool) {
	if s.statements == nil {
		return "", false
	}
	s.stats.Cached.Add(1)
	oldest, _, _ := s.statements.GetOldest()
	if !s.statements.Add(name, struct{}{}) {
		return "", false
	}
	s.stats.CacheEvicts.Add(1)
	s.stats.Cached.Add(^uint64(0))
	return oldest, true
}

// parsed takes the statement whose Parse was answered off the queue.
func (s *Server) parsed() (string, bool) {
	if len(s.registering) == 0 {
		return "", false
	}
	name := s.registering[0]
	s.registering = s.registering[1:]
	return name, true
}
