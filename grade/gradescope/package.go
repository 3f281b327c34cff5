package gradescope

import (
	"archive/zip"
	"bytes"
	"debug/elf"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/labctl/labctl/labs"
)

var (
	//go:embed setup.sh
	setupScript []byte
	//go:embed run_autograder
	runScript []byte
)

// Package is what goes into an autograder.
type Package struct {
	Lab     *labs.Lab
	Binary  string   // labctl for linux/amd64, static
	Options []string // of `labctl autograde gradescope`, one a line
}

// maxLab bounds the lab's files: what a directory with more in it is, is no lab.
const maxLab = 64 << 20

// Write writes the autograder's zip archive. The same lab, binary and options give the same bytes.
func (p *Package) Write(w io.Writer) error {
	if err := checkBinary(p.Binary); err != nil {
		return err
	}
	options := ""
	for _, o := range p.Options {
		options += o + "\n"
		if strings.ContainsAny(o, "\n\r") {
			return fmt.Errorf("the option %q has several lines", o)
		}
	}
	z := zip.NewWriter(w)
	add := func(name string, mode fs.FileMode, from io.Reader) error {
		h := &zip.FileHeader{Name: name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		h.SetMode(mode)
		to, err := z.CreateHeader(h)
		if err == nil {
			_, err = io.Copy(to, from)
		}
		if err != nil {
			return fmt.Errorf("pack %s: %w", name, err)
		}
		return nil
	}
	binary, err := os.Open(p.Binary)
	if err != nil {
		return err
	}
	defer binary.Close()
	err = errors.Join(
		add("setup.sh", 0o755, bytes.NewReader(setupScript)),
		add("run_autograder", 0o755, bytes.NewReader(runScript)),
		add("options", 0o644, strings.NewReader(options)),
		add("labctl", 0o755, binary),
		p.lab(add),
	)
	return errors.Join(err, z.Close())
}

// lab packs the lab's files, hidden ones aside.
func (p *Package) lab(add func(string, fs.FileMode, io.Reader) error) error {
	size := int64(0)
	return fs.WalkDir(p.Lab.FS, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if name != "." && strings.HasPrefix(d.Name(), ".") {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if !d.Type().IsRegular() {
			return fmt.Errorf("pack the lab: %s is not a regular file", name)
		}
		data, err := fs.ReadFile(p.Lab.FS, name)
		if err != nil {
			return fmt.Errorf("pack the lab: %w", err)
		}
		if size += int64(len(data)); size > maxLab {
			return fmt.Errorf("pack the lab: its files are more than %d MiB", maxLab>>20)
		}
		return add(path.Join("lab", name), 0o644, bytes.NewReader(data))
	})
}

// BinaryError says why Gradescope cannot run a labctl.
type BinaryError struct{ File, Reason string }

func (e *BinaryError) Error() string {
	return fmt.Sprintf("Gradescope cannot run %s: %s", e.File, e.Reason)
}

// checkBinary refuses what would not run in Gradescope's containers.
func checkBinary(name string) error {
	f, err := elf.Open(name)
	if err != nil {
		return &BinaryError{name, "it is not a Linux program"}
	}
	defer f.Close()
	if f.Machine != elf.EM_X86_64 {
		return &BinaryError{name, fmt.Sprintf("it is for %s, not for x86-64", f.Machine)}
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return &BinaryError{name, "it is not statically linked"}
		}
	}
	return nil
}
