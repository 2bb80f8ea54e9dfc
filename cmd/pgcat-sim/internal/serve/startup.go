package serve

import (
	"bytes"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"
)

// errBadStartup is a first packet that makes no sense, or none at all: close without a word.
var errBadStartup = errors.New("ClientBadStartup")

// The codes at the start of a first packet (rule 6). All others, GSSENCRequest among them, close
// the connection.
const (
	sslRequest    = 80877103
	cancelRequest = 80877102
	startupV3     = pgproto3.ProtocolVersion30
)

// greet reads the first packet and does what it asks for.
func (p *Pooler) greet(conn net.Conn, adminOnly bool) error {
	code, body, err := readStartup(conn)
	if err != nil {
		return err
	}
	switch code {
	case startupV3:
		return p.session(conn, body, adminOnly)
	case cancelRequest:
		return p.cancelFor(body)
	case sslRequest:
		return p.secure(conn, adminOnly)
	}
	return fmt.Errorf("unexpected startup code %d", code)
}

// secure answers an SSLRequest; after it only a login is taken (rule 5).
func (p *Pooler) secure(conn net.Conn, adminOnly bool) error {
	general := p.Config().General // one reading: a reload may switch TLS off meanwhile
	answer := []byte{'N'}
	if general.TLSCertificate != nil {
		answer[0] = 'S'
	}
	if _, err := conn.Write(answer); err != nil {
		return err
	}
	if general.TLSCertificate != nil {
		conf, err := tlsConfig(general) // the files may have gone bad since the start; TLS is promised by then
		if err != nil {
			return err
		}
		conn = tls.Server(conn, conf)
	}
	code, body, err := readStartup(conn)
	if err != nil {
		return err
	}
	if code != startupV3 {
		return fmt.Errorf("bad postgres client: code %d after SSLRequest", code)
	}
	return p.session(conn, body, adminOnly)
}

func (p *Pooler) cancelFor(body []byte) error {
	if len(body) < 8 {
		return errBadStartup
	}
	return p.cancel(clientKey{binary.BigEndian.Uint32(body), binary.BigEndian.Uint32(body[4:])})
}

// readStartup reads a first packet. There is no limit to its length: HTTP's "GET " announces 1.19
// GB, and PgCat waits for all of it. So does this, without setting the memory aside.
func readStartup(conn net.Conn) (code uint32, body []byte, err error) {
	var head [8]byte
	if _, err := io.ReadFull(conn, head[:4]); err != nil {
		return 0, nil, errBadStartup
	}
	length := int32(binary.BigEndian.Uint32(head[:4]))
	if length < 8 {
		return 0, nil, errBadStartup
	}
	if _, err := io.ReadFull(conn, head[4:]); err != nil {
		return 0, nil, errBadStartup
	}
	var rest bytes.Buffer
	if _, err := io.CopyN(&rest, conn, int64(length)-8); err != nil {
		return 0, nil, errBadStartup
	}
	return binary.BigEndian.Uint32(head[4:]), rest.Bytes(), nil
}

// startupParams reads the parameters of a login the way PgCat does: empty strings are dropped
// before the rest is paired, so an empty value shifts all that follows. Each byte is one character,
// which spoils names outside ASCII.
func startupParams(body []byte) (map[string]string, error) {
	if len(body) == 0 || body[len(body)-1] != 0 {
		return nil, errBadStartup
	}
	words := bytes.FieldsFunc(latin1(body), func(r rune) bool { return r == 0 })
	if len(words) < 2 || len(words)%2 != 0 {
		return nil, errBadStartup
	}
	params := map[string]string{}
	for i := 0; i < len(words); i += 2 {
		params[string(words[i])] = string(words[i+1])
	}
	if _, ok := params["user"]; !ok {
		return nil, errBadStartup
	}
	return params, nil
}

func latin1(b []byte) []byte {
	runes := make([]rune, len(b))
	for i, c := range b {
		runes[i] = rune(c)
	}
	return []byte(string(runes))
}
