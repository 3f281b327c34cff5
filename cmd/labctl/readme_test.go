package main

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var consoleBlock = regexp.MustCompile("(?s)```console\n(.*?)```")

// TestReadme runs the commands of the README's console blocks in their order. What needs a cluster or a file of the reader's
// is only parsed.
func TestReadme(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	writeClass(t, filepath.Join(dir, "submissions.zip"))
	needsCluster := regexp.MustCompile(`^(up|env|down|next|status|reset|pause|resume|observe)\b|^grade$`)
	ran := map[string]bool{}
	for _, block := range consoleBlock.FindAllStringSubmatch(string(readme), -1) {
		for line := range strings.Lines(block[1]) {
			text, isCommand := strings.CutPrefix(line, "$ ")
			if !isCommand {
				t.Errorf("the README shows output, which this test does not compare: %q", line)
				continue
			}
			for _, args := range commandLines(text) {
				if needsCluster.MatchString(strings.Join(args, " ")) {
					args = append(args, "--help")
				}
				code, out := labctl(t, dir, args...)
				if want := 0; code != want && !(args[0] == "grade" && code == exitBelowMark) {
					t.Errorf("labctl %s ends with %d:\n%s", strings.Join(args, " "), code, out)
				}
				if len(out) == 0 {
					t.Errorf("labctl %s prints nothing", strings.Join(args, " "))
				}
				ran[args[0]] = true
			}
		}
	}
	for _, command := range []string{"checkout", "show", "grade", "init", "validate", "test", "batch", "up", "down"} {
		if !ran[command] {
			t.Errorf("the README does not show labctl %s", command)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "graded", "canvas.csv")); err != nil {
		t.Errorf("the class was not graded: %v", err)
	}
}

// writeClass writes what Canvas lets a teacher download: an archive with a file for each student.
func writeClass(t *testing.T, name string) {
	t.Helper()
	var inner bytes.Buffer
	w := zip.NewWriter(&inner)
	if err := w.AddFS(os.DirFS(filepath.Join("..", "..", "labs", "networkpolicy", "samples", "solution"))); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	var class bytes.Buffer
	w = zip.NewWriter(&class)
	for _, student := range []string{"adaann_101_5001_answers.zip", "bobben_102_5002_answers.zip"} {
		f, err := w.Create(student)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.Write(inner.Bytes()); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, class.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// labctl runs the real main in dir and returns its exit code and what it printed.
func labctl(t *testing.T, dir string, args ...string) (code int, output string) {
	t.Helper()
	cmd := exec.Command("labctl", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_STATE_HOME="+dir, "XDG_CONFIG_HOME="+dir, "XDG_CACHE_HOME="+dir)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}
