package image

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/lab/internal/archive"
	"pgcat-failover/cmd/lab/internal/pgcat"
	"pgcat-failover/cmd/lab/internal/progress"
)

func builder(t *testing.T) *Builder {
	t.Helper()
	program := filepath.Join(t.TempDir(), "pgcat")
	require.NoError(t, os.WriteFile(program, []byte("a program"), 0o755))
	return &Builder{
		Cache: t.TempDir(), Suite: "bookworm", Say: progress.New(io.Discard),
		PgCat: pgcat.Found{Source: pgcat.FromBinary, Path: program, Version: "pgcat 1.2.0"},
	}
}

var spec = Spec{
	Folder: "some", Name: "docker.io/some/image:dev", User: "999", Command: []string{"pgcat"},
	Binaries:    []Binary{{Path: "/usr/bin/pgcat", PgCat: true}},
	Files:       []File{{Path: "/etc/some", Content: "text"}},
	Directories: []Directory{{Path: "/data", Owner: 999, Mode: 0o700}},
}

func TestSameContentGivesTheSameDigestAndIsBuiltOnce(t *testing.T) {
	b := builder(t)
	first, err := b.Build(context.Background(), spec, nil)
	require.NoError(t, err)
	require.True(t, first.Fresh)

	again, err := b.Build(context.Background(), spec, nil)
	require.NoError(t, err)
	require.False(t, again.Fresh)
	require.Equal(t, first.Digest, again.Digest)

	b.Cache = t.TempDir() // another machine
	other, err := b.Build(context.Background(), spec, nil)
	require.NoError(t, err)
	require.Equal(t, first.Digest, other.Digest)
}

func TestAnotherProgramGivesAnotherImage(t *testing.T) {
	b := builder(t)
	first, err := b.Build(context.Background(), spec, nil)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(b.PgCat.Path, []byte("another program"), 0o755))
	second, err := b.Build(context.Background(), spec, nil)
	require.NoError(t, err)
	require.NotEqual(t, first.Digest, second.Digest)
}

func TestTheImageTellsItsSource(t *testing.T) {
	b := builder(t)
	b.PgCat.Env = []string{"PGCAT_SIM_AS=head"}
	built, err := b.Build(context.Background(), spec, nil)
	require.NoError(t, err)
	img, err := archive.Open(built.Tar, t.TempDir())
	require.NoError(t, err)
	config, err := img.ConfigFile()
	require.NoError(t, err)
	require.Contains(t, config.Config.Env, "PGCAT_SIM_AS=head")
	require.NotContains(t, spec.Env, "PGCAT_SIM_AS=head")
	require.Equal(t, "binary", config.Config.Labels["pgcat-failover/source"])
	require.Equal(t, "pgcat 1.2.0", config.Config.Labels["org.opencontainers.image.version"])
	require.Equal(t, "999", config.Config.User)
}

func TestAnImageAboveItsLimitIsRefused(t *testing.T) {
	big, err := random.Image(2<<20, 1) // noise does not compress
	require.NoError(t, err)
	b := builder(t)
	b.PgCat.Image = big
	limited := spec
	limited.MaxCompressedMB = 1
	_, err = b.Build(context.Background(), limited, nil)
	require.ErrorIs(t, err, ErrTooLarge)
	left, err := filepath.Glob(filepath.Join(b.Cache, "images", "*"))
	require.NoError(t, err)
	require.Empty(t, left)
}

func TestAFoundImageKeepsItsDigest(t *testing.T) {
	given, err := random.Image(1024, 2)
	require.NoError(t, err)
	b := builder(t)
	b.PgCat = pgcat.Found{Source: pgcat.FromImage, Path: "given", Image: given}
	built, err := b.Build(context.Background(), spec, nil)
	require.NoError(t, err)
	digest, err := given.Digest()
	require.NoError(t, err)
	require.Equal(t, digest.String(), built.Digest)
}

func TestTheCacheKeepsAFewVersionsOfEachImage(t *testing.T) {
	b := builder(t)
	for version := range kept + 3 {
		require.NoError(t, os.WriteFile(b.PgCat.Path, []byte{byte(version)}, 0o755))
		_, err := b.Build(context.Background(), spec, nil)
		require.NoError(t, err)
	}
	for _, pattern := range []string{"*.tar", "*.json"} {
		left, err := filepath.Glob(filepath.Join(b.Cache, "images", pattern))
		require.NoError(t, err)
		require.Len(t, left, kept)
	}
}
