// Package pgtest starts a real PostgreSQL on loopback for a test.
package pgtest

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// Server is one PostgreSQL. Its superuser is postgres, without a password.
type Server struct {
	Addr string
	dir  string
	bin  string
	port int
	cred *syscall.Credential
	cmd  *exec.Cmd
}

// Start makes a server that ends with the test. A machine without PostgreSQL skips the test.
func Start(t *testing.T) *Server {
	t.Helper()
	bin := find()
	if bin == "" {
		t.Skip("skipped: no PostgreSQL server on this machine; apt-get install postgresql-15")
	}
	dir, err := os.MkdirTemp("", "pgtest-") // t.TempDir's path is closed to other users
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &Server{dir: dir, bin: bin, port: freePort(t), cred: unprivileged(t)}
	s.Addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port))
	if s.cred != nil {
		require.NoError(t, os.Chown(dir, int(s.cred.Uid), int(s.cred.Gid)))
	}
	out, err := s.command("initdb", "-D", filepath.Join(dir, "data"), "-U", "postgres", "--auth=trust", "--no-sync").CombinedOutput()
	require.NoError(t, err, string(out))
	t.Cleanup(s.Stop)
	s.Run(t)
	return s
}

// Run starts the server (again) and waits until it answers.
func (s *Server) Run(t *testing.T) {
	t.Helper()
	s.cmd = s.command("postgres", "-D", filepath.Join(s.dir, "data"), "-p", strconv.Itoa(s.port), "-k", s.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
	require.NoError(t, s.cmd.Start())
	require.Eventually(t, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		c, err := pgconn.Connect(ctx, fmt.Sprintf("host=127.0.0.1 port=%d user=postgres database=postgres sslmode=disable", s.port))
		if err != nil {
			return false
		}
		return c.Close(ctx) == nil
	}, 20*time.Second, 20*time.Millisecond)
}

// Stop ends the server at once, as a crash would; stopping it twice is no harm.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	_ = s.cmd.Process.Signal(syscall.SIGQUIT)
	_ = s.cmd.Wait()
	s.cmd = nil
}

func (s *Server) command(program string, args ...string) *exec.Cmd {
	c := exec.Command(filepath.Join(s.bin, program), args...)
	c.Dir = s.dir
	c.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Pdeathsig: syscall.SIGQUIT}
	return c
}

func find() string {
	if dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin"); len(dirs) > 0 { // the pattern is constant and good
		return dirs[len(dirs)-1]
	}
	if p, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(p)
	}
	return ""
}

// unprivileged is the user to run the server as: it refuses to run as root.
func unprivileged(t *testing.T) *syscall.Credential {
	t.Helper()
	if os.Getuid() != 0 {
		return nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		require.NoError(t, err)
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		require.NoError(t, err)
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	t.Skip("skipped: PostgreSQL refuses to run as root, and there is no user postgres or nobody")
	return nil
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = l.Close() }()
	return l.Addr().(*net.TCPAddr).Port
}
