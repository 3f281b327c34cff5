package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// copyShop copies the lab "shop" to a directory that a test may change, and returns its lab.hcl too.
func copyShop(t *testing.T) (dir, file string, text []byte) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "shop")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join("testdata", "shop"))); err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(dir, "lab.hcl")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return dir, file, text
}

// TestDev changes a lab under a running dev and ends it with Ctrl-C.
func TestDev(t *testing.T) {
	t.Parallel()
	dir, file, good := copyShop(t)
	lines := startLabctl(t, "dev", dir)
	lines.until("Valid.")
	lines.until("✓ solution")
	lines.until("The lab grades as it declares.")

	write(t, file, append(bytes.Clone(good), "oops {}\n"...))
	saved := time.Now()
	lines.until(`Unknown block`)
	if took := time.Since(saved); took > time.Minute { // a second on a machine that is not busy
		t.Errorf("the diagnostic came %v after the file was saved", took)
	}
	lines.until("Not valid: 1 error, 0 warnings.")

	write(t, file, bytes.Replace(good, []byte(`score = 50`), []byte(`score = 40`), 1))
	lines.until("✗ wrong")
	lines.until("The lab does not grade as it declares.")

	// A setup manifest that does not parse is no diagnostic of the lab's files.
	write(t, file, append(bytes.Clone(good), "task \"broken\" {\n  setup { apply = [\"broken.yaml\"] }\n}\n"...))
	lines.until("Not valid: ")
	write(t, file, good)
	lines.until("The lab grades as it declares.")
	if code := lines.interrupt(); code != exitInterrupted {
		t.Errorf("exit code %d after Ctrl-C, want %d", code, exitInterrupted)
	}
}

// TestDevJSON prints one object per pass.
func TestDevJSON(t *testing.T) {
	t.Parallel()
	dir, file, good := copyShop(t)
	lines := startLabctl(t, "dev", dir, "-o", "json")
	type pass struct {
		FormatVersion int  `json:"format_version"`
		Valid         bool `json:"valid"`
		Diagnostics   []struct{ Line int }
		Test          *struct {
			Passed  bool
			Samples []any
		}
	}
	next := func() (p pass) {
		t.Helper()
		line := lines.next()
		if err := json.Unmarshal([]byte(line), &p); err != nil || p.FormatVersion != 1 {
			t.Fatalf("%v: %s", err, line)
		}
		return p
	}
	if p := next(); !p.Valid || p.Diagnostics == nil || p.Test == nil || !p.Test.Passed || len(p.Test.Samples) != 2 {
		t.Errorf("a good lab: %+v", p)
	}
	write(t, file, append([]byte("oops {}\n"), good...))
	if p := next(); p.Valid || len(p.Diagnostics) != 1 || p.Diagnostics[0].Line != 1 || p.Test != nil {
		t.Errorf("a lab with an error: %+v", p)
	}
	if code := lines.interrupt(); code != exitInterrupted {
		t.Errorf("exit code %d, want %d", code, exitInterrupted)
	}
}

// TestDevTakesADirectory refuses what cannot be watched.
func TestDevTakesADirectory(t *testing.T) {
	t.Parallel()
	for arg, want := range map[string]string{
		"networkpolicy": "networkpolicy is not a directory", filepath.Join("testdata", "shop", "lab.hcl"): "is not a directory",
		"no-such-folder": "no-such-folder does not exist",
	} {
		lines := startLabctl(t, "dev", arg)
		for range lines.stdout {
		}
		if err := lines.cmd.Wait(); err == nil || lines.cmd.ProcessState.ExitCode() != exitUsage {
			t.Errorf("dev %s ended with %v", arg, err)
		}
		if got := lines.stderr.String(); !strings.Contains(got, want) {
			t.Errorf("dev %s: %q", arg, got)
		}
	}
}
