package serve

import (
	"bufio"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/backend"
	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// The texts of section 3 of the facts, E1 to E13; the numbers are theirs.
const (
	checkoutFailed   = "could not get connection from the pool - %s"         // E1, E2
	receiveFailed    = "error receiving data from server: %s"                // E3
	statementTimeout = "pool statement timeout"                              // E5
	poolDown         = "Pool down for database: %s, user: %s"                // E6
	noPool           = "No pool configured for database: %s, user: %s"       // E7
	shutdownText     = "terminating connection due to administrator command" // E8
	idleTransaction  = "idle transaction timeout"                            // E9
	checkoutLimit    = "checkout failure limit reached (%d / %d)"            // E11
	wrongPassword    = `password authentication failed for user "%s"`        // E12
	unknownStatement = `prepared statement "%s" does not exist`              // E13
)

// adminDatabases are the names under which the admin database answers (rule 8).
func isAdmin(database string) bool { return database == "pgcat" || database == "pgbouncer" }

const trust = "trust"

// login is a client on its way in.
type login struct {
	pooler *Pooler
	conn   net.Conn
	in     *bufio.Reader
	params map[string]string

	user, database, application string
	admin, adminOnly            bool
	pool                        *pool.Pool
}

// session logs a client in and serves it to its end.
func (p *Pooler) session(conn net.Conn, body []byte, adminOnly bool) error {
	params, err := startupParams(body)
	if err != nil {
		return err
	}
	l := &login{pooler: p, conn: conn, in: bufio.NewReaderSize(conn, clientBuffer), params: params, adminOnly: adminOnly}
	l.user = params["user"]
	l.database = l.param("database", l.user)
	l.application = l.param("application_name", "pgcat")
	l.admin = isAdmin(l.database)
	c, err := l.run()
	if err != nil {
		l.pool.Release()
		return err
	}
	if p.Config().General.LogClientConnections {
		slog.Info("Client connected (plain)", "client", conn.RemoteAddr())
	}
	return c.run()
}

func (l *login) param(name, otherwise string) string {
	if v, ok := l.params[name]; ok {
		return v
	}
	return otherwise
}

func (l *login) run() (*client, error) {
	if !l.admin && l.adminOnly {
		return nil, l.refuse(wire.SystemError, shutdownText, false)
	}
	if err := l.authenticate(); err != nil {
		return nil, err
	}
	known, err := l.serverParams()
	if err != nil {
		return nil, err
	}
	for k, v := range l.params {
		known.Track(k, v)
	}
	return l.welcome(known)
}

// authenticate keeps the order of each version: v1.2.0 asks for the password first and looks for
// the pool later, head the other way round, so that an unknown pool costs no password (rule 10).
func (l *login) authenticate() error {
	if l.pooler.Release == release.Head {
		if err := l.findPool(); err != nil {
			return err
		}
		if l.trusted() {
			return nil
		}
		return l.challenge(func(salt, response []byte) error { return l.check(salt, response) })
	}
	return l.challenge(func(salt, response []byte) error {
		if err := l.findPool(); err != nil {
			return err
		}
		return l.check(salt, response)
	})
}

func (l *login) trusted() bool {
	if l.admin {
		return l.pooler.Config().General.AdminAuthType == trust
	}
	return l.pool.Settings().User.AuthType == trust
}

// challenge is MD5, the only method clients are offered (rule 9).
func (l *login) challenge(verify func(salt, response []byte) error) error {
	var salt [4]byte
	if _, err := rand.Read(salt[:]); err != nil {
		return fmt.Errorf("make a salt: %w", err)
	}
	if err := l.write(&pgproto3.AuthenticationMD5Password{Salt: salt}); err != nil {
		return err
	}
	message, err := wire.Read(l.in, nil)
	if err != nil {
		return err
	}
	if message[0] != 'p' {
		return fmt.Errorf("expected p, got %c", message[0])
	}
	return verify(salt[:], wire.Body(message))
}

func (l *login) findPool() error {
	if l.admin {
		return nil
	}
	if l.pool = l.pooler.Pools.Get(l.database, l.user); l.pool != nil {
		return nil
	}
	return l.refuse(wire.SystemError, fmt.Sprintf(noPool, wire.Debug(l.database), wire.Debug(l.user)), true)
}

// check compares the response with what the password would give. The admin's hash is made of
// admin_username whatever name the client gave, so any name logs in with the right pair (rule 11).
func (l *login) check(salt, response []byte) error {
	if l.admin {
		g := l.pooler.Config().General
		return l.compare(response, md5Response(md5Hash(g.AdminUsername, g.AdminPassword), salt))
	}
	if password := l.pool.Settings().User.Password; password != nil {
		return l.compare(response, md5Response(md5Hash(l.user, *password), salt))
	}
	return l.checkHash(salt, response)
}

// checkHash compares with what auth_query said. If that does not fit it is asked once more: the
// password may have changed in Postgres since.
func (l *login) checkHash(salt, response []byte) error {
	hash, err := l.pool.PasswordHash()
	if err == nil && string(response) != string(md5Response(hash, salt)) {
		hash, err = l.pool.FreshHash()
	}
	if err != nil {
		slog.Warn("auth_query: " + err.Error())
		return l.compare(response, nil)
	}
	if err := l.compare(response, md5Response(hash, salt)); err != nil {
		return err
	}
	l.pool.KeepHash(hash)
	return nil
}

func (l *login) compare(response, expected []byte) error {
	if expected != nil && string(response) == string(expected) {
		return nil
	}
	return l.refuse(wire.InvalidPassword, fmt.Sprintf(wrongPassword, l.user), false)
}

func md5Hash(user, password string) string {
	sum := md5.Sum([]byte(password + user))
	return hex.EncodeToString(sum[:])
}

func md5Response(hash string, salt []byte) []byte {
	sum := md5.Sum(append([]byte(hash), salt...))
	return append([]byte("md5"+hex.EncodeToString(sum[:])), 0)
}

// serverParams is what the client is told of the servers. A pool that never answered is tried now:
// this is the only moment at which a login needs a server (rules 12 and 13).
func (l *login) serverParams() (backend.Params, error) {
	if l.admin {
		known := backend.NewParams()
		known.Set("application_name", "")
		known.Set("server_encoding", "UTF8")
		known.Set("server_version", l.pooler.Release.Number())
		return known, nil
	}
	if !l.pool.Validated() {
		if err := l.pool.Validate(); err != nil {
			return nil, l.refuse(wire.SystemError, fmt.Sprintf(poolDown, wire.Debug(l.database), wire.Debug(l.user)), true)
		}
	}
	return l.pool.Params(), nil
}

var errRefused = errors.New("refused")

// refuse ends a login with an error; ready adds the ReadyForQuery that some of PgCat's errors have.
func (l *login) refuse(code, text string, ready bool) error {
	messages := []encoder{wire.Fatal(code, text)}
	if ready {
		messages = append(messages, wire.Ready(false))
	}
	if err := l.write(messages...); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errRefused, text)
}

