// Package kube holds the few things that the steps ask of a cluster: apply, patch, wait, reach.
// Steps run inside the cluster and outside of it; only Reach knows the difference.
package kube

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// Manager is the field manager of everything that the steps write.
const Manager = "pgcat-failover"

// Poll is how often a condition is looked at while it is waited for.
const Poll = 200 * time.Millisecond

// Cluster is one namespace of one cluster.
type Cluster struct {
	Namespace string
	// Inside is true in a pod: Services and pods are then reached directly, else by port-forward.
	Inside bool
	Client kubernetes.Interface
	Dyn    dynamic.Interface
	rest   *rest.Config
}

// Connect finds the cluster: the pod's own, or that of the kubeconfig ($KUBECONFIG, ~/.kube/config).
func Connect(kubeconfig, namespace string) (*Cluster, error) {
	cfg, inside, err := load(kubeconfig)
	if err != nil {
		return nil, err
	}
	// The steps poll; client-go's default of 5 requests a second would make them slow, not kind.
	cfg.QPS, cfg.Burst = 50, 100
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the Kubernetes client: %w", err)
	}
	dyn, err := dynamic.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("set up the Kubernetes client: %w", err)
	}
	return &Cluster{Namespace: namespace, Inside: inside, Client: client, Dyn: dyn, rest: cfg}, nil
}

func load(kubeconfig string) (cfg *rest.Config, inside bool, err error) {
	if kubeconfig == "" && os.Getenv("KUBECONFIG") == "" {
		cfg, err = rest.InClusterConfig()
		if err == nil {
			return cfg, true, nil
		}
		if !errors.Is(err, rest.ErrNotInCluster) {
			return nil, false, fmt.Errorf("read the pod's service account: %w", err)
		}
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = kubeconfig
	cfg, err = clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
	if err != nil {
		return nil, false, fmt.Errorf("find a cluster: %w; set KUBECONFIG or start the embedded one with `go run ./cmd/lab up`", err)
	}
	return cfg, false, nil
}

// Until looks at a condition until it holds, ctx ends, or the limit is over. The condition returns what it saw,
// which becomes part of the error; an error of its own ends the wait at once.
func Until(ctx context.Context, what string, limit time.Duration, cond func(context.Context) (done bool, seen string, err error)) error {
	var seen string
	err := wait.PollUntilContextTimeout(ctx, Poll, limit, true, func(ctx context.Context) (bool, error) {
		done, s, err := cond(ctx)
		if s != "" {
			seen = s
		}
		return done, err
	})
	if err == nil {
		return nil
	}
	if !wait.Interrupted(err) {
		return fmt.Errorf("wait for %s: %w", what, err)
	}
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("wait for %s: ended by %w; last seen: %s", what, cause, seen)
	}
	return fmt.Errorf("wait for %s: not within %s; last seen: %s", what, limit, seen)
}

// Pods lists the pods with a label that are not on their way out.
func (c *Cluster) Pods(ctx context.Context, set labels.Set) ([]corev1.Pod, error) {
	list, err := c.Client.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{LabelSelector: set.String()})
	if err != nil {
		return nil, fmt.Errorf("list pods %s in %s: %w", set, c.Namespace, err)
	}
	var out []corev1.Pod
	for _, p := range list.Items {
		if p.DeletionTimestamp == nil && p.Status.Phase != corev1.PodSucceeded && p.Status.Phase != corev1.PodFailed {
			out = append(out, p)
		}
	}
	return out, nil
}

// ReadyPods lists those of Pods that are ready; none is an error.
func (c *Cluster) ReadyPods(ctx context.Context, set labels.Set) ([]corev1.Pod, error) {
	pods, err := c.Pods(ctx, set)
	if err != nil {
		return nil, err
	}
	var out []corev1.Pod
	for _, p := range pods {
		if Ready(&p) {
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("look for pods %s in %s: %d are there, none is ready; run `failover deploy`", set, c.Namespace, len(pods))
	}
	return out, nil
}

// Ready tells whether the kubelet calls the pod ready.
func Ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// Backends counts the ready addresses of a Service, by its EndpointSlices.
func (c *Cluster) Backends(ctx context.Context, service string) (int, error) {
	list, err := c.Client.DiscoveryV1().EndpointSlices(c.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: labels.Set{discoveryv1.LabelServiceName: service}.String()})
	if err != nil {
		return 0, fmt.Errorf("list EndpointSlices of %s in %s: %w", service, c.Namespace, err)
	}
	n := 0
	for _, slice := range list.Items {
		for _, e := range slice.Endpoints {
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				n += len(e.Addresses)
			}
		}
	}
	return n, nil
}

// Secret reads a Secret's values.
func (c *Cluster) Secret(ctx context.Context, name string) (map[string][]byte, error) {
	s, err := c.Client.CoreV1().Secrets(c.Namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read Secret %s in %s: %w; `kubectl apply -f manifests/components/pgcat/` makes it", name, c.Namespace, err)
	}
	return s.Data, nil
}
