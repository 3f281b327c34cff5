package storage_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"gocloud.dev/blob/memblob"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/batch/storage"
	"github.com/labctl/labctl/grade/batch/storage/storagetest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/gradetest"
)

func TestMain(m *testing.M) {
	storagetest.SetCredentials()
	os.Exit(m.Run())
}

// class is a folder of a few submissions: folders, an archive, a file, and some that are refused.
func class(t *testing.T) string {
	t.Helper()
	files := map[string]string{
		"ada.zip": gradetest.Zip(t, gradetest.Sample(t, "solution", "")), "bob.yaml": "kind: [\n", "carl/README.md": "nothing", "notes.txt": "no submission",
		"large.yaml": strings.Repeat("# much\n", 40), "dora/backend-ingress-deny/large.yaml": strings.Repeat("# much\n", 40),
	}
	for _, name := range []string{"solution", "service-port", "and-or-peers", "nothing-handed-in"} {
		maps.Copy(files, gradetest.Sample(t, name, name+"/"))
	}
	return gradetest.Folder(t, files)
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
		local := gradetest.Config(t, gradetest.Tutorial)
		local.Limits = lim
		there := gradetest.Run(t, local, dir).Submissions
		want := gradetest.Files(t, local.Out)

		s3 := storagetest.Serve(t)
		if err := storagetest.Upload(t.Context(), s3.Open(t, "week-3"), dir); err != nil {
			t.Fatal(err)
		}
		before := s3.Counts()
		mem := storage.New(memblob.OpenBucket(nil), "", "mem://")
		if err := storagetest.Upload(t.Context(), mem, dir); err != nil {
			t.Fatal(err)
		}
		fromS3, err := storage.OpenSource(t.Context(), s3.URL("week-3"), lim, 0)
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
			cfg := gradetest.Config(t, gradetest.Tutorial)
			cfg.Limits, cfg.Fetch, cfg.Workers = lim, source.Fetch, 3
			if _, err := batch.Run(t.Context(), cfg, found.Entries); err != nil {
				t.Fatal(err)
			}
			t.Logf("from %s:", name)
			gradetest.Same(t, gradetest.Files(t, cfg.Out), want)
			source.Close()
		}
		after := s3.Counts()
		if lists := after["LIST"] - before["LIST"]; lists != 1+there-3 {
			t.Errorf("%d listings: one of the class and one of each folder are enough", lists)
		}
	}
}

func TestHostileKeys(t *testing.T) {
	t.Parallel()
	s := storagetest.Serve(t).Open(t, "")
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
		opened, err := source.Fetch(t.Context(), &intake.Entry{ID: id, Path: id + "/"})
		if want == "" {
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
			continue
		}
		var refused *engine.Refused
		if !errors.As(err, &refused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v; want it refused: %s", id, opened, err, want)
		}
	}
}

// A missing permission is the machine's error and ends the run: no student gets 0 points for it.
func TestNoPermission(t *testing.T) {
	t.Parallel()
	s3 := storagetest.Serve(t)
	if err := storagetest.Upload(t.Context(), s3.Open(t, ""), class(t)); err != nil {
		t.Fatal(err)
	}
	source := storage.NewSource(s3.Open(t, ""), "", manifest.Limits{}, 0)
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
	cfg := gradetest.Config(t, gradetest.Tutorial)
	cfg.Fetch = source.Fetch
	_, err = batch.Run(t.Context(), cfg, found.Entries)
	if err == nil || !storage.IsPermanent(err) || !strings.Contains(err.Error(), "read s3://class/ada.zip: these credentials lack the permission") {
		t.Errorf("the run ended with %v", err)
	}
}

func TestTransientErrorsAreTriedAgain(t *testing.T) {
	t.Parallel()
	s3 := storagetest.Serve(t)
	s := s3.Open(t, "")
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
	s3 := storagetest.Serve(t)
	s := s3.Open(t, "")
	for name, data := range map[string]string{
		"class.csv":      "student_id,path\nada,files/ada.yaml\nbob,folders/bob\ncarl,../carl.yaml\ndora,missing.yaml\n",
		"files/ada.yaml": "# nothing\n", "folders/bob/backend-ingress-deny/a.yaml": "# nothing\n",
	} {
		if err := s.Write(t.Context(), "week/"+name, []byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	source, err := storage.OpenSource(t.Context(), s3.URL("week/class.csv"), manifest.Limits{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	found, err := source.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg := gradetest.Config(t, gradetest.Tutorial)
	cfg.Fetch = source.Fetch
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
	s := storagetest.Open(t, "file://"+dir+"/made")
	if err := s.Write(t.Context(), "a/b", []byte("c")); err != nil {
		t.Fatal(err)
	}
	if data, err := os.ReadFile(filepath.Join(dir, "made/a/b")); err != nil || string(data) != "c" {
		t.Errorf("%q, %v", data, err)
	}
	for path, want := range map[string]bool{"s3://b": true, "file:///x": true, "./a://b": false, "dir/x": false, "C:\\x": false} {
		if intake.IsURL(path) != want {
			t.Errorf("IsURL(%q) is not %v", path, want)
		}
	}
}
