package heldto

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/pgcat-sim/internal/app"
	"pgcat-failover/steps/pgtest"
)

// scriptsAtOnce: scripts mostly wait for timeouts, so many can run at once on few processors.
const scriptsAtOnce = "8"

const reexec = "PGCAT_SIM_REEXEC"

var postgres *pgtest.Postgres

// TestMain is also the stand-in: started with PGCAT_SIM_REEXEC it is pgcat-sim, race detector and all.
func TestMain(m *testing.M) {
	if os.Getenv(reexec) != "" {
		os.Exit(app.Main(os.Args))
	}
	os.Exit(withPostgres(m))
}

func withPostgres(m *testing.M) int {
	var err error
	postgres, err = pgtest.Start("shard0", "shard1", "shard2")
	if errors.Is(err, pgtest.ErrNoPostgres) {
		fmt.Println("SKIP:", err)
		return 0
	}
	if err != nil {
		fmt.Println("FAIL:", err)
		return 1
	}
	defer postgres.Stop()
	if err := flag.Set("test.parallel", scriptsAtOnce); err != nil { // -parallel still wins: it is read later
		fmt.Println("FAIL:", err)
		return 1
	}
	return m.Run()
}

// pooler is a PgCat, real or not, as a process.
type pooler struct {
	kind    kind
	port    int
	metrics int
	path    string
	cmd     *exec.Cmd
	log     *bytes.Buffer
	exited  chan int
}

// kind is which program and which behaviour.
type kind struct {
	release string // v1.2.0 or head
	argv    func(config string) []string
	env     []string
	network *network // nil: the one that all share
}

func standIn(release string) kind {
	return kind{release: release, argv: func(c string) []string { return []string{os.Args[0], "--as", release, c} },
		env: []string{reexec + "=1", "GORACE=atexit_sleep_ms=0"}} // the race detector's second at exit would be ours
}

func (p *pooler) address() string { return fmt.Sprintf("127.0.0.1:%d", p.port) }

func (p *pooler) dial() (c net.Conn, err error) {
	err = p.kind.network.in(func() error {
		c, err = net.Dial("tcp", p.address())
		return err
	})
	return c, err
}

// conf is a pgcat.toml in pieces; each piece is lines.
type conf struct {
	general, pool, user string
	shards              []string // "host:port role;host:port role"
	databases           []string
}

func (c conf) text(port, metrics int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "[general]\nhost = \"127.0.0.1\"\nport = %d\nprometheus_exporter_port = %d\nadmin_username = \"admin\"\nadmin_password = \"admin-secret\"\n", port, metrics)
	b.WriteString(c.general + "\n[pools.app]\n" + c.pool + "\n")
	fmt.Fprintf(&b, "[pools.app.users.0]\nusername = \"postgres\"\npassword = \"postgres\"\n%s\n", orElse(c.user, "pool_size = 5"))
	for i, shard := range c.shards {
		database := fmt.Sprintf("shard%d", i)
		if i < len(c.databases) {
			database = c.databases[i]
		}
		fmt.Fprintf(&b, "[pools.app.shards.%d]\ndatabase = %q\nservers = [%s]\n", i, database, servers(shard))
	}
	return b.String()
}

func servers(list string) string {
	var all []string
	for _, s := range strings.Split(list, ";") {
		address, role, _ := strings.Cut(s, " ")
		host, port, _ := net.SplitHostPort(address)
		all = append(all, fmt.Sprintf("[%q, %s, %q]", host, port, orElse(role, "primary")))
	}
	return strings.Join(all, ", ")
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// launch starts a pooler on the text of a configuration; {{port}} is not known before.
func launch(t *testing.T, k kind, text func(port, metrics int) string) *pooler {
	t.Helper()
	port, err := pgtest.FreePort()
	require.NoError(t, err)
	metrics := freeMetricsPort(t)
	p := &pooler{kind: k, port: port, metrics: metrics, log: &bytes.Buffer{}, exited: make(chan int, 1)}
	p.path = filepath.Join(t.TempDir(), "pgcat.toml")
	require.NoError(t, os.WriteFile(p.path, []byte(text(port, metrics)), 0o644))
	argv := k.argv(p.path)
	p.cmd = exec.Command(argv[0], argv[1:]...)
	p.cmd.Env = append(os.Environ(), k.env...)
	p.cmd.Stdout, p.cmd.Stderr = p.log, p.log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	require.NoError(t, k.network.in(p.cmd.Start))
	go func() {
		_ = p.cmd.Wait()
		p.exited <- p.cmd.ProcessState.ExitCode()
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		select {
		case <-p.exited:
		case <-time.After(patience):
		}
		if t.Failed() {
			t.Logf("log of the pooler:\n%s", tail(p.log.String()))
		}
		require.NotContains(t, p.log.String(), "DATA RACE")
	})
	return p
}

// freeMetricsPort: PgCat's port for metrics is a signed 16-bit number.
func freeMetricsPort(t *testing.T) int {
	port, err := pgtest.FreePort()
	require.NoError(t, err)
	return port
}

func tail(s string) string {
	const most = 6000
	if len(s) > most {
		return s[len(s)-most:]
	}
	return s
}

