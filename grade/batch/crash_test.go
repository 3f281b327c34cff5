package batch_test

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/gradetest"
)

const smallLab = "testdata/lab"

// TestMain lets the test binary be the process that is killed: it grades a class, and says after each result how many
// there are.
func TestMain(m *testing.M) {
	class := os.Getenv("BATCH_TEST_CLASS")
	if class == "" {
		os.Exit(m.Run())
	}
	err := func() error {
		cfg, err := gradetest.NewConfig(cmp.Or(os.Getenv("BATCH_TEST_LAB"), smallLab), os.Getenv("BATCH_TEST_OUT"))
		if err != nil {
			return err
		}
		found, err := intake.Find(class)
		if err != nil {
			return err
		}
		if most, err := strconv.ParseUint(os.Getenv("BATCH_TEST_FILE_SIZE"), 10, 64); err == nil {
			signal.Ignore(syscall.SIGXFSZ)
			if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: most, Max: most}); err != nil {
				return err
			}
		}
		if os.Getenv("BATCH_TEST_CRASH") != "" {
			cfg.Grade = crashing(&cfg)
			if err := limitMemory(); err != nil {
				return err
			}
		}
		if id := os.Getenv("BATCH_TEST_AGAIN"); id != "" {
			cfg.Regrade = []string{id}
		}
		cfg.Workers, _ = strconv.Atoi(os.Getenv("BATCH_TEST_WORKERS")) // none: 0
		cfg.Report = func(p batch.Progress) { fmt.Println(p.Done-p.Cached, p.Done == p.Total) }
		_, err = batch.Run(context.Background(), cfg, found.Entries)
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// smallClass writes a class for the small lab: right, wrong, equal, refused, and one in error.
func smallClass(t *testing.T, students int) string {
	t.Helper()
	right, err := os.ReadFile(smallLab + "/samples/solution/policy.yaml")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for i := range students {
		text := string(right)
		switch {
		case i%3 == 0:
			text = strings.Replace(text, "app: backend", "app: frontend", 1)
		case i%7 == 0:
			text = "kind: [\n"
		case i == 10:
			text = ""
		}
		if i%5 != 0 {
			text += fmt.Sprintf("# %d\n", i)
		}
		files[fmt.Sprintf("student-%04d/policy.yaml", i)] = text
	}
	dir := gradetest.Folder(t, files)
	if err := os.Symlink("nowhere", filepath.Join(dir, "unreadable.yaml")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A process that is killed at any moment loses nothing: the next one goes on, and in the end there are the
// same files as if nothing had happened. Not parallel: the moments are spread over what a process takes here.
func TestKilledRun(t *testing.T) {
	const students, kills = 500, 50
	dir := smallClass(t, students)
	undisturbed := gradetest.Config(t, smallLab)
	graded := time.Now()
	undisturbed.Report = func(batch.Progress) { graded = time.Now() }
	gradetest.Run(t, undisturbed, dir)
	writing := time.Since(graded)
	want := gradetest.Files(t, undisturbed.Out)

	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	life := func() (*exec.Cmd, *bufio.Scanner) {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "BATCH_TEST_CLASS="+dir, "BATCH_TEST_OUT="+out)
		cmd.Stderr = os.Stderr
		stdout, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		return cmd, bufio.NewScanner(stdout)
	}
	random := rand.New(rand.NewPCG(1, 2))
	killed, whileGrading, whileWriting := 0, 0, 0
	for i := range kills {
		cmd, lines := life()
		started := time.Now()
		// First while it grades, after so many results and a bit; some while it begins; then while it writes
		// the files of the run.
		results, wait := 1+random.IntN(24), time.Duration(random.IntN(2000))*time.Microsecond
		grading := i < 36
		switch {
		case i%12 == 11:
			results, wait = 0, time.Duration(random.IntN(30))*time.Millisecond
		case !grading:
			results, wait = students+1, time.Duration(random.Int64N(int64(writing)))
		}
		for results > 0 && lines.Scan() {
			n, done, _ := strings.Cut(lines.Text(), " ")
			if new, _ := strconv.Atoi(n); new >= results || done == "true" {
				break
			}
		}
		time.Sleep(wait)
		_ = cmd.Process.Kill() // it may have ended
		for lines.Scan() {     // until it has ended
		}
		var exit *exec.ExitError
		switch err := cmd.Wait(); {
		case errors.As(err, &exit) && exit.Sys().(syscall.WaitStatus).Signaled():
			killed++
			if grading {
				whileGrading++
			} else {
				whileWriting++
			}
		case err != nil:
			t.Fatalf("life %d, after %s: %v", i, time.Since(started), err)
		}
	}
	cmd, lines := life()
	again := 0
	for lines.Scan() {
		n, _, _ := strings.Cut(lines.Text(), " ")
		again, _ = strconv.Atoi(n)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if again != 0 && whileWriting > 0 {
		t.Errorf("the last life graded %d submissions that had results", again)
	}
	gradetest.Same(t, gradetest.Files(t, out), want)
	if whileGrading < 20 || whileWriting < 5 {
		t.Errorf("only %d processes were killed in time while grading, %d while writing: the test shows little", whileGrading, whileWriting)
	}
	t.Logf("%d killed: %d while grading, %d while writing for %s", killed, whileGrading, whileWriting, writing)
}

// A disk that is full in the middle of a record, or of a student's files, ends the run with an error that
// says so; once there is room the next one goes on.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := smallClass(t, 60)
	undisturbed := gradetest.Config(t, smallLab)
	gradetest.Run(t, undisturbed, dir)
	want := gradetest.Files(t, undisturbed.Out)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	failures := map[string]bool{}
	// The first has no room for the head of a journal, the second none for a report.
	for _, most := range []int{10, 700, 5000, 12_000, 20_000, 30_000, 0} {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), "BATCH_TEST_CLASS="+dir, "BATCH_TEST_OUT="+out, "BATCH_TEST_WORKERS=1")
		if most > 0 {
			cmd.Env = append(cmd.Env, fmt.Sprintf("BATCH_TEST_FILE_SIZE=%d", most))
		}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		err := cmd.Run()
		if (err != nil) != (most > 0) {
			t.Errorf("with room for files of %d bytes: %v: %s", most, err, stderr.String())
		}
		if err != nil {
			if !strings.Contains(stderr.String(), "file too large") {
				t.Errorf("with room for files of %d bytes it says: %s", most, stderr.String())
			}
			what, _, _ := strings.Cut(stderr.String(), ":")
			failures[what] = true
		}
	}
	gradetest.Same(t, gradetest.Files(t, out), want)
	if len(failures) < 2 {
		t.Errorf("it failed only at %v: the test shows little", failures)
	}
}

