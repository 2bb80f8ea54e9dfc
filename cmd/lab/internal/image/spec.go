// Package image makes container images out of what images/ describes, without a
// container engine: a tar file for each, with the same digest for the same
// content.
package image

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"

	"sigs.k8s.io/yaml"

	"pgcat-failover/cmd/lab/internal/debian"
)

// SpecFile is the file that describes an image, in the folder that names it.
const SpecFile = "image.yaml"

// Spec describes one image. The fields are those of a user: see
// images/README.md.
type Spec struct {
	// Folder is the folder's name, by which other images refer to this one.
	Folder string `json:"-"`
	// Name is the full name under which manifests ask for the image.
	Name string `json:"name"`
	// Base is the folder of the image whose root file system this one shares.
	Base string `json:"base,omitempty"`
	// Debian is a root file system made of Debian packages.
	Debian *debian.Rootfs `json:"debian,omitempty"`

	Binaries    []Binary    `json:"binaries,omitempty"`
	Files       []File      `json:"files,omitempty"`
	Directories []Directory `json:"directories,omitempty"`

	Entrypoint []string          `json:"entrypoint,omitempty"`
	Command    []string          `json:"command,omitempty"`
	Env        []string          `json:"env,omitempty"`
	User       string            `json:"user,omitempty"`
	WorkDir    string            `json:"workDir,omitempty"`
	StopSignal string            `json:"stopSignal,omitempty"`
	Labels     map[string]string `json:"labels,omitempty"`

	// MaxCompressedMB fails the build of an image that is larger.
	MaxCompressedMB int `json:"maxCompressedMB,omitempty"`
}

// Binary is a program in an image; exactly one of its sources is set.
type Binary struct {
	Path string `json:"path"`
	// Go is a main package of this repository, built statically.
	Go string `json:"go,omitempty"`
	// Component is a program of the cluster, as component/program.
	Component string `json:"component,omitempty"`
	// PgCat is the PgCat that this machine can offer.
	PgCat bool `json:"pgcat,omitempty"`
}

// File is a file with its content.
type File struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

// Directory is a directory with an owner.
type Directory struct {
	Path  string `json:"path"`
	Owner int    `json:"owner,omitempty"`
	Mode  int64  `json:"mode,omitempty"`
}

// Parse reads a specification; an unknown key is an error.
func Parse(folder string, content []byte) (Spec, error) {
	var spec Spec
	if err := yaml.UnmarshalStrict(content, &spec); err != nil {
		return Spec{}, fmt.Errorf("read images/%s/%s: %w", folder, SpecFile, err)
	}
	spec.Folder = folder
	if err := spec.check(); err != nil {
		return Spec{}, fmt.Errorf("read images/%s/%s: %w", folder, SpecFile, err)
	}
	return spec, nil
}

func (s Spec) check() error {
	if s.Name == "" {
		return errors.New("name is empty; want the full name that manifests use")
	}
	if s.Base != "" && s.Debian != nil {
		return errors.New("base and debian are both set; want one of them, or none for an empty image")
	}
	for _, b := range s.Binaries {
		if !filepath.IsAbs(b.Path) {
			return fmt.Errorf("binary path %q is not absolute", b.Path)
		}
		if b.sources() != 1 {
			return fmt.Errorf("binary %s has %d sources; want one of go, component, pgcat", b.Path, b.sources())
		}
	}
	return nil
}

func (b Binary) sources() (n int) {
	for _, set := range []bool{b.Go != "", b.Component != "", b.PgCat} {
		if set {
			n++
		}
	}
	return n
}

// WantsPgCat tells whether the image cannot be made without a PgCat.
func (s Spec) WantsPgCat() bool {
	for _, b := range s.Binaries {
		if b.PgCat {
			return true
		}
	}
	return false
}

// WantsComponent tells whether the image holds programs of the cluster.
func (s Spec) WantsComponent() bool {
	for _, b := range s.Binaries {
		if b.Component != "" {
			return true
		}
	}
	return false
}

// Load reads all specifications beneath the folder images, bases first.
func Load(folder string) ([]Spec, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "*", SpecFile))
	if err != nil || len(paths) == 0 {
		return nil, fmt.Errorf("find images: no %s beneath %s", SpecFile, folder)
	}
	var specs []Spec
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		spec, err := Parse(filepath.Base(filepath.Dir(path)), content)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	sort.SliceStable(specs, func(i, j int) bool { return specs[i].Base == "" && specs[j].Base != "" })
	return specs, checkBases(specs)
}

func checkBases(specs []Spec) error {
	roots := map[string]bool{}
	for _, s := range specs {
		roots[s.Folder] = s.Base == ""
	}
	for _, s := range specs {
		if s.Base != "" && !roots[s.Base] {
			return fmt.Errorf("read images/%s/%s: base %q is not an image without a base", s.Folder, SpecFile, s.Base)
		}
	}
	return nil
}