// ready waits until the pooler answers a login, so its pools are built.
func (p *pooler) ready(t *testing.T) {
	t.Helper()
	err := pgtest.Eventually(patience*3, func() error {
		c, err := p.dial()
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(time.Second))
		if _, err := c.Write([]byte{0, 0, 0, 8, 4, 210, 22, 47}); err != nil { // SSLRequest
			return err
		}
		_, err = io.ReadFull(c, make([]byte, 1))
		return err
	})
	require.NoError(t, err, "pooler does not answer:\n%s", p.log)
}

func (p *pooler) rewrite(t *testing.T, text string) {
	t.Helper()
	require.NoError(t, os.WriteFile(p.path, []byte(text), 0o644))
}

func (p *pooler) scrape(t *testing.T) (int, string, string) {
	t.Helper()
	return p.get(t, http.MethodGet, "/metrics")
}

func (p *pooler) get(t *testing.T, method, path string) (int, string, string) {
	t.Helper()
	req, err := http.NewRequest(method, fmt.Sprintf("http://127.0.0.1:%d%s", p.metrics, path), nil)
	require.NoError(t, err)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, res.Header.Get("Content-Type"), string(body)
}

// run is one script against one pooler.
type run struct {
	t      *testing.T
	kind   kind
	shards []*pgtest.Proxy
	pooler *pooler
	conf   conf
	seen   transcript

	somethingDown bool // from the start, so that there is nothing to settle

	began   time.Time
	elapsed time.Duration
}

// step does something and writes down what it saw and how long it took.
func (x *run) step(does string, do func() []string) {
	x.t.Helper()
	x.began, x.elapsed = time.Now(), 0
	seen := do()
	x.stopWatch()
	for i := range seen {
		seen[i] = x.mask(seen[i])
	}
	x.seen = append(x.seen, step{Does: x.mask(does), Sees: seen, Ms: x.elapsed.Milliseconds()})
}

// stopWatch ends the measured part of a step; what is done after it costs nothing.
func (x *run) stopWatch() {
	if x.elapsed == 0 {
		x.elapsed = time.Since(x.began)
	}
}

// mask hides what differs from run to run.
func (x *run) mask(s string) string {
	for i, p := range x.shards {
		s = strings.ReplaceAll(s, fmt.Sprint(p.Port), fmt.Sprintf("PORT%d", i))
	}
	if x.pooler != nil {
		s = strings.ReplaceAll(s, fmt.Sprint(x.pooler.port), "PORT")
		s = strings.ReplaceAll(s, fmt.Sprint(x.pooler.metrics), "METRICS")
	}
	return s
}

// start brings up three endpoints and a pooler in front of them.
func (x *run) start(c conf) {
	x.t.Helper()
	if c.shards == nil {
		for range 3 {
			c.shards = append(c.shards, x.endpoint(postgres.Address()))
		}
	}
	x.launch(c)
	x.pooler.ready(x.t)
	if !x.somethingDown {
		x.settle()
	}
}

// settle waits until the pooler has connected to all servers of its own accord. A client that comes
// earlier makes it connect a second time, and how many connections there are would be chance.
func (x *run) settle() {
	x.eventually("one idle connection to each server", func() bool {
		admin := x.enter("database", "pgcat")
		defer admin.leave()
		for _, s := range admin.ask("SHOW DATABASES") {
			if f := strings.Split(s, "|"); len(f) == 13 && f[10] != "1" {
				return false
			}
		}
		pools := strings.Join(admin.ask("SHOW POOLS"), " ")
		return strings.Contains(pools, "|0|0|0|0|0|"+fmt.Sprint(x.addresses())+"|0|0|0|")
	})
}

func (x *run) addresses() int {
	n := 0
	for _, s := range x.conf.shards {
		n += len(strings.Split(s, ";"))
	}
	return n
}

// leave says goodbye and waits until the pooler has forgotten the client.
func (c *client) leave() {
	c.send(&pgproto3.Terminate{})
	_ = c.until(patience)
	c.conn.Close()
}

func (x *run) launch(c conf) {
	x.conf = c
	x.pooler = launch(x.t, x.kind, c.text)
}

// endpoint adds a proxy and gives its address.
func (x *run) endpoint(target string) string {
	var p *pgtest.Proxy
	require.NoError(x.t, x.kind.network.in(func() (err error) {
		p, err = pgtest.NewProxy("127.0.0.1", target)
		return err
	}))
	x.t.Cleanup(p.Close)
	x.shards = append(x.shards, p)
	return fmt.Sprintf("127.0.0.1:%d", p.Port)
}

func (x *run) signal(s syscall.Signal) { _ = x.pooler.cmd.Process.Signal(s) }

// stillRunning is how long a pooler is given to end.
const stillRunning = 2 * time.Second

// exit waits for the end of the pooler and tells its code.
func (x *run) exit(does string) {
	x.step(does, func() []string {
		select {
		case code := <-x.pooler.exited:
			x.pooler.exited <- code
			return []string{fmt.Sprintf("exit %d", code)}
		case <-time.After(stillRunning):
			return []string{"still running"}
		}
	})
}

// eventually waits for a condition between steps.
func (x *run) eventually(what string, check func() bool) {
	x.t.Helper()
	err := pgtest.Eventually(patience, func() error {
		if check() {
			return nil
		}
		return errors.New(what)
	})
	require.NoError(x.t, err)
}
