package kube

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"

	"k8s.io/client-go/tools/portforward"
	"k8s.io/client-go/transport/spdy"
	"k8s.io/streaming/pkg/httpstream"
)

// Forward is a port forward from this machine to a pod. Close it.
type Forward struct {
	Addr string // 127.0.0.1:port
	stop context.CancelFunc
	done chan error
}

// Close ends the forward and waits until its goroutine has ended.
func (f *Forward) Close() {
	f.stop()
	<-f.done
}

// Wait waits until the forward ends by itself: the pod is gone, or ctx has ended.
func (f *Forward) Wait() error { return <-f.done }

// Forward forwards a free local port to a port of a pod, until ctx ends or Close is called.
func (c *Client) Forward(ctx context.Context, pod Pod, port int) (*Forward, error) {
	return c.ForwardFrom(ctx, 0, pod, port)
}

// ForwardFrom is Forward from a local port; 0: a free one.
func (c *Client) ForwardFrom(ctx context.Context, local int, pod Pod, port int) (*Forward, error) {
	fail := func(err error) (*Forward, error) {
		return nil, fmt.Errorf("forward to port %d of pod %s: %w", port, pod, err)
	}
	url := c.Typed.CoreV1().RESTClient().Post().
		Resource("pods").Namespace(pod.Namespace).Name(pod.Name).SubResource("portforward").URL()
	web, err := portforward.NewSPDYOverWebsocketDialer(url, c.Config)
	if err != nil {
		return fail(err)
	}
	tripper, upgrader, err := spdy.RoundTripperFor(c.Config)
	if err != nil {
		return fail(err)
	}
	dialer := portforward.NewFallbackDialer(web,
		spdy.NewDialer(upgrader, &http.Client{Transport: tripper}, "POST", url),
		func(err error) bool { return httpstream.IsUpgradeFailure(err) || httpstream.IsHTTPSProxyError(err) })

	ctx, stop := context.WithCancel(ctx)
	ready, done := make(chan struct{}), make(chan error, 1)
	forwarder, err := portforward.NewOnAddressesWithContext(ctx, dialer, []string{"127.0.0.1"},
		[]string{fmt.Sprintf("%d:%d", local, port)}, ready, io.Discard, io.Discard)
	if err != nil {
		stop()
		return fail(err)
	}
	go func() {
		done <- forwarder.ForwardPorts()
		close(done)
	}()
	select {
	case err := <-done:
		stop()
		if err == nil {
			err = ctx.Err()
		}
		return fail(err)
	case <-ctx.Done(): // dialing a node that is gone takes half a minute and ignores the context
		stop()
		return fail(context.Cause(ctx))
	case <-ready:
	}
	ports, err := forwarder.GetPorts()
	if err != nil {
		stop()
		<-done
		return fail(err)
	}
	return &Forward{
		Addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(int(ports[0].Local))),
		stop: stop, done: done,
	}, nil
}
