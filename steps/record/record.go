// Package record is where a run is written down: one ConfigMap, named after the run, not owned by its
// workflow, so that it outlives it. Steps speak to each other through it and through nothing else.
package record

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"pgcat-failover/steps/history"
	"pgcat-failover/steps/kube"
)

// Label marks the ConfigMaps that are records; its value is the workflow, or the name given to `failover run`.
const Label = "pgcat-failover/run"

// Keep is how many records are kept; older ones are removed when a new one is begun.
const Keep = 50

const (
	markPrefix = "mark."
	historyKey = "history.json.gz"
	factsKey   = "facts.json"
	verdictKey = "verdict.json"
	reportKey  = "report.txt"
)

// Record is one run's ConfigMap.
type Record struct {
	Name    string
	cluster *kube.Cluster
}

// Open names a record; nothing is written yet.
func Open(c *kube.Cluster, name string) *Record { return &Record{Name: name, cluster: c} }

// Begin makes the record if it is not there yet, and prunes the oldest ones.
func (r *Record) Begin(ctx context.Context, run string) error {
	cm := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: r.Name, Labels: map[string]string{
		Label: run, "app.kubernetes.io/part-of": "pgcat-failover"}}}
	_, err := r.cluster.Client.CoreV1().ConfigMaps(r.cluster.Namespace).Create(ctx, cm, metav1.CreateOptions{FieldManager: kube.Manager})
	if apierrors.IsAlreadyExists(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("create record %s: %w", r.Name, err)
	}
	return r.prune(ctx)
}

func (r *Record) patch(ctx context.Context, body map[string]any) error {
	data, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write record %s: %w", r.Name, err)
	}
	_, err = r.cluster.Client.CoreV1().ConfigMaps(r.cluster.Namespace).Patch(ctx, r.Name, types.MergePatchType, data,
		metav1.PatchOptions{FieldManager: kube.Manager})
	if err != nil {
		return fmt.Errorf("write record %s: %w", r.Name, err)
	}
	return nil
}

func (r *Record) set(ctx context.Context, key string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("write record %s: %w", r.Name, err)
	}
	return r.patch(ctx, map[string]any{"data": map[string]string{key: string(data)}})
}

// Mark writes down that something happened.
func (r *Record) Mark(ctx context.Context, m history.Mark) error {
	return r.set(ctx, markPrefix+string(m.Name), m)
}

// Say logs that something happened and writes it down; without a record (nil) it only logs.
func (r *Record) Say(ctx context.Context, logf func(string, ...any), name history.MarkName, note string) error {
	if note != "" {
		logf("%s: %s", name, note)
	}
	if r == nil {
		return nil
	}
	return r.Mark(ctx, history.Mark{Name: name, At: time.Now(), Note: note})
}

// GiveUp writes down why a step failed, even if it is being ended, so that nobody waits for it and the verdict can tell;
// it gives the error back. No error, or no record (nil), is nothing to write.
func (r *Record) GiveUp(ctx context.Context, err error) error {
	if err == nil || r == nil {
		return err
	}
	m := history.Mark{Name: history.Aborted, At: time.Now(), Note: err.Error()}
	if markErr := r.Mark(context.WithoutCancel(ctx), m); markErr != nil {
		return fmt.Errorf("%w; and: %w", err, markErr)
	}
	return err
}

// SetFacts writes down what is known of the parts.
func (r *Record) SetFacts(ctx context.Context, f history.Facts) error { return r.set(ctx, factsKey, f) }

// Save writes the history, compressed. A ConfigMap holds 1 MiB; what is larger is thinned first.
func (r *Record) Save(ctx context.Context, h *history.History) error {
	data, err := h.Encode()
	if err != nil {
		return err
	}
	for interval := time.Second; len(data) > 700<<10 && interval < time.Hour; interval *= 4 {
		h.Thin(interval, 3*h.Scenario.Interval())
		if data, err = h.Encode(); err != nil {
			return err
		}
	}
	return r.patch(ctx, map[string]any{"binaryData": map[string][]byte{historyKey: data}})
}

// SaveVerdict writes what was judged, for programs and for people.
func (r *Record) SaveVerdict(ctx context.Context, verdict any, report string) error {
	data, err := json.Marshal(verdict)
	if err != nil {
		return fmt.Errorf("write record %s: %w", r.Name, err)
	}
	return r.patch(ctx, map[string]any{"data": map[string]string{verdictKey: string(data), reportKey: report}})
}

