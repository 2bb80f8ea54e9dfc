package cluster

import (
	"net"
	"path/filepath"

	"pgcat-failover/cmd/lab/internal/components"
	"pgcat-failover/cmd/lab/internal/node"
	"pgcat-failover/cmd/lab/internal/place"
)

const etcdURL = "http://127.0.0.1:2379"

// plan lists the cluster's processes.
func plan(lab place.Lab, set components.Set) (node.Plan, error) {
	nodeIP := node.Address.String()
	table := []struct {
		program string // a component's program, or one of Debian's
		ready   string
		after   []string
		flags   []string
	}{
		{
			program: "containerd",
			ready:   "unix:" + lab.ContainerdSocket(),
			flags:   []string{"--config", filepath.Join(lab.State, "containerd.toml")},
		},
		{
			program: "etcd/etcd",
			ready:   etcdURL + "/readyz",
			flags: []string{
				"--data-dir", filepath.Join(lab.State, "etcd"),
				"--listen-client-urls", etcdURL, "--advertise-client-urls", etcdURL,
				"--listen-peer-urls", "http://127.0.0.1:2380",
				// A throw-away cluster may lose its data with the machine.
				"--unsafe-no-fsync", "--log-level=warn",
			},
		},
		{
			program: "kubernetes/kube-apiserver",
			ready:   "https://" + net.JoinHostPort(nodeIP, apiPort) + "/readyz",
			after:   []string{"etcd"},
			flags:   apiServerFlags(lab),
		},
		{
			program: "kubernetes/kube-controller-manager",
			ready:   "https://127.0.0.1:10257/healthz",
			after:   []string{"kube-apiserver"},
			flags: []string{
				"--kubeconfig", filepath.Join(lab.PKI(), "controller-manager.kubeconfig"),
				"--service-account-private-key-file", filepath.Join(lab.PKI(), "service-accounts.key"),
				"--root-ca-file", filepath.Join(lab.PKI(), "ca.crt"),
				"--use-service-account-credentials", "--leader-elect=false", "--bind-address=127.0.0.1",
			},
		},
		{
			program: "kubernetes/kube-scheduler",
			ready:   "https://127.0.0.1:10259/healthz",
			after:   []string{"kube-apiserver"},
			flags: []string{
				"--kubeconfig", filepath.Join(lab.PKI(), "scheduler.kubeconfig"),
				"--leader-elect=false", "--bind-address=127.0.0.1",
			},
		},
		{
			program: "kubernetes/kubelet",
			ready:   "http://127.0.0.1:10248/healthz",
			after:   []string{"kube-apiserver", "containerd"},
			flags: []string{
				"--config", filepath.Join(lab.State, "kubelet.yaml"),
				"--kubeconfig", filepath.Join(lab.PKI(), "kubelet.kubeconfig"),
				"--root-dir", filepath.Join(lab.State, "kubelet"),
				"--hostname-override", nodeName, "--node-ip", nodeIP,
			},
		},
		{
			program: "kubernetes/kube-proxy",
			ready:   "http://127.0.0.1:10256/healthz",
			after:   []string{"kube-apiserver"},
			flags: []string{
				"--kubeconfig", filepath.Join(lab.PKI(), "proxy.kubeconfig"),
				"--hostname-override", nodeName, "--cluster-cidr", podCIDR, "--proxy-mode=nftables",
				// These settings are not a namespace's own: kube-proxy may not
				// write them here, and dies when it tries.
				"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0", "--conntrack-tcp-timeout-close-wait=0",
			},
		},
	}
	p := node.Plan{APIServer: net.JoinHostPort(nodeIP, apiPort)}
	for _, row := range table {
		path, name := row.program, filepath.Base(row.program)
		if name != row.program {
			var err error
			if path, err = set.Program(row.program); err != nil {
				return node.Plan{}, err
			}
		}
		p.Processes = append(p.Processes, node.Process{
			Name: name, Args: append([]string{path}, row.flags...), Ready: row.ready, After: row.after,
		})
	}
	return p, nil
}

func apiServerFlags(lab place.Lab) []string {
	key := func(name string) string { return filepath.Join(lab.PKI(), name) }
	return []string{
		"--etcd-servers", etcdURL,
		"--advertise-address", node.Address.String(), "--secure-port", apiPort,
		"--service-cluster-ip-range", serviceCIDR,
		"--client-ca-file", key("ca.crt"),
		"--tls-cert-file", key("apiserver.crt"), "--tls-private-key-file", key("apiserver.key"),
		"--kubelet-certificate-authority", key("ca.crt"),
		"--kubelet-client-certificate", key("apiserver-to-kubelet.crt"), "--kubelet-client-key", key("apiserver-to-kubelet.key"),
		// By name, "kubectl logs" and "exec" would ask a DNS that does not know the node.
		"--kubelet-preferred-address-types=InternalIP",
		"--service-account-issuer=https://kubernetes.default.svc.cluster.local",
		"--service-account-key-file", key("service-accounts.key"), "--service-account-signing-key-file", key("service-accounts.key"),
		"--authorization-mode=Node,RBAC", "--allow-privileged",
	}
}
