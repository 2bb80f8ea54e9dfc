package pgcat

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/lab/internal/archive"
)

// world is a machine that has every source of PgCat.
type world struct {
	Finder
	image    v1.Image
	registry string
	warnings []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	bin, repo := t.TempDir(), t.TempDir()
	script := "#!/bin/sh\necho pgcat 9.9.9\n"
	require.NoError(t, os.WriteFile(filepath.Join(bin, "pgcat"), []byte(script), 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(repo, standIn), 0o755))
	t.Setenv("PATH", bin+":/bin")
	img, err := random.Image(1024, 1)
	require.NoError(t, err)
	w := &world{image: img}
	w.Finder = Finder{Binary: "pgcat", Repo: repo, Scratch: t.TempDir(), Warn: func(format string, args ...any) {
		w.warnings = append(w.warnings, fmt.Sprintf(format, args...))
	}}
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	t.Cleanup(server.Close)
	w.registry = strings.TrimPrefix(server.URL, "http://")
	return w
}

func (w *world) push(t *testing.T) string {
	t.Helper()
	ref, err := name.ParseReference(w.registry + "/team/pgcat:1")
	require.NoError(t, err)
	require.NoError(t, remote.Write(ref, w.image))
	return ref.String()
}

func requireSame(t *testing.T, want, got v1.Image) {
	t.Helper()
	a, err := want.Digest()
	require.NoError(t, err)
	b, err := got.Digest()
	require.NoError(t, err)
	require.Equal(t, a, b)
}

func TestAnImageInARegistryComesFirst(t *testing.T) {
	w := newWorld(t)
	w.ImageRef = w.push(t)
	found, err := w.Find(context.Background())
	require.NoError(t, err)
	require.Equal(t, FromImage, found.Source)
	requireSame(t, w.image, found.Image)
	require.Empty(t, w.warnings)
}

func TestAnImageInAFile(t *testing.T) {
	for kind, write := range map[string]func(path string, img v1.Image) error{
		"as docker save writes it": func(path string, img v1.Image) error {
			return tarball.WriteToFile(path, name.MustParseReference("some/pgcat:1"), img)
		},
		"as an OCI layout": func(path string, img v1.Image) error { return archive.Write(path, "some/pgcat:1", img) },
	} {
		t.Run(kind, func(t *testing.T) {
			w := newWorld(t)
			w.ImageRef = filepath.Join(t.TempDir(), "pgcat.tar")
			require.NoError(t, write(w.ImageRef, w.image))
			found, err := w.Find(context.Background())
			require.NoError(t, err)
			require.Equal(t, FromImage, found.Source)
			layers, err := found.Image.Layers()
			require.NoError(t, err)
			require.Len(t, layers, 1)
		})
	}
}

func TestALayoutKeepsItsDigest(t *testing.T) {
	w := newWorld(t)
	w.ImageRef = filepath.Join(t.TempDir(), "pgcat.tar")
	require.NoError(t, archive.Write(w.ImageRef, "some/pgcat:1", w.image))
	for range 2 { // unpacked, then found unpacked
		found, err := w.Find(context.Background())
		require.NoError(t, err)
		requireSame(t, w.image, found.Image)
	}
}

func TestAnImageThatWasAskedForAndIsNotThereIsWarnedAbout(t *testing.T) {
	for _, ref := range []string{"team/none:1", "not a reference"} {
		w := newWorld(t)
		w.ImageRef = ref
		if ref == "team/none:1" {
			w.ImageRef = w.registry + "/" + ref
		}
		found, err := w.Find(context.Background())
		require.NoError(t, err)
		require.Equal(t, FromBinary, found.Source)
		require.Len(t, w.warnings, 1)
		require.Contains(t, w.warnings[0], w.ImageRef)
	}
}

func TestAProgramOnPathComesBeforeTheStandIn(t *testing.T) {
	found, err := newWorld(t).Find(context.Background())
	require.NoError(t, err)
	require.Equal(t, FromBinary, found.Source)
	require.Equal(t, "pgcat 9.9.9", found.Version)
	require.True(t, filepath.IsAbs(found.Path))
}

func TestTheStandInComesLast(t *testing.T) {
	w := newWorld(t)
	w.Binary = "pgcat-of-nobody"
	found, err := w.Find(context.Background())
	require.NoError(t, err)
	require.Equal(t, FromStandIn, found.Source)
	require.Equal(t, standIn, found.Package)
}

func TestTheStandInBehavesAsTheVersionThatIsNamed(t *testing.T) {
	w := newWorld(t)
	w.Binary, w.StandFor = "pgcat-of-nobody", "head"
	found, err := w.Find(context.Background())
	require.NoError(t, err)
	require.Equal(t, []string{"PGCAT_SIM_AS=head"}, found.Env)
	require.Equal(t, "stand-in for head", found.Version)

	w.StandFor = "v9"
	_, err = w.Find(context.Background())
	require.ErrorContains(t, err, `PGCAT_SIM_AS is "v9"; use v1.2.0 or head`)
}

func TestNoPgCatSaysWhatWasTriedAndWhatHelps(t *testing.T) {
	w := newWorld(t)
	w.Binary, w.Repo = "pgcat-of-nobody", t.TempDir()
	found, err := w.Find(context.Background())
	require.ErrorIs(t, err, ErrNone)
	require.Equal(t, FromNowhere, found.Source)
	for _, part := range []string{"no PgCat can be had", "PGCAT_IMAGE is not set", "pgcat-of-nobody", "cmd/pgcat-sim", "put a pgcat program on PATH"} {
		require.ErrorContains(t, err, part)
	}
}

func TestABrokenProgramIsWarnedAbout(t *testing.T) {
	w := newWorld(t)
	w.Binary = filepath.Join(t.TempDir(), "broken")
	require.NoError(t, os.WriteFile(w.Binary, []byte("#!/bin/sh\nexit 1\n"), 0o755))
	found, err := w.Find(context.Background())
	require.NoError(t, err)
	require.Equal(t, FromStandIn, found.Source)
	require.Len(t, w.warnings, 1)
}
