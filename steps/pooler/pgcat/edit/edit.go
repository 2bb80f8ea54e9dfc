// Package edit changes a pgcat.toml as people change it while PgCat runs: a host mistyped, a shard added, a pool made
// larger, a file that is no TOML. The text is changed where it stands, so that comments and order stay, and the outcome
// is read again as PgCat reads it: an edit that did not do what it says is an error, never an experiment.
package edit

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"pgcat-failover/steps/pooler/pgcat/config"
)

// Edit is one way in which a config is changed under a running PgCat. The pool and the user that it changes are the
// first ones: those under test.
type Edit struct {
	// Name is the word for it in a scenario.
	Name string
	// Summary says in a sentence what it does.
	Summary string
	// Breaks is true if the shards of the named hosts are lost by it.
	Breaks bool
	// Refused is true if PgCat cannot take it, and must go on with what it had.
	Refused bool
	change  func(text string, c *config.Config, hosts []string) (string, error)
	done    func(before, after *config.Config) bool
}

// All is every edit there is.
var All = []Edit{
	{Name: "host", Breaks: true, change: wrongHost, done: hostsDiffer,
		Summary: "the endpoint's host gets a name that does not exist"},
	{Name: "shard", change: addShard, done: oneShardMore,
		Summary: "a shard is added that leads to the last shard's server"},
	{Name: "pool-size", change: growPool, done: poolLarger,
		Summary: "pool_size is raised by five"},
	{Name: "unparsable", Refused: true, change: breakSyntax,
		Summary: "the file ends in the middle of a table's name, as a bad merge leaves it"},
}

// Named finds an edit.
func Named(name string) (Edit, error) {
	var names []string
	for _, e := range All {
		if e.Name == name {
			return e, nil
		}
		names = append(names, e.Name)
	}
	return Edit{}, fmt.Errorf("edit %q is unknown; choose one of %s", name, strings.Join(names, ", "))
}

// Apply gives the changed file. Hosts are the servers that an edit which breaks makes wrong, as the file names them.
func (e Edit) Apply(file []byte, hosts []string) ([]byte, error) {
	before, err := config.Parse(file)
	if err != nil {
		return nil, err
	}
	if len(before.Pools) == 0 || len(before.Pools[0].Users) == 0 || len(before.Pools[0].Shards) == 0 {
		return nil, fmt.Errorf("edit pgcat.toml (%s): it needs a pool with a user and a shard", e.Name)
	}
	text, err := e.change(string(file), before, hosts)
	if err != nil {
		return nil, fmt.Errorf("edit pgcat.toml (%s): %w", e.Name, err)
	}
	after, err := config.Parse([]byte(text))
	switch {
	case e.Refused && err == nil:
		return nil, fmt.Errorf("edit pgcat.toml (%s): the file can still be read", e.Name)
	case e.Refused:
		return []byte(text), nil
	case err != nil:
		return nil, fmt.Errorf("edit pgcat.toml (%s): %w", e.Name, err)
	case !e.done(before, after):
		return nil, fmt.Errorf("edit pgcat.toml (%s): the file is written in a way that this edit does not know; nothing was changed", e.Name)
	}
	return []byte(text), nil
}

// wrong is put behind the first label of a host's name; a Service of that name must not exist.
const wrong = "-mistyped"

// wrongHost takes the quoted name wherever it stands: a host that serves two shards is wrong in both.
func wrongHost(text string, _ *config.Config, hosts []string) (string, error) {
	if len(hosts) == 0 {
		return "", errors.New("no host is named")
	}
	for _, h := range hosts {
		name, rest, dotted := strings.Cut(h, ".")
		if dotted {
			rest = "." + rest
		}
		for _, quote := range []string{`"`, `'`} {
			text = strings.ReplaceAll(text, quote+h+quote, quote+name+wrong+rest+quote)
		}
	}
	return text, nil
}

