package lint

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
)

// edit replaces a piece of the file.
type edit struct {
	at   span
	text string
}

// Fix mends what can be mended without changing anything that works, and the findings of the rules named in bold
// as well, whose mends change which server answers. It keeps comments and layout, and mends until nothing more
// can be: one mend may uncover another.
func Fix(src []byte, opt Options, bold ...string) []byte {
	for range 20 { // a bound, should two mends undo each other
		next := fixOnce(src, opt, bold)
		if bytes.Equal(next, src) {
			break
		}
		src = next
	}
	return src
}

func fixOnce(src []byte, opt Options, bold []string) []byte {
	var edits []edit
	for _, f := range Lint(src, opt) {
		if !f.Fixable && !slices.Contains(bold, f.Rule) {
			continue
		}
		if !slices.ContainsFunc(f.edits, func(e edit) bool { return clashes(edits, e) }) {
			edits = append(edits, f.edits...)
		}
	}
	slices.SortStableFunc(edits, func(a, b edit) int { return cmp.Or(b.at.from-a.at.from, a.rank()-b.rank()) })
	out := slices.Clone(src)
	for _, e := range edits {
		out = slices.Replace(out, e.at.from, e.at.to, []byte(e.text)...)
	}
	return out
}

// rank orders edits of one place, of which the later made stands further to the front: a new line comes before
// the mark that makes a comment of the next.
func (e edit) rank() int {
	switch {
	case e.at.to > e.at.from:
		return 0
	case !strings.HasSuffix(e.text, "\n"):
		return 1
	default:
		return 2
	}
}

func clashes(edits []edit, e edit) bool {
	return slices.ContainsFunc(edits, func(o edit) bool {
		return e.at.from < o.at.to && o.at.from < e.at.to || e == o
	})
}

func (d *document) replace(at span, text string) []edit { return []edit{{at, text}} }

// commentOut makes a comment of a key that PgCat does not read. Only a key on lines of its own can be.
func (d *document) commentOut(c *node) []edit {
	if c.inline || c.kind == tableKind || c.at.to == 0 {
		return nil
	}
	first, last := d.lines.line(c.keyAt.from), d.lines.line(max(c.at.from, c.at.to-1))
	var out []edit
	for l := first; l <= last; l++ {
		from := d.lines.starts[l-1]
		if l == first && len(bytes.TrimSpace(d.src[from:c.keyAt.from])) > 0 { // a dotted or a quoted key
			return nil
		}
		out = append(out, edit{span{from, from}, "# "})
	}
	return out
}

// move takes a key to where PgCat reads it, if there is one such table that has a line for it and lacks the key;
// else the key becomes a comment, as PgCat ignores it today.
func (d *document) move(c *node, in section, homes []section) []edit {
	out := d.commentOut(c)
	if out == nil {
		return nil
	}
	value := string(d.src[c.at.from:c.at.to])
	if strings.Contains(value, "\n") {
		return out
	}
	for _, to := range d.movesTo(c, in, homes) {
		if to.header > 0 && to.get(c.key) == nil {
			out = append(out, d.insert(to, c.key+" = "+value)...)
		}
	}
	return out
}

// movesTo are the tables that take over a key. Only a pool's key that users need moves, since a key that PgCat ignored
// so far would otherwise begin to work.
func (d *document) movesTo(c *node, in section, homes []section) []*node {
	k, ok := find(user, c.key)
	if in != pool || !ok || !k.required || !slices.Contains(homes, user) {
		return nil
	}
	return d.parentOf(c).tables("users")
}

// insert puts a line at the top of a table that has a [header].
func (d *document) insert(t *node, line string) []edit {
	if t == nil || t.header == 0 {
		return nil
	}
	nl := "\n"
	if bytes.HasSuffix(d.src[:t.header], []byte("\r\n")) {
		nl = "\r\n"
	}
	if d.src[t.header-1] != '\n' { // the header ends the file
		line = nl + line
	}
	return []edit{{span{t.header, t.header}, indentOf(d.src, t.header) + line + nl}}
}

// indentOf is the white space of the line at an offset: a file inside a YAML block keeps its look.
func indentOf(src []byte, at int) string {
	end := at
	for end < len(src) && (src[end] == ' ' || src[end] == '\t') {
		end++
	}
	if end < len(src) && src[end] == '\n' {
		return ""
	}
	return string(src[at:end])
}

// set writes a key of a table: a new value, or a new line.
func (d *document) set(t *node, key, value string) []edit {
	if c := t.get(key); c != nil {
		return d.replace(c.at, value)
	}
	return d.insert(t, key+" = "+value)
}
