package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/submission"
)

// crashWith ends the process as a submission does that names it in its files.
var crashWith = map[string]func(){
	"crash-stack.yaml": func() {
		var deeper func(n int) int
		debug.SetMaxStack(32 << 20)
		deeper = func(n int) int { return deeper(n+1) + 1 }
		deeper(0)
	},
	"crash-memory.yaml": func() {
		hoard := make([]byte, 1<<40) // more than limitMemory leaves
		hoard[len(os.Args)] = 1
	},
	"crash-kill.yaml": func() {
		time.Sleep(2 * time.Millisecond)
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	},
}

// crashing grades as usual but for submissions of crashWith.
func crashing(cfg *batch.Config) func(context.Context, *submission.Submission, grade.Options) (*grade.Report, error) {
	return func(ctx context.Context, sub *submission.Submission, opts grade.Options) (*grade.Report, error) {
		for _, name := range sub.Files {
			if crash := crashWith[filepath.Base(name)]; crash != nil {
				crash()
			}
		}
		return cfg.Grader.Grade(ctx, sub, cfg.Engine, opts)
	}
}

// limitMemory makes memory run out before the machine's does.
func limitMemory() error {
	return syscall.Setrlimit(syscall.RLIMIT_AS, &syscall.Rlimit{Cur: 3 << 30, Max: 3 << 30})
}

// resultsOf reads the results of an output directory, as they stand there.
func resultsOf(t *testing.T, out string) map[string]string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(out, "results.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	results := map[string]string{}
	for line := range strings.Lines(string(data)) {
		var r batch.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		results[r.ID] = line
	}
	return results
}

// lives runs the command of this test binary until it ends well, and says how often it died.
func lives(t *testing.T, most int, env ...string) (deaths int, said string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for ; deaths <= most; deaths++ {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), env...)
		out, err := cmd.CombinedOutput()
		var exit *exec.ExitError
		switch {
		case err == nil:
			return deaths, string(out)
		case !errors.As(err, &exit):
			t.Fatal(err)
		case exit.ExitCode() == 1: // an orderly end
			t.Fatalf("a run fails: %s", out)
		}
	}
	t.Fatalf("it still dies after %d times", deaths)
	return deaths, ""
}

// A submission that ends the process, in whatever way, costs nobody else a grade, and in the end it has an
// error of its own. It is tried again when somebody asks for it, or when it is another.
func TestCrashesAreIsolated(t *testing.T) {
	t.Parallel()
	for name, most := range map[string]int{"crash-stack.yaml": 2, "crash-memory.yaml": 2, "crash-kill.yaml": 4} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := smallClass(t, 40)
			undisturbed := gradetest.Config(t, smallLab)
			gradetest.Run(t, undisturbed, dir)
			want := resultsOf(t, undisturbed.Out)

			hostile := filepath.Join(dir, "student-0020x", name)
			// The second one is a copy: it must not crash anything once more.
			for _, file := range []string{hostile, filepath.Join(dir, "student-0031x", name)} {
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte("# "+name), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			out := filepath.Join(t.TempDir(), "out")
			env := []string{"BATCH_TEST_CLASS=" + dir, "BATCH_TEST_OUT=" + out, "BATCH_TEST_CRASH=1"}
			deaths, _ := lives(t, most, env...)
			if deaths < 2 {
				t.Errorf("it died %d times: nothing was tried a second time", deaths)
			}
			got := resultsOf(t, out)
			for id, line := range want {
				if got[id] != line {
					t.Errorf("%s has another result than without the crash:\n%s\n%s", id, got[id], line)
				}
			}
			for _, id := range []string{"student-0020x", "student-0031x"} {
				var r batch.Result
				if err := json.Unmarshal([]byte(got[id]), &r); err != nil {
					t.Fatal(err)
				}
				if r.Status != grade.Errored || r.Score != nil || !strings.Contains(r.Message, fmt.Sprintf("--regrade %q", id)) || r.StudentMessage == "" {
					t.Errorf("%s: %+v", id, r)
				}
			}
			if _, err := os.Stat(filepath.Join(out, "crash.txt")); err == nil {
				t.Error("the report of the crash is still there after a run that ended well")
			}
			// A run more tries nothing again, and says the same.
			before := gradetest.Files(t, out)
			if deaths, _ := lives(t, 0, env...); deaths != 0 {
				t.Error("it is tried again although nobody asked")
			}
			gradetest.Same(t, gradetest.Files(t, out), before)
			// Who asks gets it tried, once.
			self, _ := os.Executable()
			cmd := exec.Command(self)
			cmd.Env = append(append(os.Environ(), env...), "BATCH_TEST_AGAIN=student-0020x")
			if cmd.Run() == nil {
				t.Error("--regrade does not try it again")
			}
			if deaths, _ := lives(t, 0, env...); deaths != 0 {
				t.Error("it is tried again although nobody asked")
			}
			gradetest.Same(t, gradetest.Files(t, out), before)
			// Another submission in its place has nothing to do with it.
			if err := os.WriteFile(hostile, []byte("# nothing any more"), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(hostile, filepath.Join(filepath.Dir(hostile), "policy.yaml")); err != nil {
				t.Fatal(err)
			}
			lives(t, 0, env...)
			if line := resultsOf(t, out)["student-0020x"]; !strings.Contains(line, `"status":"failed"`) {
				t.Errorf("what was handed in instead is not graded: %s", line)
			}
		})
	}
}

// However many submissions crash the process, it takes one crash for each and one more, and the other grades are right.
func TestCrashesAreBounded(t *testing.T) {
	t.Parallel()
	const hostile = 6
	dir := smallClass(t, 40)
	for i := range hostile {
		file := filepath.Join(dir, fmt.Sprintf("student-%04dx", 6*i+1), "crash-stack.yaml")
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, fmt.Appendf(nil, "# %d", i), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	deaths, _ := lives(t, hostile+1, "BATCH_TEST_CLASS="+dir, "BATCH_TEST_OUT="+out, "BATCH_TEST_CRASH=1", "BATCH_TEST_WORKERS=3")
	for id, line := range resultsOf(t, out) {
		if failed := strings.Contains(line, `"status":"error"`); failed != (strings.HasSuffix(id, "x") || id == "unreadable") {
			t.Errorf("%s", line)
		}
	}
	t.Logf("it died %d times", deaths)
}

// Several that crash, in one class: each dies for itself.
func TestSeveralCrash(t *testing.T) {
	t.Parallel()
	dir := smallClass(t, 30)
	i := 0
	for name := range crashWith {
		if name == "crash-memory.yaml" {
			continue // what it leaves for others depends on the machine
		}
		for range 2 {
			i++
			file := filepath.Join(dir, fmt.Sprintf("student-%04dx", 7*i), name)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, fmt.Appendf(nil, "# %d", i), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	out := filepath.Join(t.TempDir(), "out")
	deaths, _ := lives(t, 16, "BATCH_TEST_CLASS="+dir, "BATCH_TEST_OUT="+out, "BATCH_TEST_CRASH=1", "BATCH_TEST_WORKERS=3")
	errs := 0
	for id, line := range resultsOf(t, out) {
		if failed := strings.Contains(line, `"status":"error"`); failed != strings.HasSuffix(id, "x") && id != "unreadable" {
			t.Errorf("%s", line)
		} else if failed {
			errs++
		}
	}
	if errs != 5 {
		t.Errorf("%d errors", errs)
	}
	t.Logf("it died %d times", deaths)
}
