package breaklabel

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pgcat-failover/steps/health/endpoints"
	"pgcat-failover/steps/stack"
)

// cutter ends PgCat's established connections to the broken endpoints and to no other.
//
// All Services lead to one Postgres, which sees PgCat's pod as the peer of every connection, whichever Service it
// came by. The sidecar sees, in the network namespace that it shares with PgCat, the Service's own address as the
// remote end of each connection, and its local port. That port is client_port in pg_stat_activity: so the backends
// of one endpoint are known, and pg_terminate_backend ends exactly those.
type cutter struct {
	stack    *stack.Stack
	shards   map[int]string
	sidecars []string
	podIPs   []string
	ended    int
	refused  string
}

func newCutter(ctx context.Context, st *stack.Stack, names []string) (*cutter, error) {
	shards, err := shardsOf(st, names)
	if err != nil {
		return nil, err
	}
	urls, ips, err := st.Sidecars(ctx)
	if err != nil {
		return nil, err
	}
	return &cutter{stack: st, shards: shards, sidecars: urls, podIPs: ips}, nil
}

func (c *cutter) proof() string {
	return fmt.Sprintf("new connections are refused (%s), PgCat holds none to the endpoints, %d were ended", c.refused, c.ended)
}

// cut looks once, ends what it sees, and is done when there was nothing to end and every new connection is refused.
func (c *cutter) cut(ctx context.Context) (done bool, seen string, err error) {
	done = true
	for i, url := range c.sidecars {
		list, err := endpoints.Get(ctx, url, true)
		if err != nil {
			return false, err.Error(), nil
		}
		var ports []int
		for _, e := range list {
			if _, ours := c.shards[e.Shard]; !ours {
				continue
			}
			if e.Dial == endpoints.DialOK {
				done, seen = false, e.Endpoint+" still accepts new connections"
			} else {
				c.refused = e.Dial
			}
			for _, conn := range e.Established {
				ports = append(ports, conn.LocalPort)
			}
		}
		if len(ports) == 0 {
			continue
		}
		done = false
		n, err := c.terminate(ctx, c.podIPs[i], ports)
		if err != nil {
			return false, err.Error(), nil
		}
		c.ended += n
		seen = fmt.Sprintf("%d connections of PgCat were established, %d of them known to Postgres as coming from %s", len(ports), n, c.podIPs[i])
	}
	return done, seen, nil
}

func (c *cutter) terminate(ctx context.Context, podIP string, ports []int) (int, error) {
	login, err := c.stack.Postgres(ctx)
	if err != nil {
		return 0, err
	}
	list := make([]string, len(ports))
	for i, p := range slices.Sorted(slices.Values(ports)) {
		list[i] = strconv.Itoa(p)
	}
	sql := fmt.Sprintf(`SELECT count(*) FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE client_addr = '%s' AND client_port IN (%s)) ended`, podIP, strings.Join(list, ","))
	n, err := login.Ask(ctx, -1, sql)
	if err != nil {
		return 0, fmt.Errorf("end PgCat's connections: %w", err)
	}
	return strconv.Atoi(n)
}
