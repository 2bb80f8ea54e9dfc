package components

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const (
	argoModule    = "github.com/argoproj/argo-workflows/v3"
	argoManifests = "argo.yaml"
)

// placeholderPage stands where Argo embeds its user interface, which needs
// Node.js to be built and which the module does not hold.
const placeholderPage = "<!doctype html><title>Argo Workflows</title><p>This argo-server was built from its Go module, which holds no user interface. Its API works.</p>\n"

// signalLinux is what the module lacks: in Git it is a symlink to its Darwin
// twin, and module zips drop symlinks.
const signalLinux = "workflow/executor/osspecific/signal_linux.go"

func argoFlags(version string) string {
	set := func(name, value string) string { return fmt.Sprintf("-X %s.%s=%s", argoModule, name, value) }
	return strings.Join([]string{
		set("version", version), set("gitTag", version), set("gitTreeState", "clean"), set("gitCommit", "unknown"),
	}, " ")
}

// mendArgo makes a copy of the component whose go.mod leads to a mended copy of
// the Argo module: `go build -overlay` refuses files under the module cache.
func mendArgo(ctx context.Context, b *build) error {
	if _, err := b.goTool(ctx, "mod", "download", argoModule); err != nil {
		return err
	}
	upstream, err := b.goTool(ctx, "list", "-m", "-f", "{{.Dir}}", argoModule)
	if err != nil {
		return err
	}
	work := filepath.Join(b.partial, "src")
	if err := os.RemoveAll(work); err != nil {
		return err
	}
	argo, module := filepath.Join(work, "argo"), filepath.Join(work, "module")
	if err := errors.Join(copyTree(argo, upstream), copyTree(module, b.source)); err != nil {
		return err
	}
	if err := mendModule(argo); err != nil {
		return err
	}
	b.moduleDir = module
	_, err = b.goTool(ctx, "mod", "edit", "-replace", argoModule+"=../argo") // relative, or the path would be in the programs
	return err
}

func mendModule(dir string) error {
	twin, err := os.ReadFile(filepath.Join(dir, filepath.Dir(signalLinux), "signal_darwin.go"))
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, signalLinux), twin, 0o644); err != nil {
		return err
	}
	app := filepath.Join(dir, "ui/dist/app")
	if err := os.MkdirAll(app, 0o755); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(app, "index.html"), []byte(placeholderPage), 0o644)
}

// copyTree copies a tree and makes the copy writable; the module cache is not.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		target := filepath.Join(to, rel)
		if entry.IsDir() {
			return os.MkdirAll(target, 0o755)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, content, 0o644)
	})
}

// renderArgo writes the installation of Argo as one file, with the kubectl that
// was just built.
func renderArgo(ctx context.Context, b *build) error {
	overlay := filepath.Join(b.partial, "src/argo/manifests/lab")
	if err := copyTree(overlay, filepath.Join(b.source, "manifests")); err != nil {
		return err
	}
	kubectl := filepath.Join(filepath.Dir(filepath.Dir(b.dir)), "bin/kubectl")
	rendered, err := output(exec.CommandContext(ctx, kubectl, "kustomize", overlay))
	if err != nil {
		return fmt.Errorf("render argo's manifests: %w", err)
	}
	rendered = strings.ReplaceAll(rendered, "ARGO_VERSION", b.version)
	if err := os.WriteFile(filepath.Join(b.partial, argoManifests), []byte(rendered+"\n"), 0o644); err != nil {
		return err
	}
	return os.RemoveAll(filepath.Join(b.partial, "src"))
}
