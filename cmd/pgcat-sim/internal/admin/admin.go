// Package admin is the admin database: PgCat's commands with PgCat's columns, over the simple
// protocol only.
package admin

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// Console answers admin clients.
type Console struct {
	Release  release.Release
	Config   func() *config.Config
	Pools    *pool.Pools
	Registry *observe.Registry
	Reload   func() error
	Shutdown func()
}

type handler func(c *Console, words []string) ([]byte, error)

var commands = map[string]handler{
	"BAN":    (*Console).ban,
	"UNBAN":  (*Console).unban,
	"RELOAD": (*Console).reload,
	"SET":    func(*Console, []string) ([]byte, error) { return tag("SET"), nil }, // ORMs open with it; ignored
	"PAUSE": func(c *Console, w []string) ([]byte, error) {
		return c.switchPools(w, "PAUSE", (*pool.Pool).Pause), nil
	},
	"RESUME": func(c *Console, w []string) ([]byte, error) {
		return c.switchPools(w, "RESUME", (*pool.Pool).Resume), nil
	},
	"SHUTDOWN": (*Console).shutdown,
	"SHOW":     (*Console).show,
}

// Handle answers one message. Anything but a simple query, and a RELOAD of a bad file, closes the
// connection without a word.
func (c *Console) Handle(message []byte) ([]byte, error) {
	if message[0] != 'Q' {
		return nil, fmt.Errorf("admin database: expected 'Q' but got '%c'", message[0])
	}
	query, _, ok := wire.CString(wire.Body(message))
	if !ok {
		return nil, fmt.Errorf("admin database: query without an end")
	}
	words := strings.Fields(strings.TrimRight(query, ";"))
	if len(words) > 0 {
		if run, ok := commands[strings.ToUpper(words[0])]; ok {
			return run(c, words)
		}
	}
	return refuse("Unsupported query against the admin database"), nil
}

func refuse(text string) []byte {
	return wire.Encode(nil, wire.Fatal(wire.SystemError, text), wire.Ready(false))
}

func tag(t string) []byte {
	return wire.Encode(nil, &pgproto3.CommandComplete{CommandTag: []byte(t)}, wire.Ready(false))
}

func (c *Console) reload([]string) ([]byte, error) {
	if err := c.Reload(); err != nil {
		return nil, err
	}
	return tag("RELOAD"), nil
}

func (c *Console) shutdown([]string) ([]byte, error) {
	c.Shutdown()
	t := newTable("SHUTDOWN", text("success"))
	t.add("t")
	return t.encode(), nil
}

var banColumns = []column{text("db"), text("user"), text("role"), text("host")}

// ban prints a row for a primary and leaves it alone, as upstream (rule 38).
func (c *Console) ban(words []string) ([]byte, error) {
	const usage = "usage: BAN hostname duration_seconds"
	if len(words) < 3 {
		return refuse(usage), nil
	}
	seconds, err := strconv.ParseInt(words[2], 10, 64)
	if err != nil {
		return refuse("duration_seconds must be an integer"), nil
	}
	if seconds <= 0 {
		return refuse("duration_seconds must be >= 0"), nil
	}
	return c.eachHost("BAN", words[1], func(p *pool.Pool, a *pool.Address) bool {
		banned := p.Banned(a)
		if !banned {
			p.BanFor(a, seconds)
		}
		return !banned
	}), nil
}

func (c *Console) unban(words []string) ([]byte, error) {
	if len(words) < 2 {
		return refuse("UNBAN command requires a hostname to unban"), nil
	}
	return c.eachHost("UNBAN", words[1], func(p *pool.Pool, a *pool.Address) bool {
		banned := p.Banned(a)
		if banned {
			p.Unban(a)
		}
		return banned
	}), nil
}

func (c *Console) eachHost(command, host string, touch func(*pool.Pool, *pool.Address) bool) []byte {
	t := newTable(command, banColumns...)
	c.Pools.Each(func(p *pool.Pool) {
		for _, a := range p.Addresses() {
			if a.Host == host && touch(p, a) {
				t.add(p.Settings().Name, p.Settings().User.Username, string(a.Role), a.Host)
			}
		}
	})
	return t.encode()
}

// switchPools is PAUSE and RESUME: of all pools, or of one given as "db,user" without a blank. With
// a blank it is three words, which upstream takes for all pools.
func (c *Console) switchPools(words []string, command string, turn func(*pool.Pool)) []byte {
	if len(words) != 2 {
		c.Pools.Each(turn)
		return tag(command)
	}
	parts := strings.Split(words[1], ",")
	if len(parts) != 2 {
		return refuse("usage: " + command + " [db, user]")
	}
	db, user := strings.TrimSpace(parts[0]), strings.TrimSpace(parts[1])
	p := c.Pools.Get(db, user)
	if p == nil {
		return refuse(fmt.Sprintf("No pool configured for database: %s, user: %s", db, user))
	}
	defer p.Release()
	turn(p)
	return tag(fmt.Sprintf("%s %s,%s", command, db, user))
}
