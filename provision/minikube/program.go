package minikube

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"

	"github.com/labctl/labctl/provision"
)

// oldest is the oldest version of minikube that has everything used here.
const oldest = "1.32.0"

// program is the user's minikube.
type program struct {
	path string   // or its name, for $PATH
	env  []string // in addition to the user's
}

// command prepares a call. minikube gets some time to handle an interruption.
func (m program) command(ctx context.Context, kubeconfig string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, m.path, args...)
	cmd.Env = append(os.Environ(), m.env...)
	cmd.Env = append(cmd.Env, "MINIKUBE_IN_STYLE=false", "MINIKUBE_WANTUPDATENOTIFICATION=false")
	if kubeconfig != "" {
		cmd.Env = append(cmd.Env, "KUBECONFIG="+kubeconfig)
	}
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 20 * time.Second
	return cmd
}

// run returns the standard output of a call.
func (m program) run(ctx context.Context, kubeconfig string, args ...string) ([]byte, error) {
	var out, errs bytes.Buffer
	cmd := m.command(ctx, kubeconfig, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.Bytes(), m.explain(ctx, err, args, cmp.Or(lastWords(errs.String()), lastWords(out.String())))
	}
	return out.Bytes(), nil
}

func (m program) explain(ctx context.Context, err error, args []string, said string) error {
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound), errors.Is(err, os.ErrNotExist):
		return errors.New("minikube was not found")
	case said == "":
		return fmt.Errorf("minikube %s: %w", args[0], err)
	}
	return fmt.Errorf("minikube %s: %s", args[0], said)
}

// lastWords are the last lines of minikube's output, without its emojis and boxes.
func lastWords(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimFunc(line, func(r rune) bool {
			return r > 0x2000 || r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '*'
		})
		if line != "" && !strings.HasPrefix(line, "╭") && !strings.HasPrefix(line, "╰") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines[max(0, len(lines)-3):], "; ")
}

// failure is an error with minikube's own advice.
type failure struct {
	name    string // "DRV_NOT_FOUND"
	message string
	advice  string
}

func (f *failure) Error() string {
	if f.advice == "" {
		return f.message
	}
	return f.message + " — " + f.advice
}

// event is a line of minikube's JSON output, a CloudEvent: https://minikube.sigs.k8s.io/docs/contrib/json_output/.
type event struct {
	Type string `json:"type"`
	Data struct {
		Name, Message, CurrentStep, TotalSteps string // of a step
		Artifact, Progress                     string // of a download
		Advice, URL, ExitCode                  string // of an error
	} `json:"data"`
}

const eventPrefix = "io.k8s.sigs.minikube."

// events runs a command that prints events, and reports its progress. The error is minikube's.
func (m program) events(ctx context.Context, c provision.Cluster, step func(string), args ...string) error {
	cmd := m.command(ctx, c.Kubeconfig, args...)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return m.explain(ctx, err, args, "")
	}
	if err := cmd.Start(); err != nil {
		return m.explain(ctx, err, args, "")
	}
	failed, other := follow(stdout, step)
	err = cmd.Wait()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case failed != nil:
		return failed
	}
	return m.explain(ctx, err, args, cmp.Or(lastWords(errs.String()), lastWords(other)))
}

// follow reads all events, and returns the last error among them and all other output.
func follow(r io.Reader, step func(string)) (failed *failure, other string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil || !strings.HasPrefix(e.Type, eventPrefix) {
			other += lines.Text() + "\n"
			continue
		}
		d := e.Data
		message := strings.TrimSpace(d.Message)
		switch text := ""; strings.TrimPrefix(e.Type, eventPrefix) {
		case "error":
			f := &failure{
				d.Name, strings.Join(strings.Fields(message), " "), strings.Join(strings.Fields(d.Advice), " "),
			}
			if f.message == "" && failed != nil {
				continue // the end of an error that was reported before
			}
			failed = f
		case "step":
			text = message
			if d.Name != "" {
				text = strings.ToLower(d.Name[:1]) + d.Name[1:]
			}
			if d.CurrentStep != "" && d.TotalSteps != "" {
				text += fmt.Sprintf(" (%s of %s)", d.CurrentStep, d.TotalSteps)
			}
			say(step, text)
		case "download":
			say(step, "downloading "+d.Artifact)
		case "download.progress":
			if part, err := strconv.ParseFloat(strings.TrimSpace(d.Progress), 64); err == nil {
				say(step, fmt.Sprintf("downloading %s: %.0f%%", d.Artifact, part*100))
			}
		}
	}
	_, _ = io.Copy(io.Discard, r) // a line that is too long must not block minikube
	return failed, other
}

func say(step func(string), text string) {
	if step != nil {
		step(text)
	}
}

// version reads the version, such as "1.38.1", and refuses one that is too old.
func (m program) version(ctx context.Context) (string, error) {
	data, err := m.run(ctx, "", "version", "--output", "json")
	if err != nil {
		return "", err
	}
	var v struct {
		MinikubeVersion string `json:"minikubeVersion"`
	}
	if err := json.Unmarshal(data, &v); err != nil {
		return "", fmt.Errorf("minikube version: %w", err)
	}
	have, err := version.NewVersion(v.MinikubeVersion)
	if err != nil {
		return "", fmt.Errorf("minikube version: %w", err)
	}
	if have.LessThan(version.Must(version.NewVersion(oldest))) {
		return "", fmt.Errorf("minikube %s is too old", have)
	}
	return have.String(), nil
}

// profiles are the names of minikube's clusters. It cannot read the invalid ones.
type profiles struct{ valid, invalid []string }

func (m program) profiles(ctx context.Context) (profiles, error) {
	data, err := m.run(ctx, "", "profile", "list", "--output", "json", "--light")
	if err != nil {
		return profiles{}, err
	}
	var list struct{ Valid, Invalid []struct{ Name string } }
	if err := json.Unmarshal(data, &list); err != nil {
		return profiles{}, fmt.Errorf("minikube profile list: %w", err)
	}
	var p profiles
	for _, v := range list.Valid {
		p.valid = append(p.valid, v.Name)
	}
	for _, v := range list.Invalid {
		p.invalid = append(p.invalid, v.Name)
	}
	return p, nil
}

// nodeStatus is the status of a node: Running, Stopped, Paused, Nonexistent or Error.
type nodeStatus struct {
	Name, Host, Kubelet, APIServer string
	Worker                         bool
}

// status reads the nodes of a profile. Its exit code only says that some do not run, and is ignored.
func (m program) status(ctx context.Context, profile string) ([]nodeStatus, error) {
	data, err := m.run(ctx, "", "status", "--profile", profile, "--output", "json")
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	data = bytes.TrimSpace(data)
	var nodes []nodeStatus
	if bytes.HasPrefix(data, []byte("{")) { // a single node is not a list
		data = append(append([]byte("["), data...), ']')
	}
	if bad := json.Unmarshal(data, &nodes); bad != nil || len(nodes) == 0 || nodes[0].Name == "" {
		return nil, cmp.Or(err, fmt.Errorf("minikube status printed no status of %s", profile))
	}
	return nodes, nil
}

// images are the full names of the images in the nodes.
func (m program) images(ctx context.Context, profile string) ([]string, error) {
	data, err := m.run(ctx, "", "image", "ls", "--profile", profile, "--format", "json")
	if err != nil {
		return nil, err
	}
	var list []struct {
		RepoTags []string `json:"repoTags"`
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("minikube image ls: %w", err)
	}
	var names []string
	for _, image := range list {
		for _, tag := range image.RepoTags {
			names = append(names, fullName(tag))
		}
	}
	return names, nil
}
