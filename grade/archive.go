package grade

import (
	"archive/tar"
	"archive/zip"
	"cmp"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// IsArchive reports whether a file is read as an archive, by its name.
func IsArchive(name string) bool {
	name = strings.ToLower(name)
	for _, suffix := range []string{".zip", ".tar", ".tar.gz", ".tgz"} {
		if strings.HasSuffix(name, suffix) {
			return true
		}
	}
	return false
}

// Unpack reads an archive of size bytes into memory, its name saying which kind it is. Entries that are neither directories
// nor manifests are left out; links, and names that lead out of the archive, are errors, as is what is larger than lim
// once unpacked.
func Unpack(name string, r io.ReaderAt, size int64, lim manifest.Limits) (fs.FS, error) {
	d := manifest.DefaultLimits()
	lim.Files = cmp.Or(lim.Files, d.Files)
	lim.FileBytes = cmp.Or(lim.FileBytes, d.FileBytes)
	lim.TotalBytes = cmp.Or(lim.TotalBytes, d.TotalBytes)
	u := unpacker{files: make(fstest.MapFS), lim: lim, left: lim.TotalBytes}
	var err error
	switch name = strings.ToLower(name); {
	case strings.HasSuffix(name, ".zip"):
		err = u.zip(r, size)
	case strings.HasSuffix(name, ".tar"):
		err = u.tar(io.NewSectionReader(r, 0, size))
	default:
		var z *gzip.Reader
		if z, err = gzip.NewReader(io.NewSectionReader(r, 0, size)); err == nil {
			// What is left out is unpacked all the same, so the stream as a whole is bounded.
			err = u.tar(io.LimitReader(z, 16*lim.TotalBytes))
		}
	}
	if err != nil {
		return nil, err
	}
	return u.files, nil
}

type unpacker struct {
	files   fstest.MapFS
	lim     manifest.Limits
	left    int64 // bytes that all files together may still have
	entries int
}

func (u *unpacker) zip(r io.ReaderAt, size int64) error {
	// Its directory is read as a whole, whatever number of entries it says it has.
	directory := &boundedReaderAt{r, 256 * 16 * int64(u.lim.Files)}
	z, err := zip.NewReader(directory, size)
	directory.left = math.MaxInt64
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	for _, f := range z.File {
		err := u.entry(f.Name, f.Mode(), func() (io.ReadCloser, error) { return f.Open() })
		if err != nil {
			return err
		}
	}
	return nil
}

// boundedReaderAt fails once more than so many bytes are read.
type boundedReaderAt struct {
	io.ReaderAt
	left int64
}

func (r *boundedReaderAt) ReadAt(p []byte, off int64) (int, error) {
	if r.left -= int64(len(p)); r.left < 0 {
		return 0, errors.New("the archive has too many entries")
	}
	return r.ReaderAt.ReadAt(p, off)
}

func (u *unpacker) tar(r io.Reader) error {
	for t := tar.NewReader(r); ; {
		h, err := t.Next()
		if err == io.EOF {
			return nil
		}
		if err != nil && !errors.Is(err, tar.ErrInsecurePath) {
			return err
		}
		mode := h.FileInfo().Mode()
		if h.Typeflag == tar.TypeLink { // which looks like a file
			mode |= fs.ModeSymlink
		}
		if err := u.entry(h.Name, mode, func() (io.ReadCloser, error) { return io.NopCloser(t), nil }); err != nil {
			return err
		}
	}
}

// entry takes one entry of an archive.
func (u *unpacker) entry(name string, mode fs.FileMode, open func() (io.ReadCloser, error)) error {
	clean := strings.TrimSuffix(strings.TrimPrefix(name, "./"), "/")
	if u.entries++; u.entries > 16*u.lim.Files {
		return fmt.Errorf("the archive has more than %d entries", 16*u.lim.Files)
	}
	switch {
	case clean == "" || clean == ".":
		return nil
	case !fs.ValidPath(clean) || strings.ContainsRune(clean, '\\'):
		return fmt.Errorf("the archive has an entry %q, whose name leads out of it or is not valid", name)
	case mode.IsDir():
		return u.put(clean, &fstest.MapFile{Mode: fs.ModeDir | 0o755})
	case mode&fs.ModeSymlink != 0:
		return fmt.Errorf("%s is a link: put the file itself into the archive", clean)
	case !mode.IsRegular():
		return fmt.Errorf("%s is neither a file nor a directory", clean)
	}
	switch strings.ToLower(path.Ext(clean)) {
	case ".yaml", ".yml", ".json":
	default:
		return nil
	}
	r, err := open()
	if err != nil {
		return fmt.Errorf("%s: %w", clean, err)
	}
	defer r.Close()
	most := min(u.lim.FileBytes, u.left)
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	if err != nil {
		return fmt.Errorf("%s: %w", clean, err)
	}
	if int64(len(data)) > most {
		return fmt.Errorf("%s: more than %d bytes once unpacked", clean, most)
	}
	u.left -= int64(len(data))
	return u.put(clean, &fstest.MapFile{Data: data, Mode: 0o644})
}

func (u *unpacker) put(name string, f *fstest.MapFile) error {
	if old, ok := u.files[name]; ok && (!old.Mode.IsDir() || !f.Mode.IsDir()) {
		return fmt.Errorf("the archive has two entries called %q", name)
	}
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if old, ok := u.files[dir]; ok && !old.Mode.IsDir() {
			return fmt.Errorf("the archive has %q both as a file and as a directory", dir)
		}
	}
	u.files[name] = f
	return nil
}