// hostsDiffer: hosts are other ones than before, and nothing else is.
func hostsDiffer(before, after *config.Config) bool {
	changed := false
	same := equalBut(before, after, func(b, a *config.Pool) {
		for i := range b.Shards {
			for j := range b.Shards[i].Servers {
				if len(a.Shards) <= i || len(a.Shards[i].Servers) <= j {
					return
				}
				changed = changed || a.Shards[i].Servers[j].Host != b.Shards[i].Servers[j].Host
				a.Shards[i].Servers[j].Host = b.Shards[i].Servers[j].Host
			}
		}
	})
	return same && changed
}

func addShard(text string, c *config.Config, _ []string) (string, error) {
	p := c.Pools[0]
	last := p.Shards[len(p.Shards)-1]
	if len(last.Servers) == 0 {
		return "", fmt.Errorf("shard %d has no server", last.Index)
	}
	s := last.Servers[0]
	table := fmt.Sprintf("pools.%s.shards.%d", key(p.Name), last.Index+1)
	return fmt.Sprintf("%s\n[%s]\nservers = [[%s, %d, %s]]\ndatabase = %s\n", strings.TrimRight(text, "\n")+"\n",
		table, strconv.Quote(s.Host), s.Port, strconv.Quote(s.Role), strconv.Quote(last.Database)), nil
}

var bare = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

// key writes a pool's name as a part of a table's name.
func key(name string) string {
	if bare.MatchString(name) {
		return name
	}
	return strconv.Quote(name)
}

func oneShardMore(before, after *config.Config) bool {
	return equalBut(before, after, func(b, a *config.Pool) {
		if len(a.Shards) == len(b.Shards)+1 {
			a.Shards = a.Shards[:len(b.Shards)]
		} else {
			a.Shards = nil
		}
	})
}

// growBy is enough to be seen, and never less than min_pool_size.
const growBy = 5

var poolSize = regexp.MustCompile(`(?m)^([ \t]*pool_size[ \t]*=[ \t]*)(\d+)`)

// growPool changes the first pool_size that is the one of the user under test: the file may have several users.
func growPool(text string, c *config.Config, _ []string) (string, error) {
	for _, at := range poolSize.FindAllStringSubmatchIndex(text, -1) {
		n, err := strconv.Atoi(text[at[4]:at[5]])
		if err != nil {
			continue
		}
		changed := text[:at[4]] + strconv.Itoa(n+growBy) + text[at[5]:]
		if after, err := config.Parse([]byte(changed)); err == nil && poolLarger(c, after) {
			return changed, nil
		}
	}
	return "", fmt.Errorf("user %s of pool %s has no pool_size on a line of its own", c.Pools[0].Users[0].Username, c.Pools[0].Name)
}

func poolLarger(before, after *config.Config) bool {
	grew := false
	same := equalBut(before, after, func(b, a *config.Pool) {
		grew = a.Users[0].PoolSize > b.Users[0].PoolSize
		a.Users[0].PoolSize = b.Users[0].PoolSize
	})
	return same && grew
}

func breakSyntax(text string, _ *config.Config, _ []string) (string, error) {
	return strings.TrimRight(text, "\n") + "\n\n[pools.\n", nil
}

// equalBut tells whether two configs are the same once level has made the first pool's wanted difference good.
func equalBut(before, after *config.Config, level func(before, after *config.Pool)) bool {
	if len(after.Pools) != len(before.Pools) || len(after.Pools[0].Users) != len(before.Pools[0].Users) {
		return false
	}
	copied := *after
	copied.Pools = slices.Clone(after.Pools)
	p := &copied.Pools[0]
	p.Users, p.Shards = slices.Clone(p.Users), slices.Clone(p.Shards)
	for i := range p.Shards {
		p.Shards[i].Servers = slices.Clone(p.Shards[i].Servers)
	}
	level(&before.Pools[0], p)
	return reflect.DeepEqual(*before, copied)
}
