package cluster

import (
	"context"
	"fmt"
	"log/slog"
	"os"

	"pgcat-failover/cmd/lab/internal/node"
	"pgcat-failover/cmd/lab/internal/place"
	"pgcat-failover/cmd/lab/internal/volumes"
)

// path is where the cluster's programs look for others: runc, nft, and
// containerd's own helpers. The user's PATH may lack some.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Supervise is the supervisor's life, inside the lab.
func Supervise(lab place.Lab) error {
	if err := os.Setenv("PATH", path); err != nil {
		return fmt.Errorf("set PATH: %w", err)
	}
	return node.Supervise(lab, func(ctx context.Context) { provision(ctx, lab) })
}

func provision(ctx context.Context, lab place.Lab) {
	clients, err := client((&Cluster{Lab: lab}).adminKubeconfig())
	if err != nil {
		slog.Error("start the volume provisioner", "err", err)
		return
	}
	warn := func(format string, args ...any) { slog.Warn(fmt.Sprintf(format, args...)) }
	if err := volumes.New(clients, lab.Volumes(), warn).Run(ctx); err != nil {
		slog.Error("run the volume provisioner", "err", err)
	}
}
