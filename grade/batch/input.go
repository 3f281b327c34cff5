package batch

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
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

// fingerprint is a digest over the names and contents of a submission as it lies there, not understood: two that
// have the same one get the same grade. It reads no more than the limits allow; beyond them the sizes count.
func fingerprint(o *Opened, lim manifest.Limits) (key, error) {
	info, err := fs.Stat(o.FS, o.Name)
	if err != nil {
		return key{}, err
	}
	h := sha256.New()
	if !info.IsDir() {
		// Only the ending of a file's name has a meaning, and its place in messages.
		fmt.Fprintf(h, "file %q %d\n", path.Base(o.Name), info.Size())
		if info.Mode().IsRegular() {
			err = hashFile(h, o.FS, o.Name, lim)
		}
		return key(h.Sum(nil)), err
	}
	fsys, err := fs.Sub(o.FS, o.Name)
	if err != nil {
		return key{}, err
	}
	files := cmp.Or(lim.Files, manifest.DefaultLimits().Files)
	seen := 0
	err = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if seen++; seen > 20*files {
			return fmt.Errorf("more than %d files and folders", 20*files)
		}
		if strings.HasPrefix(entry.Name(), ".") && name != "." {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		fmt.Fprintf(h, "%s %q\n", entry.Type(), name)
		if !entry.Type().IsRegular() {
			return nil // a link may lead to a file of the submission, which has its own turn
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%d\n", info.Size())
		return hashFile(h, fsys, name, lim)
	})
	return key(h.Sum(nil)), err
}

// hashFile reads as much of a file as counts; a larger one is refused, whatever it holds.
func hashFile(h hash.Hash, fsys fs.FS, name string, lim manifest.Limits) error {
	f, err := fsys.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(h, io.LimitReader(f, cmp.Or(lim.FileBytes, manifest.DefaultLimits().FileBytes)+1))
	return err
}
