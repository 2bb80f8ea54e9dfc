// Package health is the sidecar in PgCat's pod. It shares the pod's network namespace, and so it alone can tell
// which endpoint each of PgCat's connections belongs to: translation of a Service's address happens on the node.
// It also answers what PgCat does not: whether a query is served, over HTTP.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"pgcat-failover/steps/fault"
	"pgcat-failover/steps/health/endpoints"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/pooler/pgcat/config"
)

// Command is `failover health`.
func Command() *cli.Command {
	return &cli.Command{
		Name:  "health",
		Usage: "serve, in PgCat's pod, a health URL and PgCat's connections by endpoint",
		Description: `GET /health          200 if a query through PgCat is answered, else 503 and why
GET /health?shard=N  the same for one shard
GET /ready           200 if PgCat lets its admin in: no Postgres is needed, so that an outage of
                     the databases does not take the pooler out of its Service as well
GET /connections     how many connections PgCat has to each endpoint of pgcat.toml
GET /endpoints       those of the first pool, each connection named; with ?dial=1 it makes one new
                     connection to each endpoint as well, and says what it met
GET /config          the SHA-256 of pgcat.toml as the pod has it now, and whether it can be read

A pgcat.toml that cannot be read changes nothing: PgCat goes on with the one before it, and so do
these answers; only /config tells.

/health and /ready begin at most one login and one query a second together, however many ask.
A query on one shard is a client that pins it: with random_healthy, its success is what brings a
shard that failed back to clients that name none. Ask /health?shard=N only if you want that.

Example:
   failover health --config pgcat.toml --listen 127.0.0.1:8080`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "listen", Value: ":8080", Usage: "`address` to serve on"},
			&cli.StringFlag{Name: "config", Value: "/etc/pgcat/pgcat.toml", Usage: "PgCat's config `file`; it is read again at each request"},
		},
		Action: func(c *cli.Context) error {
			return Serve(c.Context, c.String("listen"), c.String("config"), options.Logger(c.App.Writer))
		},
	}
}

// Serve answers until ctx ends.
func Serve(ctx context.Context, listen, configFile string, logf func(string, ...any)) error {
	lis, err := net.Listen("tcp", listen)
	if err != nil {
		return fmt.Errorf("serve on %s: %w", listen, err)
	}
	srv := &http.Server{Handler: Handler(configFile), ReadHeaderTimeout: 5 * time.Second}
	stop := context.AfterFunc(ctx, func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		_ = srv.Shutdown(end)
	})
	defer stop()
	logf("serving on %s", lis.Addr())
	if err := srv.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve on %s: %w", listen, err)
	}
	return nil
}

// server answers from one config file.
type server struct {
	configFile string
	observer   observer
	answers    *asker // of /health
	readiness  *asker // of /ready
	mu         sync.Mutex
	good       *config.Config // the last one that could be read
}

// Handler answers GET /health, /ready, /connections, /endpoints and /config.
func Handler(configFile string) http.Handler {
	p := &pace{}
	s := &server{configFile: configFile, observer: newObserver(), answers: newAsker(p), readiness: newAsker(p)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /health", s.health)
	mux.HandleFunc("GET /ready", s.ready)
	mux.HandleFunc("GET /connections", s.connections)
	mux.HandleFunc("GET /endpoints", s.endpoints)
	mux.HandleFunc("GET /config", s.config)
	return mux
}

// read takes the config as it is now: the kubelet changes a mounted Secret under the pod. Where the file cannot be read
// it takes the last one that could, as PgCat does: a bad file must not take a pod that serves out of its Service.
func (s *server) read() (*config.Config, error) {
	_, cfg, err := s.file()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.good = cfg
	}
	if s.good != nil {
		return s.good, nil
	}
	return nil, err
}

func (s *server) file() (data []byte, cfg *config.Config, err error) {
	if data, err = os.ReadFile(s.configFile); err != nil {
		return nil, nil, fmt.Errorf("read PgCat's config: %w", err)
	}
	if cfg, err = config.Parse(data); err != nil {
		return data, nil, err
	}
	if len(cfg.Pools) == 0 {
		return data, nil, fmt.Errorf("read %s: it has no pool", s.configFile)
	}
	return data, cfg, nil
}

func (s *server) config(w http.ResponseWriter, _ *http.Request) {
	data, _, err := s.file()
	if data == nil && err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	f := endpoints.ConfigFile{SHA256: fault.Sum(data)}
	if err != nil {
		f.Error = "it cannot be read as a config" // without the parser's words: they may quote the file
	}
	answer(w, http.StatusOK, f)
}

func (s *server) endpoints(w http.ResponseWriter, r *http.Request) {
	cfg, err := s.read()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	list, err := s.observer.look(r.Context(), cfg.Pools[:1], r.URL.Query().Get("dial") == "1")
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	answer(w, http.StatusOK, list)
}

func (s *server) connections(w http.ResponseWriter, r *http.Request) {
	cfg, err := s.read()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	list, err := s.observer.look(r.Context(), cfg.Pools, false)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	out := make([]endpoints.Count, 0, len(list))
	for _, e := range list {
		out = append(out, endpoints.Count{Pool: e.Pool, Shard: e.Shard, Endpoint: e.Endpoint, Address: e.Address, Connections: len(e.Established)})
	}
	answer(w, http.StatusOK, out)
}

func (s *server) health(w http.ResponseWriter, r *http.Request) {
	cfg, err := s.read()
	if err != nil {
		tell(w, Answer{Status: Fail, Error: err.Error(), At: time.Now()})
		return
	}
	shard := anyShard
	if q := r.URL.Query(); q.Has("shard") {
		shard, err = strconv.Atoi(q.Get("shard"))
		if err != nil || shard < 0 || shard >= len(cfg.Pools[0].Shards) {
			http.Error(w, fmt.Sprintf("shard %q: pool %s has the shards 0 to %d", q.Get("shard"), cfg.Pools[0].Name, len(cfg.Pools[0].Shards)-1), http.StatusBadRequest)
			return
		}
	}
	tell(w, s.answers.ask(r.Context(), queryOf(cfg, shard)))
}

func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	cfg, err := s.read()
	if err != nil {
		tell(w, Answer{Status: Fail, Error: err.Error(), At: time.Now()})
		return
	}
	tell(w, s.readiness.ask(r.Context(), adminOf(cfg)))
}

func tell(w http.ResponseWriter, a Answer) {
	code := http.StatusOK
	if a.Status != OK {
		code = http.StatusServiceUnavailable
	}
	answer(w, code, a)
}

func answer(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(v) // the client's going away is the client's affair
}
