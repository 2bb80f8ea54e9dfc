package format_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pooler/pgcat/lint"
	"pgcat-failover/steps/pooler/pgcat/lint/format"
)

const src = "[general]\nadmin_username = \"x\"\nadmin_password = \"s3cret\"\n\tconect_timeout = 1\npools = 1\n"

func write(t *testing.T, name string) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, format.Write(&b, name, "a,b.toml", lint.Lint([]byte(src), lint.Options{})))
	assert.NotContains(t, b.String(), "s3cret")
	return b.String()
}

func TestTextPointsAtThePlace(t *testing.T) {
	out := write(t, "text")
	assert.Contains(t, out, "a,b.toml:4:2: warning: conect_timeout is no key of PgCat; connect_timeout is [unknown-key]\n"+
		"    4 |  conect_timeout = 1\n      |  ^^^^^^^^^^^^^^\n")
	assert.Contains(t, out, "mend: write connect_timeout (--fix does it)")
	assert.True(t, strings.HasSuffix(out, "notes\n"))
}

func TestJSONHoldsWhatTextSays(t *testing.T) {
	var got struct {
		File     string
		Errors   int
		Findings []map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(write(t, "json")), &got))
	assert.Equal(t, "a,b.toml", got.File)
	assert.Positive(t, got.Errors)
	for _, key := range []string{"rule", "severity", "line", "column", "message", "why", "failover", "mend", "source"} {
		assert.Contains(t, got.Findings[0], key)
	}
}

func TestGitHubEscapesWhatSeparates(t *testing.T) {
	assert.Contains(t, write(t, "github"), "::warning file=a%2Cb.toml,line=4,endLine=4,col=2,endColumn=16,title=unknown-key::conect_timeout is no key of PgCat; connect_timeout is%0A")
}

func TestSARIFRefersToItsRules(t *testing.T) {
	var got struct {
		Version string
		Runs    []struct {
			Tool struct {
				Driver struct{ Rules []struct{ ID string } }
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
			}
		}
	}
	require.NoError(t, json.Unmarshal([]byte(write(t, "sarif")), &got))
	assert.Equal(t, "2.1.0", got.Version)
	require.NotEmpty(t, got.Runs[0].Results)
	for _, r := range got.Runs[0].Results {
		assert.Equal(t, r.RuleID, got.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID)
		assert.Contains(t, []string{"error", "warning", "note"}, r.Level)
	}
}

func TestAnUnknownFormatIsRefused(t *testing.T) {
	require.ErrorContains(t, format.Write(&bytes.Buffer{}, "xml", "f", nil), "want one of text, json, sarif, github")
}
