// Package pgcat finds a PgCat for the lab: an image, a program on PATH, or the
// stand-in that this project has.
package pgcat

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Source says where the PgCat comes from.
type Source string

// The sources, in the order in which they are tried.
const (
	FromImage   Source = "image"
	FromBinary  Source = "binary"
	FromStandIn Source = "stand-in"
	FromNowhere Source = "none"
)

// ErrNone is returned when no PgCat can be had.
var ErrNone = errors.New("no PgCat can be had")

// standIn is the package of this repository that is built when there is no
// PgCat.
const standIn = "./cmd/pgcat-sim"

// Found is a PgCat.
type Found struct {
	Source  Source   `json:"source"`
	Path    string   `json:"path,omitempty"`    // reference, file or package
	Version string   `json:"version,omitempty"` // as `pgcat --version` says it
	Image   v1.Image `json:"-"`                 // set with FromImage
	Package string   `json:"-"`                 // set with FromStandIn
}

// Finder looks for a PgCat. The zero value finds none.
type Finder struct {
	ImageRef string // PGCAT_IMAGE: a reference, or the path of a tar file
	Binary   string // PGCAT_BINARY: a path, or a name on PATH
	Repo     string
	Warn     func(format string, args ...any)
}

// FromEnv returns a Finder that does as the environment says.
func FromEnv(repo string, warn func(string, ...any)) Finder {
	binary := os.Getenv("PGCAT_BINARY")
	if binary == "" {
		binary = "pgcat"
	}
	return Finder{ImageRef: os.Getenv("PGCAT_IMAGE"), Binary: binary, Repo: repo, Warn: warn}
}

// Find returns the first PgCat that can be had. One that was asked for and
// cannot be had is warned about, not passed over in silence.
func (f Finder) Find(ctx context.Context) (Found, error) {
	var reasons []string
	for _, try := range []func(context.Context) (Found, error){f.image, f.binary, f.standIn} {
		found, err := try(ctx)
		if err == nil {
			return found, nil
		}
		reasons = append(reasons, err.Error())
	}
	return Found{Source: FromNowhere}, fmt.Errorf(
		"%w: %s; set PGCAT_IMAGE to an image or a tar file, or put a pgcat program on PATH", ErrNone, strings.Join(reasons, "; "))
}

func (f Finder) image(ctx context.Context) (Found, error) {
	if f.ImageRef == "" {
		return Found{}, errors.New("PGCAT_IMAGE is not set")
	}
	img, err := Open(ctx, f.ImageRef)
	if err != nil {
		err = fmt.Errorf("get PGCAT_IMAGE %s: %w", f.ImageRef, err)
		f.Warn("warning: %v; looking for a PgCat elsewhere", err)
		return Found{}, err
	}
	return Found{Source: FromImage, Path: f.ImageRef, Version: imageVersion(img), Image: img}, nil
}

// Open gets an image from a file if there is one of this name, from its
// registry otherwise.
func Open(ctx context.Context, ref string) (v1.Image, error) {
	if info, err := os.Stat(ref); err == nil {
		if info.IsDir() {
			return openLayout(ref)
		}
		return openTar(ref)
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, err
	}
	return remote.Image(parsed, remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
}

// openTar reads what "docker save" and this project's own "lab image --out"
// write.
func openTar(path string) (v1.Image, error) {
	img, err := tarball.ImageFromPath(path, nil)
	if err == nil {
		return img, nil
	}
	dir, layoutErr := unpackLayout(path)
	if layoutErr != nil {
		return nil, fmt.Errorf("%w; as an OCI layout: %w", err, layoutErr)
	}
	return openLayout(dir)
}

func openLayout(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	return pick(index)
}

// pick takes the image for this machine out of an index, which may hold others
// and further indexes.
func pick(index v1.ImageIndex) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, entry := range manifest.Manifests {
		if entry.MediaType.IsIndex() {
			inner, err := index.ImageIndex(entry.Digest)
			if err != nil {
				return nil, err
			}
			return pick(inner)
		}
		if entry.Platform == nil || (entry.Platform.OS == "linux" && entry.Platform.Architecture == runtime.GOARCH) {
			return index.Image(entry.Digest)
		}
	}
	return nil, fmt.Errorf("it holds no image for linux/%s", runtime.GOARCH)
}

// imageVersion is what the image says of itself; the steps ask the running
// PgCat later.
func imageVersion(img v1.Image) string {
	config, err := img.ConfigFile()
	if err != nil {
		return ""
	}
	return config.Config.Labels["org.opencontainers.image.version"]
}

func (f Finder) binary(ctx context.Context) (Found, error) {
	if f.Binary == "" {
		return Found{}, errors.New("no program is named")
	}
	path, err := exec.LookPath(f.Binary)
	if err != nil {
		return Found{}, fmt.Errorf("no program %s on PATH", f.Binary)
	}
	if path, err = filepath.Abs(path); err != nil {
		return Found{}, fmt.Errorf("find the program %s: %w", f.Binary, err)
	}
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	if err != nil {
		err = fmt.Errorf("ask %s for its version: %w", path, err)
		f.Warn("warning: %v; looking for a PgCat elsewhere", err)
		return Found{}, err
	}
	return Found{Source: FromBinary, Path: path, Version: strings.TrimSpace(string(out))}, nil
}

func (f Finder) standIn(context.Context) (Found, error) {
	if _, err := os.Stat(filepath.Join(f.Repo, standIn)); err != nil {
		return Found{}, errors.New("this clone has no stand-in (cmd/pgcat-sim)")
	}
	return Found{Source: FromStandIn, Path: standIn, Package: standIn, Version: "stand-in"}, nil
}
