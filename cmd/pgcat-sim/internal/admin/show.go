package admin

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

var shows = map[string]func(*Console) []byte{
	"HELP":      (*Console).help,
	"BANS":      (*Console).bans,
	"CONFIG":    (*Console).config,
	"DATABASES": (*Console).databases,
	"LISTS":     (*Console).lists,
	"POOLS":     (*Console).pools,
	"CLIENTS":   (*Console).clients,
	"SERVERS":   (*Console).servers,
	"STATS":     (*Console).stats,
	"VERSION":   (*Console).version,
	"USERS":     (*Console).users,
}

func (c *Console) show(words []string) ([]byte, error) {
	if len(words) > 1 {
		if run, ok := shows[strings.ToUpper(words[1])]; ok {
			return run(c), nil
		}
	}
	return refuse("Unsupported SHOW query against the admin database"), nil
}

// version says in so many words that this is not PgCat.
func (c *Console) version() []byte {
	t := newTable("SHOW", text("version"))
	t.add(c.Release.Banner())
	return t.encode()
}

const usage = "\n\tSHOW HELP|CONFIG|DATABASES|POOLS|CLIENTS|SERVERS|USERS|VERSION\n\tSHOW LISTS\n\tSHOW STATS\n\t" +
	"SET key = arg\n\tRELOAD\n\tPAUSE [<db>, <user>]\n\tRESUME [<db>, <user>]\n\tSHUTDOWN"

func (c *Console) help() []byte {
	return wire.Encode(nil,
		&pgproto3.NoticeResponse{Severity: "NOTICE", Code: "00000", Message: "Console usage", Detail: usage},
		&pgproto3.CommandComplete{CommandTag: []byte("SHOW")}, wire.Ready(false))
}

func (c *Console) bans() []byte {
	t := newTable("SHOW BANS", append(banColumns[:4:4], text("reason"), text("ban_time"),
		text("ban_duration_seconds"), text("ban_remaining_seconds"))...)
	c.Pools.Each(func(p *pool.Pool) {
		for _, b := range p.Bans() {
			remaining := b.Seconds - (time.Now().Unix() - b.At.Unix())
			if remaining <= 0 {
				continue
			}
			t.add(p.Settings().Name, p.Settings().User.Username, string(b.Address.Role), b.Address.Host,
				string(b.Reason), b.At.Format("2006-01-02 15:04:05.999999999"), num(b.Seconds), num(remaining))
		}
	})
	return t.encode()
}

// unchangeable are not all that a reload leaves alone; they are all that SHOW CONFIG admits.
var unchangeable = map[string]bool{"host": true, "port": true, "connect_timeout": true}

func (c *Console) config() []byte {
	t := newTable("SHOW", text("key"), text("value"), text("default"), text("changeable"))
	for _, row := range c.Config().Rows() {
		changeable := "yes"
		if unchangeable[row[0]] {
			changeable = "no"
		}
		t.add(row[0], row[1], "-", changeable)
	}
	return t.encode()
}

func (c *Console) databases() []byte {
	t := newTable("SHOW", text("name"), text("host"), text("port"), text("database"), text("force_user"),
		int4("pool_size"), int4("min_pool_size"), int4("reserve_pool"), text("pool_mode"),
		int4("max_connections"), int4("current_connections"), int4("paused"), int4("disabled"))
	for _, p := range c.Pools.Views() {
		for _, s := range p.Servers {
			t.add(s.Name, s.Host, num(s.Port), s.FirstDatabase, p.User, num(p.Size), num(p.MinSize), "0",
				string(p.Mode), num(p.Size), num(s.Connections), bit(p.Paused), bit(s.Banned))
		}
	}
	return t.encode()
}

// lists counts users and databases one too many, and calls the databases pools, as upstream.
func (c *Console) lists() []byte {
	users, databases := 1, 1
	for _, p := range c.Pools.Views() {
		users++
		databases += len(p.Servers)
	}
	clients, servers := map[observe.State]int{}, map[observe.State]int{}
	for _, cl := range c.Registry.Clients() {
		clients[cl.State()]++
	}
	for _, s := range c.Registry.Servers() {
		servers[s.State()]++
	}
	t := newTable("SHOW", text("list"), int4("items"))
	for _, row := range []struct {
		name string
		n    int
	}{
		{"databases", databases}, {"users", users}, {"pools", databases},
		{"free_clients", clients[observe.Idle]}, {"used_clients", clients[observe.Active]}, {"login_clients", 0},
		{"free_servers", servers[observe.Idle]}, {"used_servers", servers[observe.Active]},
		{"dns_names", 0}, {"dns_zones", 0}, {"dns_queries", 0}, {"dns_pending", 0},
	} {
		t.add(row.name, num(row.n))
	}
	return t.encode()
}

