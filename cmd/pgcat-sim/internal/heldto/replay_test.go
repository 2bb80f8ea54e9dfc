package heldto

import "testing"

// TestStandIn replays all scripts against the stand-in and compares with what the real PgCat of the
// same release showed.
func TestStandIn(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a Postgres and some 80 poolers; left out with -short")
	}
	for _, release := range []string{"v1.2.0", "head"} {
		each(t, standIn(release), func(t *testing.T, s script, got transcript) {
			compare(t, readRecording(t, release, s.name), got)
		})
	}
}

func each(t *testing.T, k kind, check func(*testing.T, script, transcript)) {
	for _, s := range scripts {
		if s.only != "" && s.only != k.release {
			continue
		}
		t.Run(k.release+"/"+s.name, func(t *testing.T) {
			t.Parallel()
			x := &run{t: t, kind: k}
			s.tell(x)
			check(t, s, x.seen)
		})
	}
}
