package gradescope_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/gradescope"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/labs"
)

const labDir = "../../labs/networkpolicy"

// program builds a static program that does nothing.
func program(t *testing.T, arch string) string {
	t.Helper()
	dir := t.TempDir()
	main := filepath.Join(dir, "main.go")
	if err := os.WriteFile(main, []byte("package main\n\nfunc main() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "labctl"), main)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return filepath.Join(dir, "labctl")
}

func TestPackage(t *testing.T) {
	t.Parallel()
	p := &gradescope.Package{Lab: gradetest.Open(t, labDir).Lab, Binary: program(t, "amd64"), Options: []string{"--var=greeting=good day", "--late"}}
	var first, second bytes.Buffer
	if err := errors.Join(p.Write(&first), p.Write(&second)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two archives differ")
	}
	z, err := zip.NewReader(bytes.NewReader(first.Bytes()), int64(first.Len()))
	if err != nil {
		t.Fatal(err)
	}
	// As Gradescope unpacks it; labctl is a script that tells how it was called.
	dir := t.TempDir()
	source := filepath.Join(dir, "source")
	for _, f := range z.File {
		name := filepath.Join(source, filepath.FromSlash(f.Name))
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err == nil {
			err = errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, data, f.Mode().Perm()))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := fs.WalkDir(os.DirFS(labDir), ".", func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			_, err = os.Stat(filepath.Join(source, "lab", filepath.FromSlash(name)))
		}
		return err
	}); err != nil {
		t.Errorf("the lab is not whole: %v", err)
	}
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("there is no bash to run the scripts")
	}
	if err := os.WriteFile(filepath.Join(source, "labctl"), []byte("#!/bin/sh\nprintf '%s|' \"$@\"\necho\nexit 3\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "results"), 0o755); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(dir, "results", "results.json")
	if err := os.WriteFile(stale, []byte(`{"score":1}`), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(bash, filepath.Join(source, "run_autograder"))
	cmd.Env = append(os.Environ(), "AUTOGRADER="+dir)
	out, err := cmd.Output()
	want := "autograde|gradescope|" + source + "/lab|--dir|" + dir + "|--var=greeting=good day|--late|\n"
	var exit *exec.ExitError
	if string(out) != want || !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("the script runs %q, want %q: %v", out, want, err)
	}
	if _, err := os.Stat(stale); !errors.Is(err, fs.ErrNotExist) {
		t.Error("the results of an earlier run are still there")
	}
}

func TestPackageRefusesWhatDoesNotRunThere(t *testing.T) {
	t.Parallel()
	script := filepath.Join(t.TempDir(), "labctl")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, tc := range map[string]struct{ binary, want string }{
		"no program":         {script, "it is not a Linux program"},
		"another processor":  {program(t, "arm64"), "not for x86-64"},
		"a dynamic one":      {"/bin/bash", "it is not statically linked"},
		"one that is absent": {"nowhere", "it is not a Linux program"},
	} {
		err := (&gradescope.Package{Lab: gradetest.Open(t, labDir).Lab, Binary: tc.binary}).Write(io.Discard)
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q", name, err, tc.want)
		}
	}
}

// results of a run in Gradescope's folder; nil if there is no file.
func results(t *testing.T, cfg batch.Config, sample, metadata string) (r *struct {
	Score  *float64
	Output string
	Tests  []struct{ Name, Visibility string }
}, told string, err error) {
	t.Helper()
	dir := t.TempDir()
	if sample != "" {
		if err := os.CopyFS(filepath.Join(dir, "submission"), os.DirFS(sample)); err != nil {
			t.Fatal(err)
		}
	}
	if metadata != "" {
		if err := os.WriteFile(filepath.Join(dir, "submission_metadata.json"), []byte(metadata), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	err = gradescope.Run(context.Background(), dir, cfg, &out)
	data, readErr := os.ReadFile(filepath.Join(dir, "results", "results.json"))
	if readErr == nil {
		if err := json.Unmarshal(data, &r); err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
		if err == nil {
			err = jsonschema.NewCompiler().MustCompile("../report/testdata/gradescope.schema.json").Validate(v)
		}
		if err != nil {
			t.Errorf("%v:\n%s", err, data)
		}
	}
	return r, out.String(), err
}

const metadata = `{
  "id": 7, "created_at": "2026-11-24T12:00:00.365935-08:00", "submission_method": "upload",
  "assignment": {"id": 1, "title": "Lab 1", "due_date": "2026-11-23T23:00:00.000000-08:00", "late_due_date": null, "total_points": "20.0"},
  "users": [{"id": 1, "name": "Ada", "email": "ada@example.org"}EXTENSION], "previous_submissions": []
}`

func TestRun(t *testing.T) {
	t.Parallel()
	const solution = labDir + "/samples/solution"
	cfg := gradetest.Config(t, labDir)
	if r, told, err := results(t, cfg, solution, ""); err != nil || r == nil || *r.Score != 100 || len(r.Tests) != 26 || told != "100 points of 100\n" {
		t.Errorf("%v, %q, %+v", err, told, r)
	}
	late := strings.Replace(metadata, "EXTENSION", "", 1)
	if r, told, err := results(t, cfg, solution, late); err != nil || *r.Score != 100 || !strings.Contains(told, "worth 20 points, the lab 100") {
		t.Errorf("without a policy: %v, %q, %+v", err, told, r)
	}
	cfg.Late = labs.Late{Penalty: 10, Per: 24 * time.Hour, Max: 100}
	if r, _, err := results(t, cfg, solution, late); err != nil || *r.Score != 90 || !strings.Contains(r.Output, "Late: submitted 13 hours 1 minute after the due date (") {
		t.Errorf("late: %v, %+v", err, r)
	}
	extended := strings.Replace(metadata, "EXTENSION", `, {"id": 2, "name": "Bob", "email": "b@example.org", "assignment": {"due_date": "2026-11-30T23:00:00.000000-08:00"}}`, 1)
	if r, _, err := results(t, cfg, solution, extended); err != nil || *r.Score != 100 {
		t.Errorf("with an extension: %v, %+v", err, r)
	}
	if _, _, err := results(t, cfg, solution, "{"); err == nil {
		t.Error("torn metadata went unnoticed")
	}
}

func TestWhatCannotBeGradedHasNoResults(t *testing.T) {
	t.Parallel()
	r, _, err := results(t, gradetest.Config(t, labDir), "", "")
	var not *gradescope.NotGraded
	if !errors.As(err, &not) || r != nil {
		t.Errorf("%v, %+v", err, r)
	}
}
