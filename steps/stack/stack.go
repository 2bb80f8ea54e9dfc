// Package stack is PgCat and the test Postgres as they stand in the cluster: where they answer, what their
// config says, which versions run.
package stack

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/pooler/pgcat/config"
	"pgcat-failover/steps/scenario"
)

// Secret holds pgcat.toml and the credentials.
const Secret = fault.ConfigSecret

// Deployment is PgCat's, and the value of the label app on its pods.
const Deployment = "pgcat"

// PgCatPods selects PgCat's pods.
var PgCatPods = labels.Set{"app": Deployment}

// Stack is what was found.
type Stack struct {
	Cluster  *kube.Cluster
	Config   *config.Config
	Raw      []byte // pgcat.toml as it is, with its passwords: never print it
	Pool     config.Pool
	User     config.User
	Shards   []history.Shard
	pods     []corev1.Pod
	clients  string
	metrics  string
	reached  map[string]string // admin addresses by pod, once they were wanted
	sidecars map[string]string // and the sidecars'
}

// ReadConfig reads and parses the Secret, and picks the pool under test: the first one.
func ReadConfig(ctx context.Context, c *kube.Cluster) (*Stack, error) {
	data, err := c.Secret(ctx, Secret)
	if err != nil {
		return nil, err
	}
	s := &Stack{Cluster: c, Raw: data[fault.ConfigKey], reached: map[string]string{}, sidecars: map[string]string{}}
	if s.Config, err = config.Parse(s.Raw); err != nil {
		return nil, fmt.Errorf("read pgcat.toml of Secret %s: %w", Secret, err)
	}
	if len(s.Config.Pools) == 0 {
		return nil, fmt.Errorf("read pgcat.toml of Secret %s: it has no pool; PgCat exits on that", Secret)
	}
	s.Pool = s.Config.Pools[0]
	if len(s.Pool.Users) == 0 {
		return nil, fmt.Errorf("read pgcat.toml of Secret %s: pool %s has no user", Secret, s.Pool.Name)
	}
	s.User = s.Pool.Users[0]
	s.Shards = shards(s.Pool)
	return s, nil
}

// shards tells which endpoint each shard leads to, by the name of its host.
func shards(p config.Pool) []history.Shard {
	out := make([]history.Shard, 0, len(p.Shards))
	for _, sh := range p.Shards {
		h := history.Shard{Index: sh.Index}
		if len(sh.Servers) > 0 {
			h.Host = sh.Servers[0].Host
			name, _, _ := strings.Cut(h.Host, ".")
			if i := slices.IndexFunc(scenario.Endpoints, func(e string) bool { return scenario.ServiceOf(e) == name }); i >= 0 {
				h.Endpoint = scenario.Endpoints[i]
			}
		}
		out = append(out, h)
	}
	return out
}

// ShardOf finds the shard that leads to an endpoint.
func (s *Stack) ShardOf(endpoint string) (history.Shard, error) {
	for _, sh := range s.Shards {
		if sh.Endpoint == endpoint {
			return sh, nil
		}
	}
	return history.Shard{}, fmt.Errorf("look for endpoint %s in pgcat.toml: no shard of pool %s has the host %s; breaking it would prove nothing",
		endpoint, s.Pool.Name, scenario.ServiceOf(endpoint))
}

// Open finds the running PgCat and makes its ports reachable for as long as ctx lives.
func Open(ctx context.Context, c *kube.Cluster) (*Stack, error) {
	s, err := ReadConfig(ctx, c)
	if err != nil {
		return nil, err
	}
	if s.pods, err = c.ReadyPods(ctx, PgCatPods); err != nil {
		return nil, err
	}
	if s.clients, err = s.reach(ctx, pgcat.Port); err != nil {
		return nil, err
	}
	if s.metrics, err = s.reach(ctx, pgcat.MetricsPort); err != nil {
		return nil, err
	}
	return s, nil
}

// reach goes through the Service inside the cluster, as clients do, and to the first pod outside of it.
func (s *Stack) reach(ctx context.Context, port int) (string, error) {
	if s.Cluster.Inside {
		return fmt.Sprintf("%s.%s.svc:%d", Deployment, s.Cluster.Namespace, port), nil
	}
	return s.Cluster.Reach(ctx, &s.pods[0], port)
}

// reachOnce keeps the address: out of the cluster each one is a port-forward.
func (s *Stack) reachOnce(ctx context.Context, known map[string]string, p *corev1.Pod, port int) (string, error) {
	if addr, ok := known[p.Name]; ok {
		return addr, nil
	}
	addr, err := s.Cluster.Reach(ctx, p, port)
	if err == nil {
		known[p.Name] = addr
	}
	return addr, err
}

