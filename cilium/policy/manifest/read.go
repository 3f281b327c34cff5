package manifest

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ReadPath reads a file, or every *.yaml, *.yml and *.json file below a directory, in the order of their
// names. Other files, and files and directories whose name begins with a dot, are left out. A symbolic
// link is followed only if it stays inside the directory; a device, a socket, a name with control
// characters and whatever is beyond lim is an error that names it.
//
// The names of a directory's files are relative to it; a file that is named itself keeps the name given.
func ReadPath(name string, lim Limits) ([]File, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !info.Mode().IsRegular() {
			return nil, NotRegular(name, info.Mode())
		}
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return ReadStream(filepath.ToSlash(name), f, lim)
	}
	// The root keeps symbolic links inside the directory.
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	r := reader{fsys: root.FS(), lim: lim.orDefault()}
	return r.readDir()
}

// ReadFS reads dir of fsys (a directory or one file) as ReadPath does.
func ReadFS(fsys fs.FS, dir string, lim Limits) ([]File, error) {
	dir = path.Clean(dir)
	info, err := fs.Stat(fsys, dir)
	if err != nil {
		return nil, err
	}
	r := reader{fsys: fsys, lim: lim.orDefault()}
	if !info.IsDir() {
		if !info.Mode().IsRegular() { // opening it could wait for a writer
			return nil, NotRegular(path.Base(dir), info.Mode())
		}
		if err := r.readFile(dir, dir); err != nil {
			return nil, err
		}
		return r.files, nil
	}
	sub, err := fs.Sub(fsys, dir)
	if err != nil {
		return nil, err
	}
	r.fsys = sub
	return r.readDir()
}

// ReadStream reads r to its end as one file called name.
func ReadStream(name string, r io.Reader, lim Limits) ([]File, error) {
	lim = lim.orDefault()
	data, err := readAtMost(r, min(lim.FileBytes, lim.TotalBytes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return []File{{Name: name, Data: data}}, nil
}

type reader struct {
	fsys  fs.FS
	lim   Limits
	files []File
	total int64
}

func (r *reader) readDir() ([]File, error) {
	err := Walk(r.fsys, r.lim, func(name string, mode fs.FileMode) error {
		switch {
		case mode.IsDir(), !IsManifestName(name), HiddenManifest(path.Base(name)):
			return nil
		case !mode.IsRegular():
			return NotRegular(name, mode)
		}
		return r.readFile(name, name)
	})
	if err != nil {
		return nil, err
	}
	return r.files, nil
}

// Walk calls visit for every file and directory below the root of fsys, in the order of their names; mode is that of
// what a symbolic link leads to. It leaves out what begins with a dot, but for a HiddenManifest. visit may return
// fs.SkipDir for a directory. A link that leaves the root or leads to a directory, a name with control characters, and
// directories beyond lim.Depth are errors.
func Walk(fsys fs.FS, lim Limits, visit func(name string, mode fs.FileMode) error) error {
	w := walker{fsys: fsys, depth: lim.orDefault().Depth, visit: visit}
	return w.walk(".", 0)
}

type walker struct {
	fsys  fs.FS
	depth int
	visit func(name string, mode fs.FileMode) error
}

func (w *walker) walk(dir string, depth int) error {
	if depth > w.depth {
		return fmt.Errorf("%s: %w", dir, exceeds("max-depth", "directories are nested more than %d deep", w.depth))
	}
	entries, err := fs.ReadDir(w.fsys, dir) // sorted by name
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	for _, e := range entries {
		if e.Name() == macIcon {
			continue
		}
		if err := checkName(e.Name()); err != nil {
			if dir == "." {
				return err
			}
			return fmt.Errorf("%s: %w", dir, err)
		}
		if strings.HasPrefix(e.Name(), ".") && (e.IsDir() || !HiddenManifest(e.Name())) {
			continue
		}
		name := path.Join(dir, e.Name())
		mode, err := w.mode(name, e)
		if err != nil {
			return err
		}
		err = w.visit(name, mode)
		switch {
		case err == fs.SkipDir && mode.IsDir():
		case err != nil:
			return err
		case mode.IsDir():
			if err := w.walk(name, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// macIcon is the file that macOS keeps a folder's icon in; its name ends in a carriage return.
const macIcon = "Icon\r"

// mode is the type of an entry, or of what it links to.
func (w *walker) mode(name string, e fs.DirEntry) (fs.FileMode, error) {
	mode := e.Type()
	if mode&fs.ModeSymlink == 0 {
		return mode, nil
	}
	info, err := fs.Stat(w.fsys, name)
	if err != nil {
		return 0, fmt.Errorf(
			"%s: a symbolic link that leaves the directory or leads nowhere: replace it with the file itself", name)
	}
	// A link to a directory could make a cycle.
	if info.IsDir() {
		return 0, fmt.Errorf("%s: a symbolic link to a directory: replace it with the directory itself", name)
	}
	return info.Mode().Type(), nil
}

// NotRegular is the error about a file that is a device, a pipe or the like: opening it could wait for a writer.
func NotRegular(name string, mode fs.FileMode) error {
	return fmt.Errorf("%s: not a regular file (%s)", name, describeMode(mode))
}

func (r *reader) readFile(name, shown string) error {
	if len(r.files) >= r.lim.Files {
		return fmt.Errorf("%s: %w", shown, exceeds("max-files", "more than %d files", r.lim.Files))
	}
	f, err := r.fsys.Open(name)
	if err != nil {
		return fmt.Errorf("%s: %w", shown, err)
	}
	defer f.Close()
	data, err := readAtMost(f, r.lim.FileBytes)
	if err != nil {
		return fmt.Errorf("%s: %w", shown, err)
	}
	if r.total += int64(len(data)); r.total > r.lim.TotalBytes {
		return fmt.Errorf("%s: %w", shown, exceeds("max-bytes", "all files together are larger than %d bytes",
			r.lim.TotalBytes))
	}
	r.files = append(r.files, File{Name: shown, Data: data})
	return nil
}

func readAtMost(r io.Reader, n int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, n+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > n {
		return nil, exceeds("max-file-bytes", "the file is too large: more than %d bytes", n)
	}
	return data, nil
}

// IsManifestName reports whether a file is read as manifests, by its name.
func IsManifestName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
}

// HiddenManifest reports whether the name of a file is that of manifests but begins with a dot: it is not read, but
// whoever wrote it may not know that. Files that begin with "._" are made by macOS.
func HiddenManifest(name string) bool {
	return strings.HasPrefix(name, ".") && !strings.HasPrefix(name, "._") && IsManifestName(name)
}

func checkName(name string) error {
	if !utf8.ValidString(name) {
		return fmt.Errorf("the file name %q is not UTF-8", name)
	}
	for _, c := range name {
		if unicode.IsControl(c) {
			return fmt.Errorf("the file name %q contains control characters", name)
		}
	}
	return nil
}

func describeMode(m fs.FileMode) string {
	switch {
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "a special file"
}
