// Package wire reads Postgres messages as whole frames and makes the few that PgCat makes itself.
//
// A pooler passes most messages on untouched, so they travel here as bytes: type, length, body.
// Decoding and encoding, where a message's content matters, is pgproto3's.
package wire

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5/pgproto3"
)

const header = 5

// chunk bounds what is allocated on the word of a length field alone: a client that announces a
// gigabyte gets memory as its bytes arrive.
const chunk = 1 << 16

// Read reads one message and appends it to buf.
func Read(r *bufio.Reader, buf []byte) ([]byte, error) {
	start := len(buf)
	code, err := r.ReadByte()
	if err != nil {
		return buf, &ReadError{At: AtCode, Err: err}
	}
	var length [4]byte
	if _, err := io.ReadFull(r, length[:]); err != nil {
		return buf, &ReadError{At: AtLength, Code: code, Err: err}
	}
	n := int32(binary.BigEndian.Uint32(length[:]))
	if n < 4 {
		return buf, fmt.Errorf("message %q: impossible length %d", code, n)
	}
	buf = append(append(buf, code), length[:]...)
	if buf, err = appendBody(r, buf, int(n)-4); err != nil {
		return buf[:start], &ReadError{At: AtBody, Code: code, Err: err}
	}
	return buf, nil
}

func appendBody(r *bufio.Reader, buf []byte, n int) ([]byte, error) {
	for n > 0 {
		step := min(n, chunk)
		at := len(buf)
		buf = append(buf, make([]byte, step)...)
		if _, err := io.ReadFull(r, buf[at:]); err != nil {
			return buf, err
		}
		n -= step
	}
	return buf, nil
}

// Body is what follows the type and the length of a message.
func Body(message []byte) []byte { return message[header:] }

// CString cuts a NUL-terminated string off the front of b.
func CString(b []byte) (string, []byte, bool) {
	i := bytes.IndexByte(b, 0)
	if i < 0 {
		return "", nil, false
	}
	return string(b[:i]), b[i+1:], true
}

// Encode appends messages to buf. The messages made here are short and always encode.
func Encode(buf []byte, messages ...interface {
	Encode([]byte) ([]byte, error)
}) []byte {
	for _, m := range messages {
		next, err := m.Encode(buf)
		if err != nil {
			return buf
		}
		buf = next
	}
	return buf
}

// The codes PgCat gives its own errors.
const (
	SystemError     = "58000"
	InvalidPassword = "28P01"
)

// Fatal is PgCat's own error: severity FATAL, whatever happens to the connection afterwards.
func Fatal(code, text string) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: text}
}

// Ready is ReadyForQuery with the status PgCat knows: T inside a transaction, else I. A failed
// transaction is T too, never E (messages.rs, "ready_for_query").
func Ready(inTransaction bool) *pgproto3.ReadyForQuery {
	if inTransaction {
		return &pgproto3.ReadyForQuery{TxStatus: 'T'}
	}
	return &pgproto3.ReadyForQuery{TxStatus: 'I'}
}

// Frame puts a type and a length before a body.
func Frame(code byte, body []byte) []byte {
	out := binary.BigEndian.AppendUint32([]byte{code}, uint32(len(body)+4))
	return append(out, body...)
}
