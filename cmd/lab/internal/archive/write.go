// Package archive writes images into tar files and reads them back.
package archive

import (
	"archive/tar"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
)

// Write writes the image as an OCI layout, which keeps its digest, with the
// manifest.json beside it that older versions of "docker load" want.
func Write(path, name string, img v1.Image) error {
	work, err := os.MkdirTemp(filepath.Dir(path), ".layout-")
	if err != nil {
		return fmt.Errorf("make room for the image's layout: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }()
	root, err := layout.Write(work, empty.Index)
	if err != nil {
		return fmt.Errorf("write the image's layout: %w", err)
	}
	names := layout.WithAnnotations(map[string]string{
		"io.containerd.image.name":          name,
		"org.opencontainers.image.ref.name": name,
	})
	if err := root.AppendImage(img, names); err != nil {
		return fmt.Errorf("write the image's layout: %w", err)
	}
	if err := writeDockerManifest(work, name, img); err != nil {
		return fmt.Errorf("write the image's layout: %w", err)
	}
	if err := pack(path+".partial", work); err != nil {
		return fmt.Errorf("pack the image: %w", err)
	}
	return os.Rename(path+".partial", path)
}

func writeDockerManifest(dir, name string, img v1.Image) error {
	config, err := img.ConfigName()
	if err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	entry := struct {
		Config   string
		RepoTags []string
		Layers   []string
	}{Config: blob(config), RepoTags: []string{name}}
	for _, layer := range layers {
		digest, err := layer.Digest()
		if err != nil {
			return err
		}
		entry.Layers = append(entry.Layers, blob(digest))
	}
	content, err := json.Marshal([]any{entry})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "manifest.json"), content, 0o644)
}

func blob(digest v1.Hash) string { return "blobs/" + digest.Algorithm + "/" + digest.Hex }

// pack puts a directory into a tar file; WalkDir gives a fixed order.
func pack(path, dir string) (err error) {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := out.Close(); err == nil {
			err = closeErr
		}
	}()
	w := tar.NewWriter(out)
	err = filepath.WalkDir(dir, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return packFile(w, dir, file)
	})
	if err != nil {
		return err
	}
	return w.Close()
}

func packFile(w *tar.Writer, dir, file string) error {
	rel, err := filepath.Rel(dir, file)
	if err != nil {
		return err
	}
	in, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	header := &tar.Header{Typeflag: tar.TypeReg, Name: rel, Mode: 0o644, Size: info.Size()}
	if err := w.WriteHeader(header); err != nil {
		return err
	}
	_, err = io.Copy(w, in)
	return err
}
