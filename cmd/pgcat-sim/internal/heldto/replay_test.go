package heldto

import (
	"strings"
	"sync"
	"testing"
)

// TestStandIn replays all scripts against the stand-in and compares with what the real PgCat of the
// same release showed.
func TestStandIn(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Postgres and some 80 poolers; left out with -short")
	}
	for _, release := range []string{"v1.2.0", "head"} {
		each(t, standIn(release), func(t *testing.T, s script, got transcript) []string {
			return differences(readRecording(t, release, s.name), got)
		})
	}
}

// tries is how often a script is told before a difference counts. On a busy machine a step can take
// its time, or a reset arrive on the other side of a write; what is really different stays so.
const tries = 3

// each tells every script, all at once; one that differs is told again, alone, when all the others are over.
func each(t *testing.T, k kind, check func(*testing.T, script, transcript) []string) {
	var mu sync.Mutex
	var doubtful []script
	t.Run(k.release, func(t *testing.T) {
		for _, s := range scripts {
			if s.only != "" && s.only != k.release {
				continue
			}
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				if different := check(t, s, told(t, k, s)); len(different) > 0 {
					t.Logf("try 1: %s", strings.Join(different, "\n"))
					mu.Lock()
					defer mu.Unlock()
					doubtful = append(doubtful, s)
				}
			})
		}
	})
	for _, s := range doubtful {
		t.Run(k.release+"/"+s.name+"/alone", func(t *testing.T) {
			different := check(t, s, told(t, k, s))
			for try := 2; try < tries && len(different) > 0; try++ {
				t.Logf("try %d: %s", try, strings.Join(different, "\n"))
				different = check(t, s, told(t, k, s))
			}
			for _, d := range different {
				t.Error(d)
			}
		})
	}
}

func told(t *testing.T, k kind, s script) transcript {
	x := &run{t: t, kind: k}
	s.tell(x)
	return x.seen
}
