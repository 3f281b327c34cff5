package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/grade/gradetest"
)

// BenchmarkBatch measures `labctl batch` as a process on classes made from the tutorial lab's solution. It judges nothing:
// `make bench-batch` is for reading. LABCTL_BENCH_STUDENTS are the sizes for memory; a student's files take some 100 KB.
func BenchmarkBatch(b *testing.B) {
	dir := b.TempDir()
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		b.Fatal(err)
	}
	labctl := filepath.Join(dir, "labctl")
	goTool(b, root, "build", "-trimpath", "-ldflags=-s -w", "-o", labctl, "./cmd/labctl") // as make build does
	sizes := strings.Fields(os.Getenv("LABCTL_BENCH_STUDENTS"))
	if len(sizes) == 0 {
		sizes = []string{"1000", "10000"}
	}
	out := filepath.Join(dir, "out")
	grading := func(class string, flags ...string) *exec.Cmd {
		return exec.Command(labctl, append([]string{"batch", "networkpolicy", class, "--out", out}, flags...)...)
	}
	// run measures one run, from nothing unless again.
	run := func(again bool, class string, flags ...string) (usage, time.Duration) {
		if !again {
			os.RemoveAll(out)
		}
		start := time.Now()
		u := measure(b, 1, func() *exec.Cmd { return grading(class, flags...) })
		return u, time.Since(start)
	}
	for b.Loop() {
		const distinct = 2000
		class := makeClass(b, filepath.Join(dir, "distinct"), distinct, true)
		without, _ := run(false, class, "--no-reports")
		atLeast("batch: distinct submissions, no students' files", distinct/without.cpu.Seconds(), 1000, "a CPU-second")
		with, wall := run(false, class)
		atLeast("batch: distinct submissions, all files", distinct/with.cpu.Seconds(), 300, "a CPU-second")
		tell("of that, the students' files", 100*(with.cpu-without.cpu).Seconds()/with.cpu.Seconds(), "% of the CPU time")
		tell("all files, CPU a submission", milliseconds(with.cpu)/distinct, "ms")
		tell("all files, on this machine as busy as it is", distinct/wall.Seconds(), "a second")
		kept, _ := run(true, class)
		tell("once more with nothing to grade: journal and files of the run", 100*kept.cpu.Seconds()/with.cpu.Seconds(), "% of the CPU time")
		tell("the first result", float64(first(b, grading, out, class).Milliseconds()), "ms after the start")

		const loop = 200
		class = makeClass(b, filepath.Join(dir, "loop"), loop, false)
		batch, batchWall := run(false, class)
		script := `for s in "$1"/*; do "$0" grade networkpolicy --submission "$s" --offline -o json >"$2/report.json" || true; done`
		start := time.Now()
		shell := measure(b, 1, func() *exec.Cmd { return exec.Command("sh", "-c", script, labctl, class, out) })
		tell("200 by a shell loop of labctl grade", shell.cpu.Seconds(), "s CPU")
		tell("", time.Since(start).Seconds(), "s")
		tell("the same 200 by labctl batch", batch.cpu.Seconds(), "s CPU")
		tell("", batchWall.Seconds(), "s")

		least := 0.0
		for _, size := range sizes {
			n, err := strconv.Atoi(size)
			if err != nil {
				b.Fatal(err)
			}
			class := makeClass(b, filepath.Join(dir, size), n, false)
			u, _ := run(false, class, "--no-reports")
			if least == 0 {
				least = u.megabytes
			}
			tell(fmt.Sprintf("%d students, a fifth copies: peak memory", n), u.megabytes, "MB")
			tell("", u.megabytes/least, "times that of the smallest class")
			tell("", milliseconds(u.cpu)/float64(n), "ms CPU a submission")
			os.RemoveAll(class)
		}
	}
}

func tell(what string, got float64, unit string) {
	fmt.Printf("%-62s %9.1f %s\n", what, got, unit)
}

// makeClass makes up a class in a process that keeps little in memory: see worldOfProbes.
func makeClass(b *testing.B, dir string, students int, distinct bool) string {
	b.Helper()
	class := gradetest.Class{Grader: gradetest.Open(b, gradetest.Tutorial).Grader, Students: students, Seed: 1, Distinct: distinct}
	if err := class.Write(dir); err != nil {
		b.Fatal(err)
	}
	return dir
}

// first is how long it takes until a run prints its first result.
func first(b *testing.B, grading func(string, ...string) *exec.Cmd, out, class string) time.Duration {
	b.Helper()
	os.RemoveAll(out)
	cmd := grading(class, "--events", "jsonl")
	stdout, err := cmd.StdoutPipe()
	start := time.Now()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		b.Fatal(err)
	}
	_, err = bufio.NewReader(stdout).ReadString('\n')
	took := time.Since(start)
	_ = cmd.Process.Kill()
	_ = cmd.Wait() // it was killed
	if err != nil {
		b.Fatal(err)
	}
	return took
}
