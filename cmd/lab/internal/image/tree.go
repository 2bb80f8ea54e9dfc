package image

import (
	"archive/tar"
	"cmp"
	"path"
	"strings"
)

// tree writes files into a layer, with their parent directories before them.
// The first error stays; all times are zero, so that the digest depends on
// nothing but content.
type tree struct {
	w     *tar.Writer
	seen  map[string]bool
	count int
	err   error
}

func newTree(w *tar.Writer) *tree {
	return &tree{w: w, seen: map[string]bool{".": true, "": true}}
}

func (t *tree) directory(d Directory) {
	name := strings.Trim(d.Path, "/")
	t.parents(name)
	t.seen[name] = true
	t.add(&tar.Header{
		Typeflag: tar.TypeDir, Name: name + "/", Mode: cmp.Or(d.Mode, 0o755), Uid: d.Owner, Gid: d.Owner,
	}, nil)
}

func (t *tree) file(name string, mode int64, content []byte) {
	name = strings.Trim(name, "/")
	t.parents(name)
	t.add(&tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: mode, Size: int64(len(content))}, content)
}

func (t *tree) parents(name string) {
	dir := path.Dir(name)
	if t.seen[dir] {
		return
	}
	t.parents(dir)
	t.seen[dir] = true
	t.add(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755}, nil)
}

func (t *tree) add(header *tar.Header, content []byte) {
	if t.err != nil {
		return
	}
	header.Format = tar.FormatUSTAR
	if t.err = t.w.WriteHeader(header); t.err == nil {
		_, t.err = t.w.Write(content)
	}
	t.count++
}
