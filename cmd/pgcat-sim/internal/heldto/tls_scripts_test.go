package heldto

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/steps/pgtest"
)

// certificate writes a self-signed certificate for 127.0.0.1, and its key, into dir.
func (x *run) certificate(dir string) (cert, key string) {
	cert, key = filepath.Join(dir, "server.crt"), filepath.Join(dir, "server.key")
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(x, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	must(x, err)
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	must(x, err)
	must(x, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	must(x, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

// ownPostgres is a server whose settings a script may change; its directory of data comes with it.
func (x *run) ownPostgres() (*pgtest.Postgres, string) {
	own, err := pgtest.Start("shard0")
	must(x, err)
	x.t.Cleanup(own.Stop)
	dir, err := own.Ask("postgres", "show data_directory")
	must(x, err)
	return own, dir
}

// giveToOwnerOf hands files to the user Postgres runs as: it insists on owning its key.
func (x *run) giveToOwnerOf(dir string, files ...string) {
	info, err := os.Stat(dir)
	must(x, err)
	owner := info.Sys().(*syscall.Stat_t)
	for _, f := range files {
		must(x, os.Chown(f, int(owner.Uid), int(owner.Gid)))
	}
}

const encrypted = "select ssl from pg_stat_ssl where pid = pg_backend_pid()"

// serverTLS: wanted and there, wanted and not there, and with a certificate that nobody vouches for.
func serverTLS(x *run) {
	own, dir := x.ownPostgres()
	shard := conf{shards: []string{x.endpoint(own.Address())}, general: "server_tls = true\nconnect_timeout = 500"}
	x.start(shard)
	x.enter().as("server_tls, and a server without", encrypted)
	cert, key := x.certificate(dir)
	x.giveToOwnerOf(dir, cert, key)
	must(x, own.Exec("postgres", "alter system set ssl = on"))
	must(x, own.Exec("postgres", "select pg_reload_conf()"))
	x.eventually("new connections can have TLS", func() bool {
		on, err := own.Ask("postgres", "show ssl")
		return err == nil && on == "on"
	})
	x.start(shard)
	x.enter().as("server_tls, and a server with it", encrypted)
	shard.general = "server_tls = false\nconnect_timeout = 500"
	x.start(shard)
	x.enter().as("no server_tls", encrypted)
	shard.general = "server_tls = true\nverify_server_certificate = true\nconnect_timeout = 500"
	x.somethingDown = true
	x.start(shard)
	x.login("a certificate that nobody vouches for", names("user", "postgres", "database", "app"), "postgres")
	x.launch(conf{shards: shard.shards, general: shard.general, user: "pool_size = 5\nmin_pool_size = 1"})
	x.exit("and with min_pool_size")
}

// clientTLS: offered if there is a certificate, never demanded.
func clientTLS(x *run) {
	cert, key := x.certificate(x.t.TempDir())
	x.start(conf{general: fmt.Sprintf("tls_certificate = %q\ntls_private_key = %q", cert, key)})
	x.login("without TLS", names("user", "postgres", "database", "app"), "postgres")
	var c *client
	x.step("with TLS", func() []string {
		var version string
		c, version = x.dialTLS()
		return append([]string{version}, c.login(names("user", "postgres", "database", "app"), "postgres")...)
	})
	c.query(where)
	x.step("much over TLS", func() []string {
		return []string{fmt.Sprint(len(c.ask("select repeat('x', 500) from generate_series(1, 5000)")))}
	})
	x.step("wrong password over TLS", func() []string {
		c, _ := x.dialTLS()
		return c.login(names("user", "postgres", "database", "app"), "wrong")
	})
	x.step("admin over TLS", func() []string {
		c, _ := x.dialTLS()
		return c.login(names("user", "admin", "database", "pgcat"), "admin-secret")
	})
	x.step("SSLRequest over TLS", func() []string {
		c, _ := x.dialTLS()
		_, _ = c.conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47})
		return c.bytes(400 * time.Millisecond)
	})
	x.step("plain words where TLS should come", func() []string {
		c := x.dial()
		x.requestTLS(c)
		raw, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: names("user", "postgres")}).Encode(nil)
		_, _ = c.conn.Write(raw)
		return c.end() // before it an alert, or not
	})
	x.sleepIn(c)
	x.step("cancel request, plain", func() []string {
		k := x.dial()
		raw, _ := (&pgproto3.CancelRequest{ProcessID: c.pid, SecretKey: c.key}).Encode(nil)
		_, _ = k.conn.Write(raw)
		return k.bytes(patience)
	})
	x.step("the query ends", func() []string { return c.until(patience) })
	x.sleepIn(c)
	x.step("cancel request over TLS", func() []string {
		k, _ := x.dialTLS()
		raw, _ := (&pgproto3.CancelRequest{ProcessID: c.pid, SecretKey: c.key}).Encode(nil)
		_, _ = k.conn.Write(raw)
		return k.bytes(patience)
	})
	x.step("the query", func() []string { return c.until(600 * time.Millisecond) })
	idle, _ := x.dialTLS()
	idle.login(names("user", "postgres", "database", "app"), "postgres")
	x.signal(syscall.SIGINT)
	x.step("the end of the pooler", func() []string { return idle.after(idle.until(patience)) })
}

// end reads whatever comes and tells how it ends.
func (c *client) end() []string {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	_, err := io.Copy(io.Discard, c.conn)
	if err == nil {
		err = io.EOF
	}
	return []string{ending(err)}
}

func (x *run) requestTLS(c *client) string {
	_, _ = c.conn.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	answer := make([]byte, 1)
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	_, _ = io.ReadFull(c.conn, answer)
	return string(answer)
}

// dialTLS connects, asks for TLS and tells which version came of it.
func (x *run) dialTLS() (*client, string) {
	c := x.dial()
	answer := x.requestTLS(c)
	if answer != "S" {
		return c, "answer " + answer
	}
	over := tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, ServerName: "localhost"})
	_ = over.SetDeadline(time.Now().Add(patience))
	if err := over.Handshake(); err != nil {
		return c, err.Error()
	}
	_ = over.SetDeadline(time.Time{})
	return &client{x: x, conn: over, front: pgproto3.NewFrontend(over, over)}, tls.VersionName(over.ConnectionState().Version)
}
