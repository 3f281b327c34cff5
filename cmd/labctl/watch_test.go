package main

import (
	"bufio"
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestWatch changes a submission under a running watch and ends it with Ctrl-C.
func TestWatch(t *testing.T) {
	t.Parallel()
	answers := t.TempDir()
	if err := os.CopyFS(answers, os.DirFS(filepath.Join("testdata", "shop", "samples", "wrong"))); err != nil {
		t.Fatal(err)
	}
	lines := startWatch(t, answers)
	lines.until("✗ open/frontend")
	lines.until("Score 8 of 16 points, 50%; pass mark 70%: not passed")

	right, err := os.ReadFile(filepath.Join("testdata", "shop", "samples", "solution", "open", "policy.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policy := filepath.Join(answers, "open", "policy.yaml")
	write(t, policy, right)
	// Only what changed is told.
	if line := lines.next(); line != "✓ open/frontend" {
		t.Errorf("after the file was mended: %q", line)
	}
	lines.until("Score 16 of 16 points, 100%; pass mark 70%: passed")

	// A file that is refused is told, and waited on.
	write(t, policy, []byte("kind: Secret\n"))
	lines.until("open/policy.yaml:1")
	write(t, policy, right)
	lines.until("Score 16 of 16 points, 100%; pass mark 70%: passed")

	// A folder that is made later is watched too.
	if err := os.MkdirAll(filepath.Join(answers, "open", "delete"), 0o755); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * 100 * time.Millisecond)
	write(t, filepath.Join(answers, "open", "delete", "all.yaml"), []byte("kind: NetworkPolicy\nmetadata:\n  name: backend-deny\n"))
	lines.until("Score ")

	if code := lines.interrupt(); code != exitInterrupted {
		t.Errorf("exit code %d after Ctrl-C, want %d", code, exitInterrupted)
	}
	if got := lines.stderr.String(); !strings.Contains(got, "labctl: interrupted") {
		t.Errorf("standard error: %q", got)
	}
}

func write(t *testing.T, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// watched is a running labctl that watches files, and what it prints.
type watched struct {
	t      *testing.T
	cmd    *exec.Cmd
	stdout chan string
	stderr *bytes.Buffer
}

func startWatch(t *testing.T, submission string, args ...string) *watched {
	t.Helper()
	shop := filepath.Join("testdata", "shop")
	return startLabctl(t, append([]string{"watch", shop, "--submission", submission}, args...)...)
}

func startLabctl(t *testing.T, args ...string) *watched {
	t.Helper()
	cmd := exec.Command("labctl", args...)
	w := &watched{t: t, cmd: cmd, stdout: make(chan string, 100), stderr: &bytes.Buffer{}}
	cmd.Stderr = w.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // ended already, if all went well
	go func() {
		defer close(w.stdout)
		for in := bufio.NewScanner(stdout); in.Scan(); {
			w.stdout <- in.Text()
		}
	}()
	return w
}

// next returns the next line.
func (w *watched) next() string {
	w.t.Helper()
	select {
	case line, ok := <-w.stdout:
		if !ok {
			w.t.Fatal("watch ended: ", w.stderr.String())
		}
		return line
	case <-time.After(20 * time.Second):
		w.t.Fatal("no line within 20 s")
	}
	return ""
}

// until skips lines up to one that contains text.
func (w *watched) until(text string) {
	w.t.Helper()
	for !strings.Contains(w.next(), text) {
	}
}

// TestInterruptedWhileReading presses Ctrl-C while labctl waits for standard input.
func TestInterruptedWhileReading(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("labctl", "grade", "networkpolicy", "--submission", "-", "--offline", "-v")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer stdin.Close()
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for lines.Scan() && !strings.Contains(lines.Text(), "reading standard input") {
	}
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if !lines.Scan() || lines.Text() != "labctl: interrupted" {
		t.Errorf("standard error: %q", lines.Text())
	}
	var failed *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &failed) || failed.ExitCode() != exitInterrupted {
		t.Errorf("ended with %v, want exit code %d", err, exitInterrupted)
	}
}

// interrupt presses Ctrl-C and returns the exit code.
func (w *watched) interrupt() int {
	w.t.Helper()
	if err := w.cmd.Process.Signal(os.Interrupt); err != nil {
		w.t.Fatal(err)
	}
	for range w.stdout { // drained before Wait, which closes the pipe
	}
	var failed *exec.ExitError
	if err := w.cmd.Wait(); !errors.As(err, &failed) {
		w.t.Fatal("ended without an exit code: ", err)
	}
	return failed.ExitCode()
}

// TestWatchJSON prints one report a line.
func TestWatchJSON(t *testing.T) {
	t.Parallel()
	lines := startWatch(t, filepath.Join("testdata", "shop", "samples", "solution"), "-o", "json")
	if line := lines.next(); !strings.HasPrefix(line, `{"format_version":1,"lab":{"name":"shop"`) || !strings.HasSuffix(line, "}") {
		t.Errorf("not a report on one line: %q", line)
	}
	if code := lines.interrupt(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
}
