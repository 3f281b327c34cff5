package batch

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"
	"unicode"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
)

// key is a SHA-256: of what a submission holds, or of what a run depends on.
type key [sha256.Size]byte

const keyPrefix = "sha256:"

// MarshalText writes it as reports do.
func (k key) MarshalText() ([]byte, error) { return []byte(keyPrefix + hex.EncodeToString(k[:])), nil }

// UnmarshalText reads what MarshalText wrote.
func (k *key) UnmarshalText(text []byte) error {
	data, err := hex.DecodeString(strings.TrimPrefix(string(text), keyPrefix))
	if err != nil || len(data) != len(k) {
		return fmt.Errorf("%q is no digest", text)
	}
	copy(k[:], data)
	return nil
}

// and is the key of something that depends on more.
func (k key) and(more string) key { return sha256.Sum256(append(k[:], more...)) }

// fingerprint is a digest over the names and contents of a submission, not understood: two that have the same one get the
// same grade. Files that are no manifests do not count. It reads no more than the limits allow; beyond them the sizes count.
func fingerprint(o *Opened, lim manifest.Limits) (key, error) {
	d := manifest.DefaultLimits()
	f := &hasher{
		Hash: sha256.New(), files: 20 * cmp.Or(lim.Files, d.Files), depth: cmp.Or(lim.Depth, d.Depth),
		file: cmp.Or(lim.FileBytes, d.FileBytes), left: cmp.Or(lim.TotalBytes, d.TotalBytes),
	}
	info, err := fs.Stat(o.FS, o.Name)
	if err != nil {
		return key{}, err
	}
	if !info.IsDir() {
		// Its name stands in messages.
		fmt.Fprintf(f, "file %q\n", path.Base(o.Name))
		err = f.content(o.FS, o.Name, info)
		return key(f.Sum(nil)), err
	}
	if f.fsys, err = fs.Sub(o.FS, o.Name); err == nil {
		err = fs.WalkDir(f.fsys, ".", f.entry)
	}
	return key(f.Sum(nil)), err
}

type hasher struct {
	hash.Hash
	fsys  fs.FS
	files int   // and folders that may still come
	depth int   // of folders that are looked into
	file  int64 // bytes of one file that are read
	left  int64 // bytes of all files that are

	buffer [4096]byte // most manifests fit
}

func (f *hasher) entry(name string, entry fs.DirEntry, err error) error {
	if err != nil {
		return err
	}
	if f.files--; f.files < 0 {
		return refuse("", errors.New("too many files and folders"))
	}
	odd := !fs.ValidPath(name) || strings.ContainsFunc(entry.Name(), unicode.IsControl) // which is refused
	dir, regular := entry.IsDir(), entry.Type().IsRegular()
	switch {
	case odd:
	case name != "." && strings.HasPrefix(entry.Name(), "."):
		if dir {
			return fs.SkipDir
		}
		return nil
	case regular && (!isSubmission(name) || grade.IsArchive(name)):
		return nil
	}
	fmt.Fprintf(f, "%s %q\n", entry.Type(), name)
	switch {
	case dir && (odd || strings.Count(name, "/") > f.depth):
		return fs.SkipDir // it is refused
	case odd, !regular:
		return nil // a link may lead to a file of the submission, which has its own turn
	}
	info, err := entry.Info()
	if err != nil {
		return err
	}
	return f.content(f.fsys, name, info)
}

// content reads as much of a file as counts; a larger one is refused, whatever it holds.
func (f *hasher) content(fsys fs.FS, name string, info fs.FileInfo) error {
	fmt.Fprintf(f, "%d\n", info.Size())
	if !info.Mode().IsRegular() || f.left <= 0 {
		return nil
	}
	file, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	n, err := io.CopyBuffer(f.Hash, io.LimitReader(file, min(f.file, f.left)+1), f.buffer[:])
	f.left -= n
	return err
}
