package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"pgcat-failover/cmd/lab/internal/components"
	"pgcat-failover/cmd/lab/internal/image"
	"pgcat-failover/cmd/lab/internal/node"
	"pgcat-failover/cmd/lab/internal/place"
	"pgcat-failover/cmd/lab/internal/progress"
)

// Cluster is one lab's cluster.
type Cluster struct {
	Lab place.Lab
	Set components.Set
	Say *progress.Printer
}

// Up brings the cluster to ready with these images in it. What runs already
// stays; what a crash left is cleaned first. If ctx ends before all is ready,
// what Up started is taken down again.
func (c *Cluster) Up(ctx context.Context, images []image.Built, port int) error {
	supervisor, err := node.Find(c.Lab)
	if err == nil {
		c.Say.Say("the cluster runs already (process %d)", supervisor.PID)
		if err := c.warnIfOld(); err != nil {
			return err
		}
		return c.complete(ctx, supervisor, images)
	}
	if err := c.down(ctx); err != nil {
		return fmt.Errorf("clean what an earlier lab left: %w", err)
	}
	supervisor, err = c.start(port)
	if err != nil {
		return errors.Join(err, c.down(ctx))
	}
	err = c.complete(ctx, supervisor, images)
	if ctx.Err() != nil {
		return errors.Join(fmt.Errorf("bring the cluster up: %w; it is taken down again", context.Cause(ctx)), c.down(ctx))
	}
	return err
}

// down cleans up to the end, also after the user pressed Ctrl-C.
func (c *Cluster) down(ctx context.Context) error { return Down(context.WithoutCancel(ctx), c.Lab) }

// warnIfOld tells when the running programs are not those of this clone: they
// are not changed beneath a user who may be working with them.
func (c *Cluster) warnIfOld() error {
	wanted, err := plan(c.Lab, c.Set)
	if err != nil {
		return err
	}
	running, err := node.ReadPlan(c.Lab)
	if err != nil {
		return err
	}
	if !reflect.DeepEqual(wanted, running) {
		c.Say.Say("note: it was started from another version of this project; \"lab down\" and \"lab up\" bring this one")
	}
	return nil
}

// start writes what the programs are told and starts the supervisor.
func (c *Cluster) start(port int) (node.Supervisor, error) {
	for _, dir := range []string{c.Lab.State, c.Lab.Run, c.Lab.Logs()} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return node.Supervisor{}, fmt.Errorf("make the lab's directories: %w", err)
		}
	}
	if err := writeConfigs(c.Lab); err != nil {
		return node.Supervisor{}, err
	}
	userConfig, err := writeKeys(c.Lab)
	if err != nil {
		return node.Supervisor{}, err
	}
	plan, err := plan(c.Lab, c.Set)
	if err != nil {
		return node.Supervisor{}, err
	}
	if err := plan.Write(c.Lab); err != nil {
		return node.Supervisor{}, err
	}
	supervisor, err := node.Start(c.Lab, port)
	if err != nil {
		return node.Supervisor{}, err
	}
	if supervisor.Port != port {
		c.Say.Say("port %d is busy: the API server is on port %d instead", port, supervisor.Port)
	}
	content, err := userConfig(supervisor.Port)
	if err != nil {
		return node.Supervisor{}, err
	}
	if err := os.WriteFile(c.Lab.Kubeconfig(), content, 0o600); err != nil {
		return node.Supervisor{}, fmt.Errorf("write the kubeconfig: %w", err)
	}
	return supervisor, nil
}

// complete waits for the programs, and brings images and Argo in meanwhile.
func (c *Cluster) complete(ctx context.Context, supervisor node.Supervisor, images []image.Built) error {
	ctx, cancel := context.WithTimeout(ctx, upTimeout)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	finished := make(chan struct{})
	group.Go(func() error { return c.watch(ctx, supervisor, finished) })
	group.Go(func() error {
		defer close(finished)
		return c.fill(ctx, images)
	})
	return group.Wait()
}

// fill does, in parallel where it can, what makes an empty cluster the lab.
func (c *Cluster) fill(ctx context.Context, images []image.Built) error {
	first, rest, err := c.split(images)
	if err != nil {
		return err
	}
	imported := make(chan struct{})
	group, both := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := c.waitProgram(both, "containerd"); err != nil {
			return err
		}
		return c.Say.Step(fmt.Sprintf("import %d images", len(images)), func() error {
			if err := c.Import(both, first); err != nil {
				return err
			}
			close(imported)
			return c.Import(both, rest)
		})
	})
	group.Go(func() error {
		wait := func() error { return c.waitProgram(both, "kube-apiserver") }
		if err := c.Say.Step("wait for the API server", wait); err != nil {
			return err
		}
		// Pods that start before their image is there wait out a back-off.
		select {
		case <-imported:
		case <-both.Done():
			return both.Err()
		}
		return c.Say.Step("install Argo, CoreDNS and the storage class", func() error { return c.install(both) })
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if err := c.Say.Step("wait for the node, CoreDNS and Argo", func() error { return c.waitReady(ctx) }); err != nil {
		return err
	}
	return c.markReady()
}

// split puts the images first that the lab's own pods wait for.
func (c *Cluster) split(images []image.Built) (first, rest []image.Built, err error) {
	wanted := PauseImage
	for _, file := range c.manifests() {
		content, err := os.ReadFile(file)
		if err != nil {
			return nil, nil, fmt.Errorf("read what is installed: %w", err)
		}
		wanted += string(content)
	}
	for _, img := range images {
		if strings.Contains(wanted, img.Name) {
			first = append(first, img)
		} else {
			rest = append(rest, img)
		}
	}
	return first, rest, nil
}

// readyFile bears, as its time, when this cluster was first ready.
const readyFile = "ready"

func (c *Cluster) markReady() error {
	file, err := os.OpenFile(filepath.Join(c.Lab.State, readyFile), os.O_CREATE|os.O_EXCL, 0o644)
	if errors.Is(err, os.ErrExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write down when the cluster was ready: %w", err)
	}
	return file.Close()
}

// ReadyAt tells when the cluster was first ready.
func ReadyAt(lab place.Lab) (time.Time, error) {
	info, err := os.Stat(filepath.Join(lab.State, readyFile))
	if err != nil {
		return time.Time{}, fmt.Errorf("find out when the cluster was ready: %w", err)
	}
	return info.ModTime(), nil
}
