package cluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"

	"pgcat-failover/cmd/lab/internal/node"
	"pgcat-failover/cmd/lab/internal/place"
)

// emptyTimeout bounds the wait for control groups to let go of processes that
// have just been ended.
const emptyTimeout = 20 * time.Second

// Down ends the lab and removes all that it left on this machine but the cache.
// It works on a running lab, on one that was killed, and on none.
func Down(lab place.Lab) error {
	supervisor, err := node.Find(lab)
	if err == nil {
		if err := supervisor.Kill(); err != nil {
			return err
		}
	} else if !errors.Is(err, node.ErrNotRunning) {
		return err
	}
	var last error
	err = wait.PollUntilContextTimeout(context.Background(), poll/4, emptyTimeout, true, func(context.Context) (bool, error) {
		last = node.RemoveCgroup(lab.Cgroup())
		return last == nil, nil
	})
	if err != nil {
		return fmt.Errorf("remove the lab's control group: %w", last)
	}
	for _, dir := range []string{lab.Run, lab.State} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("remove %s: %w", dir, err)
		}
	}
	return nil
}
