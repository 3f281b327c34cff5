package storage_test

import (
	"archive/zip"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/storage"
	"github.com/labctl/labctl/grade/batch/storage/storagetest"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

const samples = "../../../labs/networkpolicy/samples"

func TestMain(m *testing.M) {
	// The storage of these tests takes any.
	os.Setenv("AWS_ACCESS_KEY_ID", "tests")
	os.Setenv("AWS_SECRET_ACCESS_KEY", "tests")
	os.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	os.Exit(m.Run())
}

func serve(t *testing.T) (*storagetest.S3, string) {
	t.Helper()
	s3, err := storagetest.NewS3("class")
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s3)
	t.Cleanup(server.Close)
	return s3, storagetest.URL("class", server.URL)
}

// in is the URL with a folder behind the bucket's name.
func in(url, folder string) string {
	bucket, query, _ := strings.Cut(url, "?")
	return bucket + "/" + folder + "?" + query
}

func open(t *testing.T, url string) *storage.Store {
	t.Helper()
	s, err := storage.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func config(t *testing.T) batch.Config {
	t.Helper()
	fsys, dir, err := labs.Open("networkpolicy")
	if err != nil {
		t.Fatal(err)
	}
	lab, diags := labs.Load(fsys, dir, labs.LoadOptions{})
	if err := diags.Err(); err != nil {
		t.Fatal(err)
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		t.Fatal(err)
	}
	engine, err := offline.New(lab, policy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return batch.Config{Grader: grader, Engine: engine, Tool: "test", Out: filepath.Join(t.TempDir(), "out")}
}

// upload writes a directory's files to a store.
func upload(t *testing.T, s *storage.Store, dir string) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			return err
		}
		return s.Write(t.Context(), name, data)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// class is a folder of a few submissions: folders, an archive, a file, and some that are refused.
func class(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, sample := range []string{"solution", "service-port", "and-or-peers", "nothing-handed-in"} {
		if err := os.CopyFS(filepath.Join(dir, sample), os.DirFS(filepath.Join(samples, sample))); err != nil {
			t.Fatal(err)
		}
	}
	var archive bytes.Buffer
	z := zip.NewWriter(&archive)
	if err := errors.Join(z.AddFS(os.DirFS(filepath.Join(samples, "solution"))), z.Close()); err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"ada.zip": archive.String(), "bob.yaml": "kind: [\n", "carl/README.md": "nothing", "notes.txt": "no submission",
		"large.yaml": strings.Repeat("# much\n", 40), "dora/backend-ingress-deny/large.yaml": strings.Repeat("# much\n", 40),
	} {
		file := filepath.Join(dir, filepath.FromSlash(name))
		if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o755), os.WriteFile(file, []byte(data), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// contents are the files of an output directory but the journal, whose order is that of the work.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(dir), ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || path.Base(name) == "journal.jsonl" || name == "lock" {
			return err
		}
		data, err := os.ReadFile(filepath.Join(dir, name))
		files[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// What is graded from a storage is what is graded from a directory, byte for byte.
func TestSameAsLocal(t *testing.T) {
	t.Parallel()
	dir := class(t)
	lim := manifest.Limits{FileBytes: 200_000, TotalBytes: 400_000}
	for _, small := range []bool{false, true} {
		if small {
			lim.FileBytes = 270
		}
		local := config(t)
		local.Limits = lim
		found, err := batch.Find(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := batch.Run(t.Context(), local, found.Entries); err != nil {
			t.Fatal(err)
		}
		want := contents(t, local.Out)

		s3, url := serve(t)
		upload(t, open(t, in(url, "week-3")), dir)
		before := s3.Counts()
		mem := storage.New(memblob.OpenBucket(nil), "", "mem://")
		upload(t, mem, dir)
		fromS3, err := storage.OpenSource(t.Context(), in(url, "week-3"), lim, 0)
		if err != nil {
			t.Fatal(err)
		}
		for name, source := range map[string]*storage.Source{"S3": fromS3, "memory": storage.NewSource(mem, "", lim, 1)} {
			found, err := source.Find(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(found.Ignored) != 1 || found.Ignored[0] != "notes.txt" {
				t.Errorf("%s: ignored %q", name, found.Ignored)
			}
			cfg := config(t)
			cfg.Limits, cfg.Open, cfg.Workers = lim, source.Open, 3
			if _, err := batch.Run(t.Context(), cfg, found.Entries); err != nil {
				t.Fatal(err)
			}
			got := contents(t, cfg.Out)
			for file, data := range want {
				if got[file] != data {
					t.Errorf("%s: %s differs from the local one:\n%s\nwant\n%s", name, file, got[file], data)
				}
			}
			if len(got) != len(want) {
				t.Errorf("%s: %d files, want %d", name, len(got), len(want))
			}
			source.Close()
		}
		after := s3.Counts()
		if lists := after["LIST"] - before["LIST"]; lists != 1+len(found.Entries)-3 {
			t.Errorf("%d listings: one of the class and one of each folder are enough", lists)
		}
	}
}

func TestHostileKeys(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	s := open(t, url)
	for _, key := range []string{
		"up/../../etc/passwd.yaml", "empty//part.yaml", "twice/a", "twice/a/b.yaml", "control/\x07.yaml", "dot/./x.yaml",
		"fine/backend-ingress-deny/policy.yaml", "fine/folder-mark/",
	} {
		if err := s.Write(t.Context(), key, []byte("# nothing\n")); err != nil {
			t.Fatal(err)
		}
	}
	source := storage.NewSource(s, "", manifest.Limits{}, 0)
	for id, want := range map[string]string{
		"up": "leads outside", "empty": "leads outside", "twice": "both a file and a folder", "dot": "leads outside", "fine": "",
	} {
		opened, err := source.Open(t.Context(), &batch.Entry{ID: id, Path: id + "/"})
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
			continue
		}
		var refused *grade.Refused
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want it refused: %s", id, opened, err, want)
		}
	}
}

// A missing permission is the machine's error and ends the run: no student gets 0 points for it.
func TestNoPermission(t *testing.T) {
	t.Parallel()
	s3, url := serve(t)
	upload(t, open(t, url), class(t))
	source := storage.NewSource(open(t, url), "", manifest.Limits{}, 0)
	found, err := source.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s3.Refuse(func(r *http.Request) int {
		if strings.Contains(r.URL.Path, "ada.zip") {
			return http.StatusForbidden
		}
		return 0
	})
	cfg := config(t)
	cfg.Open = source.Open
	_, err = batch.Run(t.Context(), cfg, found.Entries)
	if err == nil || !storage.IsPermanent(err) || !strings.Contains(err.Error(), "read s3://class/ada.zip: these credentials lack the permission") {
		t.Errorf("the run ended with %v", err)
	}
}

func TestTransientErrorsAreTriedAgain(t *testing.T) {
	t.Parallel()
	s3, url := serve(t)
	s := open(t, url)
	if err := s.Write(t.Context(), "a", []byte("b")); err != nil {
		t.Fatal(err)
	}
	var n atomic.Int32
	s3.Refuse(func(*http.Request) int {
		if n.Add(1) <= 4 {
			return http.StatusServiceUnavailable
		}
		return 0
	})
	data, err := s.Read(t.Context(), "a", 10)
	if err != nil || string(data) != "b" {
		t.Errorf("read %q, %v", data, err)
	}
	s3.Refuse(nil)
	if _, err := s.Read(t.Context(), "missing", 10); !storage.IsNotFound(err) || !storage.IsPermanent(err) {
		t.Errorf("an object that is not there: %v", err)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	_, url := serve(t)
	s := open(t, url)
	for name, data := range map[string]string{
		"class.csv":      "student_id,path\nada,files/ada.yaml\nbob,folders/bob\ncarl,../carl.yaml\ndora,missing.yaml\n",
		"files/ada.yaml": "# nothing\n", "folders/bob/backend-ingress-deny/a.yaml": "# nothing\n",
	} {
		if err := s.Write(t.Context(), "week/"+name, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	source, err := storage.OpenSource(t.Context(), in(url, "week/class.csv"), manifest.Limits{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	found, err := source.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t)
	cfg.Open = source.Open
	sum, err := batch.Run(t.Context(), cfg, found.Entries)
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, f := range sum.Failures {
		failed = append(failed, f.ID)
	}
	if sum.Submissions != 4 || !slices.Equal(failed, []string{"carl", "dora"}) {
		t.Errorf("%d submissions, in error %q: %v", sum.Submissions, failed, sum.Failures)
	}
}

func TestManyPages(t *testing.T) {
	t.Parallel()
	s := storage.New(memblob.OpenBucket(nil), "", "mem://")
	for i := range 2500 {
		if err := s.Write(t.Context(), fmt.Sprintf("s%04d.yaml", i), nil); err != nil {
			t.Fatal(err)
		}
	}
	found, err := storage.NewSource(s, "", manifest.Limits{}, 0).Find(t.Context())
	if err != nil || len(found.Entries) != 2500 || found.Entries[2499].ID != "s2499" {
		t.Errorf("found %d: %v", len(found.Entries), err)
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"s3://class/week?endpoint=http://h:1&secret=x": "unknown query parameter",
		"s3:///week":           "the name of the bucket is missing",
		"ftp://host/x":         "want s3://",
		"file://host/x":        "needs an absolute path",
		"s3://class?region=eu": "",
	} {
		s, err := storage.Open(context.Background(), url)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", url, err, want)
		}
		if s != nil {
			s.Close()
		}
	}
	dir := t.TempDir()
	s := open(t, "file://"+dir+"/made")
	if err := s.Write(t.Context(), "a/b", []byte("c")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "made/a/b")); err != nil || string(data) != "c" {
		t.Errorf("%q, %v", data, err)
	}
	for path, want := range map[string]bool{"s3://b": true, "file:///x": true, "./a://b": false, "dir/x": false, "C:\\x": false} {
		if storage.IsURL(path) != want {
			t.Errorf("IsURL(%q) is not %v", path, want)
		}
	}
}
