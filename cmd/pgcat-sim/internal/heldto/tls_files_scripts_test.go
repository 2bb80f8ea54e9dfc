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
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// identity is a certificate on disk, its number told to clients, and its key.
type identity struct{ cert, key string }

func (x *run) identity(dir string, serial int64) identity {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(x, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "pgcat"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"},
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	must(x, err)
	rawKey, err := x509.MarshalPKCS8PrivateKey(key)
	must(x, err)
	id := identity{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	must(x, os.WriteFile(id.cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), 0o644))
	must(x, os.WriteFile(id.key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: rawKey}), 0o600))
	return id
}

func (id identity) general() string {
	return fmt.Sprintf("tls_certificate = %q\ntls_private_key = %q", id.cert, id.key)
}

var sslRequest = []byte{0, 0, 0, 8, 4, 210, 22, 47}

// secured asks for TLS and tells what came of it; the client speaks it from then on.
func (c *client) secured(conf *tls.Config) []string {
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	_, _ = c.conn.Write(sslRequest)
	answer := make([]byte, 1)
	if _, err := io.ReadFull(c.conn, answer); err != nil {
		return []string{ending(err)}
	}
	conf.InsecureSkipVerify = true // signed by nobody
	t := tls.Client(c.conn, conf)
	if err := t.Handshake(); err != nil {
		return []string{string(answer), "no handshake"}
	}
	c.conn, c.front = t, pgproto3.NewFrontend(t, t)
	state := t.ConnectionState()
	return []string{string(answer), tls.VersionName(state.Version), "certificate " + state.PeerCertificates[0].SerialNumber.String()}
}

// handshake is a client's way to TLS as a step.
func (x *run) handshake(does string, conf *tls.Config) *client {
	var c *client
	x.step(does, func() []string {
		c = x.dial()
		return c.secured(conf)
	})
	return c
}

func (c *client) loginStep(does string, params map[string]string, password string) {
	c.x.step(does, func() []string { return c.login(params, password) })
}

// clientTLSReload: the files are read for each client; a reload is for other paths only.
func clientTLSReload(x *run) {
	dir := x.t.TempDir()
	id := x.identity(dir, 1)
	x.start(conf{general: id.general()})
	c := x.handshake("the first certificate", &tls.Config{})
	x.identity(dir, 2)
	x.handshake("the second, and nobody reloaded", &tls.Config{})
	must(x, os.WriteFile(id.cert, []byte("no certificate"), 0o644))
	x.handshake("one that is none", &tls.Config{})
	must(x, os.Remove(id.cert))
	x.handshake("none", &tls.Config{})
	x.login("without TLS", names("user", "postgres", "database", "app", "application_name", "pgcat"), "postgres")
	c.loginStep("who has it keeps it", names("user", "postgres", "database", "app", "application_name", "pgcat"), "postgres")
	x.enter("database", "pgcat").query("RELOAD")
	x.identity(dir, 3)
	x.enter("database", "pgcat").query("RELOAD")
	x.handshake("the third", &tls.Config{})
	next := x.conf
	next.general = ""
	x.pooler.rewrite(x.t, next.text(x.pooler.port, x.pooler.metrics))
	x.enter("database", "pgcat").query("RELOAD")
	x.raw("TLS switched off by a reload", 400*time.Millisecond, sslRequest)
}

// clientTLSFiles: which files a start takes.
func clientTLSFiles(x *run) {
	one, other := x.identity(x.t.TempDir(), 1), x.identity(x.t.TempDir(), 2)
	empty := filepath.Join(x.t.TempDir(), "empty")
	must(x, os.WriteFile(empty, nil, 0o644))
	missing := filepath.Join(x.t.TempDir(), "missing")
	for _, f := range []struct {
		does string
		id   identity
	}{
		{"certificate missing", identity{missing, one.key}}, {"key missing", identity{one.cert, missing}},
		{"certificate empty", identity{empty, one.key}}, {"key empty", identity{one.cert, empty}},
		{"the key of another", identity{one.cert, other.key}}, {"key and certificate swapped", identity{one.key, one.cert}},
	} {
		x.launch(conf{shards: []string{"127.0.0.1:1"}, general: f.id.general()})
		x.exit(f.does)
		select {
		case code := <-x.pooler.exited:
			x.pooler.exited <- code
		default:
			x.handshake("a client of it", &tls.Config{})
			_ = x.pooler.cmd.Process.Kill()
		}
	}
}
