package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"unicode"
)

// Place is how far into a message a read came before it failed.
type Place int

// The places at which PgCat tells read errors apart.
const (
	AtCode Place = iota
	AtLength
	AtBody
)

// ReadError is a message that did not arrive. Its text reaches clients (E3), so it is PgCat's.
type ReadError struct {
	At   Place
	Code byte
	Err  error
}

// Error implements error.
func (e *ReadError) Error() string {
	switch e.At {
	case AtCode:
		return "Error reading message code from socket - Error " + e.cause()
	case AtLength:
		return fmt.Sprintf("Error reading message len from socket - Code: %d, Error: %s", e.Code, e.cause())
	}
	return fmt.Sprintf("Error reading message from socket - Code: %d, Error: %s", e.Code, e.cause())
}

// Unwrap gives the error of the socket.
func (e *ReadError) Unwrap() error { return e.Err }

// osErrors are the errors of a socket as Rust's io::Error prints them.
var osErrors = map[syscall.Errno][2]string{
	syscall.ECONNRESET:   {"ConnectionReset", "Connection reset by peer"},
	syscall.ETIMEDOUT:    {"TimedOut", "Connection timed out"},
	syscall.EPIPE:        {"BrokenPipe", "Broken pipe"},
	syscall.EHOSTUNREACH: {"HostUnreachable", "No route to host"},
	syscall.ENETUNREACH:  {"NetworkUnreachable", "Network is unreachable"},
	syscall.ECONNABORTED: {"ConnectionAborted", "Software caused connection abort"},
}

func (e *ReadError) cause() string {
	var errno syscall.Errno
	if errors.As(e.Err, &errno) {
		if known, ok := osErrors[errno]; ok {
			return fmt.Sprintf("Os { code: %d, kind: %s, message: %s }", int(errno), known[0], Debug(known[1]))
		}
		return fmt.Sprintf("Os { code: %d, kind: Uncategorized, message: %s }", int(errno), Debug(errno.Error()))
	}
	if errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF) {
		if e.At == AtBody { // tokio's read_exact says it in words, read_u8 and read_i32 do not
			return `Custom { kind: UnexpectedEof, error: "early eof" }`
		}
		return "Kind(UnexpectedEof)"
	}
	return e.Err.Error()
}

// DebugError is how Rust's {:?} prints PgCat's error for a socket.
func DebugError(err error) string { return "SocketError(" + Debug(err.Error()) + ")" }

// Debug is how Rust's {:?} prints a string.
func Debug(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		b.WriteString(debugRune(r))
	}
	b.WriteByte('"')
	return b.String()
}

func debugRune(r rune) string {
	switch r {
	case '"', '\\':
		return `\` + string(r)
	case '\n':
		return `\n`
	case '\r':
		return `\r`
	case '\t':
		return `\t`
	case 0:
		return `\0`
	}
	if !unicode.IsPrint(r) {
		return fmt.Sprintf(`\u{%x}`, r)
	}
	return string(r)
}
