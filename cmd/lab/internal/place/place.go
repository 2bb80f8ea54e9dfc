// Package place says where a lab keeps what it has: state, sockets, cache,
// repository. Every path of the lab is made here.
package place

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// DefaultName is the lab that is meant when LAB_NAME is not set.
const DefaultName = "lab"

// namePattern keeps names short: they become part of unix socket paths, which
// may not be longer than 107 bytes.
var namePattern = regexp.MustCompile(`^[a-z][a-z0-9-]{0,19}$`)

// Lab is the set of directories of one lab. Two labs with different names can
// run side by side; only the cache is shared.
type Lab struct {
	Name  string
	State string // on disk: images, logs, keys, volumes
	Run   string // sockets, pid, lock
	Cache string // built programs and images; outlives the lab
}

// FromEnv returns the lab that LAB_NAME names, or the default one.
func FromEnv() (Lab, error) {
	name := os.Getenv("LAB_NAME")
	if name == "" {
		name = DefaultName
	}
	if !namePattern.MatchString(name) {
		return Lab{}, fmt.Errorf("read LAB_NAME: %q is not a lab's name; use at most 20 of a-z, 0-9 and -, a letter first", name)
	}
	cache, err := cacheDir()
	if err != nil {
		return Lab{}, err
	}
	return Lab{
		Name:  name,
		State: "/var/lib/pgcat-failover-" + name,
		Run:   "/run/pgcat-failover-" + name,
		Cache: cache,
	}, nil
}

func cacheDir() (string, error) {
	base := os.Getenv("XDG_CACHE_HOME")
	if base == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("find the cache directory: %w; set HOME or XDG_CACHE_HOME", err)
		}
		base = filepath.Join(home, ".cache")
	}
	return filepath.Join(base, "pgcat-failover"), nil
}

// Cgroup is the lab's own control group, a child of the root one: what is left
// of it after a crash is found by its name.
func (l Lab) Cgroup() string { return "pgcat-failover-" + l.Name }

// Bin is where the programs for the user (kubectl, argo) are linked.
func (l Lab) Bin() string { return filepath.Join(l.Cache, "bin") }

// Scratch is where image files are unpacked.
func (l Lab) Scratch() string { return filepath.Join(l.Cache, "unpacked") }

// Kubeconfig is the file that lets the user's own tools reach the cluster.
func (l Lab) Kubeconfig() string { return filepath.Join(l.State, "kubeconfig") }

// Logs is where each program of the cluster writes its log.
func (l Lab) Logs() string { return filepath.Join(l.State, "logs") }

// Log is the log of one program.
func (l Lab) Log(program string) string { return filepath.Join(l.Logs(), program+".log") }

// ContainerdSocket is reachable from the host and from inside the lab.
func (l Lab) ContainerdSocket() string { return filepath.Join(l.Run, "containerd.sock") }

// PIDFile holds the supervisor's pid and start time.
func (l Lab) PIDFile() string { return filepath.Join(l.Run, "supervisor.json") }

// Processes is where the supervisor writes what it runs.
func (l Lab) Processes() string { return filepath.Join(l.Run, "processes.json") }

// Plan is what the supervisor is told to run.
func (l Lab) Plan() string { return filepath.Join(l.State, "plan.json") }

// Volumes holds one directory for each claim in the cluster.
func (l Lab) Volumes() string { return filepath.Join(l.State, "volumes") }

// PKI holds the cluster's keys and the kubeconfig files of its programs.
func (l Lab) PKI() string { return filepath.Join(l.State, "pki") }

// LockFile is one for all labs, since they build into the same cache. It lies
// outside State and Run, which come and go under the lock.
func (l Lab) LockFile() string { return filepath.Join(l.Cache, "lock") }

// ErrNoRepo is returned outside a clone of the project.
var ErrNoRepo = errors.New(`find the repository: no directory above holds go.mod and cmd/lab/components; run lab inside a clone of pgcat-failover`)

// Repo walks up from dir to the root of the clone.
func Repo(dir string) (string, error) {
	for {
		if isRepo(dir) {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", ErrNoRepo
		}
		dir = parent
	}
}

func isRepo(dir string) bool {
	for _, part := range []string{"go.mod", "cmd/lab/components"} {
		if _, err := os.Stat(filepath.Join(dir, part)); err != nil {
			return false
		}
	}
	return true
}
