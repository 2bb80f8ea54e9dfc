package image

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"pgcat-failover/cmd/lab/internal/archive"
	"pgcat-failover/cmd/lab/internal/components"
	"pgcat-failover/cmd/lab/internal/debian"
	"pgcat-failover/cmd/lab/internal/pgcat"
	"pgcat-failover/cmd/lab/internal/progress"
)

// recipe is part of every cache key: raise it when images are made differently.
const recipe = "1"

// ErrTooLarge is returned for an image above its own limit.
var ErrTooLarge = errors.New("image is too large")

// Built is a finished image.
type Built struct {
	Folder string `json:"folder"`
	Name   string `json:"name"`
	Digest string `json:"digest"`
	Size   int64  `json:"size"` // compressed, as a registry counts it
	Tar    string `json:"-"`    // an OCI layout that "docker load" reads too
	Fresh  bool   `json:"-"`    // it was not in the cache
}

// Builder makes images. Its fields are where their parts come from.
type Builder struct {
	Repo  string
	Cache string // images and root file systems that are made already
	Suite string // the Debian release of root file systems
	Set   components.Set
	PgCat pgcat.Found
	Say   *progress.Printer
}

// Build makes one image, or finds it in the cache.
func (b *Builder) Build(ctx context.Context, spec Spec, all []Spec) (Built, error) {
	if spec.WantsPgCat() && b.PgCat.Image != nil {
		return b.adopt(spec)
	}
	if spec.WantsPgCat() {
		spec.Env = slices.Concat(spec.Env, b.PgCat.Env)
	}
	sources, err := b.sources(ctx, spec)
	if err != nil {
		return Built{}, fmt.Errorf("build the image %s: %w", spec.Folder, err)
	}
	root := rootOf(spec, all)
	key, err := b.key(spec, root, sources)
	if err != nil {
		return Built{}, fmt.Errorf("build the image %s: %w", spec.Folder, err)
	}
	return b.cached(spec, key, func() (v1.Image, error) { return b.assemble(ctx, spec, root, sources) })
}

// adopt takes a finished image under the name that manifests use.
func (b *Builder) adopt(spec Spec) (Built, error) {
	digest, err := b.PgCat.Image.Digest()
	if err != nil {
		return Built{}, fmt.Errorf("adopt the image %s: %w", b.PgCat.Path, err)
	}
	return b.cached(spec, digest.Hex, func() (v1.Image, error) { return b.PgCat.Image, nil })
}

// cached returns the image with this key from the cache, or makes it.
func (b *Builder) cached(spec Spec, key string, assemble func() (v1.Image, error)) (Built, error) {
	dir := filepath.Join(b.Cache, "images")
	path := filepath.Join(dir, spec.Folder+"-"+key[:12]+".tar")
	facts := strings.TrimSuffix(path, ".tar") + ".json"
	if built, err := readBuilt(facts); err == nil {
		built.Tar = path
		return built, nil
	}
	built := Built{Folder: spec.Folder, Name: spec.Name, Tar: path, Fresh: true}
	err := b.Say.Step("build image "+spec.Folder, func() error {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
		img, err := assemble()
		if err != nil {
			return err
		}
		if err := built.write(img, facts, spec.MaxCompressedMB); err != nil {
			return err
		}
		return prune(dir, spec.Folder)
	})
	if err != nil {
		return Built{}, fmt.Errorf("build the image %s: %w", spec.Folder, err)
	}
	return built, nil
}

// kept is how many versions of an image the cache holds: enough to go back and
// forth between two clones and two PgCats without building.
const kept = 4

