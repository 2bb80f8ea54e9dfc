package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"sigs.k8s.io/yaml"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/pooler/pgcat/lint"
	"pgcat-failover/steps/scenario"
	"pgcat-failover/steps/verdict"
	"pgcat-failover/workflows"
)

const (
	root         = "../../"
	seedFacts    = root + "docs/seed.yaml"
	seedPage     = root + "docs/seed.md"
	seedDocument = "testdata/seed.md" // word for word, so that nothing in it can be left out unseen
)

// row is a line of the README's table: facts that have one answer.
type row struct {
	Does  string `json:"does"` // of all of them; empty where there is but one
	Facts []fact `json:"facts"`
}

// fact is a thing that the seed document says, a row of docs/seed.md.
type fact struct {
	Kind    string   `json:"kind"`
	Says    []string `json:"says"` // in the document's words; … stands for what is left out between them
	Does    string   `json:"does"`
	Shown   []string `json:"shown"`
	Because string   `json:"because"` // nothing here shows it
}

func seedRows(t *testing.T) []row {
	t.Helper()
	data, err := os.ReadFile(seedFacts)
	require.NoError(t, err)
	var out []row
	require.NoError(t, yaml.UnmarshalStrict(data, &out))
	return out
}

// references are the kinds of things that may show a fact. Each says whether there is a thing of that name, and where.
var references = map[string]func(t *testing.T, name string) (file string, ok bool){
	"scenario": func(t *testing.T, name string) (string, bool) {
		_, err := scenario.Load(workflows.Scenarios(), name)
		return "workflows/scenarios/" + name + ".yaml", err == nil
	},
	"rule": func(_ *testing.T, name string) (string, bool) {
		_, ok := lint.Named(name)
		return "docs/lint-rules.md#" + name, ok
	},
	"check": func(t *testing.T, name string) (string, bool) {
		names, err := checkNames()
		require.NoError(t, err)
		return "steps/verdict/checks.go", slices.Contains(names, name)
	},
	"file": func(_ *testing.T, name string) (string, bool) { return name, isFile(name) },
	"recording": func(_ *testing.T, name string) (string, bool) {
		const dir = "cmd/pgcat-sim/internal/heldto/testdata/"
		file := dir + "v1.2.0/" + name + ".json"
		return file, isFile(file) && isFile(dir+"head/"+name+".json")
	},
	"test": func(t *testing.T, name string) (string, bool) {
		name, sub, _ := strings.Cut(name, ":")
		dot := strings.LastIndex(name, ".")
		if dot < 0 {
			return "", false
		}
		return findTest(t, name[:dot], name[dot+1:], sub)
	},
}

func isFile(name string) bool {
	info, err := os.Stat(root + name)
	return err == nil && info.Mode().IsRegular()
}

// checkNames are those of every check that judged a recorded run.
var checkNames = sync.OnceValues(func() ([]string, error) {
	files, err := filepath.Glob(root + "steps/verdict/testdata/*/history.json.gz")
	if err != nil {
		return nil, err
	}
	var out []string
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		h, err := history.Decode(data)
		if err != nil {
			return nil, err
		}
		for _, finding := range verdict.Judge(h).Findings {
			out = append(out, finding.Check)
		}
	}
	return out, nil
})

// findTest reads the source, since tests of every build tag count. A subtest is named by a string of its test.
func findTest(t *testing.T, dir, name, sub string) (string, bool) {
	t.Helper()
	files, err := filepath.Glob(root + dir + "/*_test.go")
	require.NoError(t, err)
	for _, f := range files {
		parsed, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range parsed.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == name {
				return path.Join(dir, filepath.Base(f)), sub == "" || says(fn, sub)
			}
		}
	}
	return "", false
}

func says(fn *ast.FuncDecl, text string) bool {
	found := false
	ast.Inspect(fn, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			s, err := strconv.Unquote(lit.Value)
			found = found || err == nil && s == text
		}
		return !found
	})
	return found
}

// resolve gives the kind of a reference, its short name and its file.
func resolve(t *testing.T, ref string) (kind, short, file string, err error) {
	t.Helper()
	kind, name, _ := strings.Cut(ref, ":")
	find, ok := references[kind]
	if !ok {
		return "", "", "", fmt.Errorf("%s: no kind of reference is called %q", ref, kind)
	}
	if file, ok = find(t, name); !ok {
		return "", "", "", fmt.Errorf("%s: there is no such %s", ref, kind)
	}
	switch kind {
	case "test":
		name, _, _ = strings.Cut(name, ":")
		name = name[strings.LastIndex(name, ".")+1:]
	case "file":
		name = path.Base(name)
	}
	return kind, name, file, nil
}

