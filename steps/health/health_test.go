package health_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/health"
	"pgcat-failover/steps/health/endpoints"
	"pgcat-failover/steps/pgtest"
)

func listen(t *testing.T, host string) *net.TCPListener {
	t.Helper()
	l, err := net.Listen("tcp", host+":0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l.(*net.TCPListener)
}

func port(a net.Addr) int { return a.(*net.TCPAddr).Port }

// Three endpoints, told apart by address as Services are: one with a connection of the pooler's, one idle, one gone.
func TestConnectionsAreToldApartByEndpoint(t *testing.T) {
	used, idle, gone := listen(t, "127.0.0.1"), listen(t, "127.0.0.2"), listen(t, "127.0.0.3")
	require.NoError(t, gone.Close())
	conn, err := net.Dial("tcp", used.Addr().String())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })

	file := filepath.Join(t.TempDir(), "pgcat.toml")
	require.NoError(t, os.WriteFile(file, []byte(fmt.Sprintf(`
[pools.a.shards.0]
servers = [["127.0.0.1", %d, "primary"]]
[pools.a.shards.1]
servers = [["127.0.0.2", %d, "primary"]]
[pools.a.shards.2]
servers = [["127.0.0.3", %d, "primary"]]
[pools.a.shards.3]
servers = [["no-such-host.invalid", 5432, "primary"]]
`, port(used.Addr()), port(idle.Addr()), port(gone.Addr()))), 0o600))
	srv := httptest.NewServer(health.Handler(file))
	t.Cleanup(srv.Close)

	for range 2 { // its own dials must not show up as the pooler's
		list, err := endpoints.Get(t.Context(), srv.URL, true)
		require.NoError(t, err)
		require.Len(t, list, 4)
		assert.Equal(t, []endpoints.Conn{{LocalPort: port(conn.LocalAddr())}}, list[0].Established)
		assert.Equal(t, endpoints.DialOK, list[0].Dial)
		assert.Empty(t, list[1].Established)
		assert.Equal(t, endpoints.DialOK, list[1].Dial)
		assert.Equal(t, endpoints.DialRefused, list[2].Dial)
		assert.Equal(t, endpoints.DialUnresolved, list[3].Dial)
	}
}

func TestABadConfigIsSaidNotGuessed(t *testing.T) {
	srv := httptest.NewServer(health.Handler(filepath.Join(t.TempDir(), "missing.toml")))
	defer srv.Close()
	resp, err := http.Get(srv.URL + "/endpoints")
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	assert.Equal(t, http.StatusInternalServerError, resp.StatusCode)
	_, err = endpoints.Get(t.Context(), srv.URL, false)
	require.ErrorContains(t, err, "500")
}

// The kubelet brings a new file under a running PgCat. One that cannot be read is refused by PgCat, which goes on; what
// is said of it must go on too, or a bad file would take a pod that serves out of its Service.
func TestABadFileUnderARunningPgCat(t *testing.T) {
	pg := listen(t, "127.0.0.1")
	file := write(t, fmt.Sprintf(oneShard, 1, port(pg.Addr())))
	srv := httptest.NewServer(health.Handler(file))
	t.Cleanup(srv.Close)
	good, err := endpoints.GetConfig(t.Context(), srv.URL)
	require.NoError(t, err)
	assert.Empty(t, good.Error)
	_, err = endpoints.Get(t.Context(), srv.URL, false)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(file, []byte("password = \"s3cret\n["), 0o600))
	bad, err := endpoints.GetConfig(t.Context(), srv.URL)
	require.NoError(t, err)
	assert.NotEmpty(t, bad.Error)
	assert.NotContains(t, bad.Error, "s3cret")
	assert.NotEqual(t, good.SHA256, bad.SHA256)
	list, err := endpoints.Get(t.Context(), srv.URL, true)
	require.NoError(t, err)
	require.Len(t, list, 1)
	assert.Equal(t, endpoints.DialOK, list[0].Dial)
}

