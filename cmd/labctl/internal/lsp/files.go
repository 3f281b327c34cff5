package lsp

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// overlay is a directory in which unsaved documents take the place of files. Like the directory of a lab, it is closed:
// links do not lead out of it.
type overlay struct {
	fs.FS
	open map[string][]byte // by name in the directory
}

// newOverlay returns the files below a directory, with the documents that are open in the editor over them.
func newOverlay(dir string, docs map[string]*document) (*overlay, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	o := &overlay{FS: root.FS(), open: map[string][]byte{}}
	for _, d := range docs {
		if name, ok := below(dir, d.path); ok {
			o.open[name] = []byte(d.s)
		}
	}
	return o, nil
}

// below returns the name of a file relative to a directory that it is in.
func below(dir, file string) (string, bool) {
	rel, err := filepath.Rel(dir, file)
	if err != nil || rel == "." || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", false
	}
	return filepath.ToSlash(rel), true
}

func (o *overlay) Open(name string) (fs.File, error) {
	if data, ok := o.open[name]; ok {
		return &openFile{Reader: bytes.NewReader(data), info: o.info(name)}, nil
	}
	f, err := o.FS.Open(name)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return &openDir{File: f, fs: o, name: name}, nil
	}
	return f, nil
}

func (o *overlay) info(name string) fs.FileInfo { return fileInfo{path.Base(name), len(o.open[name])} }

// Stat implements fs.StatFS.
func (o *overlay) Stat(name string) (fs.FileInfo, error) {
	if _, ok := o.open[name]; ok {
		return o.info(name), nil
	}
	return fs.Stat(o.FS, name)
}

// Lstat implements fs.ReadLinkFS.
func (o *overlay) Lstat(name string) (fs.FileInfo, error) {
	if _, ok := o.open[name]; ok {
		return o.info(name), nil
	}
	return fs.Lstat(o.FS, name)
}

// ReadLink implements fs.ReadLinkFS.
func (o *overlay) ReadLink(name string) (string, error) { return fs.ReadLink(o.FS, name) }

// ReadDir implements fs.ReadDirFS. It lists documents that have never been saved too.
func (o *overlay) ReadDir(name string) ([]fs.DirEntry, error) {
	entries, err := fs.ReadDir(o.FS, name)
	if err != nil {
		return nil, err
	}
	for file := range o.open {
		if path.Dir(file) != name {
			continue
		}
		entry := fs.FileInfoToDirEntry(o.info(file))
		i, found := slices.BinarySearchFunc(entries, path.Base(file), func(e fs.DirEntry, base string) int {
			return strings.Compare(e.Name(), base)
		})
		if found {
			entries[i] = entry
		} else {
			entries = slices.Insert(entries, i, entry)
		}
	}
	return entries, nil
}

// openFile is an unsaved document.
type openFile struct {
	*bytes.Reader
	info fs.FileInfo
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *openFile) Close() error               { return nil }

// openDir is a directory that lists unsaved documents.
type openDir struct {
	fs.File
	fs      *overlay
	name    string
	entries []fs.DirEntry
	listed  bool
}

// ReadDir implements fs.ReadDirFile.
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if !d.listed {
		var err error
		if d.entries, err = d.fs.ReadDir(d.name); err != nil {
			return nil, err
		}
		d.listed = true
	}
	if n > 0 && len(d.entries) == 0 {
		return nil, io.EOF
	}
	if n <= 0 || n > len(d.entries) {
		n = len(d.entries)
	}
	list := d.entries[:n]
	d.entries = d.entries[n:]
	return list, nil
}

func (d *openDir) Read([]byte) (int, error) { return 0, errors.New("is a directory") }

// fileInfo describes an unsaved document.
type fileInfo struct {
	name string
	size int
}

func (i fileInfo) Name() string       { return i.name }
func (i fileInfo) Size() int64        { return int64(i.size) }
func (i fileInfo) Mode() fs.FileMode  { return 0o644 }
func (i fileInfo) ModTime() time.Time { return time.Time{} }
func (i fileInfo) IsDir() bool        { return false }
func (i fileInfo) Sys() any           { return nil }
