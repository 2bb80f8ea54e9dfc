// Package health is the sidecar in PgCat's pod. It shares the pod's network namespace, and so it alone can tell
// which endpoint each of PgCat's connections belongs to: translation of a Service's address happens on the node.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"
	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/health/endpoints"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/pooler/pgcat/config"
)

// dialLimit is for one fresh connection to an endpoint. A refusal comes at once.
const dialLimit = time.Second

// established is the state of a connection in /proc/net/tcp (include/net/tcp_states.h).
const established = 1

// Command is `failover health`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "health",
		Usage: "serve, in PgCat's pod, what only that pod can see: its connections by endpoint",
		Description: `GET /endpoints lists PgCat's established connections to each endpoint of pgcat.toml;
with ?dial=1 it makes one new connection to each as well, and says what it met.

Example:
   failover health --config pgcat.toml --listen 127.0.0.1:8080`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: ":8080", Usage: "`address` to serve on"},
			&cli.StringFlag{Name: "config", Value: "/etc/pgcat/pgcat.toml", Usage: "PgCat's config `file`; it is read again at each request"},
		},
		Action: func(c *cli.Context) error {
			return Serve(c.Context, c.String("listen"), c.String("config"), options.Logger(c.App.Writer))
		},
	}
}

// Serve answers until ctx ends.
func Serve(ctx context.Context, listen, configFile string, logf func(string, ...any)) error {
	lis, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("serve on %s: %w", listen, err)
	}
	srv := &http.Server{Handler: Handler(configFile), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = srv.Shutdown(end)
	})
	defer stop()
	logf("serving on %s", lis.Addr())
	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", listen, err)
	}
	return nil
}

// Handler answers GET /endpoints.
func Handler(configFile string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /endpoints", func(w http.ResponseWriter, r *http.Request) {
		list, err := look(r.Context(), configFile, r.URL.Query().Get("dial") == "1")
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(list) // the client's going away is the client's affair
	})
	return mux
}

func look(ctx context.Context, configFile string, dial bool) ([]endpoints.Endpoint, error) {
	data, err := os.ReadFile(configFile)
	if err != nil {
		return nil, fmt.Errorf("read PgCat's config: %w", err)
	}
	cfg, err := config.Parse(data)
	if err != nil {
		return nil, err
	}
	if len(cfg.Pools) == 0 {
		return nil, fmt.Errorf("read %s: it has no pool", configFile)
	}
	list := servers(cfg.Pools[0])
	mine := resolveAndDial(ctx, list, dial)
	table, err := connections()
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Established = to(table, list[i], mine)
	}
	return list, nil
}

func servers(p config.Pool) []endpoints.Endpoint {
	var out []endpoints.Endpoint
	for _, sh := range p.Shards {
		for _, srv := range sh.Servers {
			out = append(out, endpoints.Endpoint{Endpoint: net.JoinHostPort(srv.Host, strconv.Itoa(srv.Port)), Shard: sh.Index})
		}
	}
	return out
}

// resolveAndDial does all endpoints at once, and gives the local ports of its own connections.
func resolveAndDial(ctx context.Context, list []endpoints.Endpoint, dial bool) (mine []int) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	for i := range list {
		e := &list[i]
		wg.Go(func() {
			e.At = time.Now()
			host, port, _ := net.SplitHostPort(e.Endpoint) // it was joined above
			addrs, err := net.DefaultResolver.LookupHost(ctx, host)
			if err != nil {
				e.Dial, e.DialError = endpoints.DialUnresolved, err.Error()
				return
			}
			e.Address = addrs[0]
			if !dial {
				return
			}
			conn, err := (&net.Dialer{Timeout: dialLimit}).DialContext(ctx, "tcp", net.JoinHostPort(e.Address, port))
			e.Dial, e.DialError = outcome(err)
			if err == nil {
				mu.Lock()
				mine = append(mine, conn.LocalAddr().(*net.TCPAddr).Port)
				mu.Unlock()
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
	return mine
}

func outcome(err error) (dial, text string) {
	var timeout net.Error
	switch {
	case err == nil:
		return endpoints.DialOK, ""
	case errors.Is(err, syscall.ECONNREFUSED):
		return endpoints.DialRefused, err.Error()
	case errors.As(err, &timeout) && timeout.Timeout():
		return endpoints.DialTimeout, err.Error()
	default:
		return endpoints.DialOther, err.Error()
	}
}

// connections is the pod's table of TCP connections.
func connections() (procfs.NetTCP, error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return nil, fmt.Errorf("read the pod's connections: %w", err)
	}
	// /proc and not sock_diag: it wants no netlink socket, which some seccomp profiles refuse. It is slow for
	// thousands of connections only.
	table, err := fs.NetTCP() //nolint:staticcheck // see above
	if err != nil {
		return nil, fmt.Errorf("read the pod's connections: %w", err)
	}
	six, err := fs.NetTCP6() //nolint:staticcheck // see above
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read the pod's connections: %w", err)
	}
	return append(table, six...), nil
}

func to(table procfs.NetTCP, e endpoints.Endpoint, mine []int) []endpoints.Conn {
	out := []endpoints.Conn{}
	ip := net.ParseIP(e.Address)
	_, port, _ := net.SplitHostPort(e.Endpoint)
	for _, l := range table {
		if l.St == established && ip != nil && l.RemAddr.Equal(ip) && strconv.FormatUint(l.RemPort, 10) == port &&
			!slices.Contains(mine, int(l.LocalPort)) {
			out = append(out, endpoints.Conn{LocalPort: int(l.LocalPort)})
		}
	}
	return out
}
