package cluster

import (
	"context"
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
func Down(ctx context.Context, lab place.Lab) error {
	if err := end(lab); err != nil {
		return err
	}
	var last error
	err := wait.PollUntilContextTimeout(ctx, poll/4, emptyTimeout, true, func(context.Context) (bool, error) {
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

// end ends the supervisor, and any that nobody wrote down.
func end(lab place.Lab) error {
	supervisors, err := node.Strays(lab)
	if err != nil {
		return err
	}
	if known, err := node.Find(lab); err == nil {
		supervisors = append(supervisors, known)
	}
	for _, s := range supervisors {
		if err := s.Kill(); err != nil {
			return err
		}
	}
	return nil
}
