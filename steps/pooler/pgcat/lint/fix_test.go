package lint_test

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pooler/pgcat/lint"
)

func read(t *testing.T, path string) string {
	t.Helper()
	src, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(src)
}

// The seed's config, as people copied it, and what --fix makes of it: comments, blank lines and order stay.
func TestTheSeedsConfigMended(t *testing.T) {
	in := read(t, "testdata/seed.toml")
	if diff := cmp.Diff(read(t, "testdata/seed.fixed.toml"), string(lint.Fix([]byte(in), lint.Options{}))); diff != "" {
		t.Error(diff)
	}
	bold := lint.Fix([]byte(in), lint.Options{}, "default-shard-missing", "exporter-off")
	assert.Contains(t, string(bold), "[pools.primary]\ndefault_shard = \"random_healthy\"\n")
	assert.Empty(t, rulesOf(lint.Lint(bold, lint.Options{}), lint.Error))
}

func TestFixChangesNothingWhereNothingIsWrong(t *testing.T) {
	for _, src := range []string{file{}.String(), strings.ReplaceAll(file{}.String(), "\n", "\r\n"), strings.TrimSpace(file{}.String()), "[broken"} {
		assert.Equal(t, src, string(lint.Fix([]byte(src), lint.Options{})))
	}
}

// A mend must mend: what is fixable is gone afterwards, and no error came in its place.
func TestWhatIsFixableIsGoneAfterwards(t *testing.T) {
	for _, tc := range cases {
		src := []byte(tc.in.String())
		before, fixed := lint.Lint(src, tc.opt), lint.Fix(src, tc.opt)
		after := lint.Lint(fixed, tc.opt)
		for _, f := range after {
			assert.False(t, f.Fixable, "%s/%s: %s is still there:\n%s", tc.rule, tc.story, f.Rule, fixed)
		}
		assert.LessOrEqual(t, len(rulesOf(after, lint.Error)), len(rulesOf(before, lint.Error)), tc.story)
	}
}

func TestOddPlacesAreLeftAloneOrMendedWell(t *testing.T) {
	for _, tc := range []struct{ story, in, want string }{
		{"a key in a one-line table has no line of its own", "general = { automatic_failover = true }\n", "general = { automatic_failover = true }\n"},
		{"a dotted key neither", "general.automatic_failover = true\n", "general.automatic_failover = true\n"},
		{"a value of several lines is a comment on each", "[general]\nquery_timeouts = [\n  1,\n  2,\n] # two\nport = 1\n", "[general]\nshutdown_timeout = 20000\n# query_timeouts = [\n#   1,\n#   2,\n# ] # two\nport = 1\n"},
		{"a section that nothing follows", "[general]\nshutdown_timeout = 60000", "[general]\nshutdown_timeout = 20000"},
		{"a file without a last line feed", "[general]", "[general]\nshutdown_timeout = 20000\n"},
		{"quotes around a number", "[general]\nshutdown_timeout = 1\nport = \"6432\" # odd\n", "[general]\nshutdown_timeout = 1\nport = 6432 # odd\n"},
	} {
		t.Run(tc.story, func(t *testing.T) {
			assert.Equal(t, tc.want, string(lint.Fix([]byte(tc.in), lint.Options{})))
		})
	}
}