// Login is a client's login to the pool under test.
func (s *Stack) Login() pgcat.Login {
	return pgcat.Login{Addr: s.clients, Database: s.Pool.Name, User: s.User.Username, Password: s.User.Password}
}

// Admin is a login to PgCat's admin database.
func (s *Stack) Admin() pgcat.Login {
	return pgcat.Login{Addr: s.clients, Database: "pgcat", User: s.Config.General.AdminUsername, Password: s.Config.General.AdminPassword}
}

// Metrics is the base URL of the exporter.
func (s *Stack) Metrics() string { return "http://" + s.metrics }

// Sidecars are the base URLs of the sidecars, one for each of PgCat's pods, and the addresses from which
// those pods' connections reach Postgres.
func (s *Stack) Sidecars(ctx context.Context) (urls, podIPs []string, err error) {
	for i := range s.pods {
		p := &s.pods[i]
		if !slices.ContainsFunc(p.Spec.Containers, func(c corev1.Container) bool { return c.Name == "health" }) {
			return nil, nil, fmt.Errorf("look for the sidecar in pod %s: it has none, so PgCat's connections cannot be told apart by endpoint; run `failover deploy`", p.Name)
		}
		addr, err := s.reachOnce(ctx, s.sidecars, p, pgcat.HealthPort)
		if err != nil {
			return nil, nil, err
		}
		urls = append(urls, "http://"+addr)
		podIPs = append(podIPs, p.Status.PodIP)
	}
	return urls, podIPs, nil
}

// Postgres is a login past PgCat, straight to the server's pod.
func (s *Stack) Postgres(ctx context.Context) (pgcat.Login, error) {
	pods, err := s.Cluster.ReadyPods(ctx, fault.PostgresPods)
	if err != nil {
		return pgcat.Login{}, err
	}
	addr, err := s.Cluster.Reach(ctx, &pods[0], 5432)
	if err != nil {
		return pgcat.Login{}, err
	}
	db := "postgres"
	if len(s.Pool.Shards) > 0 {
		db = s.Pool.Shards[0].Database
	}
	return pgcat.Login{Addr: addr, Database: db, User: s.User.Username, Password: s.User.Password}, nil
}

// Prove runs a query through PgCat on every shard, retried within the limit: PgCat may still be connecting.
func (s *Stack) Prove(ctx context.Context, limit time.Duration) error {
	for _, sh := range s.Shards {
		what := fmt.Sprintf("shard %d (%s) to answer a query through PgCat", sh.Index, sh.Host)
		err := kube.Until(ctx, what, limit, func(ctx context.Context) (bool, string, error) {
			_, err := s.Login().Ask(ctx, sh.Index, "SELECT 1")
			if err != nil {
				return false, err.Error(), nil
			}
			return true, "", nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Facts gathers what a report must say of the parts.
func (s *Stack) Facts(ctx context.Context) (history.Facts, error) {
	f := history.Facts{
		Pool: s.Pool.Name, DefaultShard: s.Pool.DefaultShard, Shards: s.Shards,
		ConnectTimeout: fmt.Sprintf("%dms", s.Config.General.ConnectTimeout),
		Config:         string(config.Redact(s.Raw)),
		PgCatImage:     image(&s.pods[0], "pgcat"),
	}
	var err error
	if f.PgCatVersion, err = ask(ctx, s.Admin(), "PgCat for its version", "SHOW VERSION"); err != nil {
		return f, err
	}
	f.StandIn = strings.Contains(f.PgCatVersion, "stand-in")
	pods, err := s.Cluster.ReadyPods(ctx, fault.PostgresPods)
	if err != nil {
		return f, err
	}
	f.PostgresImage = image(&pods[0], "postgres")
	f.PostgresVersion, err = ask(ctx, s.Login(), "Postgres for its version", "SHOW server_version")
	return f, err
}

// ask asks again for a while: right after a rollout the node may still lead a Service to a pod that is gone.
func ask(ctx context.Context, l pgcat.Login, what, sql string) (string, error) {
	var answer string
	err := kube.Until(ctx, "asking "+what, 15*time.Second, func(ctx context.Context) (bool, string, error) {
		var err error
		if answer, err = l.Ask(ctx, -1, sql); err != nil {
			return false, err.Error(), nil
		}
		return true, "", nil
	})
	return answer, err
}

func image(p *corev1.Pod, container string) history.Image {
	for _, st := range p.Status.ContainerStatuses {
		if st.Name == container {
			digest := st.ImageID
			if _, d, ok := strings.Cut(digest, "@"); ok {
				digest = d
			}
			return history.Image{Name: st.Image, Digest: digest}
		}
	}
	return history.Image{}
}
