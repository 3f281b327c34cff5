package submission

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// kindByName is what an archive that cannot be opened is called, by its name; "" if it can.
func kindByName(name string) string {
	for _, a := range archives {
		if hasSuffix(name, a.suffix) != "" {
			return a.kind
		}
	}
	return ""
}

// magics are how archives begin that cannot be opened. The signatures are those of the "file" program's database.
var magics = []struct{ begins, kind string }{
	{"Rar!\x1a\x07", "RAR"}, {"7z\xbc\xaf\x27\x1c", "7-Zip"}, {"\xfd7zXZ\x00", "xz"}, {"BZh", "bzip2"}, {"\x28\xb5\x2f\xfd", "Zstandard"}, {"MSCF", "CAB"},
	{"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft Office"}, {"%PDF", "PDF"},
}

const packAgain = "pack the folder as a .zip, or hand in the manifests themselves"

// archive lists an archive; the bytes in it say which kind it is.
func (o *opener) archive(a entry) (*level, error) {
	r, size, err := o.spool(a)
	if err != nil {
		return nil, err
	}
	head := make([]byte, 512)
	n, err := r.ReadAt(head, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	head = head[:n]
	for _, m := range magics {
		if bytes.HasPrefix(head, []byte(m.begins)) || m.kind == "7-Zip" && bytes.HasPrefix(head, []byte(m.begins[:4])) {
			return nil, unsupported(a.name, m.kind)
		}
	}
	l := newLevel()
	u := unpacker{opener: o, name: a.name, level: l}
	switch kind := kindByName(a.name); {
	case n == 0:
		return nil, problem(a.name, "check what you handed in, and hand it in again", "the archive is empty (0 bytes)")
	case bytes.HasPrefix(head, []byte("PK")):
		err = u.zip(r, size)
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		err = u.tar(func() (io.Reader, error) {
			z, err := gzip.NewReader(io.NewSectionReader(r, 0, size))
			return z, err
		})
	case kind != "":
		return nil, unsupported(a.name, kind)
	case hasSuffix(a.name, ".zip") != "":
		err = u.zip(r, size)
	default:
		err = u.tar(func() (io.Reader, error) { return io.NewSectionReader(r, 0, size), nil })
	}
	if err != nil {
		return nil, broken(a.name, err)
	}
	return l, nil
}

func unsupported(name, kind string) error {
	return problem(name, packAgain, "%s files cannot be opened", kind)
}

// broken is the error about an archive that could not be read to its end.
func broken(name string, err error) error {
	var problems manifest.Problems
	var machine *fs.PathError
	switch {
	case errors.As(err, &problems), errors.As(err, &machine):
		return err
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, zip.ErrFormat), errors.Is(err, tar.ErrHeader), errors.Is(err, gzip.ErrHeader):
		return problem(name, "pack it again and hand it in again", "the archive is damaged, incomplete, or of another kind than its name says: %v", err)
	}
	return problem(name, "", "%v", err)
}

// spool makes an archive readable at any place. What is not on the disk already goes there while it is read: memory holds manifests
// only.
func (o *opener) spool(a entry) (io.ReaderAt, int64, error) {
	file, err := a.open()
	if err != nil {
		return nil, 0, err
	}
	if f, ok := file.(fs.File); ok {
		info, err := f.Stat()
		if err != nil {
			return nil, 0, errors.Join(err, file.Close())
		}
		if info.Size() > o.archiveLeft {
			return nil, 0, errors.Join(problem(a.name, "", "the archive is larger than %d bytes (16 times the limit max-bytes)", MaxArchive(o.lim)), file.Close())
		}
		if r, ok := file.(io.ReaderAt); ok && o.nested == 1 {
			o.closers = append(o.closers, file.Close)
			return r, info.Size(), nil
		}
	}
	defer file.Close()
	copied, err := os.CreateTemp("", "labctl-*")
	if err != nil {
		return nil, 0, err
	}
	o.closers = append(o.closers, func() error { return errors.Join(copied.Close(), os.Remove(copied.Name())) })
	n, err := io.Copy(copied, io.LimitReader(file, o.archiveLeft+1))
	var machine *fs.PathError
	switch {
	case errors.As(err, &machine):
		return nil, 0, err
	case err != nil:
		return nil, 0, broken(a.name, err)
	case n > o.archiveLeft:
		return nil, 0, problem(a.name, "", "the archive is larger than %d bytes (16 times the limit max-bytes)", MaxArchive(o.lim))
	}
	o.archiveLeft -= n
	return copied, n, nil
}

// unpacker lists what is in one archive.
type unpacker struct {
	*opener
	name    string // of the archive
	level   *level
	entries int
}

func (u *unpacker) zip(r io.ReaderAt, size int64) error {
	// Its directory is read as a whole, whatever number of entries it says it has.
	directory := &boundedReaderAt{io.NewSectionReader(r, 0, size), 256 * 16 * int64(u.lim.Files)} // what it says lies outside is not there
	z, err := zip.NewReader(directory, size)
	directory.left = math.MaxInt64
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return err
	}
	var first [4]byte // "PK\x03\x04": there is an entry, so a directory without one is not the archive's
	if _, err := r.ReadAt(first[:], 0); err == nil && len(z.File) == 0 && string(first[:]) == "PK\x03\x04" {
		return fmt.Errorf("%w: its directory is empty, its contents are not", zip.ErrFormat)
	}
	for _, f := range z.File {
		inside, mode := ZipName(f), f.Mode()
		if strings.HasSuffix(inside, "/") {
			mode = fs.ModeDir
		}
		if err := u.entry(inside, mode, func() (io.ReadCloser, error) { return openZipped(u.name, inside, f) }); err != nil {
			return err
		}
	}
	return nil
}

