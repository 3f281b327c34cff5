package batch

import (
	"archive/zip"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// folder is where submissions are looked for: of the file system, or of an archive.
type folder struct {
	dir    string // its path; in an archive that of the archive
	source fs.FS  // the archive; nil: the file system
	inside string // its path in the archive
}

func (f folder) list() ([]fs.DirEntry, error) {
	if f.source == nil {
		return os.ReadDir(f.dir)
	}
	return fs.ReadDir(f.source, f.inside)
}

func (f folder) stat(name string) (fs.FileInfo, error) {
	if f.source == nil {
		return os.Stat(filepath.Join(f.dir, name))
	}
	return fs.Stat(f.source, path.Join(f.inside, name))
}

func (f folder) open(name string) (fs.File, error) {
	if f.source == nil {
		return os.Open(filepath.Join(f.dir, name))
	}
	return f.source.Open(path.Join(f.inside, name))
}

// enter is a folder in it.
func (f folder) enter(name string) folder {
	if f.source == nil {
		return folder{dir: filepath.Join(f.dir, name)}
	}
	f.inside = path.Join(f.inside, name)
	return f
}

// shown is how messages call something in it.
func (f folder) shown(name string) string {
	return filepath.Join(f.dir, filepath.FromSlash(f.inside), name)
}

// entry is an entry for something in it, without an ID.
func (f folder) entry(name string) Entry {
	return Entry{Path: f.shown(name), source: f.source, within: path.Join(f.inside, name)}
}

// archive finds the submissions of a class in a .zip; false: it is one student's. It is said to be a class's, or known by the
// names in it. It is not unpacked: submissions are read from it one by one.
func (f *Found) archive(name string, said bool) (class bool, err error) {
	z, err := zip.OpenReader(name)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		if said {
			return false, fmt.Errorf("look for submissions: %s: %w", name, err)
		}
		return false, nil // a student's, who will be told
	}
	before := len(f.Entries)
	defer func() {
		if !class || err != nil {
			z.Close()
			return
		}
		f.archives = append(f.archives, z)
	}()
	at := folder{dir: name, source: z, inside: "."}
	entries, err := at.list()
	if err != nil {
		if said {
			return true, fmt.Errorf("look for submissions: %s: %w", name, err)
		}
		return false, nil
	}
	if said {
		class, err = true, f.directory(at)
	} else {
		class, err = f.download(at, entries)
		if inner := onlyFolder(entries); !class && err == nil && inner != "" {
			in := at.enter(inner)
			if entries, err = in.list(); err == nil {
				class, err = f.download(in, entries)
			}
		}
	}
	if class && err == nil {
		err = honest(z.File)
	}
	if err != nil {
		f.Entries = f.Entries[:before]
		err = fmt.Errorf("look for submissions: %s: %w", name, err)
	}
	return class, err
}

// honest says which name leads out of an archive: no platform makes such a download, and read as a folder it would seem to be
// another name.
func honest(files []*zip.File) error {
	for _, f := range files {
		if path.IsAbs(f.Name) || strings.Contains(f.Name, `\`) || slices.Contains(strings.Split(f.Name, "/"), "..") {
			return fmt.Errorf("the name %q leads out of the archive", f.Name)
		}
	}
	return nil
}
