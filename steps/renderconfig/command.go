// Package renderconfig is the step that writes a PgCat config: complete, commented, and one that the linter and PgCat
// take.
package renderconfig

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/urfave/cli/v2"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pgcat-failover/steps/options"
)

// Command is `failover render-config`.
func Command() *cli.Command {
	d := Defaults()
	return &cli.Command{
		Name:  "render-config",
		Usage: "write a pgcat.toml, or the Secret that holds it, for your endpoints",
		Description: `One shard for each endpoint, in this order. Credentials come from files or from a Secret of the
cluster, never from arguments, which anybody on the machine can read. Without --admin-password-file
the admin gets the password that the Secret's pgcat.toml has, or else a random one.
Below, user and password are files of one line each.

Example:
   failover render-config --endpoint db-a.example.com:5432 --endpoint db-b.example.com:5432 \
      --database app --username-file user --password-file password --output secret > secret.yaml
   failover render-config --values values.yaml --from-secret argo-pgcat-config --output secret

values.yaml has the flags' names in another spelling: {endpoints: [a:5432, b:5432], database: app, poolSize: 10}`,
		Flags: append([]cli.Flag{
			&cli.StringSliceFlag{Name: "endpoint", Aliases: []string{"e"}, Usage: "`host:port` of the database; may be given again"},
			&cli.StringFlag{Name: "database", Aliases: []string{"d"}, Usage: "`name` of the database at the endpoints"},
			&cli.StringFlag{Name: "pool", Usage: "`name` that clients give as their database (default: the database's)"},
			&cli.StringFlag{Name: "username-file", Usage: "`file` with the user's name"},
			&cli.StringFlag{Name: "password-file", Usage: "`file` with the user's password"},
			&cli.StringFlag{Name: "admin-password-file", Usage: "`file` with the admin's password"},
			&cli.StringFlag{Name: "from-secret", Usage: "`name` of a Secret of the cluster with the keys username and password, instead of files"},
			&cli.StringFlag{Name: "values", Usage: "YAML `file` of values; flags go over it"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "toml", Usage: "`what` to write: toml or secret"},
			&cli.StringFlag{Name: "out", Usage: "`file` to write, for its owner only (default: standard output)"},
			&cli.StringFlag{Name: "name", Value: "argo-pgcat-config", Usage: "`name` of the Secret to write"},
			&cli.StringFlag{Name: "admin-username", Usage: "`name` of PgCat's admin (default: " + d.AdminUsername + ")"},
			&cli.StringFlag{Name: "pool-mode", Usage: "transaction or session (default: " + d.PoolMode + ")"},
			&cli.StringFlag{Name: "default-shard", Usage: "who serves clients that name no shard (default: " + d.DefaultShard + ")"},
			number("port", d.Port, "PgCat's port"),
			number("metrics-port", d.MetricsPort, "the exporter's port"),
			number("pool-size", d.PoolSize, "most connections to each endpoint"),
			number("min-pool-size", d.MinPoolSize, "idle connections kept to each endpoint; 0 is none"),
			span("connect-timeout", d.ConnectTimeout, "the wait of a checkout, for each endpoint tried"),
			span("healthcheck-delay", d.HealthcheckDelay, "test connections that were idle longer"),
			span("idle-timeout", d.IdleTimeout, "close connections that were idle longer"),
			span("server-lifetime", d.ServerLifetime, "close connections that are older"),
			span("statement-timeout", d.StatementTimeout, "the longest query; 0s is no limit"),
			span("shutdown-timeout", d.ShutdownTimeout, "how long PgCat waits for clients when it stops; below the pod's grace period"),
			span("autoreload", d.Autoreload, "how often PgCat reads its file again; 0s is never"),
		}, options.Cluster()...),
		Action: action,
	}
}

func number(name string, byDefault int, usage string) cli.Flag {
	return &cli.IntFlag{Name: name, Usage: usage, DefaultText: strconv.Itoa(byDefault)}
}

func span(name string, byDefault metav1.Duration, usage string) cli.Flag {
	return &cli.DurationFlag{Name: name, Usage: usage, DefaultText: byDefault.Duration.String()}
}

func action(c *cli.Context) error {
	cfg, err := configure(c)
	if err != nil {
		return options.Usage(err)
	}
	from := Source{UsernameFile: c.String("username-file"), PasswordFile: c.String("password-file"),
		AdminPasswordFile: c.String("admin-password-file"), Secret: c.String("from-secret")}
	to := Target{Manifest: c.String("output") == "secret", Name: c.String("name"), Namespace: c.String("namespace"), File: c.String("out")}
	if err := checkFlags(c, from); err != nil {
		return options.Usage(err)
	}
	deps := Deps{Out: c.App.Writer, Err: c.App.ErrWriter}
	if deps.Err == nil {
		deps.Err = os.Stderr
	}
	if from.Secret != "" {
		if deps.Cluster, err = options.Connect(c); err != nil {
			return err
		}
	}
	return Run(c.Context, cfg, from, to, deps)
}

func checkFlags(c *cli.Context, from Source) error {
	if c.Args().Present() {
		return fmt.Errorf("unexpected %q: credentials and endpoints come by flags", c.Args().First())
	}
	if o := c.String("output"); o != "toml" && o != "secret" {
		return fmt.Errorf("--output %q: want toml or secret", o)
	}
	files := from.UsernameFile != "" && from.PasswordFile != ""
	if files == (from.Secret != "") {
		return errors.New("want --username-file and --password-file, or --from-secret")
	}
	for _, flag := range []string{"name", "namespace", "from-secret"} {
		if err := options.CheckName(flag, c.String(flag)); err != nil {
			return err
		}
	}
	return nil
}

// configure lays values over the defaults, and flags over the values.
func configure(c *cli.Context) (Config, error) {
	cfg := Defaults()
	if file := c.String("values"); file != "" {
		var err error
		if cfg, err = cfg.Values(file); err != nil {
			return cfg, err
		}
	}
	if c.IsSet("endpoint") {
		cfg.Endpoints = c.StringSlice("endpoint")
	}
	for name, to := range map[string]*string{"database": &cfg.Database, "pool": &cfg.Pool, "admin-username": &cfg.AdminUsername,
		"pool-mode": &cfg.PoolMode, "default-shard": &cfg.DefaultShard} {
		if c.IsSet(name) {
			*to = c.String(name)
		}
	}
	for name, to := range map[string]*int{"port": &cfg.Port, "metrics-port": &cfg.MetricsPort, "pool-size": &cfg.PoolSize, "min-pool-size": &cfg.MinPoolSize} {
		if c.IsSet(name) {
			*to = c.Int(name)
		}
	}
	for name, to := range map[string]*metav1.Duration{"connect-timeout": &cfg.ConnectTimeout, "healthcheck-delay": &cfg.HealthcheckDelay,
		"idle-timeout": &cfg.IdleTimeout, "server-lifetime": &cfg.ServerLifetime, "statement-timeout": &cfg.StatementTimeout,
		"shutdown-timeout": &cfg.ShutdownTimeout, "autoreload": &cfg.Autoreload} {
		if c.IsSet(name) {
			to.Duration = c.Duration(name)
		}
	}
	if cfg.Database == "" {
		return cfg, errors.New("want --database")
	}
	for _, d := range []time.Duration{cfg.StatementTimeout.Duration, cfg.Autoreload.Duration} {
		if d < 0 {
			return cfg, errors.New("a time is below 0")
		}
	}
	return cfg, nil
}
