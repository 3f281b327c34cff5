package kind

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"time"

	"sigs.k8s.io/kind/pkg/cluster"
	kindexec "sigs.k8s.io/kind/pkg/exec"
)

// engine is the command line of the container engine: docker, nerdctl, finch or podman, which are nearly compatible.
// kind runs them too.
type engine struct {
	mu   sync.Mutex
	name string // empty: not found yet
}

// engines are tried in kind's order. banner is the beginning of their version line, which distinguishes podman from
// docker if one is a link to the other.
var engines = []struct {
	name, banner string
	named        bool // it is used only where KIND_EXPERIMENTAL_PROVIDER names it
	option       func() cluster.ProviderOption
}{
	{"docker", "Docker version", false, cluster.ProviderWithDocker},
	{"nerdctl", "nerdctl version", false, func() cluster.ProviderOption { return cluster.ProviderWithNerdctl("nerdctl") }},
	{"finch", "finch version", false, func() cluster.ProviderOption { return cluster.ProviderWithNerdctl("finch") }},
	{"nerdctl.lima", "nerdctl version", true, func() cluster.ProviderOption {
		return cluster.ProviderWithNerdctl("nerdctl.lima")
	}},
	{"podman", "podman version", false, cluster.ProviderWithPodman},
}

var errNoEngine = errors.New(
	"no container engine was found; install Docker (https://docs.docker.com/get-docker), podman, nerdctl or finch")

// find finds the engine; KIND_EXPERIMENTAL_PROVIDER selects one, as for kind, which ignores names that it does not
// know. What is not found is looked for again: the context may have ended.
func (e *engine) find(ctx context.Context) (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.name != "" {
		return e.name, nil
	}
	wanted := os.Getenv("KIND_EXPERIMENTAL_PROVIDER")
	known := false
	for _, candidate := range engines {
		known = known || wanted == candidate.name
	}
	for _, candidate := range engines {
		if known && wanted != candidate.name || !known && candidate.named {
			continue
		}
		out, err := exec.CommandContext(ctx, candidate.name, "-v").Output()
		if err == nil && strings.HasPrefix(string(out), candidate.banner) {
			e.name = candidate.name
			return e.name, nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case known:
		return "", fmt.Errorf("%s, which KIND_EXPERIMENTAL_PROVIDER selects, was not found; install it, or unset the variable",
			wanted)
	}
	return "", errNoEngine
}

// run runs an engine command and returns its standard output. An error contains its standard error.
func (e *engine) run(ctx context.Context, args ...string) (string, error) {
	return e.pipe(ctx, nil, args...)
}

func (e *engine) pipe(ctx context.Context, stdin io.Reader, args ...string) (string, error) {
	var stdout bytes.Buffer
	err := e.stream(ctx, stdin, &stdout, args...)
	return strings.TrimSpace(stdout.String()), err
}

func (e *engine) stream(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error {
	name, err := e.find(ctx)
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.WaitDelay = 5 * time.Second
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = stdin, stdout, &stderr
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return &engineError{name, args, strings.TrimSpace(stderr.String()), err}
	}
	return nil
}

// exec runs a command in a node.
func (e *engine) exec(ctx context.Context, node string, command ...string) (string, error) {
	return e.run(ctx, append([]string{"exec", node}, command...)...)
}

// engineError is an engine command that failed.
type engineError struct {
	engine string
	args   []string
	stderr string
	err    error
}

func (e *engineError) Error() string {
	words := e.stderr
	if words == "" {
		words = e.err.Error()
	}
	if e.unreachable() {
		return fmt.Sprintf("%s does not answer: %s", e.engine, words)
	}
	return fmt.Sprintf("%s %s: %s", e.engine, e.args[0], words)
}

func (e *engineError) Unwrap() error { return e.err }

// unreachable reports whether the engine did not answer, as opposed to a failed command.
func (e *engineError) unreachable() bool {
	for _, sign := range []string{
		"Cannot connect to the Docker daemon", "error during connect", "permission denied while trying to connect",
		"Cannot connect to Podman",
	} {
		if strings.Contains(e.stderr, sign) {
			return true
		}
	}
	return false
}

// kind is kind's own provider for the engine.
func (p *Provider) kind(ctx context.Context) (*cluster.Provider, error) {
	name, err := p.engine.find(ctx)
	if err != nil {
		return nil, err
	}
	for _, known := range engines {
		if known.name == name {
			return cluster.NewProvider(known.option(), cluster.ProviderWithLogger(logger{p.log})), nil
		}
	}
	return nil, errNoEngine
}

// reason is an error of kind's with the last lines of the failed command, which kind leaves out.
func reason(err error) error {
	if err == nil {
		return nil
	}
	run := kindexec.RunErrorForError(err)
	if run == nil {
		return err
	}
	lines := strings.Split(strings.TrimSpace(string(run.Output)), "\n")
	// kubeadm prints a page; the cause is at its end.
	if n := len(lines); n > 6 {
		lines = lines[n-6:]
	}
	words := strings.TrimSpace(strings.Join(lines, "\n"))
	if words == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, words)
}
