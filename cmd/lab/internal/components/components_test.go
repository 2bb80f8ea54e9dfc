package components

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const folder = "../../components"

func TestKeyChangesWithAPinAndWithGo(t *testing.T) {
	dir := t.TempDir()
	pin := filepath.Join(dir, "go.mod")
	require.NoError(t, os.WriteFile(pin, []byte("require x v1.0.0"), 0o644))
	key := func(goVersion string) string {
		t.Helper()
		k, err := Key(dir, goVersion)
		require.NoError(t, err)
		return k
	}
	first := key("go1.26.8")
	require.Equal(t, first, key("go1.26.8"))
	require.NotEqual(t, first, key("go1.26.9"))
	require.NoError(t, os.WriteFile(pin, []byte("require x v1.0.1"), 0o644))
	require.NotEqual(t, first, key("go1.26.8"))
}

func TestEveryComponentHasAPinnedModule(t *testing.T) {
	for _, c := range table {
		content, err := os.ReadFile(filepath.Join(folder, c.name, "go.mod"))
		require.NoError(t, err)
		if c.module != "" {
			require.Regexp(t, regexp.QuoteMeta(c.module)+` v\d+\.\d+\.\d+`, string(content))
		}
	}
}

// The version of an image's tag stands in two places, since manifests cannot
// read go.mod. They must agree.
func TestImageTagsAgreeWithThePins(t *testing.T) {
	for component, images := range map[string][]string{
		"argo":    {"workflow-controller", "argoexec", "argocli"},
		"coredns": {"coredns"},
	} {
		mod, err := os.ReadFile(filepath.Join(folder, component, "go.mod"))
		require.NoError(t, err)
		for _, image := range images {
			spec, err := os.ReadFile(filepath.Join("../../../../images", image, "image.yaml"))
			require.NoError(t, err)
			version := regexp.MustCompile(`(?m)^name: .*:(v\S+)$`).FindStringSubmatch(string(spec))
			require.NotNil(t, version, image)
			require.Contains(t, string(mod), moduleOf(component)+" "+version[1], image)
		}
	}
}

func moduleOf(component string) string {
	for _, c := range table {
		if c.name == component {
			return c.module
		}
	}
	return ""
}

func TestKubernetesFlags(t *testing.T) {
	flags := kubernetesFlags("v1.34.2")
	require.Contains(t, flags, "-X k8s.io/component-base/version.gitVersion=v1.34.2")
	require.Contains(t, flags, "gitMajor=1")
	require.Contains(t, flags, "gitMinor=34")
}

func TestProgramNamesWhatThereIs(t *testing.T) {
	set := Set{dirs: map[string]string{"etcd": "/cache/etcd-1"}}
	path, err := set.Program("etcd/etcd")
	require.NoError(t, err)
	require.Equal(t, "/cache/etcd-1/etcd", path)
	_, err = set.Program("ectd/etcd")
	require.ErrorContains(t, err, "kubernetes, argo")
}

func TestLinkReplacesAnOldLink(t *testing.T) {
	bin, old, fresh := t.TempDir(), t.TempDir(), t.TempDir()
	require.NoError(t, link(bin, old, []string{"kubectl"}))
	require.NoError(t, link(bin, fresh, []string{"kubectl"}))
	target, err := os.Readlink(filepath.Join(bin, "kubectl"))
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(target, fresh))
}
