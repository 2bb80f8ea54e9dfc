package debian

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheUsersHookWritesAnAccount(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(root, "etc"), 0o755))
	hook := User{Name: "postgres", ID: 999, Home: "/var/lib/postgresql"}.hook()
	// mmdebstrap calls hooks in this way.
	require.NoError(t, exec.Command("sh", "-c", hook, "exec", root).Run())
	passwd, err := os.ReadFile(filepath.Join(root, "etc/passwd"))
	require.NoError(t, err)
	require.Equal(t, "postgres:x:999:999::/var/lib/postgresql:/bin/bash\n", string(passwd))
}

func TestArguments(t *testing.T) {
	args := Rootfs{Packages: []string{"a", "b"}, Users: []User{{Name: "u", ID: 1}}}.arguments("bookworm", "/out.tar")
	require.Contains(t, args, "--include=a,b")
	require.Equal(t, []string{"bookworm", "/out.tar"}, args[len(args)-2:])
}

func TestPresent(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	require.False(t, present("a-program-of-nobody"))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a-program-of-nobody"), nil, 0o755))
	require.True(t, present("a-program-of-nobody"))
	require.False(t, present("/usr/lib/cni/none"))
}
