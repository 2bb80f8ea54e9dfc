// Package components builds the cluster's programs from their pinned Go
// modules, once, into a cache outside the repository.
package components

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"pgcat-failover/cmd/lab/internal/place"
	"pgcat-failover/cmd/lab/internal/progress"
)

// recipe is part of every cache key: raise it when the way of building changes
// in a manner that the component folders do not show.
const recipe = "2"

// A program of a component: what it is called in the cache, and the package
// that it is built from.
type program struct{ name, pkg string }

// component is one module under cmd/lab/components.
type component struct {
	name     string
	module   string // the upstream module whose version names the programs
	programs []program
	flags    func(version string) string                     // link flags that carry the version
	prepare  func(ctx context.Context, b *build) error       // mends what the module lacks
	finish   func(ctx context.Context, b *build) (err error) // makes what is not a program
	links    []string                                        // programs that the user wants too
}

// table lists everything that is built, longest first.
var table = []component{
	{
		name:   "kubernetes",
		module: "k8s.io/kubernetes",
		programs: []program{
			{"kube-apiserver", "k8s.io/kubernetes/cmd/kube-apiserver"},
			{"kube-controller-manager", "k8s.io/kubernetes/cmd/kube-controller-manager"},
			{"kube-scheduler", "k8s.io/kubernetes/cmd/kube-scheduler"},
			{"kubelet", "k8s.io/kubernetes/cmd/kubelet"},
			{"kube-proxy", "k8s.io/kubernetes/cmd/kube-proxy"},
			{"kubectl", "k8s.io/kubernetes/cmd/kubectl"},
		},
		flags: kubernetesFlags,
		links: []string{"kubectl"},
	},
	{
		name:   "argo",
		module: argoModule,
		programs: []program{
			{"workflow-controller", argoModule + "/cmd/workflow-controller"},
			{"argoexec", argoModule + "/cmd/argoexec"},
			{"argo", argoModule + "/cmd/argo"},
		},
		flags:   argoFlags,
		prepare: mendArgo,
		finish:  renderArgo,
		links:   []string{"argo"},
	},
	{
		name:     "coredns",
		module:   "github.com/coredns/coredns",
		programs: []program{{"coredns", "."}},
	},
	{
		name:     "etcd",
		module:   "go.etcd.io/etcd/server/v3",
		programs: []program{{"etcd", "go.etcd.io/etcd/server/v3"}},
	},
	{
		name:     "pause",
		programs: []program{{"pause", "."}},
	},
}

// Set says where each built program lies.
type Set struct{ dirs map[string]string }

// Program returns the path of "component/program", or an error that lists what
// there is.
func (s Set) Program(ref string) (string, error) {
	name, prog, ok := strings.Cut(ref, "/")
	dir, known := s.dirs[name]
	if !ok || !known {
		return "", fmt.Errorf("find the program %q: want component/program with one of %s", ref, strings.Join(Names(), ", "))
	}
	return filepath.Join(dir, prog), nil
}

// ArgoManifests is the rendered installation of Argo.
func (s Set) ArgoManifests() string { return filepath.Join(s.dirs["argo"], argoManifests) }

// Names lists the components in the order in which they are built.
func Names() []string {
	var names []string
	for _, c := range table {
		names = append(names, c.name)
	}
	return names
}

// Build builds what the cache does not hold yet and returns where everything
// is.
func Build(ctx context.Context, lab place.Lab, repo string, say *progress.Printer) (Set, error) {
	goVersion, err := goVersion(ctx)
	if err != nil {
		return Set{}, err
	}
	set := Set{dirs: map[string]string{}}
	total, at := countPrograms(), 0
	for _, c := range table {
		b := &build{component: c, source: filepath.Join(repo, "cmd/lab/components", c.name), say: say, total: total, first: at}
		at += len(c.programs)
		key, err := Key(b.source, goVersion)
		if err != nil {
			return Set{}, err
		}
		b.dir = filepath.Join(lab.Cache, "components", c.name+"-"+key[:12])
		if err := b.run(ctx); err != nil {
			return Set{}, err
		}
		set.dirs[c.name] = b.dir
		if err := link(lab.Bin(), b.dir, c.links); err != nil {
			return Set{}, err
		}
	}
	return set, nil
}

func countPrograms() (n int) {
	for _, c := range table {
		n += len(c.programs)
	}
	return n
}

// build is the making of one component.
type build struct {
	component
	source    string // the folder in the repository
	dir       string // where the result goes
	partial   string // where it grows; renamed to dir when whole
	moduleDir string // where go build runs: source, or a mended copy of it
	version   string
	say       *progress.Printer
	first     int // programs of the components before this one
	total     int
}

