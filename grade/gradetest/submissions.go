package gradetest

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
)

// Samples writes n submissions: samples of the tutorial in turn, two of three with something of their own in every manifest, so
// that they are not equal. They are folders called student-0000 and so on.
func Samples(tb testing.TB, n int) string {
	tb.Helper()
	samples, err := fs.Sub(Open(tb, Tutorial).FS, "samples")
	if err != nil {
		tb.Fatal(err)
	}
	names, err := fs.ReadDir(samples, ".")
	if err != nil {
		tb.Fatal(err)
	}
	dir := tb.TempDir()
	for i := range n {
		sample, err := fs.Sub(samples, names[i%len(names)].Name())
		if err != nil {
			tb.Fatal(err)
		}
		files, err := read(sample)
		if err != nil {
			tb.Fatal(err)
		}
		for name := range files {
			if i%3 != 0 && path.Ext(name) == ".yaml" {
				files[name] += fmt.Sprintf("# by %d\n", i)
			}
		}
		if err := writeFiles(filepath.Join(dir, fmt.Sprintf("student-%04d", i)), files); err != nil {
			tb.Fatal(err)
		}
	}
	return dir
}

// Sample is one of the tutorial's samples, as files below a folder.
func Sample(tb testing.TB, name, below string) map[string]string {
	tb.Helper()
	sample, err := fs.Sub(Open(tb, Tutorial).FS, "samples/"+name)
	if err != nil {
		tb.Fatal(err)
	}
	files, err := read(sample)
	if err != nil {
		tb.Fatal(err)
	}
	moved := map[string]string{}
	for name, text := range files {
		moved[below+name] = text
	}
	return moved
}

// Folder writes files into a directory of the test's.
func Folder(tb testing.TB, files map[string]string) string {
	tb.Helper()
	dir := tb.TempDir()
	if err := writeFiles(dir, files); err != nil {
		tb.Fatal(err)
	}
	return dir
}

// Zip packs files into an archive.
func Zip(tb testing.TB, files map[string]string) string {
	tb.Helper()
	data, err := pack(files, zip.Deflate)
	if err != nil {
		tb.Fatal(err)
	}
	return string(data)
}

// writeFiles writes files into a directory, which it makes.
func writeFiles[T ~string | ~[]byte](dir string, files map[string]T) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		name = filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o644)); err != nil {
			return err
		}
	}
	return nil
}

// pack makes a .zip of files, always with the same bytes.
func pack[T ~string | ~[]byte](files map[string]T, method uint16) ([]byte, error) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: method})
		if err != nil {
			return nil, err
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			return nil, err
		}
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
