package format_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pooler/pgcat/lint/format"
)

var update = flag.Bool("update", false, "write the page of rules anew")

const page = "../../../../../docs/lint-rules.md"

func TestThePageOfRulesIsUpToDate(t *testing.T) {
	if *update {
		require.NoError(t, os.WriteFile(page, []byte(format.Docs()), 0o644))
		return
	}
	have, err := os.ReadFile(page)
	require.NoError(t, err)
	if diff := cmp.Diff(format.Docs(), string(have)); diff != "" {
		t.Errorf("run `go test ./steps/pooler/pgcat/lint/format -update`:\n%s", diff)
	}
}
