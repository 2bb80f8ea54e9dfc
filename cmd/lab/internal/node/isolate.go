// Package node is the inside of the lab: the supervisor as the first process of
// its own network, mount and pid namespaces. When it dies, by whatever cause,
// the kernel ends every process in them and takes their mounts, links and
// packet filter rules away. Nothing has to be remembered to be cleaned.
package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"pgcat-failover/cmd/lab/internal/place"
)

// covered are directories that the cluster's programs write to under fixed
// names. Inside the lab each is an empty file system of its own.
var covered = []string{"/run", "/var/lib", "/var/log"}

// tunables are the kernel settings that kubelet insists on. They belong to the
// whole machine, so the lab shows kubelet files with the wanted value instead
// of changing them.
var tunables = map[string]string{
	"vm/overcommit_memory":      "1",
	"vm/panic_on_oom":           "0",
	"kernel/panic":              "10",
	"kernel/panic_on_oops":      "1",
	"kernel/keys/root_maxkeys":  "1000000",
	"kernel/keys/root_maxbytes": "25000000",
}

// isolateMounts makes the mount namespace the lab's own.
func isolateMounts(lab place.Lab) error {
	// First cut the tie to the host, then share among the lab's own namespaces:
	// kubelet needs mounts to reach the pods.
	for _, flag := range []uintptr{unix.MS_PRIVATE, unix.MS_SHARED} {
		if err := unix.Mount("", "/", "", unix.MS_REC|flag, ""); err != nil {
			return fmt.Errorf("set the propagation of mounts: %w", err)
		}
	}
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return fmt.Errorf("mount /proc of the lab: %w", err)
	}
	if err := cover(lab); err != nil {
		return err
	}
	return fakeTunables(lab)
}

// cover mounts empty file systems over the covered directories and puts the
// lab's own directories back into them.
func cover(lab place.Lab) error {
	own := []string{lab.State, lab.Run}
	held := make([]int, len(own))
	for i, dir := range own {
		fd, err := unix.Open(dir, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open %s: %w", dir, err)
		}
		defer func() { _ = unix.Close(fd) }()
		held[i] = fd
	}
	for _, dir := range covered {
		if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "mode=0755"); err != nil {
			return fmt.Errorf("cover %s: %w", dir, err)
		}
	}
	for i, dir := range own {
		if err := putBack(fmt.Sprintf("/proc/self/fd/%d", held[i]), dir); err != nil {
			return err
		}
	}
	return nil
}

func putBack(from, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("put %s back: %w", dir, err)
	}
	if err := unix.Mount(from, dir, "", unix.MS_BIND|unix.MS_REC, ""); err != nil {
		return fmt.Errorf("put %s back: %w", dir, err)
	}
	return nil
}

func fakeTunables(lab place.Lab) error {
	for name, value := range tunables {
		target := filepath.Join("/proc/sys", name)
		if _, err := os.Stat(target); errors.Is(err, os.ErrNotExist) {
			continue // this kernel has no such setting; kubelet will say so
		}
		fake := filepath.Join(lab.State, "sysctl", name)
		if err := os.MkdirAll(filepath.Dir(fake), 0o755); err != nil {
			return fmt.Errorf("shield %s: %w", target, err)
		}
		if err := os.WriteFile(fake, []byte(value+"\n"), 0o644); err != nil {
			return fmt.Errorf("shield %s: %w", target, err)
		}
		if err := unix.Mount(fake, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("shield %s: %w", target, err)
		}
	}
	return nil
}
