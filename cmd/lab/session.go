package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"pgcat-failover/cmd/lab/internal/cluster"
	"pgcat-failover/cmd/lab/internal/components"
	"pgcat-failover/cmd/lab/internal/debian"
	"pgcat-failover/cmd/lab/internal/image"
	"pgcat-failover/cmd/lab/internal/pgcat"
	"pgcat-failover/cmd/lab/internal/place"
	"pgcat-failover/cmd/lab/internal/progress"
)

// session is what every command needs: which lab, which clone, where to talk.
type session struct {
	lab  place.Lab
	repo string // empty outside a clone
	say  *progress.Printer
	// findPgCat looks once and remembers: a registry is slow, and one warning
	// is enough.
	findPgCat func() (pgcat.Found, error)
}

func newSession() (session, error) {
	lab, err := place.FromEnv()
	if err != nil {
		return session{}, err
	}
	// Progress goes to standard error, so that results can be piped.
	return session{lab: lab, say: progress.New(os.Stderr)}, nil
}

// inRepo is newSession for commands that build something.
func inRepo(ctx context.Context) (session, error) {
	s, err := newSession()
	if err != nil {
		return s, err
	}
	here, err := os.Getwd()
	if err != nil {
		return s, fmt.Errorf("find the current directory: %w", err)
	}
	s.repo, err = place.Repo(here)
	s.findPgCat = sync.OnceValues(func() (pgcat.Found, error) {
		return pgcat.FromEnv(s.repo, s.lab.Scratch(), s.say.Say).Find(ctx)
	})
	return s, err
}

func needRoot() error {
	if os.Geteuid() != 0 {
		return errors.New("start the lab: this is not root, and the lab makes namespaces, mounts and containers; use sudo -E")
	}
	return nil
}

// lock keeps two commands from changing a lab, or the cache that all labs share,
// at the same time.
func (s session) lock() (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(s.lab.LockFile()), 0o755); err != nil {
		return nil, fmt.Errorf("lock the lab: %w", err)
	}
	file, err := os.OpenFile(s.lab.LockFile(), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the lab: %w", err)
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		s.say.Say("another lab command is at work; waiting for it")
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock the lab: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil
}

func (s session) cluster(set components.Set) *cluster.Cluster {
	return &cluster.Cluster{Lab: s.lab, Set: set, Say: s.say}
}

// build makes programs and images, as far as the cache does not hold them.
func (s session) build(ctx context.Context) (components.Set, []image.Built, error) {
	set, err := components.Build(ctx, s.lab, s.repo, s.say)
	if err != nil {
		return set, nil, err
	}
	images, err := s.buildImages(ctx, set)
	return set, images, err
}

func (s session) specs() ([]image.Spec, error) { return image.Load(filepath.Join(s.repo, "images")) }

func (s session) buildImages(ctx context.Context, set components.Set) ([]image.Built, error) {
	specs, err := s.specs()
	if err != nil {
		return nil, err
	}
	found, err := s.findPgCat()
	if err != nil {
		s.say.Say("warning: %v; the lab comes up without it", err)
	}
	suite, err := debian.Suite()
	if err != nil {
		return nil, err
	}
	builder := image.Builder{Repo: s.repo, Cache: s.lab.Cache, Suite: suite, Set: set, PgCat: found, Say: s.say}
	var images []image.Built
	for _, spec := range specs {
		if spec.WantsPgCat() && found.Source == pgcat.FromNowhere {
			continue
		}
		built, err := builder.Build(ctx, spec, specs)
		if err != nil {
			return nil, err
		}
		images = append(images, built)
	}
	return images, nil
}

// buildOne makes a single image, and of the cluster's programs only what the
// image holds.
func (s session) buildOne(ctx context.Context, folder string) (image.Built, error) {
	specs, err := s.specs()
	if err != nil {
		return image.Built{}, err
	}
	for _, spec := range specs {
		if spec.Folder == folder {
			return s.buildSpec(ctx, spec, specs)
		}
	}
	return image.Built{}, fmt.Errorf("%w: images/ has no folder %q", errUsage, folder)
}

func (s session) buildSpec(ctx context.Context, spec image.Spec, specs []image.Spec) (image.Built, error) {
	var set components.Set
	var err error
	if spec.WantsComponent() {
		if set, err = components.Build(ctx, s.lab, s.repo, s.say); err != nil {
			return image.Built{}, err
		}
	}
	var found pgcat.Found
	if spec.WantsPgCat() {
		if found, err = s.findPgCat(); err != nil {
			return image.Built{}, err
		}
	}
	suite, err := debian.Suite()
	if err != nil {
		return image.Built{}, err
	}
	builder := image.Builder{Repo: s.repo, Cache: s.lab.Cache, Suite: suite, Set: set, PgCat: found, Say: s.say}
	return builder.Build(ctx, spec, specs)
}
