package lint

import (
	"cmp"
	"errors"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Severity is how bad a finding is.
type Severity string

// An error means that PgCat does not start, or that what the file promises of failover is not there. A warning
// costs clients something in a failover. Info is worth knowing.
const (
	Error   Severity = "error"
	Warning Severity = "warning"
	Info    Severity = "info"
)

// Rank orders severities, the worst first.
func (s Severity) Rank() int { return slices.Index([]Severity{Error, Warning, Info}, s) }

// Mount is how the file reaches PgCat's pod.
type Mount string

// The ways that Kubernetes has to mount a Secret's key.
const (
	Unknown Mount = ""
	Folder  Mount = "folder"
	SubPath Mount = "subPath"
)

// Options is what the rules cannot read in the file.
type Options struct {
	Release Release
	Mount   Mount
	Grace   time.Duration // the pod's; 0 means Kubernetes' own default
	Outage  time.Duration // the outage that clients are to survive; 0 means PgCat's own default of healthcheck_delay
}

// defaultGrace is Kubernetes' terminationGracePeriodSeconds where a pod says nothing.
const defaultGrace = 30 * time.Second

// defaultOutage is PgCat's default of healthcheck_delay (src/config.rs:398): a file that says nothing is not warned of.
const defaultOutage = 30 * time.Second

// Finding is one thing that a rule has to say of one place.
type Finding struct {
	Rule      string   `json:"rule"`
	Severity  Severity `json:"severity"`
	Line      int      `json:"line"`      // from 1
	Column    int      `json:"column"`    // from 1, in characters
	EndColumn int      `json:"endColumn"` // after the last character, on the same line
	Key       string   `json:"key"`       // with dots
	Message   string   `json:"message"`
	Why       string   `json:"why"`
	Failover  string   `json:"failover"` // what happens in one
	Mend      string   `json:"mend"`
	Exit      int      `json:"exit,omitempty"` // PgCat's exit code, where it does not start
	Fixable   bool     `json:"fixable"`        // --fix mends it, and changes nothing that works
	Source    string   `json:"source"`         // the line, its passwords as ***
	Caret     int      `json:"-"`              // column in Source
	Width     int      `json:"-"`
	edits     []edit
}

// hit is what a rule's check found, before the rule's own words are added.
type hit struct {
	at      span
	path    string
	message string
	mend    string // empty: the rule's
	fix     []edit
	bold    bool // the fix changes who answers: only on demand
}

// document is a file under the rules.
type document struct {
	src   []byte
	opt   Options
	root  *node
	lines *lines
	hits  map[string][]hit
}

// Lint reads a pgcat.toml and gives what the rules find, in the order of the file. A file that is no TOML has that
// one finding.
func Lint(src []byte, opt Options) []Finding {
	opt.Grace, opt.Outage = cmp.Or(opt.Grace, defaultGrace), cmp.Or(opt.Outage, defaultOutage)
	d := &document{src: src, opt: opt, lines: newLines(src), hits: map[string][]hit{}}
	tree, err := read(src)
	var syntax *syntaxError
	if errors.As(err, &syntax) {
		d.add("not-toml", hit{at: span{syntax.at, min(syntax.at+1, len(src))}, message: syntax.text})
		return d.findings()
	}
	d.root = tree
	d.walk(tree, root)
	for _, r := range rules {
		if r.check != nil {
			for _, h := range r.check(d) {
				d.add(r.ID, h)
			}
		}
	}
	return d.findings()
}

func (d *document) add(rule string, h hit) { d.hits[rule] = append(d.hits[rule], h) }

func (d *document) findings() []Finding {
	out := []Finding{}
	for _, r := range rules {
		for _, h := range d.hits[r.ID] {
			out = append(out, d.finding(r, h))
		}
	}
	slices.SortStableFunc(out, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Severity.Rank(), b.Severity.Rank()))
	})
	return out
}

func (d *document) finding(r Rule, h hit) Finding {
	line := d.lines.line(h.at.from)
	b := d.lines.bounds(line)
	from, to := min(h.at.from, b.to), min(max(h.at.to, h.at.from+1), b.to)
	to = max(from, to)
	f := Finding{Rule: r.ID, Severity: r.Severity, Line: line, Column: d.lines.column(from), Key: h.path,
		Message: h.message, Why: r.Why, Failover: r.Failover, Mend: cmp.Or(h.mend, r.Mend), Exit: r.Exit,
		Fixable: len(h.fix) > 0 && !h.bold, edits: h.fix}
	f.EndColumn = f.Column + max(1, utf8.RuneCount(d.src[from:to]))
	before, under, after := d.show(span{b.from, from}), d.show(span{from, to}), d.show(span{to, b.to})
	f.Source = strings.ReplaceAll(before+under+after, "\t", " ")
	f.Caret, f.Width = utf8.RuneCountInString(before)+1, max(1, utf8.RuneCountInString(under))
	return f
}

// show gives a piece of one line without the passwords in it.
func (d *document) show(s span) string {
	var out strings.Builder
	at := s.from
	for _, secret := range d.passwords() {
		if secret.to <= at || secret.from >= s.to {
			continue
		}
		out.Write(d.src[at:max(at, secret.from)])
		if secret.from >= s.from {
			out.WriteString("***")
		}
		at = min(secret.to, s.to)
	}
	out.Write(d.src[at:s.to])
	return out.String()
}

// assigned finds what stands after a key that holds a password, to the end of the line.
var assigned = regexp.MustCompile(`password["']?[ \t]*=[ \t]*([^\r\n]*)`)

// passwords are the places to hide. In a file that is no TOML nobody can tell where a value ends, and a password whose
// quotes are missing is one way to get there: the rest of the line goes.
func (d *document) passwords() []span {
	if d.root != nil {
		return d.secrets(d.root, nil)
	}
	var out []span
	for _, m := range assigned.FindAllSubmatchIndex(d.src, -1) {
		out = append(out, span{m[2], m[3]})
	}
	return out
}

// secrets are the places of all values of keys that hold a password, in the order of the file.
func (d *document) secrets(n *node, into []span) []span {
	for _, c := range n.items {
		if strings.HasSuffix(c.key, "password") && c.kind != tableKind {
			into = append(into, c.at)
			continue
		}
		into = d.secrets(c, into)
	}
	slices.SortFunc(into, func(a, b span) int { return a.from - b.from })
	return into
}

// parentOf finds the table that holds a node.
func (d *document) parentOf(c *node) *node {
	var search func(n *node) *node
	search = func(n *node) *node {
		for _, i := range n.items {
			if i == c {
				return n
			}
			if p := search(i); p != nil {
				return p
			}
		}
		return nil
	}
	if p := search(d.root); p != nil {
		return p
	}
	return d.root
}
