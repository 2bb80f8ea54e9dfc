//go:build differential

package lint_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"pgcat-failover/steps/pgtest"
	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/pooler/pgcat/lint"
)

// serve runs PgCat with a file whose two shards are a Postgres that is up and one that is away, until the test ends.
func serve(t *testing.T, release lint.Release, f file) pgcat.Login {
	t.Helper()
	bin, err := exec.LookPath(real[release])
	if err != nil {
		t.Skipf("skipped: no %s on PATH", real[release])
	}
	at := port(t)
	path := filepath.Join(t.TempDir(), "pgcat.toml")
	require.NoError(t, os.WriteFile(path, []byte(strings.ReplaceAll(f.String(), "6432", at)), 0o600))
	cmd := exec.Command(bin, path)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	admin := pgcat.Login{Addr: "127.0.0.1:" + at, Database: "pgcat", User: "root", Password: "s3cret-a"}
	require.Eventually(t, func() bool { _, err := admin.Ask(t.Context(), -2, "SHOW VERSION"); return err == nil }, 10*time.Second, 50*time.Millisecond)
	return pgcat.Login{Addr: admin.Addr, Database: "app", User: "postgres", Password: pgtest.Password}
}

// What the traps say of clients is what clients meet.
func TestRealPgCatTrapsClientsAsTheRulesSay(t *testing.T) {
	pg, err := pgtest.Start()
	if errors.Is(err, pgtest.ErrNoPostgres) {
		t.Skip("skipped: ", err)
	}
	require.NoError(t, err)
	t.Cleanup(pg.Stop)
	one := fmt.Sprintf("[pools.app.shards.0]\nservers = [[\"127.0.0.1\", %d, \"primary\"]]\ndatabase = \"postgres\"\n", pg.Port)
	second := strings.Replace(one, "shards.0", "shards.1", 1)
	away := "[pools.app.shards.0]\nservers = [[\"127.0.0.3\", 1, \"primary\"]]\ndatabase = \"postgres\"\n"
	users := "[pools.app.users.0]\nusername = \"postgres\"\npassword = \"%s\"\npool_size = 2\n"
	const down, quick = "AllServersDown", "connect_timeout = 500"
	for _, tc := range []struct {
		rule    string
		in      file
		as      func(pgcat.Login) pgcat.Login
		wantErr string
		only    lint.Release
		within  time.Duration
	}{
		{rule: "default-shard-missing", in: file{balancing: "#", general: quick, shards: away + second}, wantErr: down},
		{rule: "default-shard-fixed", in: file{balancing: firstShard, general: quick, shards: away + second}, wantErr: down},
		{rule: "random-healthy-no-rejoin", in: file{general: quick, shards: away + second}}, // it fails over
		{rule: "splitting-without-replica", in: file{pool: "query_parser_enabled = true\nquery_parser_read_write_splitting = true", shards: one}, wantErr: down, within: 400 * time.Millisecond},
		{rule: "role-without-replica", in: file{pool: `default_role = "replica"`, shards: one}, wantErr: down, only: lint.Head, within: 400 * time.Millisecond},
		{rule: "pool-not-the-database", in: file{shards: one}, as: func(l pgcat.Login) pgcat.Login { l.Database = "postgres"; return l }, wantErr: "No pool configured for database"},
		{rule: "pool-without-users", in: file{users: "[pools.app.users]", shards: one}, wantErr: "No pool configured"},
		{rule: "user-twice", in: file{users: fmt.Sprintf(users, pgtest.Password) + fmt.Sprintf(strings.Replace(users, "users.0", "users.1", 1), "other"), shards: one}, wantErr: "password authentication failed"},
		{rule: "placeholder", in: file{users: fmt.Sprintf(users, "${HOME}"), shards: one}, as: func(l pgcat.Login) pgcat.Login { l.Password = os.Getenv("HOME"); return l }, wantErr: "password authentication failed"},
		{rule: "trust", in: file{users: fmt.Sprintf(users, pgtest.Password) + "auth_type = \"trust\"\n", shards: one}, as: func(l pgcat.Login) pgcat.Login { l.Password = ""; return l }, only: lint.Head},
		{rule: "pool-named-as-admin", in: file{shards: one, more: strings.ReplaceAll(fmt.Sprintf(users, pgtest.Password)+one, "pools.app", "pools.pgbouncer")},
			as: func(l pgcat.Login) pgcat.Login { l.Database = "pgbouncer"; return l }, wantErr: "password authentication failed"},
	} {
		for release := range real {
			if tc.only != lint.Either && tc.only != release {
				continue
			}
			t.Run(fmt.Sprintf("%s/%s", release, tc.rule), func(t *testing.T) {
				if tc.in.users == "" {
					tc.in.users = fmt.Sprintf(users, pgtest.Password)
				}
				assert.Contains(t, rulesOf(lint.Lint([]byte(tc.in.String()), lint.Options{Release: release}), lint.Info), tc.rule)
				login := serve(t, release, tc.in)
				if tc.as != nil {
					login = tc.as(login)
				}
				if tc.within > 0 { // the login of a pool that nobody used connects to its servers first
					_, _ = login.Ask(t.Context(), -1, "SELECT 1")
				}
				began := time.Now()
				_, err := login.Ask(t.Context(), -1, "SELECT 1")
				if tc.wantErr == "" {
					require.NoError(t, err)
					return
				}
				require.ErrorContains(t, err, tc.wantErr)
				if tc.within > 0 {
					assert.Less(t, time.Since(began), tc.within, "at once")
				}
			})
		}
	}
}