func TestReferencesAreToThingsThatExist(t *testing.T) {
	for _, tc := range []struct{ story, ref, wantErr string }{
		{"a scenario", "scenario:primary", ""},
		{"a scenario that was renamed", "scenario:quaternary", "there is no such scenario"},
		{"a lint rule", "rule:default-shard-missing", ""},
		{"a lint rule that was dropped", "rule:default-shard-gone", "there is no such rule"},
		{"a check of the verdict", "check:recovered", ""},
		{"a check that nobody makes", "check:happy", "there is no such check"},
		{"a test of another build", "test:steps/e2e.TestTheSeedsCommands", ""},
		{"a part of a test", "test:steps/e2e.TestTheSeedsCommands:get endpoints", ""},
		{"a part that the test does not have", "test:steps/e2e.TestTheSeedsCommands:get pods", "there is no such test"},
		{"a test in another folder", "test:steps/verdict.TestTheSeedsCommands", "there is no such test"},
		{"a file", "file:manifests/components/pgcat/secret.yaml", ""},
		{"a folder is no file", "file:manifests", "there is no such file"},
		{"a recording of both releases", "recording:random_healthy", ""},
		{"a recording of one", "recording:login_trust", "there is no such recording"},
		{"a word of no kind", "hope:it works", "no kind of reference"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			_, _, _, err := resolve(t, tc.ref)
			if tc.wantErr == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, tc.wantErr)
		})
	}
}

func TestEveryFactIsShownOrSaysWhyNot(t *testing.T) {
	document := readSeed(t)
	for _, r := range seedRows(t) {
		assert.True(t, r.Does != "" || len(r.Facts) == 1, "%v: several facts need one answer for the README", r.Facts)
		for _, f := range r.Facts {
			assert.Contains(t, []string{"claim", "key", "url", "command"}, f.Kind, "%v", f.Says)
			assert.NotEmpty(t, f.Does, "%v", f.Says)
			assert.NotEqual(t, len(f.Shown) == 0, f.Because == "", "%v: shown by something, or said why not", f.Says)
			for _, ref := range f.Shown {
				_, _, _, err := resolve(t, ref)
				assert.NoError(t, err, "%v", f.Says)
			}
			require.NotEmpty(t, f.Says)
			for _, s := range f.Says {
				assert.True(t, slices.ContainsFunc(document, func(line string) bool { return contains(line, s) }), "%q is not in the seed document", s)
			}
		}
	}
}

func readSeed(t *testing.T) []string {
	t.Helper()
	data, err := os.ReadFile(seedDocument)
	require.NoError(t, err)
	return strings.Split(string(data), "\n")
}

// contains tells whether the pieces of the phrase come in the line, in their order.
func contains(line, phrase string) bool {
	for _, piece := range strings.Split(phrase, "…") {
		_, rest, ok := strings.Cut(line, strings.TrimSpace(piece))
		if !ok {
			return false
		}
		line = rest
	}
	return true
}

// unit is something that the seed document says and somebody must answer.
type unit struct {
	line int
	what string
	text string
}

var (
	urls    = regexp.MustCompile(`[a-z]+://[^\s` + "`" + `]+`)
	ticked  = regexp.MustCompile("`([^`]+)`")
	labels  = regexp.MustCompile(`[a-z-]+=[a-z]+`)
	inBrace = regexp.MustCompile(`\([^)]+\)`)
	ordered = regexp.MustCompile(`^\d+\. `)
)

// units reads the document: each line of prose or of a list, each key, each URL, each command, each word in backticks,
// and each comment of a script that says what should be seen.
func units(document []string) []unit {
	var out []unit
	fence, inFence := "", false
	for i, raw := range document {
		line := strings.TrimSpace(raw)
		add := func(what string, texts ...string) {
			for _, text := range texts {
				out = append(out, unit{i + 1, what, text})
			}
		}
		add("url", urls.FindAllString(line, -1)...)
		switch {
		case strings.HasPrefix(line, "```"):
			inFence = !inFence
			fence = strings.TrimPrefix(line, "```")
		case line == "" || !inFence && strings.HasPrefix(line, "#"):
		case !inFence:
			add("claim", strings.TrimPrefix(ordered.ReplaceAllString(line, ""), "- "))
			for _, m := range ticked.FindAllStringSubmatch(line, -1) {
				add("word in backticks", m[1])
			}
		case fence == "bash" && strings.HasPrefix(line, "#"):
			if strings.Contains(line, "should") || strings.Contains(line, " see ") {
				add("claim", line)
			}
		case fence == "bash":
			add("command", line)
		case fence != "": // toml, yaml
			if !strings.HasPrefix(line, "#") && strings.Trim(line, "[]") != "" && !strings.HasSuffix(line, "= [") {
				add("key", line)
			}
		default: // the drawing
			add("label", labels.FindAllString(line, -1)...)
			add("words in a drawing", inBrace.FindAllString(line, -1)...)
		}
	}
	return out
}

