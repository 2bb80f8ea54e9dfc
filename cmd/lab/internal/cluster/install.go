package cluster

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"pgcat-failover/cmd/lab/internal/image"
)

// Import brings images into the lab; those that are there already are left.
func (c *Cluster) Import(ctx context.Context, images []image.Built) error {
	present, err := c.Images(ctx)
	if err != nil {
		return err
	}
	for _, img := range images {
		if present[img.Name] == img.Digest {
			continue
		}
		if _, err := c.ctr(ctx, "images", "import", "--digests=false", img.Tar); err != nil {
			return fmt.Errorf("import the image %s: %w", img.Name, err)
		}
	}
	return nil
}

// Images lists the images in the lab, by name, with their digests.
func (c *Cluster) Images(ctx context.Context) (map[string]string, error) {
	out, err := c.ctr(ctx, "images", "list")
	if err != nil {
		return nil, fmt.Errorf("list the lab's images: %w", err)
	}
	present := map[string]string{}
	for line := range strings.Lines(out) {
		// REF TYPE DIGEST ...; the first line is the header, and each image also stands there under its own digest.
		if fields := strings.Fields(line); len(fields) > 2 && strings.Contains(fields[0], "/") {
			present[fields[0]] = fields[2]
		}
	}
	return present, nil
}

func (c *Cluster) ctr(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--address", c.Lab.ContainerdSocket(), "--namespace", "k8s.io"}, args...)
	return output(exec.CommandContext(ctx, "ctr", args...))
}

// install applies what every lab has. Server-side, so that doing it again
// changes nothing, and because Argo's definitions are too large for kubectl's
// own bookkeeping.
func (c *Cluster) install(ctx context.Context) error {
	kubectl, err := c.Set.Program("kubernetes/kubectl")
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, kubectl,
		"--kubeconfig", c.Lab.Kubeconfig(), "--cache-dir", filepath.Join(c.Lab.State, "kubectl-cache"),
		"apply", "--server-side", "--force-conflicts", "--field-manager=lab", "-f", strings.Join(c.manifests(), ","))
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("install Argo and CoreDNS: %w", err)
	}
	return nil
}

// manifests lists the files that make an empty cluster the lab.
func (c *Cluster) manifests() []string {
	return []string{filepath.Join(c.Lab.State, "cluster.yaml"), c.Set.ArgoManifests()}
}

func output(cmd *exec.Cmd) (string, error) {
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%w: %s", err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}
