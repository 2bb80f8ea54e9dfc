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
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"pgcat-failover/cmd/lab/internal/archive"
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

// registryTimeout bounds the first answer of a registry.
const registryTimeout = 20 * time.Second

// standIn is the package of this repository that is built when there is no
// PgCat.
const standIn = "./cmd/pgcat-sim"

// standsFor is the variable from which the stand-in takes the version that it
// behaves as.
const standsFor = "PGCAT_SIM_AS"

// Found is a PgCat.
type Found struct {
	Source  Source   `json:"source"`
	Path    string   `json:"path,omitempty"`    // reference, file or package
	Version string   `json:"version,omitempty"` // as `pgcat --version` says it
	Image   v1.Image `json:"-"`                 // set with FromImage
	Package string   `json:"-"`                 // set with FromStandIn
	Env     []string `json:"-"`                 // what its image has in its environment besides
}

// Finder looks for a PgCat. The zero value finds none.
type Finder struct {
	ImageRef string // PGCAT_IMAGE: a reference, or the path of a tar file
	Binary   string // PGCAT_BINARY: a path, or a name on PATH
	StandFor string // PGCAT_SIM_AS: the PgCat that the stand-in behaves as
	Repo     string
	Scratch  string // where tar files are unpacked
	Warn     func(format string, args ...any)
}

// FromEnv returns a Finder that does as the environment says.
func FromEnv(repo, scratch string, warn func(string, ...any)) Finder {
	binary := os.Getenv("PGCAT_BINARY")
	if binary == "" {
		binary = "pgcat"
	}
	return Finder{ImageRef: os.Getenv("PGCAT_IMAGE"), Binary: binary, StandFor: os.Getenv(standsFor), Repo: repo, Scratch: scratch, Warn: warn}
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
	img, err := f.open(ctx)
	if err != nil {
		err = fmt.Errorf("get PGCAT_IMAGE %s: %w", f.ImageRef, err)
		f.Warn("warning: %v; looking for a PgCat elsewhere", err)
		return Found{}, err
	}
	return Found{Source: FromImage, Path: f.ImageRef, Version: imageVersion(img), Image: img}, nil
}

// open gets an image from a file if there is one of this name, from its
// registry otherwise.
func (f Finder) open(ctx context.Context) (v1.Image, error) {
	if info, err := os.Stat(f.ImageRef); err == nil {
		if info.IsDir() {
			return archive.OpenLayout(f.ImageRef)
		}
		return archive.Open(f.ImageRef, f.Scratch)
	}
	ref, err := name.ParseReference(f.ImageRef)
	if err != nil {
		return nil, err
	}
	auth := remote.WithAuthFromKeychain(authn.DefaultKeychain)
	// A first question with a bound: an image is pulled with the long context,
	// and a registry that does not answer must not hold the lab up.
	short, cancel := context.WithTimeout(ctx, registryTimeout)
	defer cancel()
	if _, err := remote.Head(ref, remote.WithContext(short), auth); err != nil {
		return nil, err
	}
	return remote.Image(ref, remote.WithContext(ctx), auth,
		remote.WithPlatform(v1.Platform{OS: "linux", Architecture: runtime.GOARCH}))
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
	found := Found{Source: FromStandIn, Path: standIn, Package: standIn, Version: "stand-in"}
	switch f.StandFor {
	case "":
		return found, nil
	case "v1.2.0", "head":
		found.Version += " for " + f.StandFor
		found.Env = []string{standsFor + "=" + f.StandFor}
		return found, nil
	}
	// The stand-in would say so itself, but from a pod that starts over and over.
	return Found{}, fmt.Errorf("%s is %q; use v1.2.0 or head", standsFor, f.StandFor)
}
