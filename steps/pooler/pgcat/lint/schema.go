package lint

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// walk holds the tree to the table of keys.
func (d *document) walk(n *node, in section) {
	for _, c := range n.items {
		k, known := find(in, c.key)
		switch {
		case !known:
			d.unknown(c, in)
		case k.since == Head && d.opt.Release == V120:
			d.add("key-newer-than-release", hit{at: c.keyAt, path: c.path,
				message: fmt.Sprintf("%s is read by head only; v1.2.0 ignores it", c.key)})
		default:
			if k.since == Head && d.opt.Release == Either {
				d.add("key-not-in-every-release", hit{at: c.keyAt, path: c.path,
					message: fmt.Sprintf("%s is read by head; v1.2.0 ignores it", c.key)})
			}
			d.take(c, k)
		}
	}
	for _, k := range keysOf(in) {
		if k.required && n.get(k.name) == nil {
			d.missing(n, k)
		}
	}
}

func (d *document) missing(n *node, k key) {
	d.add("required-key-missing", hit{at: n.keyAt, path: join(n.path, k.name),
		message: fmt.Sprintf("%s lacks %s", where(n, k.in), k.name)})
}

func where(n *node, in section) string {
	if n.path == "" {
		return string(in)
	}
	return n.path
}

// unknown tells an unknown key from one that stands in the wrong place, and says what was meant.
func (d *document) unknown(c *node, in section) {
	if in == root && c.kind != tableKind {
		if homes := places(c.key); len(homes) > 0 {
			d.wrongPlace(c, in, homes)
			return
		}
	}
	near, typo, ok := nearest(in, c.key)
	switch homes := places(c.key); {
	case slices.Contains(promises, c.key):
		d.add("failover-key-imagined", hit{at: c.keyAt, path: c.path, message: c.key + " is no key of PgCat and never was: it fails over no sooner for it",
			mend: `remove it; what makes PgCat go to another shard is default_shard = "random_healthy" in the pool`, fix: d.commentOut(c)})
	case len(homes) > 0:
		d.wrongPlace(c, in, homes)
	case !ok:
		d.add("unknown-key", hit{at: c.keyAt, path: c.path, message: c.key + " is no key of PgCat", fix: d.commentOut(c)})
	case typo && d.parentOf(c).get(near.name) == nil:
		d.add("unknown-key", hit{at: c.keyAt, path: c.path, message: fmt.Sprintf("%s is no key of PgCat; %s is", c.key, near.name),
			mend: "write " + near.name, fix: d.replace(c.keyAt, near.name)})
	default:
		d.add("unknown-key", hit{at: c.keyAt, path: c.path,
			message: fmt.Sprintf("%s is no key of PgCat; the nearest is %s of %s", c.key, near.name, near.in),
			mend:    fmt.Sprintf("use %s in %s, or remove it", near.name, near.in), fix: d.commentOut(c)})
	}
}

func (d *document) wrongPlace(c *node, in section, homes []section) {
	var names []string
	for _, h := range homes {
		names = append(names, string(h))
	}
	d.add("key-in-wrong-place", hit{at: c.keyAt, path: c.path,
		message: fmt.Sprintf("%s is not read in %s, only in %s", c.key, where(d.parentOf(c), in), strings.Join(names, ", ")),
		mend:    "move it to " + names[0], fix: d.move(c, in, homes)})
}

// take holds one value to what its key takes, and goes on into tables.
func (d *document) take(c *node, k key) {
	s := k.takes
	if c.kind != s.kind {
		d.wrongType(c, k)
		return
	}
	switch s.kind {
	case integerKind:
		if c.number < s.min || c.number > s.max {
			d.add("wrong-type", hit{at: c.at, path: c.path, message: fmt.Sprintf("%s = %d: PgCat takes %s", c.key, c.number, s.name)})
		}
	case stringKind:
		d.takeString(c, k)
	case tableKind:
		d.takeTable(c, s)
	case arrayKind:
		if s.depth > 0 {
			d.takeStrings(c, s)
			return
		}
		for _, row := range c.items {
			d.takeRow(row, s.of)
		}
	}
}

func (d *document) wrongType(c *node, k key) {
	h := hit{at: c.at, path: c.path, message: fmt.Sprintf("%s is %s: PgCat takes %s", c.key, c.kind, k.takes.name)}
	if c.kind == stringKind {
		if _, err := strconv.ParseInt(c.text, 10, 64); k.takes.kind == integerKind && err == nil || k.takes.kind == boolKind && (c.text == "true" || c.text == "false") {
			h.mend, h.fix = "take the quotes away", d.replace(c.at, c.text)
		}
	}
	d.add("wrong-type", h)
}

func (d *document) takeString(c *node, k key) {
	s := k.takes
	if s.values == nil || slices.Contains(s.values, c.text) {
		return
	}
	if rest, ok := strings.CutPrefix(c.text, s.prefix); s.prefix != "" && ok {
		// Rust's integers may begin with a plus; a number past 64 bits is refused.
		if _, err := strconv.ParseUint(strings.TrimPrefix(rest, "+"), 10, 64); err == nil {
			return
		}
	}
	d.add("unknown-value", hit{at: c.at, path: c.path, message: fmt.Sprintf("%s = %q: PgCat takes %s", k.name, c.text, s.name)})
}

func (d *document) takeTable(c *node, s shape) {
	if !s.many {
		d.walk(c, s.of)
		return
	}
	for _, t := range c.items {
		if t.kind != tableKind {
			h := hit{at: t.keyAt, path: t.path, message: fmt.Sprintf("%s is %s: PgCat takes a table there", t.path, t.kind)}
			d.add("wrong-type", h)
			continue
		}
		d.walk(t, s.of)
	}
}

func (d *document) takeStrings(c *node, s shape) {
	level := c.items
	if s.depth == 2 {
		level = nil
		for _, row := range c.items {
			if row.kind != arrayKind {
				d.add("wrong-type", hit{at: row.at, path: row.path, message: fmt.Sprintf("%s: PgCat takes %s", row.path, s.name)})
				return
			}
			level = append(level, row.items...)
		}
	}
	for _, v := range level {
		if v.kind != stringKind {
			d.add("wrong-type", hit{at: v.at, path: v.path, message: fmt.Sprintf("%s is %s: PgCat takes %s", v.path, v.kind, s.name)})
			return
		}
	}
}

// takeRow reads an entry of servers or mirrors: a table, or its values in order. serde ignores further ones.
func (d *document) takeRow(row *node, of section) {
	fields := keysOf(of)
	switch {
	case row.kind == tableKind:
		d.walk(row, of)
	case row.kind != arrayKind || len(row.items) < len(fields):
		d.add("wrong-type", hit{at: row.at, path: row.path, message: fmt.Sprintf("%s: want [%s]", row.path, fieldNames(fields))})
	default:
		for i, k := range fields {
			v := *row.items[i]
			v.key = k.name
			d.take(&v, k)
		}
	}
}

func fieldNames(fields []key) string {
	var out []string
	for _, k := range fields {
		out = append(out, k.name)
	}
	return strings.Join(out, ", ")
}
