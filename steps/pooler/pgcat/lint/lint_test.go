package lint_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pooler/pgcat/lint"
)

func rulesOf(findings []lint.Finding, worst lint.Severity) []string {
	var out []string
	for _, f := range findings {
		if f.Severity.Rank() <= worst.Rank() {
			out = append(out, f.Rule)
		}
	}
	return out
}

func TestTheCasesDifferFromACleanFile(t *testing.T) {
	assert.Empty(t, rulesOf(lint.Lint([]byte(file{}.String()), lint.Options{}), lint.Warning))
}

func TestEveryRuleFindsItsCases(t *testing.T) {
	shown := map[string]bool{}
	for _, tc := range cases {
		shown[tc.rule] = true
		t.Run(tc.rule+"/"+tc.story, func(t *testing.T) {
			src := tc.in.String()
			found := lint.Lint([]byte(src), tc.opt)
			assert.Contains(t, rulesOf(found, lint.Info), tc.rule, src)
			for _, f := range found {
				assert.NotContains(t, f.Source+f.Message, "s3cret", "a password in a finding")
				if f.Rule == tc.rule {
					assert.NotEmpty(t, f.Mend)
					assert.GreaterOrEqual(t, f.Line, 1)
				}
			}
		})
	}
	for _, r := range lint.Rules() {
		assert.True(t, shown[r.ID], "rule %s has no case", r.ID)
		assert.NotEmpty(t, r.What+r.Why+r.Failover+r.Mend, r.ID)
		for _, text := range []string{r.What, r.Why, r.Failover, r.Mend} {
			assert.NotEmpty(t, text, r.ID)
		}
	}
}

// A password without its quotes is no TOML, and the one finding shows that line.
func TestAFileThatIsNoTOMLShowsNoPasswordEither(t *testing.T) {
	for _, value := range []string{`s3cret`, `"s3cret`, `"s3\qs3cret"`, `"x"s3cret`, `'s3cret`, `12s3cret # ask the DBA`, `"x", "s3cret"`} {
		for _, key := range []string{"admin_password", `"admin_password"`, "general.admin_password", "{ admin_password"} {
			found := lint.Lint([]byte("[general]\nhost = \"0.0.0.0\"\n"+key+" = "+value+"\nport = 6432\n"), lint.Options{})
			require.Equal(t, "not-toml", found[0].Rule, value)
			assert.NotContains(t, found[0].Source+found[0].Message, "s3cret", value)
			assert.NotContains(t, found[0].Source+found[0].Message, "DBA", value)
		}
	}
}

// slips are true alarms in PgCat's own samples.
var slips = map[string][]string{"pgcat.toml": {"pool"}, "go-test.toml": {"general.port"}}

func TestPgCatsOwnSamplesRaiseNoFalseAlarm(t *testing.T) {
	for dir, release := range map[string]lint.Release{"v1.2.0": lint.V120, "head": lint.Head} {
		files, err := filepath.Glob("testdata/samples/" + dir + "/*.toml")
		require.NoError(t, err)
		require.Len(t, files, 5)
		for _, file := range files {
			src, err := os.ReadFile(file)
			require.NoError(t, err)
			for _, r := range []lint.Release{release, lint.Either} {
				for _, f := range lint.Lint(src, lint.Options{Release: r}) {
					alarm := f.Severity == lint.Error || strings.Contains(f.Rule, "key-") || f.Rule == "placeholder"
					known := assert.ObjectsAreEqual([]string{f.Key}, slips[filepath.Base(file)])
					assert.True(t, !alarm || known || f.Severity == lint.Info, "%s:%d: %s: %s", file, f.Line, f.Rule, f.Message)
				}
			}
		}
	}
}

func TestAnUnknownKeyNamesTheNearestRealOneAndItsPlace(t *testing.T) {
	src := file{general: "  conect_timeout = 5000 # ü"}.String()
	for _, f := range lint.Lint([]byte(src), lint.Options{}) {
		if f.Rule == "unknown-key" {
			assert.Equal(t, "conect_timeout is no key of PgCat; connect_timeout is", f.Message)
			assert.Equal(t, "  conect_timeout = 5000 # ü", f.Source)
			assert.Equal(t, []int{3, 17, 3, 14}, []int{f.Column, f.EndColumn, f.Caret, f.Width})
			assert.Equal(t, f.Source, strings.Split(src, "\n")[f.Line-1])
			return
		}
	}
	t.Fatal("not found")
}

func TestThePlaceIsRightAfterAPasswordOfTheSameLine(t *testing.T) {
	src := `general = { admin_password = "s3cret-s3cret", admin_username = 1 }`
	for _, f := range lint.Lint([]byte(src), lint.Options{}) {
		if f.Rule == "wrong-type" {
			assert.Equal(t, strings.Index(src, "1 }")+1, f.Column)
			assert.Equal(t, `general = { admin_password = ***, admin_username = 1 }`, f.Source)
			assert.Equal(t, "1", f.Source[f.Caret-1:f.Caret-1+f.Width])
			return
		}
	}
	t.Fatal("not found")
}

func TestAFileWithoutGeneralIsSaidNotCrashedOn(t *testing.T) {
	for _, src := range []string{"", "\n", "pools = 1", "general = 1\n", "[pools.a]\nconnect_timeout = 1\n[pools.a.users.0]\npool_size=0\n[pools.a.shards.0]\nservers = [1, [], [[]], {}]\nmirrors = [1, {}]",
		"[[pools]]\na = 1\n", "[pools]\na = 1\n", "[general]\nhost = 2024-01-01\n", "[[general]]\n", "general.host = {}\n", "\xff"} {
		assert.NotEmpty(t, rulesOf(lint.Lint([]byte(src), lint.Options{}), lint.Error), src)
	}
}

func TestOddFormsThatPgCatTakesAreNoErrors(t *testing.T) {
	for story, f := range accepted {
		assert.Empty(t, rulesOf(lint.Lint([]byte(f.String()), lint.Options{}), lint.Error), "%s:\n%s", story, f)
	}
}

// Whatever is in the file, the linter neither crashes nor shows a password, and a fix can be linted again.
func FuzzLint(f *testing.F) {
	for _, tc := range cases {
		f.Add(tc.in.String())
	}
	for _, in := range accepted {
		f.Add(in.String())
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, found := range lint.Lint([]byte(src), lint.Options{}) {
			if found.Line < 1 || found.Column < 1 || found.Width < 1 {
				t.Errorf("%s at %d:%d in %q", found.Rule, found.Line, found.Column, src)
			}
		}
		lint.Lint(lint.Fix([]byte(src), lint.Options{}, "default-shard-missing", "exporter-off"), lint.Options{})
	})
}
