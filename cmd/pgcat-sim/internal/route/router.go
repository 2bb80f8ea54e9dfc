// Package route decides for one client which shard and which role its queries go to: its pins, the
// commands that set them, and what a query says of itself (rules 15 to 20 and 27).
package route

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"strings"

	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

// ErrPanic is input on which PgCat's task panics: the client's connection closes without a word.
var ErrPanic = errors.New("PgCat panics on this message")

// Router is one client's routing.
type Router struct {
	settings     *pool.Settings
	shard        *int
	role         config.Role
	parser       *bool
	primaryReads *bool
}

// New routes for a client that has just logged in. v1.2.0 ignores default_role until it is told
// SET SERVER ROLE TO 'default' (rule 27, upstream #847).
func New(rel release.Release, s *pool.Settings) *Router {
	r := &Router{settings: s}
	if rel == release.Head {
		r.role = s.DefaultRole
	}
	return r
}

// Update follows a reload.
func (r *Router) Update(s *pool.Settings) { r.settings = s }

// Shard is the pin, or nil.
func (r *Router) Shard() *int { return r.shard }

// Role is the role asked for.
func (r *Router) Role() config.Role { return r.role }

// Answer is what the pooler itself answers to one of its commands: an error, or a tag, with one
// row if it was a SHOW.
type Answer struct {
	Error  string
	Tag    string
	Column string
	Value  string
}

type command struct {
	pattern *regexp.Regexp
	run     func(r *Router, value string) (Answer, error)
}

// The commands are whole simple queries, in any case, with blanks and one semicolon at most around
// them. The role needs its quotes.
var commands = []command{
	{pattern(`SET SHARDING KEY TO '?([0-9]+)'?`), (*Router).setKey},
	{pattern(`SET SHARD TO '?([0-9]+|ANY)'?`), (*Router).setShard},
	{pattern(`SHOW SHARD()`), func(r *Router, _ string) (Answer, error) { return show("shard", r.shownShard()), nil }},
	{pattern(`SET SERVER ROLE TO '(PRIMARY|REPLICA|ANY|AUTO|DEFAULT)'`), (*Router).setRole},
	{pattern(`SHOW SERVER ROLE()`), func(r *Router, _ string) (Answer, error) { return show("server role", r.shownRole()), nil }},
	{pattern(`SET PRIMARY READS TO '?(on|off|default)'?`), (*Router).setPrimaryReads},
	{pattern(`SHOW PRIMARY READS()`), func(r *Router, _ string) (Answer, error) { return show("primary reads", r.shownReads()), nil }},
}

func pattern(body string) *regexp.Regexp {
	return regexp.MustCompile(`(?i)^ *` + body + ` *;? *$`)
}

func show(column, value string) Answer { return Answer{Tag: "SELECT 1", Column: column, Value: value} }

// Command looks at a message that a client sent outside of a transaction. It tells whether the
// message was a command, and follows routing hints in the text of others.
func (r *Router) Command(message []byte) (Answer, bool, error) {
	code := message[0]
	if (code == 'Q' || code == 'P') && r.hint(wire.Body(message)) {
		return Answer{}, false, nil
	}
	if code != 'Q' {
		return Answer{}, false, nil
	}
	query, err := text(wire.Body(message))
	if err != nil {
		return Answer{}, false, err
	}
	for _, c := range commands {
		if m := c.pattern.FindStringSubmatch(query); m != nil {
			answer, err := c.run(r, m[1])
			return answer, true, err
		}
	}
	return Answer{}, false, nil
}

// text is the query. One without its NUL loses its last character, and is Postgres' to refuse.
func text(body []byte) (string, error) {
	if query, _, ok := wire.CString(body); ok {
		return query, nil
	}
	if len(body) == 0 {
		return "", ErrPanic
	}
	return string(body[:len(body)-1]), nil
}

// hint pins by shard_id_regex or sharding_key_regex. Only the start of the message is searched.
func (r *Router) hint(body []byte) bool {
	text := string(body[:min(len(body), r.settings.SearchLimit)])
	if n, ok := captured(r.settings.ShardID, text); ok && n >= 0 {
		shard := int(n)
		r.shard = &shard
		return true
	}
	if n, ok := captured(r.settings.Key, text); ok {
		r.pin(ShardOf(r.settings.ShardingFunction, n, len(r.settings.Shards)))
		return true
	}
	return false
}

func captured(re *regexp.Regexp, text string) (int64, bool) {
	if re == nil {
		return 0, false
	}
	m := re.FindStringSubmatch(text)
	if len(m) < 2 {
		return 0, false
	}
	n, err := strconv.ParseInt(m[1], 10, 64)
	return n, err == nil
}

func (r *Router) pin(shard int) { r.shard = &shard }

func (r *Router) setKey(value string) (Answer, error) {
	key, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return Answer{}, ErrPanic
	}
	r.pin(ShardOf(r.settings.ShardingFunction, key, len(r.settings.Shards)))
	return Answer{Tag: "SET SHARDING KEY"}, nil
}

// setShard pins until the next SET SHARD; ANY picks one now and sticks to it, it does not unpin
// (rule 15).
func (r *Router) setShard(value string) (Answer, error) {
	shards := len(r.settings.Shards)
	if strings.EqualFold(value, "any") {
		r.pin(rand.IntN(shards))
		return Answer{Tag: "SET SHARD"}, nil
	}
	n, err := strconv.ParseUint(value, 10, 64)
	if err != nil {
		return Answer{}, ErrPanic
	}
	if n >= uint64(shards) {
		return Answer{Error: fmt.Sprintf(
			"shard %d is not configured %d, staying on shard %s (shard numbers start at 0)", n, shards, r.optionalShard())}, nil
	}
	r.pin(int(n))
	return Answer{Tag: "SET SHARD"}, nil
}

func (r *Router) setRole(value string) (Answer, error) {
	on, off := true, false
	switch strings.ToLower(value) {
	case "primary":
		r.role, r.parser = config.Primary, &off
	case "replica":
		r.role, r.parser = config.Replica, &off
	case "any":
		r.role, r.parser = config.Any, &off
	case "auto":
		r.role, r.parser = config.Any, &on
	case "default":
		r.role, r.parser = r.settings.DefaultRole, nil
	}
	return Answer{Tag: "SET SERVER ROLE"}, nil
}

// setPrimaryReads accepts any case and heeds only lower case, as upstream.
func (r *Router) setPrimaryReads(value string) (Answer, error) {
	on, off := true, false
	switch value {
	case "on":
		r.primaryReads = &on
	case "off":
		r.primaryReads = &off
	case "default":
		r.primaryReads = nil
	}
	return Answer{Tag: "SET PRIMARY READS"}, nil
}

func (r *Router) shownShard() string {
	if r.shard == nil {
		return "unset"
	}
	return strconv.Itoa(*r.shard)
}

// optionalShard is the pin as Rust prints an Option.
func (r *Router) optionalShard() string {
	if r.shard == nil {
		return "None"
	}
	return fmt.Sprintf("Some(%d)", *r.shard)
}

func (r *Router) shownRole() string {
	switch {
	case r.role != config.Any:
		return string(r.role)
	case r.parserEnabled():
		return "auto"
	}
	return "any"
}

func (r *Router) shownReads() string {
	if r.primaryReadsEnabled() {
		return "on"
	}
	return "off"
}

func (r *Router) parserEnabled() bool {
	if r.parser != nil {
		return *r.parser
	}
	return r.settings.QueryParser
}

func (r *Router) primaryReadsEnabled() bool {
	if r.primaryReads != nil {
		return *r.primaryReads
	}
	return r.settings.PrimaryReads
}
