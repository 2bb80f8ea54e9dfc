package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"pgcat-failover/cmd/lab/internal/node"
)

const (
	// upTimeout bounds the start of a cluster whose programs and images are
	// built: it takes 40 s on two idle processors, and those may be busy.
	upTimeout = 5 * time.Minute
	poll      = 200 * time.Millisecond
	// restartLimit tells a program that cannot start from one that was early.
	restartLimit = 5
	logLines     = 8
)

// ErrUnhealthy is returned when a program of the cluster keeps dying.
var ErrUnhealthy = errors.New("the cluster does not come up")

// watch ends the wait early when it is hopeless: the supervisor is gone, or a
// program keeps dying.
func (c *Cluster) watch(ctx context.Context, supervisor node.Supervisor, finished <-chan struct{}) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	for {
		select {
		case <-finished:
			return nil
		case <-ctx.Done():
			return c.explain(ctx.Err())
		case <-tick.C:
		}
		if !supervisor.Alive() {
			return fmt.Errorf("%w: the supervisor ended; its log says:\n%s", ErrUnhealthy, c.logTail("supervisor"))
		}
		states, err := node.Read(c.Lab.Processes())
		if err != nil {
			continue // not written yet
		}
		for _, s := range states {
			if !s.Ready && s.Restarts >= restartLimit {
				return fmt.Errorf("%w: %s died %d times (%s); its log says:\n%s\nmend that, then run \"lab down\" and \"lab up\"",
					ErrUnhealthy, s.Name, s.Restarts, s.Exit, c.logTail(s.Name))
			}
		}
	}
}

// explain adds what was not ready when the time was up.
func (c *Cluster) explain(cause error) error {
	if !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	var late []string
	states, _ := node.Read(c.Lab.Processes())
	for _, s := range states {
		if !s.Ready {
			late = append(late, s.Name+":\n"+c.logTail(s.Name))
		}
	}
	return fmt.Errorf("%w within %s; not ready: %s\nsee \"lab status\" and the logs in %s",
		ErrUnhealthy, upTimeout, strings.Join(late, "\n"), c.Lab.Logs())
}

func (c *Cluster) logTail(program string) string {
	content, err := os.ReadFile(c.Lab.Log(program))
	if err != nil {
		return "  (no log)"
	}
	lines := strings.Split(strings.TrimSpace(string(content)), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-logLines):], "\n  ")
}

// waitProgram waits until the supervisor has seen a program ready.
func (c *Cluster) waitProgram(ctx context.Context, name string) error {
	err := wait.PollUntilContextCancel(ctx, poll, true, func(context.Context) (bool, error) {
		states, err := node.Read(c.Lab.Processes())
		if err != nil {
			return false, nil
		}
		for _, s := range states {
			if s.Name == name {
				return s.Ready, nil
			}
		}
		return false, nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s: %w", name, err)
	}
	return nil
}

// Client talks to the cluster through the relay.
func (c *Cluster) Client() (kubernetes.Interface, error) {
	return client(c.Lab.Kubeconfig())
}

func client(kubeconfig string) (kubernetes.Interface, error) {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", kubeconfig, err)
	}
	config.QPS, config.Burst = 50, 100
	clients, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client from %s: %w", kubeconfig, err)
	}
	return clients, nil
}

// Deployments lists what must be available in a ready lab.
var Deployments = []struct{ Namespace, Name string }{
	{"kube-system", "coredns"},
	{namespace, "workflow-controller"},
	{namespace, "argo-server"},
}

func (c *Cluster) waitReady(ctx context.Context) error {
	clients, err := c.Client()
	if err != nil {
		return err
	}
	for _, program := range []string{"kubelet", "kube-proxy", "kube-scheduler", "kube-controller-manager"} {
		if err := c.waitProgram(ctx, program); err != nil {
			return err
		}
	}
	var last error
	err = wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		last = Ready(ctx, clients)
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("wait for the cluster: %w: %w", err, last)
	}
	return nil
}

// Ready returns nil if node and deployments are ready, else what is not.
func Ready(ctx context.Context, clients kubernetes.Interface) error {
	nodes, err := clients.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	if len(nodes.Items) != 1 || !nodeReady(nodes.Items[0]) {
		return errors.New("the node is not ready")
	}
	for _, d := range Deployments {
		deployment, err := clients.AppsV1().Deployments(d.Namespace).Get(ctx, d.Name, metav1.GetOptions{})
		if err != nil {
			return fmt.Errorf("look at %s: %w", d.Name, err)
		}
		if !available(deployment) {
			return fmt.Errorf("%s/%s is not available", d.Namespace, d.Name)
		}
	}
	return nil
}

func nodeReady(n corev1.Node) bool {
	if len(n.Spec.Taints) > 0 {
		return false // the controller manager takes "not ready" off a moment later
	}
	for _, condition := range n.Status.Conditions {
		if condition.Type == corev1.NodeReady {
			return condition.Status == corev1.ConditionTrue
		}
	}
	return false
}

func available(d *appsv1.Deployment) bool {
	return d.Status.ObservedGeneration >= d.Generation &&
		d.Status.UpdatedReplicas == *d.Spec.Replicas && d.Status.AvailableReplicas == *d.Spec.Replicas
}

// adminKubeconfig works inside the lab, without the relay.
func (c *Cluster) adminKubeconfig() string {
	return filepath.Join(c.Lab.PKI(), adminFile+".kubeconfig")
}