// prune removes the oldest versions of an image from the cache.
func prune(dir, folder string) error {
	// The key has no dash, which tells "pgcat-1a2b" from "pgcat-sim-1a2b".
	files, err := filepath.Glob(filepath.Join(dir, folder+"-*.json"))
	if err != nil {
		return err
	}
	times := map[string]time.Time{}
	for _, file := range files {
		if info, err := os.Stat(file); err == nil && !strings.Contains(strings.TrimPrefix(filepath.Base(file), folder+"-"), "-") {
			times[file] = info.ModTime()
		}
	}
	newest := slices.SortedFunc(maps.Keys(times), func(a, b string) int { return times[b].Compare(times[a]) })
	for _, file := range newest[min(kept, len(newest)):] {
		if err := errors.Join(os.Remove(file), os.Remove(strings.TrimSuffix(file, ".json")+".tar")); err != nil {
			return fmt.Errorf("prune the cache: %w", err)
		}
	}
	return nil
}

func readBuilt(facts string) (Built, error) {
	var built Built
	content, err := os.ReadFile(facts)
	if err != nil {
		return built, err
	}
	return built, json.Unmarshal(content, &built)
}

// write puts the image into the cache; the facts come last and make it count.
func (b *Built) write(img v1.Image, facts string, limitMB int) error {
	digest, err := img.Digest()
	if err != nil {
		return err
	}
	b.Digest = digest.String()
	if b.Size, err = compressedSize(img); err != nil {
		return err
	}
	if limit := int64(limitMB) << 20; limit > 0 && b.Size > limit {
		return fmt.Errorf("%w: %.1f MB compressed, limit %d MB", ErrTooLarge, float64(b.Size)/(1<<20), limitMB)
	}
	if err := archive.Write(b.Tar, b.Name, img); err != nil {
		return err
	}
	content, err := json.Marshal(b)
	if err != nil {
		return err
	}
	return os.WriteFile(facts, content, 0o644)
}

func compressedSize(img v1.Image) (int64, error) {
	layers, err := img.Layers()
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, layer := range layers {
		size, err := layer.Size()
		if err != nil {
			return 0, err
		}
		sum += size
	}
	return sum, nil
}

// rootOf finds whose Debian root file system an image stands on: its own, its
// base's, or nobody's.
func rootOf(spec Spec, all []Spec) *debian.Rootfs {
	for _, other := range all {
		if spec.Base == other.Folder {
			return other.Debian
		}
	}
	return spec.Debian
}

// sources finds the file of each binary on this machine, and makes those that
// are built from this repository.
func (b *Builder) sources(ctx context.Context, spec Spec) (map[string]string, error) {
	found := map[string]string{}
	for _, binary := range spec.Binaries {
		path, err := b.source(ctx, binary)
		if err != nil {
			return nil, err
		}
		found[binary.Path] = path
	}
	return found, nil
}

func (b *Builder) source(ctx context.Context, binary Binary) (string, error) {
	switch {
	case binary.Component != "":
		return b.Set.Program(binary.Component)
	case binary.PgCat:
		if b.PgCat.Package != "" {
			return b.compile(ctx, b.PgCat.Package)
		}
		return b.PgCat.Path, nil
	default:
		return b.compile(ctx, binary.Go)
	}
}

// compile builds a main package of this repository. Go's own cache makes this
// quick when nothing changed.
func (b *Builder) compile(ctx context.Context, pkg string) (string, error) {
	target := filepath.Join(b.Cache, "programs", filepath.Base(pkg))
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", target, pkg)
	cmd.Dir = b.Repo
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTOOLCHAIN=local")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w: %s", pkg, err, strings.TrimSpace(string(out)))
	}
	return target, nil
}