type encoder = interface {
	Encode([]byte) ([]byte, error)
}

func (l *login) write(messages ...encoder) error {
	_, err := l.conn.Write(wire.Encode(nil, messages...))
	return err
}

// welcome ends a login that went well (rule 14).
func (l *login) welcome(known backend.Params) (*client, error) {
	var random [8]byte
	if _, err := rand.Read(random[:]); err != nil {
		return nil, fmt.Errorf("make a cancel key: %w", err)
	}
	key := clientKey{binary.BigEndian.Uint32(random[:4]), binary.BigEndian.Uint32(random[4:])}
	out := wire.Encode(nil, &pgproto3.AuthenticationOk{})
	out = known.Encode(out)
	out = wire.Encode(out, &pgproto3.BackendKeyData{ProcessID: key.pid, SecretKey: backend.Key(key.secret)}, wire.Ready(false))
	if _, err := l.conn.Write(out); err != nil {
		return nil, err
	}
	c := &client{
		pooler: l.pooler, conn: l.conn, in: l.in, key: key, admin: l.admin,
		user: l.user, database: l.database, params: known, pool: l.pool,
		stats: l.pooler.Registry.NewClient(int32(key.pid), l.application, l.user, l.database),
	}
	if !l.admin {
		c.transactionMode = l.pool.Settings().Mode == config.Transaction
		if c.transactionMode && l.pool.Statements != nil {
			c.statements = map[string]*pgproto3.Parse{}
		}
	}
	return c, nil
}
