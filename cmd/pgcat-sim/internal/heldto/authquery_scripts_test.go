package heldto

import (
	"os"
	"path/filepath"
	"strings"
)

// authQuery: a user whose password only Postgres knows, as an MD5 hash.
func authQuery(x *run) {
	own, dir := x.ownPostgres()
	x.allowMD5(own.Exec, dir)
	must(x, own.Exec("postgres", "set password_encryption = 'md5'; create role asker superuser login password 'asker'; create role story login password 'first'; create role scram login"))
	shard := x.endpoint(own.Address())
	start := func(user, more string) {
		x.conf = conf{shards: []string{shard}, general: "connect_timeout = 500", pool: "auth_query = \"select usename, passwd from pg_shadow where usename = '$1'\"\n" +
			"auth_query_user = \"asker\"\nauth_query_password = \"asker\""}
		x.pooler = launch(x.t, x.kind, func(port, metrics int) string {
			text := x.conf.text(port, metrics)
			return strings.Replace(text, "username = \"postgres\"\npassword = \"postgres\"", "username = \""+user+"\"\n"+more, 1)
		})
		x.pooler.ready(x.t)
	}
	story := names("user", "story", "database", "app")
	start("story", "")
	x.login("the right password", story, "first")
	c := x.login("again", story, "first")
	c.query("select current_user")
	x.login("a wrong password", story, "wrong")
	must(x, own.Exec("postgres", "set password_encryption = 'md5'; alter role story password 'second'"))
	x.login("the new password", story, "second")
	x.login("the old password", story, "first")
	x.shards[0].Down()
	x.login("Postgres is away", story, "second")
	must(x, x.shards[0].Restore())
	x.shards[0].Down()
	start("story", "")
	x.login("Postgres was never there", story, "second")
	must(x, x.shards[0].Restore())
	start("nobody", "")
	x.login("a user whom Postgres does not know", names("user", "nobody", "database", "app"), "x")
	start("scram", "")
	x.login("a user without a hash", names("user", "scram", "database", "app"), "x")
	start("story", "server_username = \"postgres\"\nserver_password = \"postgres\"")
	c = x.login("with another user on the server", story, "second")
	c.query("select current_user")
}

// allowMD5: a hash can stand in for a password only under the old method.
func (x *run) allowMD5(exec func(database, sql string) error, dir string) {
	path := filepath.Join(dir, "pg_hba.conf")
	rules, err := os.ReadFile(path)
	must(x, err)
	must(x, os.WriteFile(path, []byte(strings.ReplaceAll(string(rules), "scram-sha-256", "md5")), 0o600))
	must(x, exec("postgres", "select pg_reload_conf()"))
}
