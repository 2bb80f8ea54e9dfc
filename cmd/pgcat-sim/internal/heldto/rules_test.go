package heldto

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
)

const (
	rulesPage = "../../../../docs/pgcat-rules.md"
	rules     = 60
	texts     = 13
)

// TestEveryRuleIsHeld: the page has each rule once, and every name on it is a script or a test.
func TestEveryRuleIsHeld(t *testing.T) {
	rows := ruleRows(t)
	for n := 1; n <= rules; n++ {
		require.Contains(t, rows, fmt.Sprint(n), "rule %d is missing on %s", n, rulesPage)
	}
	for n := 1; n <= texts; n++ {
		require.Contains(t, rows, fmt.Sprintf("E%d", n), "E%d is missing on %s", n, rulesPage)
	}
	known := scriptNames()
	tests := testNames(t)
	name := regexp.MustCompile("`(\\w+)`")
	for rule, by := range rows {
		held := name.FindAllStringSubmatch(by, -1)
		require.True(t, len(held) > 0 || strings.Contains(by, "not held:"), "rule %s is neither held nor said not to be", rule)
		for _, h := range held {
			require.True(t, known[h[1]] || tests[h[1]], "rule %s: there is no script or test %s", rule, h[1])
		}
	}
}

func ruleRows(t *testing.T) map[string]string {
	t.Helper()
	page, err := os.ReadFile(rulesPage)
	require.NoError(t, err)
	row := regexp.MustCompile(`(?m)^\| (\d+|E\d+|metrics|admin) \| .* \| (.*) \|$`)
	rows := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		require.NotContains(t, rows, m[1], "twice on %s", rulesPage)
		rows[m[1]] = m[2]
	}
	return rows
}

func scriptNames() map[string]bool {
	known := map[string]bool{}
	for _, s := range scripts {
		known[s.name] = true
	}
	return known
}

func testNames(t *testing.T) map[string]bool {
	t.Helper()
	files, err := filepath.Glob("../*/*_test.go")
	require.NoError(t, err)
	known := map[string]bool{}
	for _, f := range files {
		source, err := os.ReadFile(f)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`(?m)^func (Test\w+)\(`).FindAllSubmatch(source, -1) {
			known[string(m[1])] = true
		}
	}
	return known
}

// TestEveryScriptIsRecorded: a script without a recording would hold nothing on a machine that skips it.
func TestEveryScriptIsRecorded(t *testing.T) {
	for _, s := range scripts {
		for _, r := range []string{"v1.2.0", "head"} {
			if s.only == "" || s.only == r {
				require.NotEmpty(t, loadRecording(t, r, s.name), "%s at %s", s.name, r)
			}
		}
	}
}

// TestSaysThatItIsNotPgCat: whoever looks, at metrics, version or log, must find out.
func TestSaysThatItIsNotPgCat(t *testing.T) {
	const itself = "stand-in"
	for _, r := range []release.Release{release.V120, release.Head} {
		require.Contains(t, r.Banner(), itself)
		require.Contains(t, observe.NewRegistry().Metrics(r, nil), standInOnly)
		require.Contains(t, observe.NewRegistry().Metrics(r, nil), itself)
	}
	if testing.Short() {
		return
	}
	x := &run{t: t, kind: standIn("v1.2.0")}
	x.start(conf{shards: []string{x.endpoint(postgres.Address())}})
	require.Contains(t, x.enter("database", "pgcat").value("SHOW VERSION"), itself)
	_ = x.pooler.cmd.Process.Kill()
	x.pooler.exited <- <-x.pooler.exited // the log is complete, and nobody writes it any more
	require.True(t, bytes.Contains(x.pooler.log.Bytes(), []byte(itself)), x.pooler.log)
}
