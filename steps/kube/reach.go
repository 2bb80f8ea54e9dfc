package kube

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
)

// Reach gives an address at which a port of a pod answers: the pod's own inside the cluster, a
// forwarded port on loopback outside of it. The forward ends with ctx.
func (c *Cluster) Reach(ctx context.Context, pod *corev1.Pod, port int) (string, error) {
	if c.Inside {
		return fmt.Sprintf("%s:%d", pod.Status.PodIP, port), nil
	}
	local, err := c.forward(ctx, pod.Name, port)
	if err != nil {
		return "", fmt.Errorf("forward a local port to %s:%d: %w", pod.Name, port, err)
	}
	return "127.0.0.1:" + strconv.Itoa(int(local)), nil
}

func (c *Cluster) forward(ctx context.Context, pod string, port int) (uint16, error) {
	transport, upgrader, err := spdy.RoundTripperFor(c.rest)
	if err != nil {
		return 0, err
	}
	url := c.Client.CoreV1().RESTClient().Post().Resource("pods").Namespace(c.Namespace).Name(pod).SubResource("portforward").URL()
	dialer := spdy.NewDialer(upgrader, &http.Client{Transport: transport}, http.MethodPost, url)
	ready := make(chan struct{})
	fw, err := portforward.NewOnAddresses(dialer, []string{"127.0.0.1"}, []string{fmt.Sprintf("0:%d", port)},
		ctx.Done(), ready, io.Discard, io.Discard)
	if err != nil {
		return 0, err
	}
	failed := make(chan error, 1)
	go func() { failed <- fw.ForwardPorts() }()
	select {
	case <-ready:
	case err := <-failed:
		return 0, errors.Join(err, ctx.Err())
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	ports, err := fw.GetPorts()
	if err != nil {
		return 0, err
	}
	return ports[0].Local, nil
}
