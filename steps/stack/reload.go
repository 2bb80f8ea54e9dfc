package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/health/endpoints"
	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/pooler/pgcat"
	"pgcat-failover/steps/pooler/pgcat/config"
)

// refreshed is an annotation of PgCat's pods. The kubelet brings a changed Secret to a pod when it next looks at the
// pod, by default once a minute or so; a change of the pod itself makes it look at once
// (https://kubernetes.io/docs/tutorials/configuration/updating-configuration-via-a-configmap/).
const refreshed = "pgcat-failover/refreshed-at"

// Follow makes every pod have the Secret's pgcat.toml and PgCat go by it. Where that is so it changes nothing.
func (s *Stack) Follow(ctx context.Context, limit time.Duration) error {
	mounted, _, err := s.Mounted(ctx, fault.Sum(s.Raw))
	if err != nil {
		return err
	}
	if mounted {
		if runs, _, err := s.Runs(ctx, s.Config); err == nil && runs {
			return nil
		}
	} else if err := s.Refresh(ctx); err != nil {
		return err
	}
	err = kube.Until(ctx, "PgCat's pods to have the Secret's pgcat.toml", limit, func(ctx context.Context) (bool, string, error) {
		return s.Mounted(ctx, fault.Sum(s.Raw))
	})
	if err != nil {
		return err
	}
	if err := s.Reload(ctx); err != nil {
		return err
	}
	return kube.Until(ctx, "PgCat to go by the Secret's pgcat.toml", limit, func(ctx context.Context) (bool, string, error) {
		return s.Runs(ctx, s.Config)
	})
}

// Mounted tells whether every pod has the file with that sum.
func (s *Stack) Mounted(ctx context.Context, sum string) (ok bool, seen string, err error) {
	urls, _, err := s.Sidecars(ctx)
	if err != nil {
		return false, "", err
	}
	for _, url := range urls {
		f, err := endpoints.GetConfig(ctx, url)
		if err != nil {
			return false, err.Error(), nil
		}
		if f.SHA256 != sum {
			return false, "the kubelet has not brought it yet", nil
		}
	}
	return true, "", nil
}

// Refresh makes the kubelet look at PgCat's pods at once.
func (s *Stack) Refresh(ctx context.Context) error {
	body, err := json.Marshal(map[string]any{"metadata": map[string]any{"annotations": map[string]any{refreshed: time.Now().UTC().Format(time.RFC3339Nano)}}})
	if err != nil {
		return fmt.Errorf("annotate PgCat's pods: %w", err)
	}
	for i := range s.pods {
		_, err := s.Cluster.Client.CoreV1().Pods(s.Cluster.Namespace).Patch(ctx, s.pods[i].Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: kube.Manager})
		if err != nil {
			return fmt.Errorf("annotate pod %s: %w", s.pods[i].Name, err)
		}
	}
	return nil
}

// Reload tells PgCat in every pod to read its file. A file that it cannot read ends the admin's connection
// (src/admin.rs), which is an error here.
func (s *Stack) Reload(ctx context.Context) error {
	return s.admins(ctx, func(l pgcat.Login) error {
		if _, err := l.Ask(ctx, -1, "RELOAD"); err != nil {
			return fmt.Errorf("tell PgCat to reload: %w", err)
		}
		return nil
	})
}

// Runs tells whether PgCat in every pod goes by the config: its pools have these servers, users and sizes, and no others.
func (s *Stack) Runs(ctx context.Context, cfg *config.Config) (ok bool, seen string, err error) {
	want := Wanted(cfg)
	ok = true
	err = s.admins(ctx, func(l pgcat.Login) error {
		got, err := l.Databases(ctx)
		if err != nil {
			ok, seen = false, err.Error()
			return nil
		}
		if !slices.Equal(got, want) {
			ok, seen = false, "PgCat has "+describe(got)
		}
		return nil
	})
	return ok, seen, err
}

// Wanted is what SHOW DATABASES must say of a config, in order.
func Wanted(cfg *config.Config) []pgcat.Database {
	var out []pgcat.Database
	for _, p := range cfg.Pools {
		for i, u := range p.Users {
			// Of two users with one name PgCat keeps the last: its pools are by database and user (src/pool.rs).
			if slices.ContainsFunc(p.Users[i+1:], func(o config.User) bool { return o.Username == u.Username }) {
				continue
			}
			for _, sh := range p.Shards {
				for _, srv := range sh.Servers {
					out = append(out, pgcat.Database{Host: srv.Host, Port: srv.Port, User: u.Username, PoolSize: u.PoolSize})
				}
			}
		}
	}
	slices.SortFunc(out, pgcat.Database.Compare)
	return out
}

func describe(list []pgcat.Database) string {
	var out []string
	for _, d := range list {
		out = append(out, fmt.Sprintf("%s:%d (%s, pool_size %d)", d.Host, d.Port, d.User, d.PoolSize))
	}
	return strings.Join(out, ", ")
}

// admins calls f with an admin's login to each of PgCat's pods: a Service would lead to any one of them.
func (s *Stack) admins(ctx context.Context, f func(pgcat.Login) error) error {
	for i := range s.pods {
		addr, err := s.reachOnce(ctx, s.reached, &s.pods[i], pgcat.Port)
		if err != nil {
			return err
		}
		l := s.Admin()
		l.Addr = addr
		if err := f(l); err != nil {
			return err
		}
	}
	return nil
}
