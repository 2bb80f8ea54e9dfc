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

// Get asks the sidecar at base (http://host:8080); with dial it makes one new connection to each endpoint first.
func Get(ctx context.Context, base string, dial bool) ([]Endpoint, error) {
	url := base + "/endpoints"
	if dial {
		url += "?dial=1"
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("ask the sidecar: %w", err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask the sidecar: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	var list []Endpoint
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("ask the sidecar at %s: it answered %s", url, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(&list); err != nil {
		return nil, fmt.Errorf("read the sidecar's answer: %w", err)
	}
	return list, nil
}
