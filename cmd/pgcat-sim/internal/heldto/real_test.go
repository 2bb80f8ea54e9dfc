//go:build differential

package heldto

import (
	"flag"
	"os/exec"
	"slices"
	"testing"
)

var update = flag.Bool("update", false, "write what the real PgCat shows into testdata")

// program is what each release is called on PATH.
var program = map[string]string{"v1.2.0": "pgcat", "head": "pgcat-head"}

// TestReal runs the scripts against the real PgCat and holds the recordings to it.
func TestReal(t *testing.T) {
	for release, name := range program {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("SKIP %s: no %s on PATH; the recordings in testdata stand for it", release, name)
			continue
		}
		real := kind{release: release, argv: func(c string) []string { return []string{path, "--no-color", c} }}
		each(t, real, func(t *testing.T, s script, got transcript) {
			if *update && !recorded(t, release, s.name, got) {
				writeRecording(t, release, s.name, got)
				return
			}
			compare(t, readRecording(t, release, s.name), got)
		})
	}
}

// recorded tells whether the recording says the same already: noise of milliseconds is no change.
func recorded(t *testing.T, release, script string, got transcript) bool {
	rec := loadRecording(t, release, script)
	if len(rec) != len(got) {
		return false
	}
	for i := range rec {
		if rec[i].Does != got[i].Does || !slices.Equal(rec[i].Sees, got[i].Sees) || !got[i].tookLike(rec[i]) {
			return false
		}
	}
	return true
}
