// Package cluster makes a Kubernetes cluster with Argo out of the node's parts:
// it writes what each program is told, starts them, and waits until all is
// ready.
package cluster

import (
	"bytes"
	"embed"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"text/template"

	"pgcat-failover/cmd/lab/internal/node"
	"pgcat-failover/cmd/lab/internal/pki"
	"pgcat-failover/cmd/lab/internal/place"
)

// The cluster's addresses. They exist only inside the lab's own network
// namespace, so two labs can have the same.
const (
	serviceCIDR = "10.45.0.0/16"
	serviceAPI  = "10.45.0.1" // the Service "kubernetes"; the API server takes the first address
	serviceDNS  = "10.45.0.10"
	podCIDR     = "10.44.0.0/24"
	nodeName    = "lab"
	namespace   = "argo"
	apiPort     = "6443"
)

// PauseImage holds each pod's namespaces open; images/pause names it too.
const PauseImage = "docker.io/pgcat-failover/pause:dev"

//go:embed files
var files embed.FS

// values are what the templates under files/ may use.
type values struct {
	Lab                              place.Lab
	NodeName, NodeIP                 string
	ServiceCIDR, ServiceDNS, PodCIDR string
	PauseImage                       string
}

func newValues(lab place.Lab) values {
	return values{
		Lab: lab, NodeName: nodeName, NodeIP: node.Address.String(),
		ServiceCIDR: serviceCIDR, ServiceDNS: serviceDNS, PodCIDR: podCIDR, PauseImage: PauseImage,
	}
}

// configs maps each template to the place of what it makes, beneath the state
// directory.
var configs = map[string]string{
	"containerd.toml": "containerd.toml",
	"cni.conflist":    "cni/10-lab.conflist",
	"kubelet.yaml":    "kubelet.yaml",
	"resolv.conf":     "resolv.conf",
	"cluster.yaml":    "cluster.yaml",
}

func writeConfigs(lab place.Lab) error {
	for name, target := range configs {
		content, err := render(name, newValues(lab))
		if err != nil {
			return err
		}
		path := filepath.Join(lab.State, target)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		if err := os.WriteFile(path, content, 0o644); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

func render(name string, v values) ([]byte, error) {
	parsed, err := template.New(name).Option("missingkey=error").ParseFS(files, "files/"+name)
	if err != nil {
		return nil, fmt.Errorf("read the template %s: %w", name, err)
	}
	var out bytes.Buffer
	if err := parsed.Execute(&out, v); err != nil {
		return nil, fmt.Errorf("fill in the template %s: %w", name, err)
	}
	return out.Bytes(), nil
}

// identities lists who has a certificate in the cluster. Those with a
// kubeconfig are programs that call the API server.
var identities = []struct {
	file       string
	id         pki.Identity
	kubeconfig bool
}{
	{file: "apiserver", id: pki.Identity{
		User:  "kube-apiserver",
		Hosts: []string{"kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local", "localhost"},
		IPs:   []net.IP{node.Address, net.ParseIP(serviceAPI), net.IPv4(127, 0, 0, 1)},
	}},
	{file: "apiserver-to-kubelet", id: pki.Identity{User: "kube-apiserver-kubelet-client", Groups: []string{"system:masters"}}},
	{file: "kubelet", kubeconfig: true, id: pki.Identity{
		User: "system:node:" + nodeName, Groups: []string{"system:nodes"}, Hosts: []string{nodeName}, IPs: []net.IP{node.Address},
	}},
	{file: "controller-manager", kubeconfig: true, id: pki.Identity{User: "system:kube-controller-manager"}},
	{file: "scheduler", kubeconfig: true, id: pki.Identity{User: "system:kube-scheduler"}},
	{file: "proxy", kubeconfig: true, id: pki.Identity{User: "system:kube-proxy"}},
	{file: adminFile, kubeconfig: true, id: pki.Identity{User: "lab-admin", Groups: []string{"system:masters"}}},
}

const adminFile = "admin"

// writeKeys makes the cluster's keys and returns how the user's kubeconfig is
// made from them, which has to wait for the relay's port.
func writeKeys(lab place.Lab) (userConfig func(port int) ([]byte, error), err error) {
	dir := lab.PKI()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of keys: %w", err)
	}
	authority, err := pki.NewAuthority()
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, "ca.crt"), authority.PEM, 0o644); err != nil {
		return nil, fmt.Errorf("write the authority's certificate: %w", err)
	}
	if err := writeSigningKey(dir); err != nil {
		return nil, err
	}
	var admin pki.Pair
	for _, one := range identities {
		pair, err := authority.Issue(one.id)
		if err != nil {
			return nil, err
		}
		if err := pair.Write(dir, one.file); err != nil {
			return nil, err
		}
		if one.kubeconfig {
			if err := writeKubeconfig(dir, one.file, authority.PEM, pair); err != nil {
				return nil, err
			}
		}
		if one.file == adminFile {
			admin = pair
		}
	}
	return func(port int) ([]byte, error) {
		return pki.Kubeconfig(fmt.Sprintf("https://127.0.0.1:%d", port), "pgcat-failover-"+lab.Name, namespace, authority.PEM, admin)
	}, nil
}

func writeSigningKey(dir string) error {
	key, err := pki.NewSigningKey()
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "service-accounts.key"), key, 0o600); err != nil {
		return fmt.Errorf("write the key for service accounts: %w", err)
	}
	return nil
}

func writeKubeconfig(dir, name string, ca []byte, pair pki.Pair) error {
	content, err := pki.Kubeconfig("https://"+net.JoinHostPort(node.Address.String(), apiPort), name, "default", ca, pair)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, name+".kubeconfig"), content, 0o600); err != nil {
		return fmt.Errorf("write the kubeconfig of %s: %w", name, err)
	}
	return nil
}
