package health

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"pgcat-failover/steps/health/endpoints"
	"pgcat-failover/steps/pooler/pgcat/config"
)

// dialLimit is for one fresh connection to an endpoint. A refusal comes at once.
const dialLimit = time.Second

// established is the state of a connection in /proc/net/tcp (include/net/tcp_states.h).
const established = 1

// observer looks at the pod's connections, one look at a time: the sidecar's own dials of one look are closed before
// any table is read, and so never counted as PgCat's.
type observer struct{ turn chan struct{} }

func newObserver() observer { return observer{make(chan struct{}, 1)} }

func (o observer) look(ctx context.Context, pools []config.Pool, dial bool) ([]endpoints.Endpoint, error) {
	select {
	case o.turn <- struct{}{}:
		defer func() { <-o.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	list := servers(pools)
	resolveAndDial(ctx, list, dial)
	table, err := connections()
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].Established = to(table, list[i])
	}
	return list, nil
}

func servers(pools []config.Pool) []endpoints.Endpoint {
	out := []endpoints.Endpoint{}
	for _, p := range pools {
		for _, sh := range p.Shards {
			for _, srv := range sh.Servers {
				out = append(out, endpoints.Endpoint{Endpoint: net.JoinHostPort(srv.Host, strconv.Itoa(srv.Port)), Pool: p.Name, Shard: sh.Index})
			}
		}
	}
	return out
}

// resolveAndDial does all endpoints at once.
func resolveAndDial(ctx context.Context, list []endpoints.Endpoint, dial bool) {
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
				_ = conn.Close()
			}
		})
	}
	wg.Wait()
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

func to(table procfs.NetTCP, e endpoints.Endpoint) []endpoints.Conn {
	out := []endpoints.Conn{}
	ip := net.ParseIP(e.Address)
	_, port, _ := net.SplitHostPort(e.Endpoint)
	for _, l := range table {
		if l.St == established && ip != nil && l.RemAddr.Equal(ip) && strconv.FormatUint(l.RemPort, 10) == port {
			out = append(out, endpoints.Conn{LocalPort: int(l.LocalPort)})
		}
	}
	return out
}
