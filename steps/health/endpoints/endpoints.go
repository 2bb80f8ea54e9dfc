// Package endpoints is what the sidecar tells of PgCat's connections, and how to ask it.
package endpoints

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// What a fresh dial from the pooler's place in the network met.
const (
	DialOK         = "ok"
	DialRefused    = "refused"
	DialTimeout    = "timeout"
	DialUnresolved = "unresolved"
	DialOther      = "other"
)

// Endpoint is one server of one shard, as the pooler's pod sees it.
type Endpoint struct {
	Endpoint    string    `json:"endpoint"` // host:port of pgcat.toml
	Pool        string    `json:"pool"`
	Shard       int       `json:"shard"`
	Address     string    `json:"address,omitempty"` // what the host resolves to now
	Established []Conn    `json:"established"`
	Dial        string    `json:"dial,omitempty"` // only if a dial was asked for
	DialError   string    `json:"dialError,omitempty"`
	At          time.Time `json:"at"`
}

// Conn is one established connection from the pod to the endpoint's address.
type Conn struct {
	LocalPort int `json:"localPort"`
}

// Count is how many connections the pooler has to one server of one shard: an entry of GET /connections.
type Count struct {
	Pool        string `json:"pool"`
	Shard       int    `json:"shard"`
	Endpoint    string `json:"endpoint"`
	Address     string `json:"address,omitempty"` // what the host resolves to now
	Connections int    `json:"connections"`
}

// ConfigFile is the pgcat.toml that PgCat's pod has now: what the kubelet has brought there, whether PgCat took it
// or not.
type ConfigFile struct {
	SHA256 string `json:"sha256"`
	Error  string `json:"error,omitempty"` // why it cannot be read as a config
}

// Get asks the sidecar at base (http://host:8080); with dial it makes one new connection to each endpoint first.
func Get(ctx context.Context, base string, dial bool) ([]Endpoint, error) {
	url := base + "/endpoints"
	if dial {
		url += "?dial=1"
	}
	var list []Endpoint
	err := get(ctx, url, &list)
	return list, err
}

// GetConfig asks the sidecar at base which config file the pod has.
func GetConfig(ctx context.Context, base string) (ConfigFile, error) {
	var f ConfigFile
	err := get(ctx, base+"/config", &f)
	return f, err
}

func get(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("ask the sidecar: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("ask the sidecar: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return fmt.Errorf("ask the sidecar at %s: it answered %s; it is older than this program, run `failover deploy`", url, resp.Status)
	default:
		return fmt.Errorf("ask the sidecar at %s: it answered %s", url, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(into); err != nil {
		return fmt.Errorf("read the sidecar's answer: %w", err)
	}
	return nil
}
