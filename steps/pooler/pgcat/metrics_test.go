package pgcat_test

import (
	"net/http"
	"net/http/httptest"
	"os"
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
