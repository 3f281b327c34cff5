package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// BenchmarkFigures measures whole processes by the CPU time and the peak memory that the kernel accounts
// them, and prints each beside its goal. It judges nothing: `make bench` is for reading.
func BenchmarkFigures(b *testing.B) {
	dir := b.TempDir()
	labctl := filepath.Join(dir, "labctl")
	engine := filepath.Join(dir, "policy.test")
	grading := filepath.Join(dir, "offline.test")
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		b.Fatal(err)
	}
	goTool(b, root, "build", "-trimpath", "-ldflags=-s -w", "-o", labctl, "./cmd/labctl") // as make build does
	goTool(b, root, "test", "-c", "-o", engine, "./cilium/policy")
	goTool(b, root, "test", "-c", "-o", grading, "./grade/offline")
	world, probes := worldOfProbes(b, dir)

	bench := func(binary, in, name string, n int) usage {
		return measure(b, 3, func() *exec.Cmd {
			cmd := exec.Command(binary, "-test.run=^$", "-test.bench=^"+name+"$", fmt.Sprintf("-test.benchtime=%dx", n))
			cmd.Dir = filepath.Join(root, in)
			return cmd
		})
	}
	run := func(times int, args ...string) usage {
		return measure(b, times, func() *exec.Cmd { return exec.Command(labctl, args...) })
	}
	for b.Loop() {
		const submissions, few, many = 5000, 200, 2000
		u := bench(engine, "cilium/policy", "BenchmarkSubmission", submissions)
		atLeast("parse 3 policies and judge 30 probes", submissions/u.cpu.Seconds(), 4000, "a CPU-second")
		short := bench(grading, "grade/offline", "BenchmarkGradeTutorial", few)
		long := bench(grading, "grade/offline", "BenchmarkGradeTutorial", many)
		atLeast("grade the tutorial, 10 checkpoints", many/long.cpu.Seconds(), 500, "a CPU-second")
		atMost(fmt.Sprintf("peak memory of %d gradings against %d", many, few), long.megabytes/short.megabytes, 1.2, "times")
		solution := filepath.Join(root, "labs", "networkpolicy", "samples", "solution")
		u = run(9, "grade", "networkpolicy", "--submission", solution, "--offline")
		atMost("labctl grade --offline, process, CPU", milliseconds(u.cpu), 50, "ms")
		atMost("labctl grade --offline, process, memory", u.megabytes, 100, "MB")
		u = run(9, "version")
		atMost("labctl version, process, CPU", milliseconds(u.cpu), 30, "ms")
		u = run(1, "probe", "--offline", "--manifests", world, "--policies", filepath.Join(solution, "02-backend-ingress-deny"), "--probes", probes, "-o", "json")
		atMost("labctl probe, 140,000 probes, CPU", u.cpu.Seconds(), 5, "s")
		atMost("labctl probe, 140,000 probes, memory", u.megabytes, 1000, "MB")
	}
}

// usage is what the kernel accounted a process.
type usage struct {
	cpu       time.Duration // user and system
	megabytes float64       // peak resident set
}

// measure runs a program several times and returns the median.
func measure(b *testing.B, times int, command func() *exec.Cmd) usage {
	b.Helper()
	var all []usage
	for range times {
		cmd := command()
		var stderr strings.Builder
		cmd.Stderr = &stderr
		var exit *exec.ExitError
		if err := cmd.Run(); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == exitBelowMark) {
			b.Fatalf("%s: %v\n%s", cmd, err, stderr.String())
		}
		state := cmd.ProcessState
		peak := float64(state.SysUsage().(*syscall.Rusage).Maxrss) / 1024 // KB on Linux
		if runtime.GOOS == "darwin" {
			peak /= 1024 // bytes on macOS
		}
		all = append(all, usage{state.UserTime() + state.SystemTime(), peak})
	}
	slices.SortFunc(all, func(x, y usage) int { return int(x.cpu - y.cpu) })
	return all[len(all)/2]
}

func atLeast(what string, got, goal float64, unit string) {
	show(what, got, "≥", goal, unit)
}

func atMost(what string, got, goal float64, unit string) {
	show(what, got, "≤", goal, unit)
}

func show(what string, got float64, relation string, goal float64, unit string) {
	fmt.Printf("%-46s %9.1f   goal %s %6g %-13s %5.2f of it\n", what, got, relation, goal, unit, got/goal)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func goTool(b *testing.B, dir string, args ...string) {
	b.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		b.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

// worldOfProbes writes manifests of 20 pods and 140,000 probes between them.
func worldOfProbes(b *testing.B, dir string) (manifests, probes string) {
	b.Helper()
	const pods, count = 20, 140_000
	var world strings.Builder
	for i := range pods {
		app := []string{"backend", "frontend", "worker"}[i%3]
		fmt.Fprintf(&world, "---\napiVersion: v1\nkind: Pod\nmetadata:\n  name: pod-%d\n  namespace: default\n  labels: {app: %s}\n"+
			"spec:\n  containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]\nstatus: {podIP: 10.0.0.%d}\n", i, app, i+1)
	}
	manifests, probes = filepath.Join(dir, "world.yaml"), filepath.Join(dir, "probes.json")
	if err := os.WriteFile(manifests, []byte(world.String()), 0o644); err != nil {
		b.Fatal(err)
	}
	file, err := os.Create(probes)
	if err != nil {
		b.Fatal(err)
	}
	// Written one by one: Linux counts this process's memory into the peak of those it starts.
	out := bufio.NewWriter(file)
	separator := `{"probes": [`
	for i := range count {
		fmt.Fprintf(out, "%s\n"+`{"from": "default/pod-%d", "to": "default/pod-%d", "port": %d, "protocol": %q}`,
			separator, i%pods, i/pods%pods, 1+i%9000, []string{"TCP", "UDP"}[i/7%2])
		separator = ","
	}
	fmt.Fprintln(out, "]}")
	if err := errors.Join(out.Flush(), file.Close()); err != nil {
		b.Fatal(err)
	}
	return manifests, probes
}
