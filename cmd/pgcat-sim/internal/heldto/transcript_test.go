package heldto

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// step is one thing done and what came of it.
type step struct {
	Does string   `json:"does"`
	Sees []string `json:"sees"`
	Ms   int64    `json:"ms"`
}

type transcript []step

// Tolerance of time: two runs agree if they differ by at most a fifth or by this much, whichever is
// more. Enough for a busy machine with the race detector; too little to take 400 ms for a second.
const (
	toleranceMs    = 350
	toleranceShare = 5
)

func (s step) tookLike(other step) bool {
	allowed := max(toleranceMs, other.Ms/toleranceShare)
	return (s.Ms-other.Ms <= allowed || s.started()) && other.Ms-s.Ms <= allowed
}

// started tells whether the step is a program's start and end. How long a program with the race detector needs to start
// on a busy machine says nothing of PgCat; that it ends, and with which code, does.
func (s step) started() bool { return len(s.Sees) == 1 && strings.HasPrefix(s.Sees[0], "exit ") }

// differences lists where got is not what the real one showed.
func differences(real, got transcript) []string {
	var all []string
	for i := range min(len(real), len(got)) {
		r, g := real[i], got[i]
		if r.Does != g.Does {
			return append(all, fmt.Sprintf("step %d: does %q, the real one %q", i, g.Does, r.Does))
		}
		if !slices.Equal(r.Sees, g.Sees) {
			all = append(all, fmt.Sprintf("step %d: %s\n\treal: %q\n\tgot:  %q", i, r.Does, r.Sees, g.Sees))
		} else if !g.tookLike(r) {
			all = append(all, fmt.Sprintf("step %d: %s: took %d ms, the real one %d ms", i, r.Does, g.Ms, r.Ms))
		}
	}
	if len(real) != len(got) {
		all = append(all, fmt.Sprintf("%d steps, the real one %d", len(got), len(real)))
	}
	return all
}

func recordingPath(release, script string) string {
	return filepath.Join("testdata", release, script+".json")
}

func readRecording(t *testing.T, release, script string) transcript {
	t.Helper()
	rec := loadRecording(t, release, script)
	require.NotEmpty(t, rec, "no recording of the real one; make it with: go test -tags differential ./cmd/pgcat-sim/internal/heldto -run Real -update")
	return rec
}

func loadRecording(t *testing.T, release, script string) transcript {
	t.Helper()
	raw, err := os.ReadFile(recordingPath(release, script))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	var rec transcript
	require.NoError(t, json.Unmarshal(raw, &rec))
	return rec
}

func writeRecording(t *testing.T, release, script string, rec transcript) {
	t.Helper()
	path := recordingPath(release, script)
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
	raw, err := json.MarshalIndent(rec, "", " ")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, append(raw, '\n'), 0o644))
}