// The counter lets nobody in: what is counted is how often the sidecar comes.
func TestManyProbersCostOneLoginASecond(t *testing.T) {
	pgcat := listen(t, "127.0.0.1")
	var logins atomic.Int32
	go func() {
		for {
			c, err := pgcat.Accept()
			if err != nil {
				return
			}
			logins.Add(1)
			_, _ = c.Read(make([]byte, 1024)) // the startup packet
			_, _ = c.Write([]byte("E\x00\x00\x00\x17SFATAL\x00C28000\x00Mno\x00\x00"))
			_ = c.Close()
		}
	}()
	srv := httptest.NewServer(health.Handler(write(t, fmt.Sprintf(oneShard, port(pgcat.Addr()), 1))))
	t.Cleanup(srv.Close)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 60 {
		wg.Go(func() {
			path := []string{"/health", "/ready", "/health?shard=0"}[i%3]
			code, body := get(t, srv.URL+path)
			assert.Equal(t, http.StatusServiceUnavailable, code)
			assert.NotContains(t, body, "s3cret")
		})
	}
	wg.Wait()
	assert.LessOrEqual(t, logins.Load(), int32(time.Since(began).Seconds())+1)
	assert.Positive(t, logins.Load())
}

const oneShard = `
[general]
port = %d
admin_username = "root"
admin_password = "s3cret-a"
connect_timeout = 300
[pools.postgres]
default_shard = "random_healthy"
[pools.postgres.users.0]
username = "postgres"
password = "s3cret-u"
pool_size = 3
[pools.postgres.shards.0]
servers = [["127.0.0.1", %d, "primary"]]
database = "postgres"
`

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "pgcat.toml")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	return file
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if !assert.NoError(t, err) {
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	assert.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestWhatIsAskedWrongIsSaid(t *testing.T) {
	srv := httptest.NewServer(health.Handler(write(t, fmt.Sprintf(oneShard, 1, 1))))
	t.Cleanup(srv.Close)
	for _, shard := range []string{"1", "-1", "x", ""} {
		code, body := get(t, srv.URL+"/health?shard="+shard)
		assert.Equal(t, http.StatusBadRequest, code)
		assert.Contains(t, body, "pool postgres has the shards 0 to 0")
	}
	resp, err := http.Post(srv.URL+"/health", "", nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	assert.Equal(t, http.StatusMethodNotAllowed, resp.StatusCode)
}

// With the real PgCat and Postgres: what each URL says while both are up, while Postgres is away, and afterwards.
func TestHealthOfARealPgCat(t *testing.T) {
	for _, bin := range []string{"pgcat", "pgcat-head"} {
		t.Run(bin, func(t *testing.T) {
			if _, err := exec.LookPath(bin); err != nil {
				t.Skipf("skipped: no %s on PATH", bin)
			}
			pg, err := pgtest.Start()
			if errors.Is(err, pgtest.ErrNoPostgres) {
				t.Skip("skipped: ", err)
			}
			require.NoError(t, err)
			t.Cleanup(pg.Stop)
			free := listen(t, "127.0.0.1")
			require.NoError(t, free.Close())
			good := strings.Replace(oneShard, "s3cret-u", pgtest.Password, 1)
			file := write(t, fmt.Sprintf(good, port(free.Addr()), pg.Port)+`
[pools.postgres.shards.1]
servers = [["127.0.0.2", 1, "primary"]]
database = "postgres"
`)
			srv := httptest.NewServer(health.Handler(file))
			t.Cleanup(srv.Close)
			code, body := get(t, srv.URL+"/ready")
			assert.Equal(t, http.StatusServiceUnavailable, code, body)
			assert.Contains(t, body, "refused")
			run(t, bin, file)
			eventually := func(path string, want int) string {
				var body string
				require.Eventually(t, func() bool { var code int; code, body = get(t, srv.URL+path); return code == want }, 10*time.Second, 100*time.Millisecond, path)
				return body
			}
			eventually("/ready", http.StatusOK)
			assert.Contains(t, eventually("/health", http.StatusOK), `"pool":"postgres"`)
			assert.Contains(t, eventually("/health?shard=0", http.StatusOK), `"shard":0`)
			assert.Contains(t, eventually("/health?shard=1", http.StatusServiceUnavailable), "AllServersDown")

			var counts []endpoints.Count
			_, body = get(t, srv.URL+"/connections")
			require.NoError(t, json.Unmarshal([]byte(body), &counts))
			require.Len(t, counts, 2)
			assert.Positive(t, counts[0].Connections)
			assert.Zero(t, counts[1].Connections)

			pg.Kill()
			assert.NotContains(t, eventually("/health", http.StatusServiceUnavailable), "s3cret")
			eventually("/ready", http.StatusOK)
			require.NoError(t, pg.Up())
			eventually("/health", http.StatusOK)
		})
	}
}

// run is PgCat until the test ends.
func run(t *testing.T, bin, file string) {
	t.Helper()
	cmd := exec.Command(bin, file)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}
