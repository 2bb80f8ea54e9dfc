package pgcat

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// unpackLayout unpacks an OCI layout into a temporary directory. It stays until
// the program ends, since an image is read from it bit by bit.
func unpackLayout(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	dir, err := os.MkdirTemp("", "pgcat-image-")
	if err != nil {
		return "", err
	}
	// Root keeps a tar file with "../" in its names from writing elsewhere.
	root, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer root.Close()
	reader := tar.NewReader(file)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return dir, nil
		}
		if err != nil {
			return "", fmt.Errorf("read %s: %w", path, err)
		}
		if err := unpackOne(root, header, reader); err != nil {
			return "", fmt.Errorf("unpack %s: %w", header.Name, err)
		}
	}
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
