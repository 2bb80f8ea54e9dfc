package heldto

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"
)

const (
	// patience is how long a client waits before it says that nothing came.
	patience = 4 * time.Second
	// aftermath is how long it looks whether an error also closed the connection.
	aftermath = 200 * time.Millisecond
)

// client speaks the protocol by hand, so that nothing a driver does hides what the pooler did.
type client struct {
	x     *run
	conn  net.Conn
	front *pgproto3.Frontend
	pid   uint32
	key   []byte
}

func (x *run) dial() *client {
	conn, err := x.pooler.dial()
	require.NoError(x.t, err)
	x.t.Cleanup(func() { conn.Close() })
	return &client{x: x, conn: conn, front: pgproto3.NewFrontend(conn, conn)}
}

// login is the usual way in, written down as one step.
func (x *run) login(does string, params map[string]string, password string) *client {
	var c *client
	x.step(does, func() []string {
		c = x.dial()
		return c.login(params, password)
	})
	return c
}

// enter is a login that must work and that nobody asks about.
func (x *run) enter(more ...string) *client {
	c := x.dial()
	params := map[string]string{"user": "postgres", "database": "app", "application_name": "pgcat"}
	for i := 0; i+1 < len(more); i += 2 {
		params[more[i]] = more[i+1]
	}
	password := "postgres"
	if params["database"] == "pgcat" {
		password = "admin-secret"
		params["user"] = "admin"
	}
	seen := c.login(params, password)
	require.Contains(x.t, seen, "Z I", "login of %v: %v", params, seen)
	require.NotContains(x.t, seen, "closed", "login of %v: %v", params, seen)
	return c
}

func (c *client) login(params map[string]string, password string) []string {
	m := &pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: params}
	raw, err := m.Encode(nil)
	require.NoError(c.x.t, err)
	_, _ = c.conn.Write(raw)
	var seen []string
	for {
		msg, err := c.next(patience)
		if err != nil {
			return append(seen, ending(err))
		}
		switch m := msg.(type) {
		case *pgproto3.AuthenticationMD5Password:
			seen = append(seen, "R md5")
			c.send(&pgproto3.PasswordMessage{Password: md5Answer(params["user"], password, m.Salt[:])})
			continue
		case *pgproto3.BackendKeyData:
			c.pid, c.key = m.ProcessID, append([]byte(nil), m.SecretKey...)
		case *pgproto3.ReadyForQuery:
			seen = append(seen, describe(m))
			sortParameters(seen)
			return c.after(seen)
		}
		seen = append(seen, describe(msg))
	}
}

func md5Answer(user, password string, salt []byte) string {
	inner := md5.Sum([]byte(password + user))
	outer := md5.Sum(append([]byte(hex.EncodeToString(inner[:])), salt...))
	return "md5" + hex.EncodeToString(outer[:])
}

// sortParameters: PgCat sends them in any order. server_version is this machine's.
func sortParameters(seen []string) {
	first := slices.IndexFunc(seen, isParameter)
	if first < 0 {
		return
	}
	last := first
	for last < len(seen) && isParameter(seen[last]) {
		last++
	}
	slices.Sort(seen[first:last])
}

func isParameter(s string) bool { return strings.HasPrefix(s, "S ") }

func (c *client) send(messages ...pgproto3.FrontendMessage) {
	for _, m := range messages {
		c.front.Send(m)
	}
	_ = c.front.Flush() // a closed connection shows at the next read
}

func (c *client) next(within time.Duration) (pgproto3.BackendMessage, error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(within))
	return c.front.Receive()
}

// exchange sends and reads until ReadyForQuery, the end, or the end of patience.
func (c *client) exchange(messages ...pgproto3.FrontendMessage) []string {
	c.send(messages...)
	return c.after(c.until(patience))
}

func (c *client) until(within time.Duration) []string {
	var seen []string
	for {
		msg, err := c.next(within)
		if err != nil {
			return append(seen, ending(err))
		}
		seen = append(seen, describe(msg))
		switch msg.(type) {
		case *pgproto3.ReadyForQuery, *pgproto3.CopyInResponse:
			return seen
		}
	}
}

// after looks whether a FATAL closed the connection: PgCat's often do not.
func (c *client) after(seen []string) []string {
	if !slices.ContainsFunc(seen, func(s string) bool { return strings.HasPrefix(s, "E FATAL") }) || slices.Contains(seen, "closed") {
		return seen
	}
	c.x.stopWatch()
	if _, err := c.next(aftermath); !errors.Is(err, os.ErrDeadlineExceeded) {
		return append(seen, ending(err))
	}
	return append(seen, "kept")
}

func ending(err error) string {
	switch {
	case err == nil:
		return "more"
	case errors.Is(err, os.ErrDeadlineExceeded):
		return "silent"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "closed"
	}
	return err.Error()
}

// query is a simple query, as a step.
func (c *client) query(sql string) { c.as(sql, sql) }

// as is a simple query under another name, for text that differs from run to run.
func (c *client) as(does, sql string) {
	c.x.step(does, func() []string { return c.exchange(&pgproto3.Query{String: sql}) })
}

// do is any exchange, as a step.
func (c *client) do(does string, messages ...pgproto3.FrontendMessage) {
	c.x.step(does, func() []string { return c.exchange(messages...) })
}

// ask is a simple query that must work and that nobody asks about.
func (c *client) ask(sql string) []string {
	return c.exchange(&pgproto3.Query{String: sql})
}

// answer is what comes up to ReadyForQuery; what may follow is left for the next to read.
func (c *client) answer(sql string) []string {
	c.send(&pgproto3.Query{String: sql})
	return c.until(patience)
}

// value is the first column of the only row.
func (c *client) value(sql string) string {
	for _, s := range c.ask(sql) {
		if v, ok := strings.CutPrefix(s, "D "); ok {
			return v
		}
	}
	return ""
}

func describe(m pgproto3.BackendMessage) string {
	switch m := m.(type) {
	case *pgproto3.AuthenticationOk:
		return "R ok"
	case *pgproto3.ParameterStatus:
		if m.Name == "server_version" && !strings.HasPrefix(m.Value, "1.") {
			return "S server_version=Postgres'"
		}
		return "S " + m.Name + "=" + m.Value
	case *pgproto3.BackendKeyData:
		return "K"
	case *pgproto3.ReadyForQuery:
		return "Z " + string(m.TxStatus)
	case *pgproto3.ErrorResponse:
		return fmt.Sprintf("E %s %s %s", m.Severity, m.Code, m.Message)
	case *pgproto3.NoticeResponse:
		return fmt.Sprintf("N %s %s %s %s", m.Severity, m.Code, m.Message, m.Detail)
	case *pgproto3.CommandComplete:
		return "C " + string(m.CommandTag)
	case *pgproto3.RowDescription:
		return "T " + columns(m)
	case *pgproto3.DataRow:
		return "D " + joined(m.Values)
	case *pgproto3.CopyData:
		return "d " + string(m.Data)
	}
	return strings.TrimPrefix(fmt.Sprintf("%T", m), "*pgproto3.")
}

func columns(m *pgproto3.RowDescription) string {
	var all []string
	for _, f := range m.Fields {
		all = append(all, fmt.Sprintf("%s:%d", f.Name, f.DataTypeOID))
	}
	return strings.Join(all, " ")
}

func joined(values [][]byte) string {
	var all []string
	for _, v := range values {
		if v == nil {
			all = append(all, "NULL")
			continue
		}
		all = append(all, string(v))
	}
	return strings.Join(all, "|")
}
