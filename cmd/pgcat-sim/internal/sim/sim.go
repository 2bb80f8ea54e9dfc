// Package sim puts the stand-in together: what starts in which order, what reloads, what ends it
// (rules 1 to 4, 57 to 60).
package sim

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"pgcat-failover/cmd/pgcat-sim/internal/admin"
	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/cmd/pgcat-sim/internal/serve"
)

// PgCat's exit codes.
const (
	ExitConfig = 78  // anything wrong with the configuration, or with what it names at the start
	ExitPanic  = 101 // a configuration that PgCat accepts and dies of
)

// Signals are what the outside asks of a running stand-in.
type Signals struct {
	Reload    <-chan os.Signal // SIGHUP
	Drain     <-chan os.Signal // SIGINT
	Terminate <-chan os.Signal // SIGTERM
}

// Sim is one running stand-in.
type Sim struct {
	release  release.Release
	path     string
	conf     atomic.Pointer[config.Config]
	registry *observe.Registry
	pools    *pool.Pools
	pooler   *serve.Pooler
	drain    chan struct{}
	reloads  sync.Mutex
}

// Run serves until a signal ends it and gives the exit code.
func Run(ctx context.Context, rel release.Release, path string, signals Signals) int {
	s := &Sim{release: rel, path: path, registry: observe.NewRegistry(), drain: make(chan struct{}, 1)}
	s.pools = pool.NewPools(rel, s.registry)
	slog.Info(fmt.Sprintf("Welcome to PgCat! Meow. (Version %s)", rel.Number()))
	slog.Warn("this is pgcat-sim, a stand-in for PgCat, not PgCat: " + rel.Banner())
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	listener, err := s.start(ctx)
	if err != nil {
		slog.Error(err.Error())
		if errors.Is(err, config.ErrPanics) {
			return ExitPanic
		}
		return ExitConfig
	}
	defer listener.Close()
	go func() { _ = s.pooler.Serve(listener) }()
	slog.Info("Waiting for clients")
	s.wait(ctx, signals)
	slog.Info("Shutting down...")
	return 0
}

// start keeps upstream's order: exporter, port, pools, and only then clients. Until the pools are
// built the kernel takes connections that nobody answers (rule 2).
func (s *Sim) start(ctx context.Context) (net.Listener, error) {
	c, err := config.Load(s.path)
	if err != nil {
		return nil, fmt.Errorf("Config parse error: %w", err) //nolint:staticcheck // PgCat's words
	}
	s.conf.Store(c)
	if c.General.Exporter {
		if err := s.export(c); err != nil {
			return nil, err
		}
	}
	address := net.JoinHostPort(c.General.Host, strconv.Itoa(int(c.General.Port)))
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("Listener socket error: %w", err) //nolint:staticcheck // PgCat's words
	}
	slog.Info("Running on " + address)
	if err := c.Dies(); err != nil {
		listener.Close()
		return nil, err
	}
	if err := s.pools.Build(c); err != nil {
		listener.Close()
		return nil, fmt.Errorf("Pool error: %w", err) //nolint:staticcheck // PgCat's words
	}
	go s.registry.Average(ctx)
	if every := c.General.Autoreload; every != nil && *every > 0 {
		go s.autoreload(ctx, time.Duration(*every)*time.Millisecond)
	}
	s.pooler = s.newPooler()
	return listener, nil
}

func (s *Sim) newPooler() *serve.Pooler {
	p := &serve.Pooler{
		Release: s.release, Config: s.conf.Load, Pools: s.pools, Registry: s.registry,
		Console: &admin.Console{
			Release: s.release, Config: s.conf.Load, Pools: s.pools, Registry: s.registry,
			Reload: s.reload,
			Shutdown: func() {
				select {
				case s.drain <- struct{}{}:
				default:
				}
			},
		},
	}
	p.Init()
	return p
}

// export starts the exporter. An address that cannot be one ends the start; a port that is taken
// does not (upstream prometheus.rs logs it and goes on without).
func (s *Sim) export(c *config.Config) error {
	address, err := c.General.ExporterAddress()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		slog.Error("Failed to bind prometheus server to HTTP address: " + err.Error())
		return nil
	}
	slog.Info("Exposing prometheus metrics on http://" + address + "/metrics.")
	go func() {
		_ = (&http.Server{Handler: http.HandlerFunc(s.metrics), ReadHeaderTimeout: time.Minute}).Serve(listener)
	}()
	return nil
}

// metrics is GET /metrics; all else is 404, a health check, too (rule 51).
func (s *Sim) metrics(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/metrics" {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("content-type", "text/plain; version=0.0.4")
	_, _ = w.Write([]byte(s.registry.Metrics(s.release, s.pools.Views())))
}

// reload re-reads the file. The new configuration is in force before the pools are built, so after
// a build that failed the next reload sees no change: upstream's trap (facts, section 5).
func (s *Sim) reload() error {
	s.reloads.Lock()
	defer s.reloads.Unlock()
	next, err := config.Load(s.path)
	if err != nil {
		slog.Error("Config reload error: " + err.Error())
		return err
	}
	old := s.conf.Swap(next)
	if old.Equal(next) {
		return nil
	}
	slog.Info("Config changed, reloading")
	return s.pools.Build(next)
}

// autoreload looks at the file again and again, at once the first time. It opens the path each
// time, so a Secret's symlinks are followed; errors it keeps to itself.
func (s *Sim) autoreload(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		_ = s.reload()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (s *Sim) wait(ctx context.Context, signals Signals) {
	var drained <-chan struct{}
	var timeout <-chan time.Time
	drain := func() {
		if drained == nil {
			drained = s.pooler.Shutdown()
			timeout = time.After(time.Duration(s.conf.Load().General.ShutdownTimeout) * time.Millisecond)
		}
	}
	for {
		select {
		case <-signals.Reload:
			slog.Info("Reloading config")
			go func() { _ = s.reload() }()
		case <-signals.Drain:
			slog.Info("Got SIGINT")
			drain()
		case <-s.drain:
			drain()
		case <-signals.Terminate:
			slog.Info(fmt.Sprintf("Got SIGTERM, closing with %d clients active", s.pooler.Count()))
			return
		case <-drained:
			return
		case <-timeout:
			slog.Error(fmt.Sprintf("Graceful shutdown timed out. %d active clients being closed", s.pooler.Count()))
			return
		case <-ctx.Done():
			return
		}
	}
}
