// Package history is the recorded truth of one run: what clients saw, what was done and when, what
// PgCat's own counters said. Everything that is judged is judged from a History and nothing else.
// It knows no Kubernetes, no SQL and no clock.
package history

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"pgcat-failover/steps/scenario"
)

// Format is the version of the encoding; a reader refuses one that it does not know.
const Format = 1

// Unpinned is the shard of an arm that names none.
const Unpinned = -1

// Outcome is how an operation ended for the client.
type Outcome string

// The outcomes. Failure observed is data: none of them ends a probe.
const (
	OK      Outcome = "ok"
	Refused Outcome = "refused" // PgCat answered with an error, and kept the connection as far as could be seen
	Closed  Outcome = "closed"  // the connection to PgCat ended under the operation
	Timeout Outcome = "timeout" // no answer within the probe's own deadline
	Connect Outcome = "connect" // no connection to PgCat could be had
)

// Arm is one client of the probe: what it does, again and again, over a connection that it holds.
type Arm struct {
	Name  string `json:"name"`
	Shard int    `json:"shard"` // the shard it pins with SET SHARD TO, or Unpinned
	Write bool   `json:"write"`
}

// Sample is one operation. Times are microseconds since History.Base, on the probe's clock.
type Sample struct {
	Arm      int     `json:"a"`
	Seq      int     `json:"q"`
	Intended int64   `json:"i"`           // when the rate wanted it to start
	Start    int64   `json:"s"`           // when it did
	End      int64   `json:"e"`           // when its outcome was known
	Outcome  Outcome `json:"o"`           //
	SQLSTATE string  `json:"c,omitempty"` // of the error, where there was one
	Text     int     `json:"t,omitempty"` // 1 + index into History.Texts; 0 for none
	Missed   int     `json:"m,omitempty"` // operations that the rate wanted and that this one displaced by being slow
	N        int     `json:"n,omitempty"` // successes that a thinned sample stands for; 0 means 1
	FirstEnd int64   `json:"f,omitempty"` // of a thinned sample: the end of the first of its successes
}

// Count is how many operations the sample stands for.
func (s Sample) Count() int { return max(1, s.N) }

func (s Sample) firstEnd() int64 {
	if s.N > 1 {
		return s.FirstEnd
	}
	return s.End
}

// MarkName names something that happened at a time.
type MarkName string

// The marks of a run, in order.
const (
	BaselineReady  MarkName = "baseline-ready"
	FaultRequested MarkName = "fault-requested"
	// ConfigMounted is made by edits only: PgCat's pod has the edited file, PgCat need not have read it yet.
	ConfigMounted    MarkName = "config-mounted"
	FaultEffective   MarkName = "fault-effective"
	RestoreRequested MarkName = "restore-requested"
	RestoreEffective MarkName = "restore-effective"
	// Aborted says that the fault could not be made effective, or was given up; the run tells nothing.
	Aborted MarkName = "aborted"
)

// Mark is something that happened: At on the clock of the step that did it, Seen on the clock of the
// probe that noticed it (zero if it never did).
type Mark struct {
	Name MarkName  `json:"name"`
	At   time.Time `json:"at"`
	Seen time.Time `json:"seen,omitzero"`
	Note string    `json:"note,omitempty"`
}

// early and late bound the moment of a mark by the two clocks that saw it.
func (m Mark) early() time.Time {
	if !m.Seen.IsZero() && m.Seen.Before(m.At) {
		return m.Seen
	}
	return m.At
}

func (m Mark) late() time.Time {
	if m.Seen.After(m.At) {
		return m.Seen
	}
	return m.At
}

// Scrape is what PgCat's exporter said at one time: series name with its shard, such as
// stats_total_query_count/0, to value.
type Scrape struct {
	At     time.Time          `json:"at"`
	Err    string             `json:"err,omitempty"`
	Values map[string]float64 `json:"values,omitempty"`
}

// Image is a container image as the cluster ran it.
type Image struct {
	Name   string `json:"name,omitempty"`
	Digest string `json:"digest,omitempty"`
}

