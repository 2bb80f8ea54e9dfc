package lint

import (
	"bytes"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// kind is what a value is in TOML.
type kind int

const (
	tableKind kind = iota
	arrayKind
	stringKind
	integerKind
	floatKind
	boolKind
	dateKind
)

func (k kind) String() string {
	return [...]string{"a table", "an array", "a string", "an integer", "a float", "a boolean", "a date"}[k]
}

// span is a piece of the file, in bytes.
type span struct{ from, to int }

// node is a value of the file with the places of its key and of itself.
type node struct {
	key    string
	path   string // with dots, such as pools.app.users.0
	keyAt  span
	at     span
	kind   kind
	text   string
	number int64
	flag   bool
	items  []*node // of a table in the order of the file, or of an array
	header int     // where a line can be put after the table's own [header]; 0 if it has none
	inline bool    // stands in a one-line table or an array: no line of its own
}

func (n *node) get(key string) *node {
	if n == nil || n.kind != tableKind {
		return nil
	}
	for _, c := range n.items {
		if c.key == key {
			return c
		}
	}
	return nil
}

// str gives a string value; ok is false if it is not there or no string.
func (n *node) str(key string) (string, bool) {
	c := n.get(key)
	if c == nil || c.kind != stringKind {
		return "", false
	}
	return c.text, true
}

func (n *node) num(key string) (int64, bool) {
	c := n.get(key)
	if c == nil || c.kind != integerKind {
		return 0, false
	}
	return c.number, true
}

func (n *node) is(key string, byDefault bool) bool {
	c := n.get(key)
	if c == nil || c.kind != boolKind {
		return byDefault
	}
	return c.flag
}

// tables are a table's entries that are tables themselves.
func (n *node) tables(key string) []*node {
	var out []*node
	if c := n.get(key); c != nil && c.kind == tableKind {
		for _, t := range c.items {
			if t.kind == tableKind {
				out = append(out, t)
			}
		}
	}
	return out
}

// syntaxError is a file that is no TOML.
type syntaxError struct {
	at   int
	text string
}

func (e *syntaxError) Error() string { return e.text }

// read builds the tree. What is no TOML, or names a key twice, is a *syntaxError.
func read(src []byte) (*node, error) {
	var ignored map[string]any
	if err := toml.Unmarshal(src, &ignored); err != nil {
		return nil, located(src, err)
	}
	r := &reader{src: src, root: &node{kind: tableKind}}
	r.parser.Reset(src)
	table := r.root
	for r.parser.NextExpression() {
		e := r.parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = r.open(e)
		case unstable.KeyValue:
			r.assign(table, e, false)
		}
	}
	if err := r.parser.Error(); err != nil {
		return nil, located(src, err)
	}
	return r.root, nil
}

func located(src []byte, err error) error {
	var decode *toml.DecodeError
	if !errors.As(err, &decode) {
		return &syntaxError{text: strings.TrimPrefix(err.Error(), "toml: ")}
	}
	row, col := decode.Position()
	at := 0
	for ; row > 1; row-- {
		i := bytes.IndexByte(src[at:], '\n')
		if i < 0 {
			break
		}
		at += i + 1
	}
	return &syntaxError{at: min(at+col-1, len(src)), text: strings.TrimPrefix(decode.Error(), "toml: ")}
}

type reader struct {
	src    []byte
	parser unstable.Parser
	root   *node
}

// open walks to the table of a [header], making what is missing.
func (r *reader) open(e *unstable.Node) *node {
	n := r.root
	for it := e.Key(); it.Next(); {
		k := it.Node()
		n = r.step(n, k, false)
		if it.IsLast() {
			n.keyAt = r.place(k)
			end := int(k.Raw.Offset + k.Raw.Length)
			n.header = lineEnd(r.src, end)
		}
	}
	if e.Kind == unstable.ArrayTable {
		n.kind = arrayKind
		item := &node{kind: tableKind, path: n.path, keyAt: n.keyAt, at: n.keyAt, header: n.header}
		n.items = append(n.items, item)
		return item
	}
	return n
}