func TestUnitsOfADocument(t *testing.T) {
	got := units(strings.Split("# Title\n- **Safe**: `a = 1` is\n1. First\n```toml\n# why\n[a.b]\nx = 1 \ny = [\n  [ \"h\", 1 ],\n]\n```\n```bash\n# Say\n# it should work\nls | wc\n```\n```\np://u@h/d\n| a=b |\n(3 of)\n```", "\n"))
	assert.Equal(t, []unit{
		{2, "claim", "**Safe**: `a = 1` is"}, {2, "word in backticks", "a = 1"}, {3, "claim", "First"},
		{6, "key", "[a.b]"}, {7, "key", "x = 1"}, {9, "key", `[ "h", 1 ],`},
		{14, "claim", "# it should work"}, {15, "command", "ls | wc"},
		{18, "url", "p://u@h/d"}, {19, "label", "a=b"}, {20, "words in a drawing", "(3 of)"},
	}, got)
}

func TestNothingThatTheSeedDocumentSaysIsLeftOut(t *testing.T) {
	var phrases []string
	for _, r := range seedRows(t) {
		for _, f := range r.Facts {
			phrases = append(phrases, f.Says...)
		}
	}
	all := units(readSeed(t))
	require.Greater(t, len(all), 130, "the document was read")
	for _, u := range all {
		// A key that is repeated in a sentence has its answer where the sentence has it.
		answered := slices.ContainsFunc(phrases, func(p string) bool {
			return contains(u.text, p) || (u.what == "word in backticks" || u.what == "url") && strings.Contains(p, u.text)
		})
		assert.True(t, answered, "docs/seed.yaml has no answer to the %s in line %d: %s", u.what, u.line, u.text)
	}
}

func TestThePageOfTheSeedDocumentIsUpToDate(t *testing.T) {
	want := seedDocs(t)
	if *update {
		require.NoError(t, os.WriteFile(seedPage, []byte(want), 0o644))
		return
	}
	have, err := os.ReadFile(seedPage)
	require.NoError(t, err)
	if diff := cmp.Diff(want, string(have)); diff != "" {
		t.Errorf("run `go test ./cmd/failover -update`:\n%s", diff)
	}
}

// bare is a phrase without the document's own marks, for a cell of a table.
func bare(phrase string) string {
	return strings.NewReplacer("**", "", "`", "", "|", `\|`).Replace(phrase)
}

func code(phrase string) string { return "`" + bare(phrase) + "`" }

// quoted gives the phrases of a fact: claims in quotation marks, what a machine reads as code.
func quoted(f fact) string {
	var out []string
	for _, s := range f.Says {
		if f.Kind == "claim" {
			out = append(out, `"`+bare(s)+`"`)
		} else {
			out = append(out, code(s))
		}
	}
	return strings.Join(out, ", ")
}

// shownBy groups references by their kind; link makes a cell of one.
func shownBy(t *testing.T, refs []string, link func(short, file string) string) string {
	t.Helper()
	var kinds []string
	byKind := map[string][]string{}
	for _, ref := range refs {
		kind, short, file, err := resolve(t, ref)
		require.NoError(t, err)
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		if cell := link(short, file); !slices.Contains(byKind[kind], cell) {
			byKind[kind] = append(byKind[kind], cell)
		}
	}
	for i, kind := range kinds {
		kinds[i] = kind + " " + strings.Join(byKind[kind], ", ")
	}
	return strings.Join(kinds, "; ")
}

func seedTable(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("| the seed document says | what PgCat and this do | shown by ([fact by fact](docs/seed.md)) |\n|---|---|---|\n")
	for _, r := range seedRows(t) {
		var phrases, refs, shown []string
		for _, f := range r.Facts {
			phrases, refs = append(phrases, quoted(f)), append(refs, f.Shown...)
			if f.Because != "" {
				shown = append(shown, "not shown here: "+f.Because)
			}
		}
		if len(refs) > 0 {
			shown = append([]string{shownBy(t, refs, func(short, _ string) string { return code(short) })}, shown...)
		}
		does := r.Does
		if does == "" {
			does = r.Facts[0].Does
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", strings.Join(phrases, ", "), does, strings.Join(shown, "; "))
	}
	return b.String()
}

func seedDocs(t *testing.T) string {
	t.Helper()
	var b strings.Builder
	b.WriteString("# What the seed document says, and what PgCat does\n\n" +
		"Generated from [seed.yaml](seed.yaml); tests hold it to the seed document, whose every claim, key, URL and command must\n" +
		"be answered, and to this repository, where everything under *shown by* must exist.\n")
	for _, kind := range []string{"claim", "key", "url", "command"} {
		fmt.Fprintf(&b, "\n## %s\n\n| says | does | shown by |\n|---|---|---|\n", map[string]string{"claim": "Claims", "key": "Keys", "url": "URLs and addresses", "command": "Commands"}[kind])
		for _, r := range seedRows(t) {
			for _, f := range r.Facts {
				if f.Kind != kind {
					continue
				}
				shown := "not shown here: " + f.Because
				if f.Because == "" {
					shown = shownBy(t, f.Shown, func(short, file string) string {
						if rest, ok := strings.CutPrefix(file, "docs/"); ok {
							return "[" + short + "](" + rest + ")"
						}
						return "[" + short + "](../" + file + ")"
					})
				}
				fmt.Fprintf(&b, "| %s | %s | %s |\n", quoted(f), f.Does, shown)
			}
		}
	}
	return b.String()
}
