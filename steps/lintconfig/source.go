package lintconfig

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"pgcat-failover/steps/kube"
	"pgcat-failover/steps/options"
	"pgcat-failover/steps/pooler/pgcat/lint"
	"pgcat-failover/steps/stack"
)

// key is where the Secret keeps PgCat's config.
const key = "pgcat.toml"

// source is a pgcat.toml and where it stands in what it came from.
type source struct {
	name         string
	toml         []byte
	line, column int                      // what to add to a place in toml
	put          func(toml []byte) []byte // the whole file with another toml in it; nil if that cannot be
}

func open(ctx context.Context, cfg *Config, deps Deps) (source, error) {
	if cfg.Secret != "" {
		return fromCluster(ctx, deps.Cluster, cfg)
	}
	data, err := readFile(cfg.File, deps.In)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return source{}, options.Usage(fmt.Errorf("read the config: %w", err))
	case err != nil:
		return source{}, fmt.Errorf("read the config: %w", err)
	}
	if ext := filepath.Ext(cfg.File); ext == ".yaml" || ext == ".yml" {
		src, err := fromManifest(data)
		src.name = cfg.File
		return src, options.Usage(err)
	}
	return source{name: cfg.File, toml: data, put: func(toml []byte) []byte { return toml }}, nil
}

func readFile(path string, in io.Reader) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(in)
	}
	return os.ReadFile(path)
}

// fromManifest finds the first Secret with a pgcat.toml in a stream of YAML documents.
func fromManifest(data []byte) (source, error) {
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		err := dec.Decode(&doc)
		if errors.Is(err, io.EOF) {
			return source{}, fmt.Errorf("read the config: no Secret with a key %s is in this manifest", key)
		}
		if err != nil {
			return source{}, fmt.Errorf("read the config: %w", err)
		}
		if kind := at(&doc, "kind"); kind == nil || kind.Value != "Secret" {
			continue
		}
		if n := at(&doc, "stringData", key); n != nil {
			return fromBlock(data, n), nil
		}
		if n := at(&doc, "data", key); n != nil {
			toml, err := base64.StdEncoding.DecodeString(n.Value)
			if err != nil {
				return source{}, fmt.Errorf("read the config: data.%s: %w", key, err)
			}
			return source{toml: toml}, nil
		}
	}
}

func at(n *yaml.Node, path ...string) *yaml.Node {
	if n.Kind == yaml.DocumentNode && len(n.Content) > 0 {
		n = n.Content[0]
	}
	for _, name := range path {
		var next *yaml.Node
		for i := 0; n.Kind == yaml.MappingNode && i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == name {
				next = n.Content[i+1]
			}
		}
		if next == nil {
			return nil
		}
		n = next
	}
	return n
}

// fromBlock is a literal block: its lines stand one below the other, indented, so that places can be told and lines
// be put back.
func fromBlock(data []byte, n *yaml.Node) source {
	src := source{toml: []byte(n.Value)}
	if n.Style&yaml.LiteralStyle == 0 {
		return src
	}
	file, block := strings.SplitAfter(string(data), "\n"), strings.SplitAfter(n.Value, "\n")
	if block[len(block)-1] == "" {
		block = block[:len(block)-1]
	}
	from := n.Line // the block begins on the line after its mark
	first := slices.IndexFunc(block, func(l string) bool { return strings.TrimSpace(l) != "" })
	if first < 0 || from+len(block) > len(file) {
		return src
	}
	src.line, src.column = from, strings.Index(file[from+first], strings.TrimRight(block[first], "\n"))
	indent := file[from+first][:max(0, src.column)]
	src.put = func(toml []byte) []byte {
		var out strings.Builder
		out.WriteString(strings.Join(file[:from], ""))
		for l := range strings.Lines(string(toml)) {
			if strings.TrimSpace(l) != "" {
				l = indent + l
			}
			out.WriteString(l)
		}
		out.WriteString(strings.Join(file[from+len(block):], ""))
		return []byte(out.String())
	}
	return src
}

// fromCluster reads the Secret, and of the Deployment that mounts it what the rules want to know and no flag says.
func fromCluster(ctx context.Context, cluster *kube.Cluster, cfg *Config) (source, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	name := cluster.Namespace + "/" + cfg.Secret
	secret, err := cluster.Client.CoreV1().Secrets(cluster.Namespace).Get(ctx, cfg.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return source{}, options.Usage(fmt.Errorf("read Secret %s: it is not there", name))
	}
	if err != nil {
		return source{}, fmt.Errorf("read Secret %s: %w", name, err)
	}
	toml, ok := secret.Data[key]
	if !ok {
		return source{}, options.Usage(fmt.Errorf("read Secret %s: it has no key %s", name, key))
	}
	pods, err := mounting(ctx, cluster)
	if err != nil {
		return source{}, fmt.Errorf("find the Deployment that mounts Secret %s: %w", name, err)
	}
	for _, p := range pods {
		Learn(&cfg.Lint, p, cfg.Secret)
	}
	return source{name: "secret/" + cfg.Secret, toml: toml}, nil
}

// mounting lists the pods of the namespace's Deployments. Who may not list them may still read PgCat's: the steps'
// accounts are bound to names.
func mounting(ctx context.Context, cluster *kube.Cluster) ([]corev1.PodSpec, error) {
	api := cluster.Client.AppsV1().Deployments(cluster.Namespace)
	list, err := api.List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		d, err := api.Get(ctx, stack.Deployment, metav1.GetOptions{})
		if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		return []corev1.PodSpec{d.Spec.Template.Spec}, nil
	}
	if err != nil {
		return nil, err
	}
	var out []corev1.PodSpec
	for _, d := range list.Items {
		out = append(out, d.Spec.Template.Spec)
	}
	return out, nil
}

// Learn takes from a pod that mounts the Secret what the options do not say yet.
func Learn(opt *lint.Options, pod corev1.PodSpec, secret string) {
	i := slices.IndexFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == secret })
	if i < 0 {
		return
	}
	if opt.Grace == 0 && pod.TerminationGracePeriodSeconds != nil {
		opt.Grace = time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second
	}
	for _, c := range pod.Containers {
		m := slices.IndexFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == pod.Volumes[i].Name })
		if m < 0 || !strings.Contains(c.Image, "pgcat") || strings.Contains(c.Image, "failover") {
			continue
		}
		if opt.Mount == lint.Unknown {
			opt.Mount = lint.Folder
			if c.VolumeMounts[m].SubPath != "" || c.VolumeMounts[m].SubPathExpr != "" {
				opt.Mount = lint.SubPath
			}
		}
		if opt.Release == lint.Either && strings.HasSuffix(c.Image, ":v1.2.0") {
			opt.Release = lint.V120
		}
	}
}
