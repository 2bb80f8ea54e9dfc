package probe

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/pgtest"
	"pgcat-failover/steps/pooler/pgcat"
)

func startPostgres(t *testing.T) *pgtest.Postgres {
	t.Helper()
	pg, err := pgtest.Start()
	if errors.Is(err, pgtest.ErrNoPostgres) {
		t.Skip("skipped: ", err)
	}
	require.NoError(t, err)
	t.Cleanup(pg.Stop)
	return pg
}

func login(pg *pgtest.Postgres) pgcat.Login {
	return pgcat.Login{Addr: pg.Address(), Database: "postgres", User: pgtest.User, Password: pgtest.Password}
}

func newArm(t *testing.T, pg *pgtest.Postgres, spec history.Arm) *arm {
	t.Helper()
	return &arm{Arm: spec, run: "r", login: login(pg),
		interval: 10 * time.Millisecond, log: newLog(time.Now(), 1)}
}

func TestAnArmRecordsWhatHappensAndComesBack(t *testing.T) {
	pg := startPostgres(t)
	login := login(pg)
	write := newArm(t, pg, history.Arm{Name: "unpinned write", Shard: history.Unpinned, Write: true})
	once := func() outcome { return write.once(t.Context(), time.Now()) }

	o := once()
	assert.Equal(t, history.Refused, o.Outcome, "the table is not there: an answer, and no end of the connection")
	assert.Equal(t, "42P01", o.sample.SQLSTATE)
	assert.Contains(t, o.text, "does not exist")

	_, err := login.Ask(t.Context(), -1, "CREATE SCHEMA pgcat_failover; CREATE TABLE "+Table+" (run text, arm text, seq bigint)")
	require.NoError(t, err)
	assert.Equal(t, history.OK, once().Outcome)
	rows, err := login.Ask(t.Context(), -1, "SELECT count(*) FROM "+Table+" WHERE run = 'r' AND arm = 'unpinned write'")
	require.NoError(t, err)
	assert.Equal(t, "1", rows, "what was acknowledged is there")

	_, err = login.Ask(t.Context(), -1, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgcat-failover' AND pid <> pg_backend_pid()")
	require.NoError(t, err)
	o = once()
	assert.Equal(t, "57P01", o.sample.SQLSTATE, "ended by an administrator, and said so")
	assert.Equal(t, history.OK, once().Outcome, "a new connection was made")

	pg.Kill()
	first, second := once(), once()
	assert.NotEqual(t, history.OK, first.Outcome)
	assert.Equal(t, history.Connect, second.Outcome)
	assert.Contains(t, second.text, "refused")
	assert.NotContains(t, second.text, pg.Address(), "no addresses: the same failure must have the same text")

	require.NoError(t, pg.Up())
	assert.Equal(t, history.OK, once().Outcome)
}

func TestAnArmThatStepsAsideDoesNothing(t *testing.T) {
	pg := startPostgres(t)
	a := newArm(t, pg, history.Arm{Name: "shard 0 read", Shard: history.Unpinned})
	asked := make(chan struct{}, 100)
	a.aside = func() bool { asked <- struct{}{}; return true }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { a.loop(ctx, time.Now()); close(done) }()
	for range 3 {
		<-asked
	}
	cancel()
	for running := true; running; {
		select {
		case <-asked:
		case <-done:
			running = false
		}
	}
	assert.Empty(t, a.log.samples)
}

func TestHealthySince(t *testing.T) {
	base := time.Now()
	arms := []history.Arm{{Name: "a"}, {Name: "b"}}
	l := newLog(base, 2)
	add := func(arm int, at time.Duration, o history.Outcome) {
		l.add(arm, outcome{Outcome: o, end: base.Add(at), text: map[bool]string{true: "", false: "AllServersDown"}[o == history.OK]})
	}
	_, why := l.healthySince(arms)
	assert.Equal(t, "a has no answer yet", why)
	add(0, time.Second, history.OK)
	add(1, time.Second, history.Refused)
	_, why = l.healthySince(arms)
	assert.Equal(t, "b: AllServersDown", why)
	add(1, 2*time.Second, history.OK)
	since, why := l.healthySince(arms)
	assert.Empty(t, why)
	assert.Equal(t, base.Add(time.Second), since, "since the last failure of anybody, not since the first success")
}

func TestArmsArePairsOfReadersAndWriters(t *testing.T) {
	arms := Arms([]history.Shard{{Index: 0}, {Index: 1}, {Index: 2}})
	require.Len(t, arms, 8)
	names := map[string]bool{}
	for i, a := range arms {
		assert.Equal(t, i%2 == 1, a.Write, a.Name)
		assert.False(t, names[a.Name], a.Name)
		names[a.Name] = true
	}
}