func (b *build) run(ctx context.Context) error {
	if _, err := os.Stat(b.dir); err == nil {
		return nil
	}
	b.partial = b.dir + ".partial"
	b.moduleDir = b.source
	if err := os.MkdirAll(b.partial, 0o755); err != nil {
		return fmt.Errorf("make the cache of %s: %w", b.name, err)
	}
	if err := b.findVersion(ctx); err != nil {
		return err
	}
	if b.prepare != nil {
		if err := b.prepare(ctx, b); err != nil {
			return fmt.Errorf("prepare the build of %s: %w", b.name, err)
		}
	}
	for i, p := range b.programs {
		title := fmt.Sprintf("[%d/%d] build %s %s", b.first+i+1, b.total, p.name, b.version)
		if err := b.say.Step(title, func() error { return b.compile(ctx, p) }); err != nil {
			return err
		}
	}
	if b.finish != nil {
		if err := b.finish(ctx, b); err != nil {
			return fmt.Errorf("finish the build of %s: %w", b.name, err)
		}
	}
	if err := os.Rename(b.partial, b.dir); err != nil {
		return fmt.Errorf("put %s into the cache: %w", b.name, err)
	}
	return nil
}

func (b *build) compile(ctx context.Context, p program) error {
	flags := "-s -w"
	if b.flags != nil {
		flags += " " + b.flags(b.version)
	}
	_, err := b.goTool(ctx, "build", "-trimpath", "-ldflags", flags, "-o", filepath.Join(b.partial, p.name), p.pkg)
	if err != nil {
		return fmt.Errorf("build %s: %w; is the Go module proxy reachable?", p.name, err)
	}
	return nil
}

// findVersion reads the pin from the component's go.mod, the only place where
// it stands.
func (b *build) findVersion(ctx context.Context) error {
	if b.module == "" {
		return nil
	}
	out, err := b.goTool(ctx, "list", "-m", "-f", "{{.Version}}", b.module)
	if err != nil {
		return fmt.Errorf("read the version of %s: %w", b.module, err)
	}
	b.version = out
	return nil
}

// goTool runs go in the component's module and returns what it printed.
func (b *build) goTool(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = b.moduleDir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local", "GOWORK=off", "GOFLAGS=-buildvcs=false")
	return output(cmd)
}

// output runs a command and puts the end of what it complained into the error.
func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, tail(stderr.String(), 8))
	}
	return strings.TrimSpace(stdout.String()), nil
}

func tail(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "\n")
}

func goVersion(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	cmd.Env = append(os.Environ(), "GOTOOLCHAIN=local")
	version, err := output(cmd)
	if err != nil {
		return "", fmt.Errorf("ask go for its version: %w; install Go from https://go.dev/dl and put it on PATH", err)
	}
	return version, nil
}

// Key is the cache key of a component: it changes with any file of its folder,
// with the Go version and with the recipe.
func Key(folder, goVersion string) (string, error) {
	hash := sha256.New()
	fmt.Fprintln(hash, recipe, goVersion)
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return hashFile(hash, folder, path)
	})
	if err != nil {
		return "", fmt.Errorf("hash the component folder %s: %w", folder, err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func hashFile(hash io.Writer, folder, path string) error {
	rel, err := filepath.Rel(folder, path)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	fmt.Fprintf(hash, "%s %d\n", rel, len(content))
	_, err = hash.Write(content)
	return err
}

// link puts the programs that the user wants too into one bin directory.
func link(bin, dir string, names []string) error {
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return fmt.Errorf("make the bin directory: %w", err)
	}
	for _, name := range names {
		fresh := filepath.Join(bin, "."+name)
		if err := os.RemoveAll(fresh); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		if err := os.Symlink(filepath.Join(dir, name), fresh); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
		// A rename replaces the old link in one go, also while it is in use.
		if err := os.Rename(fresh, filepath.Join(bin, name)); err != nil {
			return fmt.Errorf("link %s: %w", name, err)
		}
	}
	return nil
}

func kubernetesFlags(version string) string {
	return versionFlags("k8s.io/component-base/version", version) + " " +
		versionFlags("k8s.io/client-go/pkg/version", version)
}

// versionFlags sets what Kubernetes programs say of themselves; without it the
// node calls itself v0.0.0-master+$Format.
func versionFlags(pkg, version string) string {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 3 {
		return ""
	}
	set := func(name, value string) string { return fmt.Sprintf("-X %s.%s=%s", pkg, name, value) }
	return strings.Join([]string{
		set("gitVersion", version), set("gitMajor", parts[0]), set("gitMinor", parts[1]), set("gitTreeState", "clean"),
		set("gitCommit", "unknown"), set("buildDate", "1970-01-01T00:00:00Z"),
	}, " ")
}

// SetAt is a Set whose programs all lie beneath one directory, whether they are
// built or not: for tests, and for what only needs their names.
func SetAt(root string) Set {
	set := Set{dirs: map[string]string{}}
	for _, name := range Names() {
		set.dirs[name] = filepath.Join(root, name)
	}
	return set
}
