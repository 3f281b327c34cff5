package batch_test

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
)

const denyAll = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {podSelector: {}}\n"

// rawZip writes a .zip whose entries are given as headers: names and sizes may be anything.
func rawZip(t *testing.T, entries ...*zip.FileHeader) string {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for _, h := range entries {
		w, err := z.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, denyAll[:h.CompressedSize64]); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func stored(name string) *zip.FileHeader {
	return &zip.FileHeader{Name: name, Method: zip.Store, CompressedSize64: uint64(len(denyAll)), UncompressedSize64: uint64(len(denyAll)), CRC32: 0xbad}
}

func tarOf(t *testing.T, entries ...*tar.Header) string {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, h := range entries {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(denyAll))
		}
		h.Mode = 0o644
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, denyAll); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func gzipOf(t *testing.T, write func(io.Writer) error) string {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if err := errors.Join(write(z), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// zeros writes n zero bytes, which pack well.
func zeros(w io.Writer, n int64) error {
	_, err := io.CopyN(w, zeroReader{}, n)
	return err
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A class in which everybody but one is hostile: each gets an answer of its own, nothing waits, and the one
// is graded as ever.
func TestHostileClass(t *testing.T) {
	t.Parallel()
	if runtime.GOOS == "windows" {
		t.Skip("needs links and pipes")
	}
	secret := filepath.Join(gradetest.Folder(t, map[string]string{"secret.yaml": "secret: of the machine\n"}), "secret.yaml")
	dir := gradetest.Folder(t, gradetest.Sample(t, "solution", "ada/"))
	file := func(text string) func(string) error {
		return func(name string) error { return os.WriteFile(name, []byte(text), 0o600) }
	}
	folder := func(fill func(string) error) func(string) error {
		return func(name string) error { return errors.Join(os.Mkdir(name, 0o755), fill(name)) }
	}
	pipe := func(name string) error { return syscall.Mkfifo(name, 0o600) }
	in := func(name string, fill func(string) error) func(string) error {
		return func(dir string) error { return fill(filepath.Join(dir, name)) }
	}
	link := func(to string) func(string) error { return func(name string) error { return os.Symlink(to, name) } }
	bombs := gradetest.Zip(t, map[string]string{"a.yaml": strings.Repeat("# \n", 1<<18)})
	huge := stored("a.yaml")
	huge.UncompressedSize64, huge.Method = 1<<50, zip.Deflate
	lying := stored("a.yaml")
	lying.UncompressedSize64 = 1
	many := strings.Repeat("x", 100)
	// A tenth of what holds otherwise, which the race detector takes in its stride.
	limits := manifest.Limits{Files: 200, Documents: 200, Nodes: 10_000, FileBytes: 1 << 18, TotalBytes: 1 << 20}

	for _, c := range []struct {
		name   string // of the file or folder; its student is named so
		make   func(string) error
		status grade.Status
		want   string // in the message
	}{
		{"pipe.yaml", pipe, grade.Refused, "not a regular file (a named pipe)"},
		{"pipe.zip", pipe, grade.Refused, "not a regular file"},
		{"pipe-inside", folder(in("a.yaml", pipe)), grade.Refused, "a.yaml: not a regular file (a named pipe)"},
		{"pipe-beside", folder(in("a.zip", pipe)), grade.Failed, "it contains no manifest"},
		{"device.yaml", link("/dev/zero"), grade.Refused, "not a regular file (a device)"},
		{"link-out", folder(in("a.yaml", link(secret))), grade.Refused, "a symbolic link that leaves the directory"},
		{"link-up", folder(in("a.yaml", link("../ada/02-backend-ingress-deny/policy.yaml"))), grade.Refused, "a symbolic link that leaves the directory"},
		{"link-to-device", folder(in("a.yaml", link("/dev/zero"))), grade.Refused, "a symbolic link that leaves"},
		{"link-loop", folder(in("loop", link("."))), grade.Refused, "a symbolic link to a directory"},
		{"link-to-nowhere.yaml", link("nowhere"), grade.Errored, "there is no"},
		{"sparse.yaml", func(name string) error { return errors.Join(file("")(name), os.Truncate(name, 1<<40)) }, grade.Refused, "file is too large"},
		{"sparse.zip", func(name string) error { return errors.Join(file("")(name), os.Truncate(name, 1<<40)) }, grade.Refused, "the archive is larger than"},
		{"sparse-inside", folder(func(dir string) error {
			name := filepath.Join(dir, "a.yaml")
			return errors.Join(file("")(name), os.Truncate(name, 1<<40))
		}), grade.Refused, "file is too large"},
		{"deep", func(name string) error {
			return os.MkdirAll(filepath.Join(name, strings.Repeat("d/", 200)), 0o755)
		}, grade.Refused, "nested more than 64 deep"},
		{"crowd", folder(func(dir string) error {
			for i := range 201 {
				if err := file("")(filepath.Join(dir, fmt.Sprintf("%04d.yaml", i))); err != nil {
					return err
				}
			}
			return nil
		}), grade.Refused, "more than 200 files"},
		{"control", folder(in("a\x1b[2J.yaml", file(denyAll))), grade.Refused, "control characters"},
		{"control-hidden", folder(in(".a\x07", file(""))), grade.Refused, "control characters"},
		{"name-no-utf8", folder(in("a\xff.yaml", file(denyAll))), grade.Refused, "not UTF-8"},
		{"folder-no-utf8", folder(in("a\xff", folder(in("a.yaml", file(denyAll))))), grade.Refused, "not UTF-8"},
		{"contents-no-utf8.yaml", file("a: \xe9\n"), grade.Refused, "not UTF-8"},
		{"utf16.yaml", file("\xff\xfea\x00"), grade.Refused, "UTF-16"},
		{"long-" + strings.Repeat("x", 210) + ".yaml", file(denyAll), grade.Errored, "longer than 200 bytes"},
		{"aliases.yaml", file("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e]\n"), grade.Refused, "more than 10000 values"},
		{"documents.yaml", file(strings.Repeat("---\n"+denyAll, 201)), grade.Refused, "more than 200 documents"},
		{"complaints.yaml", file(strings.Repeat("---\na: b\n", 190)), grade.Refused, ""},
		{"empty.yaml", file(""), grade.Failed, "its manifests are empty"},
		{"empty", folder(func(string) error { return nil }), grade.Failed, "it contains no manifest"},

		{"two-archives", folder(func(dir string) error {
			return errors.Join(file(bombs)(filepath.Join(dir, "a.zip")), file(bombs)(filepath.Join(dir, "b.zip")))
		}), grade.Errored, "several archives, and nobody can know which one counts: a.zip, b.zip"},

		{"bomb.zip", file(bombs), grade.Refused, "more than 262144 bytes"},
		{"bomb-huge.zip", file(rawZip(t, huge)), grade.Refused, "a.yaml"},
		{"lying.zip", file(rawZip(t, lying)), grade.Refused, "a.yaml: cannot be read to its end"},
		{"nested.zip", file(gradetest.Zip(t, map[string]string{"a.zip": bombs, "b.tar": "x"})), grade.Errored, "there are several archives"},
		{"zip-in-folder", folder(in("answers.zip", file(gradetest.Zip(t, map[string]string{"deeper.zip": bombs})))), grade.Refused, "more than 262144 bytes"},
		{"truncated.zip", file(bombs[:len(bombs)/2]), grade.Refused, "the archive is damaged, incomplete, or of another kind than its name says"},
		{"empty.zip", file(""), grade.Refused, "the archive is empty (0 bytes)"},
		{"twice.zip", file(rawZip(t, stored("x/notes.txt"), stored("x/notes.txt"), stored("a.txt"), &zip.FileHeader{Name: "a.yaml"}, &zip.FileHeader{Name: "a.yaml"})), grade.Refused, "a.yaml: two files have this name"},
		{"cases.zip", file(gradetest.Zip(t, map[string]string{"a.yaml": "# nothing", "A.yaml": "# nothing", "a.YAML": "# nothing"})), grade.Failed, ""},
		{"absolute.zip", file(gradetest.Zip(t, map[string]string{"/etc/cron.d/a.yaml": denyAll})), grade.Refused, "points outside the archive"},
		{"climbs.zip", file(gradetest.Zip(t, map[string]string{"x/../../a.yaml": denyAll})), grade.Refused, "points outside the archive"},
		{"windows.zip", file(gradetest.Zip(t, map[string]string{`C:\answers\a.yaml`: denyAll})), grade.Refused, "points outside the archive"},
		{"drive.zip", file(gradetest.Zip(t, map[string]string{"C:/answers/a.txt": ""})), grade.Refused, "points outside the archive"},
		{"control.zip", file(gradetest.Zip(t, map[string]string{"a\x1b]0;x\x07.yaml": denyAll})), grade.Refused, "control characters"},
		{"no-utf8.zip", file(gradetest.Zip(t, map[string]string{"a\xff.yaml": "# nothing"})), grade.Failed, "its manifests are empty"},
		{"crowd.zip", file(gradetest.Zip(t, func() map[string]string {
			files := map[string]string{}
			for i := range 3_201 {
				files[fmt.Sprint(i)] = ""
			}
			return files
		}())), grade.Refused, "more than 3200 entries"},
		{"directory.zip", file(func() string {
			var all []*zip.FileHeader
			for i := range 8_000 {
				all = append(all, &zip.FileHeader{Name: fmt.Sprint(many, i)})
			}
			return rawZip(t, all...)
		}()), grade.Refused, "too many entries"},

		{"bomb.tar.gz", file(gzipOf(t, func(w io.Writer) error {
			t := tar.NewWriter(w)
			err := t.WriteHeader(&tar.Header{Name: "film.mp4", Size: 1 << 25, Typeflag: tar.TypeReg})
			return errors.Join(err, zeros(t, 1<<25), t.Close())
		})), grade.Refused, "bytes once unpacked"},
		{"bomb-bare.tgz", file(gzipOf(t, func(w io.Writer) error { return zeros(w, 1<<25) })), grade.Failed, "it contains no manifest"},
		{"symlink.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink})), grade.Refused, "is a link"},
		{"hardlink.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Linkname: "b.yaml", Typeflag: tar.TypeLink})), grade.Refused, "is a link"},
		{"pipe.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Typeflag: tar.TypeFifo})), grade.Refused, "neither a file nor a directory"},
		{"device.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5})), grade.Refused, "neither a file nor a directory"},
		{"absolute.tar", file(tarOf(t, &tar.Header{Name: "/etc/a.yaml", Typeflag: tar.TypeReg})), grade.Refused, "points outside the archive"},
		{"climbs.tar", file(tarOf(t, &tar.Header{Name: "../../ada/a.yaml", Typeflag: tar.TypeReg})), grade.Refused, "points outside the archive"},
		{"truncated.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Typeflag: tar.TypeReg})[:560]), grade.Refused, "unexpected EOF"},
	} {
		if err := c.make(filepath.Join(dir, c.name)); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		id := strings.TrimSuffix(c.name, ".tar.gz")
		for _, s := range []string{".yaml", ".zip", ".tar", ".tgz"} {
			id = strings.TrimSuffix(id, s)
		}
		// Two may have the same ID: a list tells them apart.
		list := filepath.Join(t.TempDir(), "one.csv")
		line := fmt.Sprintf("student_id,path\nada,%s\n%s,\"%s\"\n", filepath.Join(dir, "ada"), id, filepath.Join(dir, c.name))
		if err := os.WriteFile(list, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cfg := gradetest.Config(t, gradetest.Tutorial)
			cfg.Limits = limits
			cfg.Timeout = 5 * time.Minute // for a busy machine: nothing may wait for it
			gradetest.Run(t, cfg, list)
			for _, r := range gradetest.Results(t, cfg.Out) {
				if r.ID == "ada" {
					if r.Score == nil || r.Score.Percent != 100 {
						t.Errorf("the other one has %s, %+v", r.Status, r.Score)
					}
					continue
				}
				if r.Status != c.status || !strings.Contains(r.Message, c.want) {
					t.Errorf("%s: %s, want %s: %s", r.Status, r.Message, c.status, c.want)
				}
				if r.Status != grade.Errored && (r.Score == nil || r.Score.Points != 0) {
					t.Errorf("the score is %+v", r.Score)
				}
				if strings.HasPrefix(r.Message, ".") || strings.HasPrefix(r.Message, ":") || r.Status == grade.Refused && strings.Contains(r.Message, dir) {
					t.Errorf("the message does not name files from the submission on: %s", r.Message)
				}
				if len(r.Problems) > 101 {
					t.Errorf("%d problems are told", len(r.Problems))
				}
			}
			for name, text := range gradetest.Files(t, cfg.Out) {
				if strings.Contains(text, "of the machine") || strings.Contains(text, "root:") {
					t.Errorf("%s holds a file of the machine", name)
				}
				if strings.HasPrefix(name, "students/") && strings.Contains(text, dir) {
					t.Errorf("%s tells the student where the class lies:\n%s", name, text)
				}
			}
		})
	}
	// All of them as one class: the names that are the same twice are errors, and ada has her grade.
	cfg := gradetest.Config(t, gradetest.Tutorial)
	cfg.Limits = limits
	gradetest.Run(t, cfg, dir)
	graded := false
	for _, r := range gradetest.Results(t, cfg.Out) {
		if r.Score != nil && r.Score.Points > 0 {
			graded = r.ID == "ada"
		}
	}
	if !graded {
		t.Error("ada has no grade, or somebody else has one")
	}
}
