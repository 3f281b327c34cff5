package manifest

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
)

func write(t *testing.T, dir string, files map[string]string) string {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func names(files []File) string {
	var all []string
	for _, f := range files {
		all = append(all, f.Name)
	}
	return strings.Join(all, " ")
}

func TestReadPathInNameOrder(t *testing.T) {
	t.Parallel()
	dir := write(t, t.TempDir(), map[string]string{
		"b.yaml": "", "a/z.yml": "", "a/delete/y.json": "", "c.YAML": "", "README.md": "", ".hidden.yaml": "", ".git/x.yaml": "",
	})
	files, err := ReadPath(dir, Limits{})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := names(files), "a/delete/y.json a/z.yml b.yaml c.YAML"; got != want {
		t.Errorf("read %s, want %s", got, want)
	}
	one := filepath.Join(dir, "README.md") // named itself: whatever its name
	if files, err = ReadPath(one, Limits{}); err != nil || names(files) != filepath.ToSlash(one) {
		t.Errorf("read %s, %v", names(files), err)
	}
}

func TestReadFS(t *testing.T) {
	t.Parallel()
	fsys := fstest.MapFS{"lab/samples/s/t1/a.yaml": {Data: []byte("x")}, "lab/other.yaml": {}}
	files, err := ReadFS(fsys, "lab/samples/s", Limits{})
	if err != nil || names(files) != "t1/a.yaml" {
		t.Errorf("read %s, %v", names(files), err)
	}
	files, err = ReadFS(fsys, "lab/other.yaml", Limits{})
	if err != nil || names(files) != "lab/other.yaml" {
		t.Errorf("read %s, %v", names(files), err)
	}
}

func TestReadPathRefuses(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("needs symbolic links and pipes")
	}
	outside := write(t, t.TempDir(), map[string]string{"secret.yaml": ""})
	link := func(target, name string) func(t *testing.T, dir string) {
		return func(t *testing.T, dir string) {
			if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tt := range []struct {
		name  string
		files map[string]string
		setup func(t *testing.T, dir string)
		lim   Limits
		want  string // in the error; empty: no error
	}{
		{name: "a link out", setup: link(filepath.Join(outside, "secret.yaml"), "a.yaml"), want: "a.yaml: a symbolic link that leaves"},
		{name: "a relative link out", setup: link("../../../../../../../../etc/passwd", "a.yaml"), want: "a.yaml: a symbolic link that leaves"},
		{name: "a link to a directory", setup: link(".", "loop"), want: "loop: a symbolic link to a directory"},
		{name: "a link inside", files: map[string]string{"b.yaml": ""}, setup: link("b.yaml", "a.yaml")},
		{name: "a pipe", setup: func(t *testing.T, dir string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "a.yaml"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, want: "a.yaml: not a regular file (a named pipe)"},
		{name: "control characters", files: map[string]string{"a\x1b[2J.yaml": ""}, want: "control characters"},
		{name: "not UTF-8", files: map[string]string{"a\xff.yaml": ""}, want: "not UTF-8"},
		{name: "too many files", files: map[string]string{"a.yaml": "", "b.yaml": "", "c.yaml": ""}, lim: Limits{Files: 2}, want: "c.yaml: more than 2 files"},
		{name: "too large", files: map[string]string{"a.yaml": "123456"}, lim: Limits{FileBytes: 5}, want: "a.yaml: the file is too large: more than 5 bytes"},
		{name: "too large together", files: map[string]string{"a.yaml": "123", "b.yaml": "456"}, lim: Limits{TotalBytes: 5}, want: "b.yaml: all files together are larger than 5 bytes"},
		{name: "too deep", files: map[string]string{"a/b/c/d.yaml": ""}, lim: Limits{Depth: 2}, want: "nested more than 2 deep"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := write(t, t.TempDir(), tt.files)
			if tt.setup != nil {
				tt.setup(t, dir)
			}
			_, err := ReadPath(dir, tt.lim)
			if tt.want == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestReadPathOfADevice(t *testing.T) {
	t.Parallel()
	if _, err := ReadPath("/dev/zero", Limits{}); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("got %v", err)
	}
}
