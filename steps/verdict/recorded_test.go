package verdict_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/report"
	"pgcat-failover/steps/verdict"
)

var update = flag.Bool("update", false, "write the golden reports anew")

// Each folder under testdata is a run that was recorded on a real cluster with a real PgCat, and the report that it
// must give. To add one: copy runs/<run>/<scenario>/history.json.gz there and run `go test ./steps/verdict -update`.
func TestRecordedRuns(t *testing.T) {
	files, err := filepath.Glob("testdata/*/history.json.gz")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			data, err := os.ReadFile(file)
			require.NoError(t, err)
			h, err := history.Decode(data)
			require.NoError(t, err)
			var got strings.Builder
			require.NoError(t, report.Text(&got, verdict.Judge(h)))
			golden := filepath.Join(dir, "report.txt")
			if *update {
				require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Error(diff)
			}
		})
	}
}
