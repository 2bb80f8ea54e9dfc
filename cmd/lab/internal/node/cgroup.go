package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

const cgroupRoot = "/sys/fs/cgroup"

// hierarchies lists where control groups live: one directory with version 2,
// one for each controller with version 1.
func hierarchies() ([]string, error) {
	if _, err := os.Stat(filepath.Join(cgroupRoot, "cgroup.controllers")); err == nil {
		return []string{cgroupRoot}, nil
	}
	entries, err := os.ReadDir(cgroupRoot)
	if err != nil {
		return nil, fmt.Errorf("list control groups: %w", err)
	}
	var dirs []string
	for _, entry := range entries {
		if entry.IsDir() { // symlinks such as cpu -> cpu,cpuacct would repeat one
			dirs = append(dirs, filepath.Join(cgroupRoot, entry.Name()))
		}
	}
	return dirs, nil
}

// makeCgroup makes the control group under which kubelet puts all pods.
func makeCgroup(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		if err := makeIn(dir, name); err != nil {
			return fmt.Errorf("make the control group %s: %w", filepath.Join(dir, name), err)
		}
	}
	return nil
}

func makeIn(dir, name string) error {
	own := filepath.Join(dir, name)
	if err := os.Mkdir(own, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	switch filepath.Base(dir) {
	case "cpuset": // version 1: a new group may use no processor until told
		return inheritCPUs(dir, own)
	case filepath.Base(cgroupRoot): // version 2: children get what is passed on
		return errors.Join(passOn(dir), passOn(own))
	}
	return nil
}

func inheritCPUs(parent, child string) error {
	for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
		value, err := os.ReadFile(filepath.Join(parent, file))
		if errors.Is(err, os.ErrNotExist) {
			continue // mounted with noprefix, or not a cpuset
		}
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(child, file), value, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func passOn(dir string) error {
	controllers, err := os.ReadFile(filepath.Join(dir, "cgroup.controllers"))
	if err != nil {
		return err
	}
	var grant []string
	for _, name := range strings.Fields(string(controllers)) {
		grant = append(grant, "+"+name)
	}
	return os.WriteFile(filepath.Join(dir, "cgroup.subtree_control"), []byte(strings.Join(grant, " ")), 0o644)
}

// RemoveCgroup removes the group and all beneath it. Processes that are still
// dying keep theirs for a moment: the caller tries again until there is no
// error.
func RemoveCgroup(name string) error {
	dirs, err := hierarchies()
	if err != nil {
		return err
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, removeTree(filepath.Join(dir, name)))
	}
	return errors.Join(errs...)
}

// removeTree removes directories from the leaves up; a control group's files go
// with it and cannot be removed one by one.
func removeTree(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil
		}
		if err == nil && entry.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("list the control group %s: %w", root, err)
	}
	for i := len(dirs) - 1; i >= 0; i-- {
		if err := unix.Rmdir(dirs[i]); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the control group %s: %w", dirs[i], err)
		}
	}
	return nil
}
