package node

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/lab/internal/place"
)

func TestAnswers(t *testing.T) {
	ready := false
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !ready {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	defer server.Close()
	require.ErrorContains(t, answers(context.Background(), server.URL), "503")
	ready = true
	require.NoError(t, waitReady(context.Background(), server.URL))

	socket := filepath.Join(t.TempDir(), "s")
	require.Error(t, answers(context.Background(), "unix:"+socket))
	listener, err := net.Listen("unix", socket)
	require.NoError(t, err)
	defer func() { _ = listener.Close() }()
	require.NoError(t, answers(context.Background(), "unix:"+socket))
}

func TestRelayPassesBothWaysAndTheEndOfOneDirection(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = server.Close() }()
	go func() { // answers only once the client has said all
		conn, err := server.Accept()
		if err != nil {
			return
		}
		said, _ := io.ReadAll(conn)
		_, _ = conn.Write([]byte(strings.ToUpper(string(said))))
		_ = conn.Close()
	}()
	entry, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = entry.Close() }()
	go relay(entry, server.Addr().String())

	client, err := net.Dial("tcp", entry.Addr().String())
	require.NoError(t, err)
	defer func() { _ = client.Close() }()
	require.NoError(t, client.SetDeadline(time.Now().Add(10*time.Second)))
	_, err = client.Write([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, client.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(client)
	require.NoError(t, err)
	require.Equal(t, "HELLO", string(answer))
}

func TestABusyPortGivesWayToAFreeOne(t *testing.T) {
	first, err := listen(0)
	require.NoError(t, err)
	defer func() { _ = first.Close() }()
	busy := first.Addr().(*net.TCPAddr).Port
	second, err := listen(busy)
	require.NoError(t, err)
	defer func() { _ = second.Close() }()
	require.NotEqual(t, busy, second.Addr().(*net.TCPAddr).Port)
}

func TestFindTellsALaterProcessWithTheSamePID(t *testing.T) {
	lab := place.Lab{Run: t.TempDir()}
	_, err := Find(lab)
	require.ErrorIs(t, err, ErrNotRunning)

	started, err := startTime(os.Getpid())
	require.NoError(t, err)
	require.NoError(t, Supervisor{PID: os.Getpid(), Started: started}.write(lab))
	found, err := Find(lab)
	require.NoError(t, err)
	require.Equal(t, os.Getpid(), found.PID)

	require.NoError(t, Supervisor{PID: os.Getpid(), Started: started - 1}.write(lab))
	_, err = Find(lab)
	require.ErrorIs(t, err, ErrNotRunning)
}

func TestSuperviseRefusesTheHost(t *testing.T) {
	require.ErrorContains(t, Supervise(place.Lab{}, nil), "lab up")
}
