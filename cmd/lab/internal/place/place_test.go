package place

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNameOfALab(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", "/somewhere")
	t.Setenv("LAB_NAME", "")
	lab, err := FromEnv()
	require.NoError(t, err)
	require.Equal(t, "/var/lib/pgcat-failover-lab/kubeconfig", lab.Kubeconfig())
	require.Equal(t, "/somewhere/pgcat-failover/bin", lab.Bin())

	t.Setenv("LAB_NAME", "two")
	lab, err = FromEnv()
	require.NoError(t, err)
	require.Equal(t, "/run/pgcat-failover-two", lab.Run)

	for _, bad := range []string{"../etc", "Upper", "a-name-that-is-much-too-long", "1"} {
		t.Setenv("LAB_NAME", bad)
		_, err := FromEnv()
		require.ErrorContains(t, err, "LAB_NAME")
	}
}

func TestRepoIsFoundFromBelow(t *testing.T) {
	root := t.TempDir()
	below := filepath.Join(root, "cmd/lab/components")
	require.NoError(t, os.MkdirAll(below, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), nil, 0o644))
	found, err := Repo(below)
	require.NoError(t, err)
	require.Equal(t, root, found)
	_, err = Repo(t.TempDir())
	require.ErrorIs(t, err, ErrNoRepo)
}
