package intake

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/labctl/labctl/grade/submission"
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
	return Entry{Path: f.shown(name), source: f.source, within: path.Join(f.inside, name), found: true}
}

// archive finds the submissions of a class in a .zip; false: it is one student's. It is said to be a class's,
// or known by the names in it. It is not unpacked: submissions are read from it one by one.
func (f *Found) archive(name string, said bool) (class bool, err error) {
	z, err := zip.OpenReader(name)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		if said {
			return false, fmt.Errorf("look for submissions: %s: %w", name, err)
		}
		return false, nil // a student's, whose feedback will say so
	}
	for _, file := range z.File {
		file.Name = submission.ZipName(file)
		if submission.Encrypted(file) && said {
			z.Close()
			return true, fmt.Errorf("look for submissions: %s is encrypted: extract it, and pass the directory", name)
		}
	}
	before := len(f.Entries)
	defer func() {
		if !class || err != nil {
			z.Close()
			return
		}
		f.archives = append(f.archives, z)
	}()
	at := folder{dir: name, source: classArchive{z}, inside: "."}
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
		class, err = f.export(at, entries)
	}
	if class && err == nil {
		err = usable(z.File)
	}
	if err != nil {
		f.Entries = f.Entries[:before]
		err = fmt.Errorf("look for submissions: %s: %w", name, err)
	}
	return class, err
}

// export adds the submissions of a platform's export that is a folder, or all that a folder contains, and says
// whether there is one.
func (f *Found) export(at folder, entries []fs.DirEntry) (bool, error) {
	done, err := f.download(at, entries)
	inner := onlyFolder(entries)
	if done || err != nil || inner == "" {
		return done, err
	}
	// An archive is often unpacked into a folder of its name.
	in := at.enter(inner)
	if entries, err = in.list(); err != nil {
		return false, fmt.Errorf("look for submissions: %w", err)
	}
	return f.download(in, entries)
}

// usable says why the archive of a class cannot be used: a name points outside it (no platform makes such a
// download, and read as a folder it would seem to be another name), or it has a password.
func usable(files []*zip.File) error {
	for _, f := range files {
		if path.IsAbs(f.Name) || slices.Contains(strings.Split(f.Name, "/"), "..") {
			return fmt.Errorf("the name %q points outside the archive", f.Name)
		}
		if submission.Encrypted(f) {
			return errors.New("it is encrypted: extract it, and pass the directory")
		}
	}
	return nil
}

// classArchive is the archive of a class. Where it is damaged, or packed in a way that cannot be read, no
// student is to blame: such errors are the machine's.
type classArchive struct{ *zip.ReadCloser }

func (a classArchive) Open(name string) (fs.File, error) {
	file, err := a.ReadCloser.Open(name)
	if err != nil {
		return nil, machineError(name, err)
	}
	if _, ok := file.(fs.ReadDirFile); ok {
		return file, nil
	}
	return classFile{file, name}, nil
}

type classFile struct {
	fs.File
	name string
}

func (f classFile) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	if err != nil && err != io.EOF {
		err = machineError(f.name, err)
	}
	return n, err
}

func machineError(name string, err error) error {
	if machine := (*fs.PathError)(nil); errors.As(err, &machine) {
		return err
	}
	return &fs.PathError{Op: "read the archive of the class", Path: name, Err: err}
}