// key changes with everything that goes into the image.
func (b *Builder) key(spec Spec, root *debian.Rootfs, sources map[string]string) (string, error) {
	hash := sha256.New()
	if err := json.NewEncoder(hash).Encode([]any{recipe, runtime.GOARCH, spec, b.labels(spec)}); err != nil {
		return "", err
	}
	if root != nil {
		fmt.Fprintln(hash, root.Key(b.Suite))
	}
	for _, path := range sortedKeys(sources) {
		fmt.Fprintln(hash, path)
		if err := hashFile(hash, sources[path]); err != nil {
			return "", err
		}
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

func hashFile(to io.Writer, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	_, err = io.Copy(to, file)
	return err
}

func sortedKeys(m map[string]string) []string {
	return slices.Sorted(maps.Keys(m))
}

// assemble puts the layers and the configuration together.
func (b *Builder) assemble(ctx context.Context, spec Spec, root *debian.Rootfs, sources map[string]string) (v1.Image, error) {
	var layers []v1.Layer
	if root != nil {
		layer, err := b.rootLayer(ctx, *root)
		if err != nil {
			return nil, err
		}
		layers = append(layers, layer)
	}
	own, err := ownLayer(spec, sources)
	if err != nil {
		return nil, err
	}
	if own != nil {
		layers = append(layers, own)
	}
	img, err := mutate.AppendLayers(mutate.MediaType(mutate.ConfigMediaType(empty.Image, types.OCIConfigJSON), types.OCIManifestSchema1), layers...)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, b.config(img, spec))
}

func (b *Builder) config(img v1.Image, spec Spec) *v1.ConfigFile {
	config := &v1.ConfigFile{OS: "linux", Architecture: runtime.GOARCH, Created: v1.Time{Time: time.Unix(0, 0).UTC()}}
	if old, err := img.ConfigFile(); err == nil {
		config.RootFS = old.RootFS
	}
	config.Config = v1.Config{
		Entrypoint: spec.Entrypoint, Cmd: spec.Command, Env: spec.Env, User: spec.User,
		WorkingDir: spec.WorkDir, StopSignal: spec.StopSignal, Labels: b.labels(spec),
	}
	return config
}

// labels tell, in the image itself, which PgCat it holds.
func (b *Builder) labels(spec Spec) map[string]string {
	labels := map[string]string{}
	for key, value := range spec.Labels {
		labels[key] = value
	}
	if spec.WantsPgCat() {
		labels["pgcat-failover/source"] = string(b.PgCat.Source)
		labels["org.opencontainers.image.version"] = b.PgCat.Version
	}
	return labels
}

// rootLayer makes a Debian root file system, or finds it in the cache. Two
// images with the same packages share it.
func (b *Builder) rootLayer(ctx context.Context, root debian.Rootfs) (v1.Layer, error) {
	sum := sha256.Sum256([]byte(recipe + runtime.GOARCH + root.Key(b.Suite)))
	path := filepath.Join(b.Cache, "rootfs", hex.EncodeToString(sum[:])[:12]+".tar")
	if _, err := os.Stat(path); err != nil {
		if err := b.makeRoot(ctx, root, path); err != nil {
			return nil, err
		}
	}
	return tarball.LayerFromFile(path, tarball.WithMediaType(types.OCILayer))
}

func (b *Builder) makeRoot(ctx context.Context, root debian.Rootfs, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	// Whichever command comes first on a bare machine comes here: mmdebstrap may be missing.
	if err := debian.Install(ctx, b.Say); err != nil {
		return err
	}
	b.Say.Say("  make a root file system of Debian %s with %s, about a minute", b.Suite, strings.Join(root.Packages, " "))
	partial := strings.TrimSuffix(path, ".tar") + ".partial.tar"
	if err := root.Write(ctx, b.Suite, partial); err != nil {
		return err
	}
	return os.Rename(partial, path)
}

// ownLayer holds the image's own files; nil if it has none.
func ownLayer(spec Spec, sources map[string]string) (v1.Layer, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	tree := newTree(w)
	for _, d := range spec.Directories {
		tree.directory(d)
	}
	for _, f := range spec.Files {
		tree.file(f.Path, 0o644, []byte(f.Content))
	}
	for _, path := range sortedKeys(sources) {
		content, err := os.ReadFile(sources[path])
		if err != nil {
			return nil, err
		}
		tree.file(path, 0o755, content)
	}
	if err := errors.Join(tree.err, w.Close()); err != nil {
		return nil, fmt.Errorf("write the layer: %w", err)
	}
	if tree.count == 0 {
		return nil, nil
	}
	open := func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(out.Bytes())), nil }
	return tarball.LayerFromOpener(open, tarball.WithMediaType(types.OCILayer))
}
