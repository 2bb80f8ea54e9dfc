package main

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/lab/internal/archive"
	"pgcat-failover/cmd/lab/internal/place"
)

func TestPushedImageKeepsItsDigest(t *testing.T) {
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	img, err := random.Image(1024, 2)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "image.tar")
	require.NoError(t, archive.Write(file, "some/image:1", img))

	s := session{lab: place.Lab{Cache: t.TempDir()}}
	pushed, err := s.push(context.Background(), strings.TrimPrefix(server.URL, "http://")+"/team/image:1", file)
	require.NoError(t, err)

	ref, err := name.ParseReference(pushed)
	require.NoError(t, err)
	_, err = remote.Image(ref)
	require.NoError(t, err)
	digest, err := img.Digest()
	require.NoError(t, err)
	require.Contains(t, pushed, digest.String())
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	for _, command := range newApp().Commands {
		if !command.Hidden {
			require.NotEmpty(t, command.Usage, command.Name)
			require.Contains(t, command.Description, "go run ./cmd/lab "+command.Name, command.Name)
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, args := range [][]string{{"image"}, {"image", "--out", "a", "--push", "b", "failover"}, {"up", "--prot", "1"}, {"upp"}} {
		err := newApp().Run(append([]string{"lab"}, args...))
		require.Equal(t, exitUsage, exitCode(err), "%v: %v", args, err)
	}
}
