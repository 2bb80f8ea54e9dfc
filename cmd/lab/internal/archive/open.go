package archive

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Open reads the image for this machine out of a tar file: an OCI layout, or
// what older versions of "docker save" write. A layout is unpacked beneath
// scratch, since an image is read from it bit by bit, long after this returns.
func Open(path, scratch string) (v1.Image, error) {
	isLayout, err := holdsLayout(path)
	if err != nil {
		return nil, fmt.Errorf("read the image %s: %w", path, err)
	}
	// The layout comes first: only it keeps the digest that the image has in a
	// registry.
	if !isLayout {
		img, err := tarball.ImageFromPath(path, nil)
		if err != nil {
			return nil, fmt.Errorf("read the image %s: %w", path, err)
		}
		return img, nil
	}
	dir, err := unpack(path, scratch)
	if err != nil {
		return nil, fmt.Errorf("read the image %s: %w", path, err)
	}
	return OpenLayout(dir)
}

// OpenLayout reads the image for this machine out of the directory of an OCI
// layout.
func OpenLayout(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, fmt.Errorf("read the image layout %s: %w", dir, err)
	}
	img, err := pick(index)
	if err != nil {
		return nil, fmt.Errorf("read the image layout %s: %w", dir, err)
	}
	return img, nil
}

// pick takes the image for this machine out of an index, which may hold others
// and further indexes.
func pick(index v1.ImageIndex) (v1.Image, error) {
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	for _, entry := range manifest.Manifests {
		if entry.MediaType.IsIndex() {
			inner, err := index.ImageIndex(entry.Digest)
			if err != nil {
				return nil, err
			}
			return pick(inner)
		}
		if entry.Platform == nil || (entry.Platform.OS == "linux" && entry.Platform.Architecture == runtime.GOARCH) {
			return index.Image(entry.Digest)
		}
	}
	return nil, fmt.Errorf("it holds no image for linux/%s", runtime.GOARCH)
}

func holdsLayout(path string) (bool, error) {
	found := false
	err := each(path, func(header *tar.Header, _ io.Reader) error {
		found = found || filepath.Clean(header.Name) == "oci-layout"
		return nil
	})
	return found, err
}

// each calls do with every entry of a tar file.
func each(path string, do func(*tar.Header, io.Reader) error) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := do(header, reader); err != nil {
			return fmt.Errorf("unpack %s: %w", header.Name, err)
		}
	}
}

// unpack unpacks a tar file into a directory named after its content, or finds
// it there.
func unpack(path, scratch string) (string, error) {
	sum, err := digest(path)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(scratch, sum)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(scratch, 0o755); err != nil {
		return "", err
	}
	partial, err := os.MkdirTemp(scratch, ".unpack-")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(partial) }()
	// Root keeps a tar file with "../" in its names from writing elsewhere.
	root, err := os.OpenRoot(partial)
	if err != nil {
		return "", err
	}
	defer func() { _ = root.Close() }()
	if err := each(path, func(header *tar.Header, content io.Reader) error { return unpackOne(root, header, content) }); err != nil {
		return "", err
	}
	return dir, os.Rename(partial, dir)
}

func digest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = file.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return hex.EncodeToString(hash.Sum(nil))[:16], nil
}

func unpackOne(root *os.Root, header *tar.Header, content io.Reader) error {
	name := filepath.Clean(header.Name)
	switch header.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o755)
	case tar.TypeReg:
		if err := root.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		out, err := root.Create(name)
		if err != nil {
			return err
		}
		_, err = io.Copy(out, content)
		return errors.Join(err, out.Close())
	}
	return nil // a layout has nothing else
}
