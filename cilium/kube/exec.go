package kube

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/remotecommand"
	utilexec "k8s.io/client-go/util/exec"
	"k8s.io/streaming/pkg/httpstream"
)

// Pod names a container of a pod; an empty Container is the pod's first.
type Pod struct{ Namespace, Name, Container string }

func (p Pod) String() string { return p.Namespace + "/" + p.Name }

// Output is what a command in a pod printed. The exit code is the runtime's word for it; where much depends
// on it, let the command print an end marker and look for that.
type Output struct {
	Stdout, Stderr []byte
	Code           int
}

// Exec runs a command in a pod. A command that ran and failed is no error, but an Output with its code.
func (c *Client) Exec(ctx context.Context, pod Pod, stdin io.Reader, command ...string) (Output, error) {
	var stdout, stderr bytes.Buffer
	code, err := c.Stream(ctx, pod, stdin, &stdout, &stderr, command...)
	return Output{Stdout: stdout.Bytes(), Stderr: stderr.Bytes(), Code: code}, err
}

// Stream is Exec for a command whose output is wanted while it runs. It returns the command's exit code.
func (c *Client) Stream(ctx context.Context, pod Pod, stdin io.Reader, stdout, stderr io.Writer, command ...string) (int, error) {
	req := c.Typed.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("exec").
		VersionedParams(&corev1.PodExecOptions{
			Container: pod.Container, Command: command, Stdin: stdin != nil, Stdout: true, Stderr: true,
		}, scheme.ParameterCodec)
	// WebSockets are what API servers speak now; a proxy or an old one may know SPDY only.
	spdy, err := remotecommand.NewSPDYExecutor(c.Config, "POST", req.URL())
	if err != nil {
		return 0, fmt.Errorf("exec in pod %s: %w", pod, err)
	}
	web, err := remotecommand.NewWebSocketExecutor(c.Config, "GET", req.URL().String())
	if err != nil {
		return 0, fmt.Errorf("exec in pod %s: %w", pod, err)
	}
	exec, err := remotecommand.NewFallbackExecutor(web, spdy, func(err error) bool {
		// SPDY's would wait for the API server's answer whatever the context says.
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
		return 0, fmt.Errorf("exec in pod %s: %w", pod, err)
	}
	return 0, nil
}
