//go:build differential

package heldto

import (
	"flag"
	"os/exec"
	"sync"
	"sync/atomic"
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
		each(t, real, func(t *testing.T, s script, got transcript) []string {
			recorded := loadRecording(t, release, s.name)
			different := differences(recorded, got)
			// What a busy machine did once does not replace a recording.
			if len(different) > 0 && *update && (recorded == nil || lastTry(t)) {
				writeRecording(t, release, s.name, got)
				return nil
			}
			return different
		})
	}
}

var tellings sync.Map

// lastTry counts the tries of one test.
func lastTry(t *testing.T) bool {
	n, _ := tellings.LoadOrStore(t.Name(), new(atomic.Int32))
	return n.(*atomic.Int32).Add(1) >= tries
}
