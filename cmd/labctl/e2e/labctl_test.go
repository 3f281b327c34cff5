//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// labctl runs the binary as a user does. Where images and charts come from is what LABCTL_* in the environment
// says, without them the public defaults; state and configuration are the tests' own.
type labctl struct {
	binary string
	env    []string
}

func newLabctl(binary, dir string) labctl {
	env := slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "LABCTL_CONFIG=") || strings.HasPrefix(v, "KUBECONFIG=") || strings.HasPrefix(v, "LABCTL_E2E_")
	})
	return labctl{binary, append(env,
		"XDG_STATE_HOME="+filepath.Join(dir, "state"),
		"XDG_CONFIG_HOME="+filepath.Join(dir, "config"),
		"NO_COLOR=1",
	)}
}

// with is labctl with more variables in its environment; NAME=VALUE.
func (l labctl) with(env ...string) labctl {
	return labctl{l.binary, append(slices.Clone(l.env), env...)}
}

// result is what a process left.
type result struct {
	line           string // the command
	code           int
	stdout, stderr string
	took           time.Duration
}

// run runs labctl to its end, which must come with the exit code.
func (l labctl) run(t *testing.T, code int, args ...string) *result {
	t.Helper()
	r := l.start(t, args...).wait(t, 5*time.Minute)
	if r.took > 5*time.Second {
		t.Logf("%.1f s: %s", r.took.Seconds(), r.line)
	}
	if r.code != code {
		t.Fatalf("%s: exit code %d, want %d\n%s", r.line, r.code, code, r.output())
	}
	return r
}

func (r *result) output() string { return r.stdout + r.stderr }

// has fails the test unless what was printed, be it the result or messages, matches all patterns.
func (r *result) has(t *testing.T, patterns ...string) {
	t.Helper()
	if err := r.says(patterns...); err != nil {
		t.Error(err)
	}
}

// says is has for what may take a moment to be said.
func (r *result) says(patterns ...string) error {
	var missing []string
	for _, p := range patterns {
		if !regexp.MustCompile(p).MatchString(r.output()) {
			missing = append(missing, strconv.Quote(p))
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s does not say %s:\n%s", r.line, strings.Join(missing, ", "), r.output())
	}
	return nil
}

// json decodes the result.
func (r *result) json(t *testing.T, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.stdout), v); err != nil {
		t.Fatalf("%s: %v\n%s", r.line, err, r.output())
	}
}

// process is a program that runs.
type process struct {
	cmd            *exec.Cmd
	line           string
	started        time.Time
	stdout, stderr buffer
	ended          chan struct{}
	err            error // once ended
}

// start starts labctl. It ends with the test, if not before.
func (l labctl) start(t *testing.T, args ...string) *process {
	t.Helper()
	cmd := exec.Command(l.binary, args...)
	cmd.Env = l.env
	return start(t, cmd)
}

func start(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	p := &process{
		cmd: cmd, started: time.Now(), ended: make(chan struct{}),
		line: strings.Join(append([]string{filepath.Base(cmd.Path)}, cmd.Args[1:]...), " "),
	}
	cmd.Stdout, cmd.Stderr = &p.stdout, &p.stderr
	// A child of a process that was killed may hold on to the pipes.
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatalf("%s: %v", p.line, err)
	}
	go func() {
		defer close(p.ended)
		p.err = cmd.Wait()
	}()
	t.Cleanup(func() { p.kill(t) })
	return p
}

// kill is kill -9; it reports whether the process was still there.
func (p *process) kill(t *testing.T) bool {
	t.Helper()
	err := p.cmd.Process.Kill()
	<-p.ended
	return err == nil
}

func (p *process) interrupt(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatalf("%s: %v\n%s%s", p.line, err, p.stdout.String(), p.stderr.String())
	}
}

// running says whether the process has not ended.
func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

func (p *process) wait(t *testing.T, timeout time.Duration) *result {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(timeout):
		p.kill(t)
		t.Fatalf("%s does not end within %s:\n%s%s", p.line, timeout, p.stdout.String(), p.stderr.String())
	}
	var exit *exec.ExitError
	if p.err != nil && !errors.As(p.err, &exit) && !errors.Is(p.err, exec.ErrWaitDelay) {
		t.Fatalf("%s: %v", p.line, p.err)
	}
	return &result{p.line, p.cmd.ProcessState.ExitCode(), p.stdout.String(), p.stderr.String(), time.Since(p.started)}
}

// buffer is a bytes.Buffer that can be read while somebody writes.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// eventually looks again and again until done is nil; its last error fails the test.
func eventually(t *testing.T, within, every time.Duration, done func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	for {
		err := done()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %s: %v", within, err)
		}
		time.Sleep(every)
	}
}
