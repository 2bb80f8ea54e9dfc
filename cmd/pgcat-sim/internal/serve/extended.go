package serve

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// step is one message of the extended protocol, kept until a Sync gets it a server (rule 39).
type step struct {
	message []byte
	parse   *pgproto3.Parse // the statement it makes or needs, under its name on servers
	makes   bool
	closes  string // name of a prepared statement to forget
}

// keep holds back the messages that expect no answer of their own.
func (c *client) keep() (kept bool, err error) {
	switch c.message[0] {
	case 'P':
		return true, c.keepParse()
	case 'B':
		return true, c.keepBind()
	case 'D':
		return true, c.keepDescribe()
	case 'E':
		c.push(step{})
		return true, nil
	case 'C':
		return true, c.keepClose()
	}
	return false, nil
}

// push keeps a step; without a message of its own it is the client's, untouched.
func (c *client) push(s step) {
	if s.message == nil {
		s.message = append([]byte(nil), c.message...)
	}
	c.pending = append(c.pending, s)
}

func (c *client) keepParse() error {
	if c.statements == nil {
		c.push(step{})
		return nil
	}
	var p pgproto3.Parse
	if err := p.Decode(wire.Body(c.message)); err != nil {
		return fmt.Errorf("parse message: %w", err)
	}
	cache := c.pool.Statements
	if cache == nil { // a reload took the cache away
		return fmt.Errorf("could not store prepared statement %q", p.Name)
	}
	shared := cache.Shared(&p)
	c.statements[p.Name] = shared
	c.push(step{message: wire.Encode(nil, shared), parse: shared, makes: true})
	return nil
}

func (c *client) keepBind() error {
	if c.statements == nil {
		c.push(step{})
		return nil
	}
	portal, rest, ok := wire.CString(wire.Body(c.message))
	name, rest, named := wire.CString(rest)
	if !ok || !named {
		return fmt.Errorf("bind message: %w", errMalformed)
	}
	shared, ok := c.statements[name]
	if !ok {
		return c.unknown(name)
	}
	c.push(step{message: rename(portal, shared.Name, rest), parse: shared})
	return nil
}

// rename makes a Bind with another statement, its values as they were.
func rename(portal, statement string, rest []byte) []byte {
	body := append([]byte(portal), 0)
	body = append(append(body, statement...), 0)
	body = append(body, rest...)
	return wire.Frame('B', body)
}

func (c *client) keepDescribe() error {
	var d pgproto3.Describe
	if c.statements == nil {
		c.push(step{})
		return nil
	}
	if err := d.Decode(wire.Body(c.message)); err != nil {
		return fmt.Errorf("describe message: %w", err)
	}
	if d.ObjectType == 'P' {
		c.push(step{})
		return nil
	}
	shared, ok := c.statements[d.Name]
	if !ok {
		return c.unknown(d.Name)
	}
	c.push(step{message: wire.Encode(nil, &pgproto3.Describe{ObjectType: 'S', Name: shared.Name}), parse: shared})
	return nil
}

func (c *client) keepClose() error {
	var m pgproto3.Close
	if err := m.Decode(wire.Body(c.message)); err != nil {
		return fmt.Errorf("close message: %w", err)
	}
	s := step{}
	if c.statements != nil && m.ObjectType == 'S' {
		s.closes = m.Name // the anonymous one is passed on
	}
	c.push(s)
	return nil
}

var errMalformed = errors.New("malformed")

// unknown is E13: told, with a ReadyForQuery, and closed.
func (c *client) unknown(name string) error {
	text := fmt.Sprintf(unknownStatement, name)
	if err := c.fail(text); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errRefused, text)
}

// sync sends all that was kept, except what the server has already.
func (h *hold) sync() (verdict, error) {
	for len(h.pending) > 0 {
		s := h.pending[0]
		h.pending = h.pending[1:]
		if err := h.play(s); err != nil {
			return hang, err
		}
	}
	nothing := len(h.out) == 0
	h.out = append(h.out, h.message...)
	if nothing { // a Sync alone is answered here
		h.replies = wire.Encode(h.replies, wire.Ready(h.server.InTransaction()))
	}
	if err := h.flushReplies(); err != nil {
		return hang, err
	}
	out := h.out
	h.out = h.out[:0]
	if !nothing {
		if err := h.exchange(out); err != nil {
			return hang, err
		}
	}
	return h.afterQuery(), nil
}

// flushReplies sends PgCat's own answers before the server's, so not always in the order asked.
func (h *hold) flushReplies() error {
	if len(h.replies) == 0 {
		return nil
	}
	replies := h.replies
	h.replies = h.replies[:0]
	if _, err := h.conn.Write(replies); err != nil {
		h.server.MarkBad(err.Error())
		return err
	}
	return nil
}

func (h *hold) play(s step) error {
	switch {
	case s.makes:
		return h.playParse(s)
	case s.closes != "":
		delete(h.statements, s.closes)
		h.replies = wire.Encode(h.replies, &pgproto3.CloseComplete{})
		return nil
	case s.parse != nil:
		if err := h.prepare(s.parse, true); err != nil {
			return err
		}
	case s.message[0] == 'P' && len(s.message) > namePosition && s.message[namePosition] != 0:
		h.server.MarkDirty() // a named statement that PgCat does not manage
	}
	h.out = append(h.out, s.message...)
	return nil
}

// namePosition is where the name starts in a Parse.
const namePosition = 5

func (h *hold) playParse(s step) error {
	if h.server.HasStatement(s.parse.Name) {
		h.replies = wire.Encode(h.replies, &pgproto3.ParseComplete{})
		return nil
	}
	if err := h.prepare(s.parse, false); err != nil {
		return err
	}
	h.out = append(h.out, s.message...)
	return nil
}

// prepare puts a statement on the server. If the server refuses it, the client's next use of the
// name fails, and nothing else.
func (h *hold) prepare(p *pgproto3.Parse, send bool) error {
	err := h.server.Prepare(p, send)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, backend.ErrNotPrepared) && send:
		for name, known := range h.statements {
			if known == p {
				delete(h.statements, name)
			}
		}
		return nil
	case !errors.Is(err, backend.ErrNotPrepared):
		h.pool.Fail(h.address, pool.MessageSendFailed, h.stats)
	}
	return fmt.Errorf("%w: prepare: %v", errSilent, err)
}
