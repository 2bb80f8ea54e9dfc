package debian

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
)

// osRelease names the suite of this machine.
const osRelease = "/etc/os-release"

// Suite is the name of the host's Debian release. Programs of the host that go
// into an image run on the same C library there only if the suites agree.
func Suite() (string, error) {
	content, err := os.ReadFile(osRelease)
	if err != nil {
		return "", fmt.Errorf("find the Debian release: %w", err)
	}
	for line := range strings.Lines(string(content)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "VERSION_CODENAME="); ok {
			return strings.Trim(name, `"`), nil
		}
	}
	return "", fmt.Errorf("find the Debian release: %s has no VERSION_CODENAME; the lab runs on Debian", osRelease)
}

// User is an account that must exist, with a given number, before the packages
// are installed: they would otherwise choose one themselves.
type User struct {
	Name string `json:"name"`
	ID   int    `json:"id"`
	Home string `json:"home"`
}

// Rootfs is a root file system made of Debian packages.
type Rootfs struct {
	Packages []string `json:"packages"`
	Users    []User   `json:"users,omitempty"`
}

// dropped is what a server in a container never reads.
var dropped = []string{
	"/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/lintian/*",
	// The just-in-time compiler, a third of the whole. All of it: Postgres does
	// without a compiler that is not there, but fails on half of one.
	"/usr/lib/llvm*", "/usr/lib/*/libLLVM*", "/usr/lib/postgresql/*/lib/llvmjit*", "/usr/lib/postgresql/*/lib/bitcode/*",
}

// removed is what has served once the packages are installed.
const removed = `rm -rf "$1"/var/lib/apt/lists/* "$1"/var/cache/apt/* "$1"/var/cache/debconf/* "$1"/var/log/*`

// Write makes the root file system as a tar file.
func (r Rootfs) Write(ctx context.Context, suite, tarFile string) error {
	cmd := exec.CommandContext(ctx, "mmdebstrap", r.arguments(suite, tarFile)...)
	// The same packages give the same bytes: mmdebstrap cuts every time to this.
	cmd.Env = append(os.Environ(), "SOURCE_DATE_EPOCH=0", "DEBIAN_FRONTEND=noninteractive")
	if err := run(cmd, "make a root file system with "+strings.Join(r.Packages, " ")+" of Debian "+suite); err != nil {
		return fmt.Errorf("%w; is the Debian mirror reachable, and has %s these packages?", err, suite)
	}
	return nil
}

// Key changes with everything that the root file system is made of.
func (r Rootfs) Key(suite string) string {
	return strings.Join(r.arguments(suite, ""), "\n")
}

func (r Rootfs) arguments(suite, tarFile string) []string {
	args := []string{"--quiet", "--variant=minbase", "--format=tar", "--include=" + strings.Join(r.Packages, ",")}
	for _, path := range dropped {
		args = append(args, "--dpkgopt=path-exclude="+path)
	}
	for _, u := range r.Users {
		args = append(args, "--essential-hook="+u.hook())
	}
	return append(args, "--customize-hook="+removed, suite, tarFile)
}

// hook writes the account by hand: useradd is not essential and comes later.
func (u User) hook() string {
	return fmt.Sprintf(`echo '%[1]s:x:%[2]d:%[2]d::%[3]s:/bin/bash' >>"$1/etc/passwd"; echo '%[1]s:*:19000:0:99999:7:::' >>"$1/etc/shadow"; echo '%[1]s:x:%[2]d:' >>"$1/etc/group"`, u.Name, u.ID, u.Home)
}
