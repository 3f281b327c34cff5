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
	"github.com/labctl/labctl/grade/batch"
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

// A class in which everybody but one is hostile: each gets an answer of its own, nothing waits, and the one is graded as ever.
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
		status batch.Status
		want   string // in the message
	}{
		{"pipe.yaml", pipe, batch.Refused, "not a regular file (a named pipe)"},
		{"pipe.zip", pipe, batch.Refused, "not a regular file"},
		{"pipe-inside", folder(in("a.yaml", pipe)), batch.Refused, "a.yaml: not a regular file (a named pipe)"},
		{"pipe-beside", folder(in("a.zip", pipe)), batch.Failed, "there is no manifest in it"},
		{"device.yaml", link("/dev/zero"), batch.Refused, "not a regular file (a device)"},
		{"link-out", folder(in("a.yaml", link(secret))), batch.Refused, "a symbolic link that leaves the directory"},
		{"link-up", folder(in("a.yaml", link("../ada/02-backend-ingress-deny/policy.yaml"))), batch.Refused, "a symbolic link that leaves the directory"},
		{"link-to-device", folder(in("a.yaml", link("/dev/zero"))), batch.Refused, "a symbolic link that leaves"},
		{"link-loop", folder(in("loop", link("."))), batch.Refused, "a symbolic link to a directory"},
		{"link-to-nowhere.yaml", link("nowhere"), batch.Errored, "there is no"},
		{"sparse.yaml", func(name string) error { return errors.Join(file("")(name), os.Truncate(name, 1<<40)) }, batch.Refused, "file is too large"},
		{"sparse.zip", func(name string) error { return errors.Join(file("")(name), os.Truncate(name, 1<<40)) }, batch.Refused, "the archive is larger than"},
		{"sparse-inside", folder(func(dir string) error {
			name := filepath.Join(dir, "a.yaml")
			return errors.Join(file("")(name), os.Truncate(name, 1<<40))
		}), batch.Refused, "file is too large"},
		{"deep", func(name string) error {
			return os.MkdirAll(filepath.Join(name, strings.Repeat("d/", 200)), 0o755)
		}, batch.Refused, "nested more than 64 deep"},
		{"crowd", folder(func(dir string) error {
			for i := range 201 {
				if err := file("")(filepath.Join(dir, fmt.Sprintf("%04d.yaml", i))); err != nil {
					return err
				}
			}
			return nil
		}), batch.Refused, "more than 200 files"},
		{"control", folder(in("a\x1b[2J.yaml", file(denyAll))), batch.Refused, "control characters"},
		{"control-hidden", folder(in(".a\x07", file(""))), batch.Refused, "control characters"},
		{"name-no-utf8", folder(in("a\xff.yaml", file(denyAll))), batch.Refused, "not UTF-8"},
		{"folder-no-utf8", folder(in("a\xff", folder(in("a.yaml", file(denyAll))))), batch.Refused, "not UTF-8"},
		{"contents-no-utf8.yaml", file("a: \xe9\n"), batch.Refused, "not UTF-8"},
		{"utf16.yaml", file("\xff\xfea\x00"), batch.Refused, "UTF-16"},
		{"long-" + strings.Repeat("x", 210) + ".yaml", file(denyAll), batch.Errored, "longer than 200 bytes"},
		{"aliases.yaml", file("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: [*e,*e,*e,*e,*e]\n"), batch.Refused, "more than 10000 values"},
		{"documents.yaml", file(strings.Repeat("---\n"+denyAll, 201)), batch.Refused, "more than 200 objects"},
		{"complaints.yaml", file(strings.Repeat("---\na: b\n", 190)), batch.Refused, ""},
		{"empty.yaml", file(""), batch.Failed, "its manifests are empty"},
		{"empty", folder(func(string) error { return nil }), batch.Failed, "there is no manifest in it"},

		{"two-archives", folder(func(dir string) error {
			return errors.Join(file(bombs)(filepath.Join(dir, "a.zip")), file(bombs)(filepath.Join(dir, "b.zip")))
		}), batch.Errored, "several archives, and nobody can know which one counts: a.zip, b.zip"},

		{"bomb.zip", file(bombs), batch.Refused, "more than 262144 bytes once unpacked"},
		{"bomb-huge.zip", file(rawZip(t, huge)), batch.Refused, "a.yaml"},
		{"lying.zip", file(rawZip(t, lying)), batch.Refused, "not a valid zip"},
		{"nested.zip", file(gradetest.Zip(t, map[string]string{"a.zip": bombs, "b.tar": "x"})), batch.Failed, "there is no manifest in it"},
		{"zip-in-folder", folder(in("answers.zip", file(gradetest.Zip(t, map[string]string{"deeper.zip": bombs})))), batch.Failed, "there is no manifest in it"},
		{"truncated.zip", file(bombs[:len(bombs)/2]), batch.Refused, "not a valid zip"},
		{"empty.zip", file(""), batch.Refused, "not a valid zip"},
		{"twice.zip", file(rawZip(t, stored("x/notes.txt"), stored("x/notes.txt"), stored("a.txt"), &zip.FileHeader{Name: "a.yaml"}, &zip.FileHeader{Name: "a.yaml"})), batch.Refused, `two entries called "a.yaml"`},
		{"cases.zip", file(gradetest.Zip(t, map[string]string{"a.yaml": "# nothing", "A.yaml": "# nothing", "a.YAML": "# nothing"})), batch.Failed, ""},
		{"absolute.zip", file(gradetest.Zip(t, map[string]string{"/etc/cron.d/a.yaml": denyAll})), batch.Refused, "leads out of it"},
		{"climbs.zip", file(gradetest.Zip(t, map[string]string{"x/../../a.yaml": denyAll})), batch.Refused, "leads out of it"},
		{"windows.zip", file(gradetest.Zip(t, map[string]string{`C:\answers\a.yaml`: denyAll})), batch.Refused, "leads out of it"},
		{"drive.zip", file(gradetest.Zip(t, map[string]string{"C:/answers/a.txt": ""})), batch.Failed, ""},
		{"control.zip", file(gradetest.Zip(t, map[string]string{"a\x1b]0;x\x07.yaml": denyAll})), batch.Refused, "control characters"},
		{"no-utf8.zip", file(gradetest.Zip(t, map[string]string{"a\xff.yaml": denyAll})), batch.Refused, "not valid"},
		{"crowd.zip", file(gradetest.Zip(t, func() map[string]string {
			files := map[string]string{}
			for i := range 3_201 {
				files[fmt.Sprint(i)] = ""
			}
			return files
		}())), batch.Refused, "more than 3200 entries"},
		{"directory.zip", file(func() string {
			var all []*zip.FileHeader
			for i := range 8_000 {
				all = append(all, &zip.FileHeader{Name: fmt.Sprint(many, i)})
			}
			return rawZip(t, all...)
		}()), batch.Refused, "too many entries"},

		{"bomb.tar.gz", file(gzipOf(t, func(w io.Writer) error {
			t := tar.NewWriter(w)
			err := t.WriteHeader(&tar.Header{Name: "film.mp4", Size: 1 << 25, Typeflag: tar.TypeReg})
			return errors.Join(err, zeros(t, 1<<25), t.Close())
		})), batch.Refused, "unexpected EOF"},
		{"bomb-bare.tgz", file(gzipOf(t, func(w io.Writer) error { return zeros(w, 1<<25) })), batch.Failed, "there is no manifest in it"},
		{"symlink.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Linkname: "/etc/passwd", Typeflag: tar.TypeSymlink})), batch.Refused, "is a link"},
		{"hardlink.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Linkname: "b.yaml", Typeflag: tar.TypeLink})), batch.Refused, "is a link"},
		{"pipe.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Typeflag: tar.TypeFifo})), batch.Refused, "neither a file nor a directory"},
		{"device.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 5})), batch.Refused, "neither a file nor a directory"},
		{"absolute.tar", file(tarOf(t, &tar.Header{Name: "/etc/a.yaml", Typeflag: tar.TypeReg})), batch.Refused, "leads out of it"},
		{"climbs.tar", file(tarOf(t, &tar.Header{Name: "../../ada/a.yaml", Typeflag: tar.TypeReg})), batch.Refused, "leads out of it"},
		{"truncated.tar", file(tarOf(t, &tar.Header{Name: "a.yaml", Typeflag: tar.TypeReg})[:560]), batch.Refused, "unexpected EOF"},
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
			for _, r := range results(t, cfg.Out) {
				if r.ID == "ada" {
					if r.Score == nil || r.Score.Percent != 100 {
						t.Errorf("the other one has %s, %+v", r.Status, r.Score)
					}
					continue
				}
				if r.Status != c.status || !strings.Contains(r.Message, c.want) {
					t.Errorf("%s: %s, want %s: %s", r.Status, r.Message, c.status, c.want)
				}
				if r.Status != batch.Errored && (r.Score == nil || r.Score.Points != 0) {
					t.Errorf("the score is %+v", r.Score)
				}
				if strings.HasPrefix(r.Message, ".") || strings.HasPrefix(r.Message, ":") || r.Status == batch.Refused && strings.Contains(r.Message, dir) {
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
	for _, r := range results(t, cfg.Out) {
		if r.Score != nil && r.Score.Points > 0 {
			graded = r.ID == "ada"
		}
	}
	if !graded {
		t.Error("ada has no grade, or somebody else has one")
	}
}
