package labs

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// source gives access to the lab directory and to nothing else. It remembers what was read: those files
// are the lab, and its digest covers them.
type source struct {
	fs   fs.FS  // rooted at the lab directory
	dir  string // what the user calls it
	data map[string][]byte
}

func newSource(fsys fs.FS, dir string) *source {
	return &source{fs: fsys, dir: dir, data: map[string][]byte{}}
}

// display is a file's name in messages: a path that the user can open.
func (s *source) display(name string) string { return path.Join(s.dir, name) }

// clean checks a path that a lab file names, relative to the lab directory, and returns it in the form
// that fs.FS takes.
func (s *source) clean(name string) (string, error) {
	if name == "" {
		return "", errors.New("the path is empty")
	}
	if strings.ContainsAny(name, "\\\x00") {
		return "", errors.New("paths are written with forward slashes")
	}
	if path.IsAbs(name) || len(name) > 1 && name[1] == ':' {
		return "", errors.New("absolute paths are outside the lab directory")
	}
	if slices.Contains(strings.Split(name, "/"), "..") {
		return "", errors.New(`".." would leave the lab directory`)
	}
	return path.Clean(name), nil
}

// stat looks at a path without following links: a link may lead out of the directory.
func (s *source) stat(name string) (fs.FileInfo, error) {
	dir := "."
	for _, part := range strings.Split(name, "/") {
		dir = path.Join(dir, part)
		info, err := fs.Lstat(s.fs, dir)
		if err != nil {
			return nil, plainError(err)
		}
		if info.Mode()&fs.ModeSymlink != 0 {
			return nil, errLink
		}
		if dir == name {
			return info, nil
		}
	}
	return fs.Lstat(s.fs, name)
}

// read reads a file of the lab.
func (s *source) read(name string, limit int64) ([]byte, error) {
	name, err := s.clean(name)
	if err != nil {
		return nil, err
	}
	if data, ok := s.data[name]; ok {
		return data, nil
	}
	info, err := s.stat(name)
	if err != nil {
		return nil, err
	}
	return s.load(name, info, limit)
}

// load reads a file that has been looked at.
func (s *source) load(name string, info fs.FileInfo, limit int64) ([]byte, error) {
	switch {
	case info.IsDir():
		return nil, errors.New("it is a directory")
	case info.Mode()&fs.ModeSymlink != 0:
		return nil, errLink
	case !info.Mode().IsRegular():
		return nil, errors.New("it is not a regular file")
	case info.Size() > limit:
		return nil, fmt.Errorf("it has %d bytes, more than %d", info.Size(), limit)
	case len(s.data) >= maxFiles:
		return nil, fmt.Errorf("the lab has more than %d files", maxFiles)
	}
	data, err := fs.ReadFile(s.fs, name)
	if err != nil {
		return nil, plainError(err)
	}
	s.data[name] = data
	return data, nil
}

var errLink = errors.New("symbolic links are not followed in a lab")

// walk reads the file, or all files below the directory, so that they count as part of the lab.
func (s *source) walk(name string) error {
	info, err := s.stat(name)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		_, err := s.load(name, info, maxFileBytes)
		return err
	}
	return fs.WalkDir(s.fs, name, func(p string, e fs.DirEntry, err error) error {
		if err != nil {
			return plainError(err)
		}
		if strings.HasPrefix(e.Name(), ".") && p != name { // .DS_Store and the like are no part of a lab
			if e.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if e.IsDir() {
			return nil
		}
		if _, ok := s.data[p]; ok {
			return nil
		}
		info, err := e.Info()
		if err == nil {
			_, err = s.load(p, info, maxFileBytes)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", p, plainError(err))
		}
		return nil
	})
}

// digest is over the names and contents of the files read and the values given.
func (s *source) digest(values map[string]string) string {
	h := sha256.New()
	write := func(part []byte) {
		var n [8]byte
		binary.BigEndian.PutUint64(n[:], uint64(len(part)))
		h.Write(n[:])
		h.Write(part)
	}
	for _, name := range sortedKeys(s.data) {
		write([]byte(name))
		write(s.data[name])
	}
	write(nil)
	for _, name := range sortedKeys(values) {
		write([]byte(name))
		write([]byte(values[name]))
	}
	return "sha256:" + hex.EncodeToString(h.Sum(nil))
}

// plainError drops the operation and the path that fs puts before the reason: messages name the path
// as the author wrote it.
func plainError(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		err = pe.Err
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("there is no such file or directory")
	case errors.Is(err, fs.ErrPermission):
		return errors.New("permission is denied")
	}
	return err
}