// step goes into a table by one part of a dotted key. An array of tables is entered at its last one, as TOML says.
func (r *reader) step(n *node, k *unstable.Node, inline bool) *node {
	name := string(k.Data)
	if n.kind == arrayKind && len(n.items) > 0 {
		n = n.items[len(n.items)-1]
	}
	if c := n.get(name); c != nil {
		return c
	}
	c := &node{key: name, path: join(n.path, name), keyAt: r.place(k), at: r.place(k), kind: tableKind, inline: inline}
	n.items = append(n.items, c)
	return c
}

func (r *reader) assign(table *node, e *unstable.Node, inline bool) {
	n := table
	for it := e.Key(); it.Next(); {
		n = r.step(n, it.Node(), inline || !it.IsLast())
	}
	n.inline = inline
	r.fill(n, e.Value())
}

func (r *reader) fill(n *node, v *unstable.Node) {
	n.at = r.place(v)
	switch v.Kind {
	case unstable.String:
		n.kind, n.text = stringKind, string(v.Data)
	case unstable.Integer:
		n.kind = integerKind
		n.number, _ = strconv.ParseInt(string(v.Data), 0, 64) // go-toml has read it before
	case unstable.Float:
		n.kind = floatKind
	case unstable.Bool:
		n.kind, n.flag = boolKind, string(v.Data) == "true"
	case unstable.Array:
		n.kind = arrayKind
		r.list(n, v)
	case unstable.InlineTable:
		n.kind = tableKind
		for it := v.Children(); it.Next(); {
			r.assign(n, it.Node(), true)
		}
		n.at = r.enclose(n, '{', '}')
	default:
		n.kind = dateKind
	}
}

func (r *reader) list(n *node, v *unstable.Node) {
	for it := v.Children(); it.Next(); {
		if it.Node().Kind == unstable.Comment {
			continue
		}
		item := &node{path: fmt.Sprintf("%s[%d]", n.path, len(n.items)), keyAt: n.keyAt, inline: true}
		r.fill(item, it.Node())
		n.items = append(n.items, item)
	}
	n.at = r.enclose(n, '[', ']')
}

// place is where a scalar or a key stands. The parser does not say it of arrays and tables.
func (r *reader) place(n *unstable.Node) span {
	if n.Raw.Length > 0 {
		return span{int(n.Raw.Offset), int(n.Raw.Offset + n.Raw.Length)}
	}
	switch n.Kind {
	case unstable.Bool, unstable.Integer, unstable.Float, unstable.LocalDate, unstable.LocalTime, unstable.LocalDateTime, unstable.DateTime:
		raw := r.parser.Range(n.Data)
		return span{int(raw.Offset), int(raw.Offset + raw.Length)}
	}
	return span{}
}

// enclose finds the brackets around what an array or a table holds.
func (r *reader) enclose(n *node, open, shut byte) span {
	first, last := n.keyAt.to, n.keyAt.to
	if len(n.items) > 0 {
		first, last = start(n.items[0]), n.items[len(n.items)-1].at.to
		if i := bytes.LastIndexByte(r.src[:first], open); i >= 0 {
			first = i
		}
	} else if i := bytes.IndexByte(r.src[first:], open); i >= 0 {
		first += i
		last = first + 1
	}
	if i := bytes.IndexByte(r.src[last:], shut); i >= 0 {
		last += i + 1
	}
	return span{first, last}
}

func start(n *node) int {
	if n.key != "" {
		return n.keyAt.from
	}
	return n.at.from
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// lineEnd is the offset after the line feed that ends the line of at.
func lineEnd(src []byte, at int) int {
	if i := bytes.IndexByte(src[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(src)
}

// lines finds the line and the column of an offset; columns count runes.
type lines struct {
	src    []byte
	starts []int
}

func newLines(src []byte) *lines {
	l := &lines{src: src, starts: []int{0}}
	for i, b := range src {
		if b == '\n' {
			l.starts = append(l.starts, i+1)
		}
	}
	return l
}

func (l *lines) line(at int) int { return sort.SearchInts(l.starts, at+1) }

func (l *lines) column(at int) int {
	return utf8.RuneCount(l.src[l.starts[l.line(at)-1]:at]) + 1
}

// bounds are the offsets of a line without its end.
func (l *lines) bounds(line int) span {
	from, to := l.starts[line-1], len(l.src)
	if line < len(l.starts) {
		to = l.starts[line] - 1
	}
	if to > from && l.src[to-1] == '\r' {
		to--
	}
	return span{from, to}
}
