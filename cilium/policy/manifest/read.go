package manifest

import (
	"errors"
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
			return nil, fmt.Errorf("%s: not a regular file (%s)", name, describeMode(info.Mode()))
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
			return nil, fmt.Errorf("%s: not a regular file (%s)", path.Base(dir), describeMode(info.Mode()))
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
	if err := r.walk(".", 0); err != nil {
		return nil, err
	}
	return r.files, nil
}

func (r *reader) walk(dir string, depth int) error {
	if depth > r.lim.Depth {
		return fmt.Errorf("%s: directories are nested more than %d deep", dir, r.lim.Depth)
	}
	entries, err := fs.ReadDir(r.fsys, dir) // sorted by name
	if err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	for _, e := range entries {
		if err := checkName(e.Name()); err != nil {
			if dir == "." {
				return err
			}
			return fmt.Errorf("%s: %w", dir, err)
		}
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		name := path.Join(dir, e.Name())
		mode := e.Type()
		if mode&fs.ModeSymlink != 0 {
			info, err := fs.Stat(r.fsys, name)
			if err != nil {
				return fmt.Errorf("%s: a symbolic link that leaves the directory or leads nowhere: replace it by the file itself", name)
			}
			// A link to a directory could make a cycle.
			if info.IsDir() {
				return fmt.Errorf("%s: a symbolic link to a directory: replace it by the directory itself", name)
			}
			mode = info.Mode().Type()
		}
		switch {
		case mode.IsDir():
			if err := r.walk(name, depth+1); err != nil {
				return err
			}
		case !isManifestName(e.Name()):
		case !mode.IsRegular():
			return fmt.Errorf("%s: not a regular file (%s)", name, describeMode(mode))
		default:
			if err := r.readFile(name, name); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) readFile(name, shown string) error {
	if len(r.files) >= r.lim.Files {
		return fmt.Errorf("%s: more than %d files", shown, r.lim.Files)
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
		return fmt.Errorf("%s: all files together are larger than %d bytes", shown, r.lim.TotalBytes)
	}
	r.files = append(r.files, File{Name: shown, Data: data})
	return nil
}

var errTooLarge = errors.New("file is too large")

func readAtMost(r io.Reader, n int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, n+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > n {
		return nil, fmt.Errorf("%w: more than %d bytes", errTooLarge, n)
	}
	return data, nil
}

func isManifestName(name string) bool {
	switch strings.ToLower(path.Ext(name)) {
	case ".yaml", ".yml", ".json":
		return true
	}
	return false
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