// State is what the record holds now.
type State struct {
	Run     string
	Marks   map[history.MarkName]history.Mark
	Facts   history.Facts
	Verdict []byte // JSON; nil until judged
	Report  string
	history []byte
	Created time.Time
}

// Read fetches the record.
func (r *Record) Read(ctx context.Context) (*State, error) {
	cm, err := r.cluster.Client.CoreV1().ConfigMaps(r.cluster.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read record %s in %s: %w", r.Name, r.cluster.Namespace, err)
	}
	return parse(cm)
}

func parse(cm *corev1.ConfigMap) (*State, error) {
	s := &State{Run: cm.Labels[Label], Marks: map[history.MarkName]history.Mark{}, Report: cm.Data[reportKey],
		history: cm.BinaryData[historyKey], Created: cm.CreationTimestamp.Time}
	for k, v := range cm.Data {
		name, ok := strings.CutPrefix(k, markPrefix)
		if !ok {
			continue
		}
		var m history.Mark
		if err := json.Unmarshal([]byte(v), &m); err != nil {
			return nil, fmt.Errorf("read mark %s of record %s: %w", name, cm.Name, err)
		}
		s.Marks[m.Name] = m
	}
	if v, ok := cm.Data[verdictKey]; ok {
		s.Verdict = []byte(v)
	}
	if v, ok := cm.Data[factsKey]; ok {
		if err := json.Unmarshal([]byte(v), &s.Facts); err != nil {
			return nil, fmt.Errorf("read facts of record %s: %w", cm.Name, err)
		}
	}
	return s, nil
}

// History is the run with the marks and facts that the other steps wrote beside it; nil if the probe wrote none.
func (s *State) History() (*history.History, error) {
	if s.history == nil {
		return nil, nil
	}
	h, err := history.Decode(s.history)
	if err != nil {
		return nil, err
	}
	restarts := h.Facts.RestartsPostgres // the one fact that the probe knows and deploy does not
	h.Facts = s.Facts
	h.Facts.RestartsPostgres = restarts
	for i, m := range h.Marks {
		if w, ok := s.Marks[m.Name]; ok {
			w.Seen = m.Seen
			h.Marks[i] = w
		}
	}
	for name, m := range s.Marks {
		if _, ok := h.Mark(name); !ok {
			h.Marks = append(h.Marks, m)
		}
	}
	return h, nil
}

// Await waits until the record holds the mark. It ends early when the run was given up.
func (r *Record) Await(ctx context.Context, name history.MarkName, limit time.Duration) (history.Mark, error) {
	var m history.Mark
	err := kube.Until(ctx, "mark "+string(name)+" in record "+r.Name, limit, func(ctx context.Context) (bool, string, error) {
		s, err := r.Read(ctx)
		if err != nil {
			return false, err.Error(), nil
		}
		if a, ok := s.Marks[history.Aborted]; ok {
			return false, "", fmt.Errorf("the run was given up: %s", a.Note)
		}
		var ok bool
		m, ok = s.Marks[name]
		return ok, fmt.Sprintf("%d other marks", len(s.Marks)), nil
	})
	return m, err
}

// List reads the records of one run, or all of them if run is empty; newest last.
func List(ctx context.Context, c *kube.Cluster, run string) (map[string]*State, error) {
	sel := Label
	if run != "" {
		sel += "=" + run
	}
	list, err := c.Client.CoreV1().ConfigMaps(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: sel})
	if err != nil {
		return nil, fmt.Errorf("list records in %s: %w", c.Namespace, err)
	}
	out := map[string]*State{}
	for i := range list.Items {
		s, err := parse(&list.Items[i])
		if err != nil {
			return nil, err
		}
		out[list.Items[i].Name] = s
	}
	return out, nil
}

func (r *Record) prune(ctx context.Context) error {
	api := r.cluster.Client.CoreV1().ConfigMaps(r.cluster.Namespace)
	list, err := api.List(ctx, metav1.ListOptions{LabelSelector: Label})
	if err != nil {
		return fmt.Errorf("list records in %s: %w", r.cluster.Namespace, err)
	}
	for _, name := range oldest(list.Items, len(list.Items)-Keep) {
		if err := api.Delete(ctx, name, metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("prune record %s: %w", name, err)
		}
	}
	return nil
}
