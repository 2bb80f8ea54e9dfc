package pgcat_test

import (
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pooler/pgcat"
)

// The files are recorded from running PgCats: three shards, two queries pinned to shard 1.
func TestScrapeReadsWhatBothVersionsPrint(t *testing.T) {
	for _, file := range []string{"metrics-v1.2.0.txt", "metrics-head.txt"} {
		t.Run(file, func(t *testing.T) {
			body, err := os.ReadFile("testdata/" + file)
			require.NoError(t, err)
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
			defer srv.Close()
			got, err := pgcat.Scrape(t.Context(), srv.URL, "postgres")
			require.NoError(t, err)
			assert.Equal(t, 0.0, got["stats_total_query_count/0"])
			assert.Equal(t, 2.0, got[pgcat.Series("stats_total_query_count", 1)])
			assert.Contains(t, got, "databases_current_connections/2")
			assert.Contains(t, got, "pools_cl_waiting", "a series of the pool has no shard")
		})
	}
}

func TestScrapeOfAnotherPoolIsEmpty(t *testing.T) {
	body, err := os.ReadFile("testdata/metrics-head.txt")
	require.NoError(t, err)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	defer srv.Close()
	got, err := pgcat.Scrape(t.Context(), srv.URL, "other")
	require.NoError(t, err)
	assert.Empty(t, got)
}

func TestScrapeSaysWhatToDoWithoutAnExporter(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	defer srv.Close()
	_, err := pgcat.Scrape(t.Context(), srv.URL, "postgres")
	require.ErrorContains(t, err, "enable_prometheus_exporter")
}

// The seed document hopes for four things on port 9930. Health and failovers are not among what PgCat prints: who failed
// over can only be told by which shard's count of queries rises.
func TestWhatTheSeedDocumentLooksForInTheMetrics(t *testing.T) {
	for _, file := range []string{"metrics-v1.2.0.txt", "metrics-head.txt"} {
		body, err := os.ReadFile("testdata/" + file)
		require.NoError(t, err)
		for _, tc := range []struct {
			hope, series string
			there        bool
		}{
			{"connection pool statistics", `(?m)^pgcat_pools_(cl|sv)_`, true},
			{"query performance", `(?m)^pgcat_stats_(total|avg)_query_time\{`, true},
			{"server health", `(?m)^pgcat_[a-z_]*health`, false},
			{"failover events", `(?m)^pgcat_[a-z_]*failover`, false},
		} {
			assert.Equal(t, tc.there, regexp.MustCompile(tc.series).Match(body), "%s: %s", file, tc.hope)
		}
	}
}
