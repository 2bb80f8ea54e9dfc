package renderconfig

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Config is what a pgcat.toml is made of, without credentials. As YAML it is a file of values, with these names.
type Config struct {
	Endpoints        []string        `json:"endpoints"` // host:port, one shard each, the first preferred by nobody
	Database         string          `json:"database"`
	Pool             string          `json:"pool"` // as clients name it; the database's name if empty
	Port             int             `json:"port"`
	MetricsPort      int             `json:"metricsPort"`
	PoolMode         string          `json:"poolMode"`
	PoolSize         int             `json:"poolSize"`
	MinPoolSize      int             `json:"minPoolSize"`
	DefaultShard     string          `json:"defaultShard"`
	AdminUsername    string          `json:"adminUsername"`
	ConnectTimeout   metav1.Duration `json:"connectTimeout"`
	HealthcheckDelay metav1.Duration `json:"healthcheckDelay"`
	IdleTimeout      metav1.Duration `json:"idleTimeout"`
	ServerLifetime   metav1.Duration `json:"serverLifetime"`
	StatementTimeout metav1.Duration `json:"statementTimeout"`
	ShutdownTimeout  metav1.Duration `json:"shutdownTimeout"`
	Autoreload       metav1.Duration `json:"autoreload"`
}

// Defaults are for endpoints that come and go: short waits, connections that do not live long enough to hide an
// endpoint that is gone.
func Defaults() Config {
	d := func(d time.Duration) metav1.Duration { return metav1.Duration{Duration: d} }
	return Config{
		Port: 6432, MetricsPort: 9930, PoolMode: "transaction", PoolSize: 25, MinPoolSize: 5, DefaultShard: "random_healthy",
		AdminUsername: "pgcat_admin", ConnectTimeout: d(3 * time.Second), HealthcheckDelay: d(5 * time.Second),
		IdleTimeout: d(30 * time.Second), ServerLifetime: d(5 * time.Minute), StatementTimeout: d(30 * time.Second),
		ShutdownTimeout: d(20 * time.Second), Autoreload: d(15 * time.Second),
	}
}

// Values lays a file of values over a config. A name that it does not have is an error, not a key to ignore.
func (c Config) Values(file string) (Config, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return c, fmt.Errorf("read the values: %w", err)
	}
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return c, fmt.Errorf("read the values of %s: %w", file, err)
	}
	return c, nil
}

// endpoint is where a shard's server listens.
type endpoint struct {
	Host string
	Port int
}

func (c Config) endpoints() ([]endpoint, error) {
	var out []endpoint
	for _, text := range c.Endpoints {
		host, port, err := net.SplitHostPort(text)
		if err != nil && !strings.Contains(text, ":") {
			host, port, err = text, "5432", nil
		}
		n, bad := strconv.ParseUint(port, 10, 16)
		if err != nil || bad != nil || n == 0 || host == "" || strings.ContainsAny(host, " \t\r\n/") {
			return nil, fmt.Errorf("endpoint %q: want host:port, such as postgres-primary.argo.svc.cluster.local:5432", text)
		}
		out = append(out, endpoint{host, int(n)})
	}
	if len(out) == 0 {
		return nil, errors.New("want at least one endpoint")
	}
	return out, nil
}

// Credentials are what a config holds of secrets.
type Credentials struct {
	Username, Password string // of clients and of Postgres: PgCat uses them for both
	AdminPassword      string
}
