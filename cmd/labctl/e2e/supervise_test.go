//go:build e2e

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// What the tests themselves are told by the environment.
const (
	envBinary   = "LABCTL_E2E_BINARY"   // the labctl to test; default: one built from this source
	envInstance = "LABCTL_E2E_INSTANCE" // name of the shared lab, and how all others begin; default e2e
	envDir      = "LABCTL_E2E_DIR"      // state and clusters stay in this directory, for the next run to take over
	envChild    = "LABCTL_E2E_CHILD"    // set by supervise
)

// TestMain runs the tests in a process of their own. However that one ends (a panic, its time-out, a kill), the
// clusters that it made are removed.
func TestMain(m *testing.M) {
	if os.Getenv(envChild) != "" {
		os.Exit(m.Run())
	}
	code, err := supervise()
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

// supervise prepares the directory and the binary, runs the tests, and cleans up. It returns their exit code.
func supervise() (code int, err error) {
	for tool, why := range map[string]string{
		"docker":  "the nodes are containers",
		"kubectl": "the tests do what students do",
	} {
		if _, err := exec.LookPath(tool); err != nil {
			return 1, fmt.Errorf("%s is missing (%s): install it", tool, why)
		}
	}
	dir := os.Getenv(envDir)
	keep := dir != ""
	if !keep {
		if dir, err = os.MkdirTemp("", "labctl-e2e-*"); err != nil {
			return 1, err
		}
		defer os.RemoveAll(dir)
	}
	binary := os.Getenv(envBinary)
	if binary == "" {
		binary = filepath.Join(dir, "labctl")
		build := exec.Command("go", "build", "-trimpath", "-o", binary, "github.com/labctl/labctl/cmd/labctl")
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return 1, fmt.Errorf("build labctl: %w\n%s", err, out)
		}
	}
	name := os.Getenv(envInstance)
	if name == "" {
		name = "e2e"
	}
	l := newLabctl(binary, dir)
	if !keep {
		left, err := ours(name)
		if err != nil {
			return 1, err
		}
		if len(left) > 0 {
			return 1, fmt.Errorf("an earlier run has left its clusters, or another one goes on: docker rm -f -v %s", strings.Join(left, " "))
		}
		defer func() { err = errors.Join(err, cleanUp(l, name)) }()
	}
	return runTests(append(os.Environ(), envChild+"=1", envDir+"="+dir, envBinary+"="+binary, envInstance+"="+name))
}

// runTests runs this program again, and with its end ends whatever it has started.
func runTests(env []string) (int, error) {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP)
	child := exec.Command(os.Args[0], os.Args[1:]...)
	var printed bytes.Buffer
	child.Env, child.Stdout, child.Stderr = env, io.MultiWriter(os.Stdout, &printed), os.Stderr
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := child.Start(); err != nil {
		return 1, err
	}
	ended := make(chan error, 1)
	go func() { ended <- child.Wait() }()
	var err error
	select {
	case err = <-ended:
	case s := <-signals:
		_ = child.Process.Signal(s)
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
		}
		err = fmt.Errorf("stopped by signal: %s", s)
	}
	_ = syscall.Kill(-child.Process.Pid, syscall.SIGKILL) // ESRCH: all have ended
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		fmt.Print(failures(printed.String()))
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// failures repeats what the failed tests of a run printed, whose end is all that is looked at.
func failures(output string) string {
	var b strings.Builder
	for _, test := range strings.Split(output, "=== RUN ")[1:] {
		name, text, _ := strings.Cut(test, "\n")
		name = strings.TrimSpace(name)
		if text, _, _ = strings.Cut(text, "\n--- "); strings.Contains(output, "--- FAIL: "+name+" (") && strings.TrimSpace(text) != "" {
			fmt.Fprintf(&b, "\n%s failed:\n%s\n", name, text)
		}
	}
	return b.String()
}

// cleanUp removes all instances, first as a user would, then whatever is left.
func cleanUp(l labctl, name string) error {
	down := exec.Command(l.binary, "down", "--all")
	down.Env = l.env
	if out, err := down.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "e2e: labctl down --all: %v\n%s", err, out)
	}
	left, err := ours(name)
	if err != nil || len(left) == 0 {
		return err
	}
	if out, err := exec.Command("docker", append([]string{"rm", "-f", "-v"}, left...)...).CombinedOutput(); err != nil {
		return fmt.Errorf("remove %s: %w\n%s", strings.Join(left, " "), err, out)
	}
	return nil
}

// ours lists the containers of the tests' clusters.
func ours(name string) ([]string, error) {
	out, err := exec.Command("docker", "ps", "-a", "--filter", "name=^labctl-"+name+"-", "--format", "{{.Names}}").Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return nil, fmt.Errorf("docker ps: %s", strings.TrimSpace(string(exit.Stderr)))
	}
	return strings.Fields(string(out)), err
}
