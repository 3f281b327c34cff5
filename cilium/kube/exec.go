package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
)

// Pod names a container of a pod; an empty Container is the pod's first.
type Pod struct{ Namespace, Name, Container string }

func (p Pod) String() string { return p.Namespace + "/" + p.Name }

// Output is the output of a command in a pod. The exit code comes from the container runtime; where much depends on
// it, let the command print an end marker and look for that.
type Output struct {
	Stdout, Stderr []byte
	Code           int
}

// maxOutput bounds what Exec keeps of each stream. What an agent says of the largest clusters is some megabytes.
const maxOutput = 64 << 20

// Exec runs a command in a pod. A command that ran and failed is not an error, but an Output with its exit code.
// One that prints more than 64 MiB is stopped, with an error.
func (c *Client) Exec(ctx context.Context, pod Pod, stdin io.Reader, command ...string) (Output, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	tooMuch := fmt.Errorf("exec in pod %s: the command printed more than %d MiB", pod, maxOutput>>20)
	// Without the cancelling the output would be read, and thrown away, for as long as there is some.
	full := func() { cancel(tooMuch) }
	stdout, stderr := &bounded{left: maxOutput, full: full}, &bounded{left: maxOutput, full: full}
	code, err := c.Stream(ctx, pod, stdin, stdout, stderr, command...)
	if context.Cause(ctx) == tooMuch {
		err = tooMuch
	}
	return Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Code: code}, err
}

// bounded is a buffer that takes no more than some bytes, and calls full when there are more.
type bounded struct {
	bytes.Buffer
	left int
	full func()
}

func (b *bounded) Write(p []byte) (int, error) {
	if len(p) > b.left {
		b.Buffer.Write(p[:b.left])
		b.left = 0
		b.full()
		return 0, io.ErrShortBuffer
	}
	b.left -= len(p)
	return b.Buffer.Write(p)
}

// NoProgramError says that a container's image does not have the command that was to be run.
type NoProgramError struct{ Err error }

func (e *NoProgramError) Error() string { return e.Err.Error() }
func (e *NoProgramError) Unwrap() error { return e.Err }

// noProgram recognizes the messages of container runtimes, the only reason that the API passes on for a command
// that did not start: runc's and crun's for "exec: not found" and for a path that does not exist.
func noProgram(err error) bool {
	return strings.Contains(err.Error(), "no such file") || strings.Contains(err.Error(), "not found in $PATH")
}

// Stream is Exec for a command whose output is needed while it runs. It returns the command's exit code.
func (c *Client) Stream(ctx context.Context, pod Pod, stdin io.Reader, stdout, stderr io.Writer,
	command ...string) (int, error) {
	if c.exec != nil {
		return c.exec(ctx, pod, stdin, stdout, stderr, command...)
	}
	req := c.Typed.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: pod.Container, Command: command, Stdin: stdin != nil, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec)
	// API servers use WebSockets now; a proxy or an old API server may know SPDY only.
	spdy, err := remotecommand.NewSPDYExecutor(c.Config, "POST", req.URL())
	if err != nil {
		return 0, fmt.Errorf("exec in pod %s: %w", pod, err)
	}
	web, err := remotecommand.NewWebSocketExecutor(c.Config, "GET", req.URL().String())
	if err != nil {
		return 0, fmt.Errorf("exec in pod %s: %w", pod, err)
	}
	exec, err := remotecommand.NewFallbackExecutor(web, spdy, func(err error) bool {
		// SPDY would wait for the API server's answer after the context has ended.
		return ctx.Err() == nil && (httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err))
	})
	if err != nil {
		return 0, fmt.Errorf("exec in pod %s: %w", pod, err)
	}
	err = exec.StreamWithContext(ctx, remotecommand.StreamOptions{Stdin: stdin, Stdout: stdout, Stderr: stderr})
	var exit utilexec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitStatus(), nil
	}
	if err != nil {
		failed := fmt.Errorf("exec in pod %s: %w", pod, err)
		if noProgram(err) {
			failed = &NoProgramError{failed}
		}
		return 0, failed
	}
	return 0, nil
}
