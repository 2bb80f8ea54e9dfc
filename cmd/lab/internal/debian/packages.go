// Package debian installs the Debian packages that the lab needs and makes root
// file systems out of others.
package debian

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"pgcat-failover/cmd/lab/internal/progress"
)

// needed maps each package to a file that is there when it is installed: asking
// the file system is quicker than asking dpkg, and true also where a user has
// the program from elsewhere.
var needed = []struct{ name, file string }{
	{"containerd", "containerd"},
	{"runc", "runc"},
	{"containernetworking-plugins", "/usr/lib/cni/ptp"},
	{"iptables", "iptables"},
	{"nftables", "nft"},
	{"conntrack", "conntrack"},
	{"mmdebstrap", "mmdebstrap"},
}

// Install installs what is missing and says so.
func Install(ctx context.Context, say *progress.Printer) error {
	missing := Missing()
	if len(missing) == 0 {
		return nil
	}
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("install %s: there is no apt-get; the lab runs on Debian", strings.Join(missing, " "))
	}
	return say.Step("install Debian packages: "+strings.Join(missing, " "), func() error { return install(ctx, missing) })
}

// Missing lists the packages that are not there.
func Missing() []string {
	var names []string
	for _, p := range needed {
		if !present(p.file) {
			names = append(names, p.name)
		}
	}
	return names
}

func present(file string) bool {
	if filepath.IsAbs(file) {
		_, err := os.Stat(file)
		return err == nil
	}
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/sbin", "/sbin") {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return true
		}
	}
	return false
}

func install(ctx context.Context, names []string) error {
	hadContainerd := present("containerd")
	if err := apt(ctx, "update"); err != nil {
		return err
	}
	if err := apt(ctx, append([]string{"install", "-y", "--no-install-recommends"}, names...)...); err != nil {
		return err
	}
	if !hadContainerd {
		stopService(ctx, "containerd")
	}
	return nil
}

// stopService stops the service that Debian starts on installation: the lab has
// a containerd of its own. Without systemd there is none, and no error.
func stopService(ctx context.Context, name string) {
	if _, err := os.Stat("/run/systemd/system"); err != nil {
		return
	}
	_ = exec.CommandContext(ctx, "systemctl", "disable", "--now", name).Run()
}

func apt(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-q"}, args...)...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	return run(cmd, "apt-get "+args[0])
}

// run runs a command and puts the end of its output into the error.
func run(cmd *exec.Cmd, deed string) error {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		return fmt.Errorf("%s: %w: %s", deed, err, strings.Join(lines[max(0, len(lines)-5):], "; "))
	}
	return nil
}