// Shard is one shard of the pool under test and the endpoint that it leads to.
type Shard struct {
	Index    int    `json:"index"`
	Host     string `json:"host"`
	Endpoint string `json:"endpoint,omitempty"` // "" if it is none of ours
}

// ConfigFinding is what one lint rule said of the config under test.
type ConfigFinding struct {
	Rule     string `json:"rule"`
	Severity string `json:"severity"` // error, warning or info
	Line     int    `json:"line"`     // of pgcat.toml
	Message  string `json:"message"`
	Mend     string `json:"mend,omitempty"`
	Allowed  bool   `json:"allowed,omitempty"` // an error that was let pass
}

// Facts are what must be known of the parts to read the rest. They hold no secret.
type Facts struct {
	PgCatVersion    string  `json:"pgcatVersion,omitempty"` // as SHOW VERSION gives it
	PgCatImage      Image   `json:"pgcatImage"`
	PostgresVersion string  `json:"postgresVersion,omitempty"`
	PostgresImage   Image   `json:"postgresImage"`
	StandIn         bool    `json:"standIn,omitempty"` // the pooler is a test double, not PgCat
	Pool            string  `json:"pool,omitempty"`
	DefaultShard    string  `json:"defaultShard,omitempty"` // "" if the pool has none: PgCat then takes shard_0
	ConnectTimeout  string  `json:"connectTimeout,omitempty"`
	Shards          []Shard `json:"shards,omitempty"`
	Config          string  `json:"config,omitempty"` // pgcat.toml without its passwords
	// Findings are what the lint rules said of the config, in the order of the file; nil in runs from before there
	// were rules, empty if they had nothing to say.
	Findings []ConfigFinding `json:"findings"`
	// RestartsPostgres is true of a fault that ends the server itself, and with it every endpoint.
	RestartsPostgres bool `json:"restartsPostgres,omitempty"`
}

// History is one run.
type History struct {
	Format   int               `json:"format"`
	Run      string            `json:"run"`
	Scenario scenario.Scenario `json:"scenario"`
	Facts    Facts             `json:"facts"`
	Base     time.Time         `json:"base"`
	End      time.Time         `json:"end"` // when the probe stopped looking
	Arms     []Arm             `json:"arms"`
	Samples  []Sample          `json:"samples"` // by arm, then by time
	Texts    []string          `json:"texts,omitempty"`
	Marks    []Mark            `json:"marks"`
	Scrapes  []Scrape          `json:"scrapes,omitempty"`
}

// Mark finds a mark by name.
func (h *History) Mark(name MarkName) (Mark, bool) {
	i := slices.IndexFunc(h.Marks, func(m Mark) bool { return m.Name == name })
	if i < 0 {
		return Mark{}, false
	}
	return h.Marks[i], true
}

// Text is PgCat's text of a failed sample.
func (h *History) Text(s Sample) string {
	if s.Text == 0 || s.Text > len(h.Texts) {
		return ""
	}
	return h.Texts[s.Text-1]
}

// Time turns a sample's microseconds into a time.
func (h *History) Time(us int64) time.Time { return h.Base.Add(time.Duration(us) * time.Microsecond) }

// Encode writes the history, compressed.
func (h *History) Encode() ([]byte, error) {
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	if err := json.NewEncoder(zw).Encode(h); err != nil {
		return nil, fmt.Errorf("encode history: %w", err)
	}
	if err := zw.Close(); err != nil {
		return nil, fmt.Errorf("compress history: %w", err)
	}
	return buf.Bytes(), nil
}

// Decode reads what Encode wrote.
func Decode(data []byte) (*History, error) {
	zr, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, fmt.Errorf("decompress history: %w", err)
	}
	raw, err := io.ReadAll(zr)
	if err != nil {
		return nil, fmt.Errorf("decompress history: %w", err)
	}
	h := new(History)
	if err := json.Unmarshal(raw, h); err != nil {
		return nil, fmt.Errorf("decode history: %w", err)
	}
	if h.Format != Format {
		return nil, fmt.Errorf("decode history: it has format %d, this program reads %d; use the program that wrote it", h.Format, Format)
	}
	return h, nil
}
