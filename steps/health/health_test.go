package health_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/health"
	"pgcat-failover/steps/health/endpoints"
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