// openZipped opens an entry of a .zip, or says why that is not possible.
func openZipped(archive, name string, f *zip.File) (io.ReadCloser, error) {
	if Encrypted(f) {
		return nil, problem(archive, "pack it without a password", "the archive is encrypted, so %s cannot be read", Printable(name))
	}
	r, err := f.Open()
	if errors.Is(err, zip.ErrAlgorithm) {
		return nil, problem(archive, "pack it with the standard method of your system (Deflate)",
			"%s is compressed with %s, which cannot be read", Printable(name), method(f.Method))
	}
	if err != nil {
		return nil, broken(archive, fmt.Errorf("%s: %w", Printable(name), err))
	}
	return r, nil
}

// Encrypted reports whether an entry of a .zip cannot be read without a password.
func Encrypted(f *zip.File) bool {
	const encrypted, aes = 0x1, 99
	return f.Flags&encrypted != 0 || f.Method == aes
}

// method names a compression method of .zip files by its number (APPNOTE.TXT 4.4.5).
func method(n uint16) string {
	names := map[uint16]string{1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 20: "Zstandard", 93: "Zstandard", 94: "MP3", 95: "xz", 98: "PPMd"}
	if name := names[n]; name != "" {
		return name
	}
	return fmt.Sprintf("the method number %d", n)
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

// tar lists a .tar, which open opens at its beginning; archives in it are found there again.
func (u *unpacker) tar(open func() (io.Reader, error)) error {
	t, err := u.tarAt(open)
	if err != nil {
		return err
	}
	for i := 0; ; i++ {
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
		read := func() (io.ReadCloser, error) { return io.NopCloser(t), nil }
		if IsArchive(h.Name) { // which is read later
			read = func() (io.ReadCloser, error) { return u.again(open, i) }
		}
		if err := u.entry(h.Name, mode, read); err != nil {
			return err
		}
	}
}

func (u *unpacker) tarAt(open func() (io.Reader, error)) (*tar.Reader, error) {
	r, err := open()
	if err != nil {
		return nil, err
	}
	// What is left out is unpacked all the same, so the stream as a whole is bounded.
	return tar.NewReader(&boundedReader{r, u}), nil
}

// again opens the entry of that number of a .tar.
func (u *unpacker) again(open func() (io.Reader, error), entry int) (io.ReadCloser, error) {
	t, err := u.tarAt(open)
	for i := 0; err == nil && i <= entry; i++ {
		if _, err = t.Next(); errors.Is(err, tar.ErrInsecurePath) {
			err = nil
		}
	}
	return io.NopCloser(t), err
}

// boundedReader fails once more is read than archives may have in all.
type boundedReader struct {
	io.Reader
	u *unpacker
}

func (r *boundedReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if r.u.archiveLeft -= int64(n); r.u.archiveLeft < 0 {
		return 0, problem(r.u.name, "", "more than %d bytes once unpacked (16 times the limit max-bytes)", MaxArchive(r.u.lim))
	}
	return n, err
}

// entry takes one entry of an archive.
func (u *unpacker) entry(name string, mode fs.FileMode, open func() (io.ReadCloser, error)) error {
	if u.entries++; u.entries > 16*u.lim.Files {
		return fmt.Errorf("the archive has more than %d entries (16 times the limit max-files)", 16*u.lim.Files)
	}
	clean, ok := cleanName(name)
	switch {
	case !ok:
		return fmt.Errorf("the archive contains an entry %q, whose name is invalid or points outside the archive", name)
	case clean != "" && mode.IsRegular() && manifest.HiddenManifest(path.Base(clean)) && !junkPath(path.Dir(clean)):
		u.level.others = append(u.level.others, clean)
		return nil
	case clean == "" || junkPath(clean):
		return nil
	case mode.IsDir():
		return u.folders(clean)
	case mode&fs.ModeSymlink != 0:
		return problem(clean, "put the file itself into the archive", "is a link")
	case !mode.IsRegular():
		return problem(clean, "", "is neither a file nor a directory")
	}
	taken := manifest.IsManifestName(clean) || IsArchive(clean)
	if taken && strings.ContainsFunc(clean, isControl) {
		return fmt.Errorf("the file name %q contains control characters", clean)
	}
	if strings.Count(clean, "/") > u.lim.Depth {
		return problem(clean, "", "directories are nested more than %d deep (the limit max-depth)", u.lim.Depth)
	}
	if err := u.folders(path.Dir(clean)); err != nil {
		return err
	}
	switch {
	case manifest.IsManifestName(clean):
		return u.manifest(u.level, clean, open)
	case taken:
		u.level.archives = append(u.level.archives, entry{clean, open})
	default:
		u.level.others = append(u.level.others, clean)
	}
	return nil
}

// folders notes a folder and those around it.
func (u *unpacker) folders(dir string) error {
	if strings.ContainsFunc(dir, isControl) {
		return fmt.Errorf("the folder name %q contains control characters", dir)
	}
	for ; dir != "." && !u.level.folders[dir]; dir = path.Dir(dir) {
		if strings.Count(dir, "/") > u.lim.Depth {
			return problem(dir, "", "directories are nested more than %d deep (the limit max-depth)", u.lim.Depth)
		}
		u.level.folders[dir] = true
	}
	return nil
}

func junkPath(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part != "." && Junk(part) {
			return true
		}
	}
	return false
}
