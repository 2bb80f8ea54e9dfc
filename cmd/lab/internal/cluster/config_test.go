package cluster

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"pgcat-failover/cmd/lab/internal/components"
	"pgcat-failover/cmd/lab/internal/image"
	"pgcat-failover/cmd/lab/internal/node"
	"pgcat-failover/cmd/lab/internal/place"
	"pgcat-failover/cmd/lab/internal/volumes"
)

func testLab(t *testing.T) place.Lab {
	t.Helper()
	return place.Lab{Name: "test", State: t.TempDir(), Run: t.TempDir(), Cache: t.TempDir()}
}

func TestConfigsCanBeReadBack(t *testing.T) {
	lab := testLab(t)
	require.NoError(t, writeConfigs(lab))
	read := func(name string) []byte {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(lab.State, name))
		require.NoError(t, err)
		require.NotContains(t, string(content), "{{")
		return content
	}
	var kubelet, cni map[string]any
	require.NoError(t, yaml.UnmarshalStrict(read("kubelet.yaml"), &kubelet))
	require.Equal(t, "/pgcat-failover-test", kubelet["cgroupRoot"])
	require.Equal(t, []any{serviceDNS}, kubelet["clusterDNS"])
	require.NoError(t, json.Unmarshal(read("cni/10-lab.conflist"), &cni))
	for _, document := range strings.Split(string(read("cluster.yaml")), "\n---\n") {
		var object map[string]any
		require.NoError(t, yaml.UnmarshalStrict([]byte(document), &object))
		if object["kind"] == "StorageClass" {
			require.Equal(t, volumes.Provisioner, object["provisioner"])
		}
	}
	require.Contains(t, string(read("containerd.toml")), lab.ContainerdSocket())
	require.Contains(t, string(read("containerd.toml")), PauseImage)
}

func TestTheUsersKubeconfigLeadsToTheRelay(t *testing.T) {
	lab := testLab(t)
	userConfig, err := writeKeys(lab)
	require.NoError(t, err)
	content, err := userConfig(16443)
	require.NoError(t, err)
	config, err := clientcmd.RESTConfigFromKubeConfig(content)
	require.NoError(t, err)
	require.Equal(t, "https://127.0.0.1:16443", config.Host)
	require.NotEmpty(t, config.CertData)
	info, err := os.Stat(filepath.Join(lab.PKI(), "service-accounts.key"))
	require.NoError(t, err)
	require.EqualValues(t, 0o600, info.Mode().Perm())
}

func TestProcessesWaitForOthersThatExist(t *testing.T) {
	made, err := plan(testLab(t), components.SetAt(t.TempDir()))
	require.NoError(t, err)
	var names []string
	for _, p := range made.Processes {
		for _, after := range p.After {
			require.Contains(t, names, after, "%s must come after %s in the table", p.Name, after)
		}
		names = append(names, p.Name)
		require.NotEmpty(t, p.Ready, p.Name)
	}
	require.True(t, slices.Contains(names, "kubelet"))
}

func TestThePlanSurvivesItsFile(t *testing.T) {
	lab := testLab(t)
	made, err := plan(lab, components.SetAt("/cache"))
	require.NoError(t, err)
	require.NoError(t, made.Write(lab))
	read, err := node.ReadPlan(lab)
	require.NoError(t, err)
	require.Equal(t, made, read)
}

func TestImagesThatTheLabWaitsForComeFirst(t *testing.T) {
	lab := testLab(t)
	require.NoError(t, writeConfigs(lab))
	c := &Cluster{Lab: lab, Set: components.SetAt(t.TempDir())}
	require.NoError(t, os.MkdirAll(filepath.Dir(c.Set.ArgoManifests()), 0o755))
	require.NoError(t, os.WriteFile(c.Set.ArgoManifests(), []byte("image: quay.io/argoproj/argocli:v1\n"), 0o644))
	first, rest, err := c.split([]image.Built{{Name: "some/postgres:15"}, {Name: "quay.io/argoproj/argocli:v1"}, {Name: PauseImage}})
	require.NoError(t, err)
	require.Len(t, first, 2)
	require.Equal(t, "some/postgres:15", rest[0].Name)
}