// An interruption keeps what is graded, and the next run grades only the rest.
func TestInterruptedRun(t *testing.T) {
	t.Parallel()
	dir := smallClass(t, 100)
	undisturbed := gradetest.Config(t, smallLab)
	gradetest.Run(t, undisturbed, dir)
	cfg := gradetest.Config(t, smallLab)
	found, err := intake.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	first, second := 0, 0
	cfg.Report = func(p batch.Progress) {
		if p.Result != nil {
			if first++; first == 30 {
				interrupt()
			}
		}
	}
	if _, err := batch.Run(ctx, cfg, found.Entries); !errors.Is(err, context.Canceled) {
		t.Fatalf("an interrupted run ends with %v", err)
	}
	cfg.Report = func(p batch.Progress) {
		if p.Result != nil {
			second++
		}
	}
	gradetest.Run(t, cfg, dir)
	gradetest.Same(t, gradetest.Files(t, cfg.Out), gradetest.Files(t, undisturbed.Out))
	if first+second != len(found.Entries) {
		t.Errorf("%d were graded before the interruption and %d after it, of %d", first, second, len(found.Entries))
	}
}

// An output directory that cannot be used, or is taken away, is the machine's error, and no result of it counts.
func TestOutputDirectoryGone(t *testing.T) {
	t.Parallel()
	dir := smallClass(t, 300)
	found, err := intake.Find(dir)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(gradetest.Folder(t, map[string]string{"file": "x"}), "file")
	for _, noReports := range []bool{false, true} {
		cfg := gradetest.Config(t, smallLab)
		cfg.NoReports = noReports
		gone := 0
		cfg.Report = func(p batch.Progress) {
			if p.Done == 50 {
				gone++
				os.RemoveAll(cfg.Out)
			}
		}
		_, err := batch.Run(t.Context(), cfg, found.Entries)
		if err == nil || gone == 0 {
			t.Errorf("no reports %v: a run whose output directory is removed ends well", noReports)
		}
		if _, err := os.Stat(filepath.Join(cfg.Out, "summary.json")); err == nil {
			t.Errorf("no reports %v: there is a summary all the same", noReports)
		}
		cfg.Report = nil
		if sum, err := batch.Run(t.Context(), cfg, found.Entries); err != nil || sum.Submissions != len(found.Entries) {
			t.Errorf("no reports %v: the next run ends with %+v, %v", noReports, sum, err)
		}
		for _, out := range []string{file, filepath.Join(file, "below")} {
			cfg.Out = out
			if _, err := batch.Run(t.Context(), cfg, found.Entries); err == nil || !strings.Contains(err.Error(), "not a directory") {
				t.Errorf("%s as output directory: %v", out, err)
			}
		}
	}
}