func (c *Console) pools() []byte {
	t := newTable("SHOW", append([]column{text("database"), text("user"), text("pool_mode")},
		numerics("cl_idle", "cl_active", "cl_waiting", "cl_cancel_req", "sv_active", "sv_idle", "sv_used",
			"sv_tested", "sv_login", "maxwait", "maxwait_us")...)...)
	for _, p := range c.Pools.Views() {
		n := c.Registry.CountPool(p.Name, p.User)
		t.add(p.Name, p.User, string(p.Mode), num(n.CIdle), num(n.CActive), num(n.CWaiting), "0",
			num(n.SActive), num(n.SIdle), "0", num(n.STested), num(n.SLogin),
			num(n.MaxWaitMicros/1_000_000), num(n.MaxWaitMicros%1_000_000))
	}
	return t.encode()
}

func (c *Console) clients() []byte {
	t := newTable("SHOW", append([]column{text("client_id"), text("database"), text("user"),
		text("application_name"), text("state")},
		numerics("transaction_count", "query_count", "error_count", "age_seconds", "maxwait", "maxwait_us")...)...)
	for _, cl := range c.Registry.Clients() {
		wait := cl.MaxWait().Microseconds()
		t.add(id(cl.ID), cl.Pool, cl.User, cl.Application, string(cl.State()),
			num(cl.Transactions.Load()), num(cl.Queries.Load()), num(cl.Errors.Load()), age(cl.Since),
			num(wait/1_000_000), num(wait%1_000_000))
	}
	return t.encode()
}

func (c *Console) servers() []byte {
	t := newTable("SHOW", append([]column{text("server_id"), text("database_name"), text("user"),
		text("address_id"), text("application_name"), text("state")},
		numerics("transaction_count", "query_count", "bytes_sent", "bytes_received", "age_seconds",
			"prepare_cache_hit", "prepare_cache_miss", "prepare_cache_eviction", "prepare_cache_size")...)...)
	for _, s := range c.Registry.Servers() {
		t.add(id(s.ID), s.Pool, s.User, s.Address, s.Application(), string(s.State()),
			num(s.Transactions.Load()), num(s.Queries.Load()), num(s.Sent.Load()), num(s.Received.Load()), age(s.Since),
			num(s.CacheHits.Load()), num(s.CacheMisses.Load()), num(s.CacheEvicts.Load()), num(s.Cached.Load()))
	}
	return t.encode()
}

// stats is the only place that shows total_errors: the exporter leaves it out.
func (c *Console) stats() []byte {
	t := newTable("SHOW", append([]column{text("instance"), text("database"), text("user")},
		numerics("total_xact_count", "total_query_count", "total_received", "total_sent", "total_xact_time",
			"total_query_time", "total_wait_time", "total_errors", "avg_xact_count", "avg_query_count", "avg_recv",
			"avg_sent", "avg_errors", "avg_xact_time", "avg_query_time", "avg_wait_time")...)...)
	for _, p := range c.Pools.Views() {
		for _, s := range p.Servers {
			row := []string{s.Name, p.Name, p.User}
			for _, v := range s.Stats.Values() {
				row = append(row, num(v.Value))
			}
			t.add(row...)
		}
	}
	return t.encode()
}

func (c *Console) users() []byte {
	t := newTable("SHOW", text("name"), text("pool_mode"))
	for _, p := range c.Pools.Views() {
		t.add(p.User, string(p.Mode))
	}
	return t.encode()
}

type integer interface {
	~int | ~int64 | ~uint16 | ~uint32 | ~uint64
}

func num[T integer](n T) string { return fmt.Sprint(n) }

func id(n int32) string { return fmt.Sprintf("0x%08X", uint32(n)) }

func age(since time.Time) string { return strconv.FormatInt(int64(time.Since(since).Seconds()), 10) }

func bit(b bool) string {
	if b {
		return "1"
	}
	return "0"
}
