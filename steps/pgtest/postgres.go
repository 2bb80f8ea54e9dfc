// Package pgtest gives tests a real Postgres of their own, and a network in front of it that can be
// broken. All of it is on loopback.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"math/rand/v2"
	"sync/atomic"
)

// ErrNoPostgres is a machine without PostgreSQL's server programs.
var ErrNoPostgres = errors.New("no PostgreSQL server (initdb, postgres) on this machine: apt-get install postgresql-15")

// The one user of every Postgres of a test.
const (
	User     = "postgres"
	Password = "postgres"
)

// startWithin bounds initdb and the start of a server on a busy machine.
const startWithin = 60 * time.Second

// Postgres is one running server.
type Postgres struct {
	Port int
	dir  string
	bin  string
	cmd  *exec.Cmd
	done chan struct{}
}

// Start makes a new, empty server with the given databases.
func Start(databases ...string) (*Postgres, error) {
	bin, err := binaries()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return nil, fmt.Errorf("make a data directory: %w", err)
	}
	p := &Postgres{dir: dir, bin: bin}
	if err := p.init(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	if err := p.Up(); err != nil {
		os.RemoveAll(dir)
		return nil, err
	}
	for _, d := range databases {
		if err := p.Exec("postgres", "create database "+d); err != nil {
			p.Stop()
			return nil, err
		}
	}
	return p, nil
}

// binaries finds initdb: on PATH, or where Debian puts it.
func binaries() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", ErrNoPostgres
	}
	sort.Strings(found)
	return filepath.Dir(found[len(found)-1]), nil
}

func (p *Postgres) init() error {
	pw := filepath.Join(p.dir, "pw")
	if err := os.WriteFile(pw, []byte(Password), 0o644); err != nil {
		return fmt.Errorf("write %s: %w", pw, err)
	}
	if err := p.giveAway(); err != nil {
		return err
	}
	out, err := p.command("initdb", "-D", p.data(), "-U", User, "-A", "scram-sha-256", "--pwfile", pw, "-N", "--locale=C", "-E", "UTF8").CombinedOutput()
	if err != nil {
		return fmt.Errorf("initdb: %w\n%s", err, out)
	}
	return nil
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }

// giveAway hands the directory to the user that Postgres will run as: it refuses to be root.
func (p *Postgres) giveAway() error {
	cred, err := credential()
	if cred == nil || err != nil {
		return err
	}
	if err := os.Chown(p.dir, int(cred.Uid), int(cred.Gid)); err != nil {
		return fmt.Errorf("give %s to %s: %w", p.dir, User, err)
	}
	return nil
}

func credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("find a user to run Postgres as: %w", err)
		}
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32) // numbers on every Unix
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func (p *Postgres) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, name), args...)
	cmd.Dir = p.dir
	cred, _ := credential()
	// A group of its own: a signal to the test does not reach it. Pdeathsig: nor does it outlive the test.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: cred, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

// Up starts the server, again if it was killed, on the port it had.
func (p *Postgres) Up() error {
	if p.Port == 0 {
		port, err := FreePort()
		if err != nil {
			return err
		}
		p.Port = port
	}
	log, err := os.Create(filepath.Join(p.dir, "log"))
	if err != nil {
		return fmt.Errorf("make a log: %w", err)
	}
	p.cmd = p.command("postgres", "-D", p.data(), "-p", strconv.Itoa(p.Port), "-k", p.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-c", "max_connections=400", "-c", "timezone=Etc/UTC")
	p.cmd.Stdout, p.cmd.Stderr = log, log
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start postgres: %w", err)
	}
	p.done = make(chan struct{})
	go func(cmd *exec.Cmd, done chan struct{}) { _ = cmd.Wait(); close(done) }(p.cmd, p.done)
	return Eventually(startWithin, func() error { return p.Exec("postgres", "select 1") })
}

// Kill ends the server as a crash would, its backends with it.
func (p *Postgres) Kill() {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT)
	<-p.done
}

// Stop ends the server and removes its data.
func (p *Postgres) Stop() {
	p.Kill()
	_ = os.RemoveAll(p.dir)
}

// Address is where the server listens.
func (p *Postgres) Address() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(p.Port)) }

// Exec runs SQL on the server itself, past any pooler.
func (p *Postgres) Exec(database, sql string) error {
	_, err := p.Ask(database, sql)
	return err
}

// Ask gives the first column of the first row.
func (p *Postgres) Ask(database, sql string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), startWithin)
	defer cancel()
	conn, err := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=%s password=%s dbname=%s sslmode=disable", p.Port, User, Password, database))
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return "", fmt.Errorf("run %q on %s: %w", sql, database, err)
	}
	for _, r := range results {
		if len(r.Rows) > 0 && len(r.Rows[0]) > 0 {
			return string(r.Rows[0][0]), nil
		}
	}
	return "", nil
}

// FreePort is a port of loopback that nobody listens on.
func FreePort() (int, error) {
	var last error
	for range portTries {
		port := lowestPort + int(nextPort.Add(1)%ports)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err == nil {
			return port, l.Close()
		}
		last = err
	}
	return 0, fmt.Errorf("find a free port: %w", last)
}

// Ports are given out from below those that the kernel gives to outgoing connections (net.ipv4.ip_local_port_range, from
// 32768): one of these could take a port between its being found free and its being listened on, or while an endpoint is
// away and is to come back.
const (
	lowestPort = 12000
	ports      = 20000
	portTries  = 200
)

// nextPort begins elsewhere in each process: the tests of several packages run at once.
var nextPort = func() *atomic.Uint64 {
	n := new(atomic.Uint64)
	n.Store(uint64(rand.IntN(ports)))
	return n
}()

// pollEvery is how often a condition is looked at.
const pollEvery = 20 * time.Millisecond

// Eventually waits until check has no complaint, and gives its last one after the time is over.
func Eventually(within time.Duration, check func() error) error {
	deadline := time.After(within)
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("not within %s: %w", within, err)
		}
	}
}
