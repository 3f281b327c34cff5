// Package kube is the Kubernetes API as labctl uses it: a client from a kubeconfig, server-side apply, waits that
// report why they wait, commands in pods and port forwards. It knows nothing of labs.
package kube

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/tools/clientcmd"
)

// Client talks to one cluster. It is safe for concurrent use.
type Client struct {
	Config  *rest.Config
	Raw     clientcmd.ClientConfig // what Config was made from
	Typed   kubernetes.Interface
	Dynamic dynamic.Interface

	cache  discovery.CachedDiscoveryInterface
	mapper meta.ResettableRESTMapper
	exec   Executor // nil: by Config
}

// Executor runs a command in a pod, and returns its exit code.
type Executor func(ctx context.Context, pod Pod, stdin io.Reader, stdout, stderr io.Writer,
	command ...string) (int, error)

// Open makes a client for a context of the kubeconfig file; an empty context means the current one. It does not
// connect.
func Open(file, contextName string) (*Client, error) {
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	raw := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: file},
		&clientcmd.ConfigOverrides{CurrentContext: contextName},
	)
	return New(raw)
}

// Parse is Open for the content of a kubeconfig.
func Parse(kubeconfig []byte) (*Client, error) {
	raw, err := clientcmd.NewClientConfigFromBytes(kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	return New(raw)
}

// New makes a client from a client configuration.
func New(raw clientcmd.ClientConfig) (*Client, error) {
	config, err := raw.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	config.UserAgent = "labctl"
	// The defaults (5 a second) are for controllers; an up is one burst.
	config.QPS, config.Burst = 200, 400
	// Warnings, such as those about a deprecated API in a chart, would go to standard error in the middle of a line.
	config.WarningHandler = rest.NoWarnings{}
	config.Wrap(func(rt http.RoundTripper) http.RoundTripper { return requestDeadline{rt, requestTimeout} })
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	return For(config, raw, typed, dyn), nil
}

// For makes a client of the interfaces that it talks through.
func For(config *rest.Config, raw clientcmd.ClientConfig, typed kubernetes.Interface, dyn dynamic.Interface) *Client {
	cache := memory.NewMemCacheClient(typed.Discovery())
	return &Client{
		Config: config, Raw: raw, Typed: typed, Dynamic: dyn,
		cache: cache, mapper: restmapper.NewDeferredDiscoveryRESTMapper(cache),
	}
}

// NewWith makes a client from its parts. Tests use it without an API server; see package kubetest.
func NewWith(typed kubernetes.Interface, dyn dynamic.Interface, mapper meta.ResettableRESTMapper,
	exec Executor) *Client {
	return &Client{Config: &rest.Config{}, Typed: typed, Dynamic: dyn, mapper: mapper, exec: exec}
}

// WithExec is the client with another way to run commands in pods.
func (c *Client) WithExec(exec Executor) *Client {
	other := *c
	other.exec = exec
	return &other
}

// requestTimeout limits a request that nothing else limits. rest.Config's own Timeout would also end watches, logs
// that are followed, and commands in pods.
const requestTimeout = time.Minute

// requestDeadline is a RoundTripper that gives requests a deadline if they have none and are not streams. Of a stream to a
// pod it limits the time until it is open: a node that hangs never answers, and the dialer would wait for it even after the
// request's context has ended.
type requestDeadline struct {
	next    http.RoundTripper
	timeout time.Duration
}

func (d requestDeadline) RoundTrip(req *http.Request) (*http.Response, error) {
	toPod := isToPod(req.URL)
	if _, limited := req.Context().Deadline(); limited || !toPod && isStream(req.URL) {
		return d.next.RoundTrip(req)
	}
	late := fmt.Errorf("no answer within %s", d.timeout)
	ctx, cancel := context.WithCancelCause(req.Context())
	timer := time.AfterFunc(d.timeout, func() { cancel(late) })
	until := time.Now().Add(d.timeout)
	res, err := d.next.RoundTrip(req.WithContext(opening{ctx, until}))
	if err != nil {
		if req.Context().Err() == nil && !time.Now().Before(until) {
			err = late
		}
		timer.Stop()
		cancel(nil)
		return nil, err
	}
	if toPod {
		timer.Stop()
	}
	res.Body = &cancelOnClose{res.Body, func() { timer.Stop(); cancel(nil) }}
	return res, nil
}

// opening is the context of a request until its response begins. Dialers that do not look at its end do at its deadline.
type opening struct {
	context.Context
	until time.Time
}

// Deadline implements context.Context.
func (o opening) Deadline() (time.Time, bool) { return o.until, true }

// isToPod reports whether a request opens a connection to a pod.
func isToPod(u *url.URL) bool {
	switch path.Base(u.Path) {
	case "exec", "attach", "portforward":
		return true
	}
	return false
}

// isStream reports whether a response goes on until somebody ends it: a watch, a log that is followed, what a proxy passes on.
func isStream(u *url.URL) bool {
	return path.Base(u.Path) == "proxy" || u.Query().Has("watch") || u.Query().Has("follow")
}

// WrappedRoundTripper lets client-go find the transport below.
func (d requestDeadline) WrappedRoundTripper() http.RoundTripper { return d.next }

// cancelOnClose ends a request's context when its response has been read.
type cancelOnClose struct {
	io.ReadCloser
	cancel context.CancelFunc
}

func (b *cancelOnClose) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// UID identifies the cluster: it is the UID of the namespace kube-system.
func (c *Client) UID(ctx context.Context) (string, error) {
	ns, err := c.Typed.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("read the UID of namespace kube-system: %w", err)
	}
	return string(ns.UID), nil
}

// WaitAPI waits until the API server reports that it is ready. After the timeout it returns the last error.
func (c *Client) WaitAPI(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var last error
	for {
		_, err := c.Typed.Discovery().RESTClient().Get().AbsPath("/readyz").Timeout(2 * time.Second).DoRaw(ctx)
		if err == nil {
			return nil
		}
		if ctx.Err() == nil {
			last = err
		}
		select {
		case <-ctx.Done():
			if last == nil {
				last = ctx.Err()
			}
			return fmt.Errorf("the API server at %s does not answer: %w", c.Config.Host, last)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// Discovery is the API's list of resources, fetched once.
func (c *Client) Discovery() discovery.CachedDiscoveryInterface { return c.cache }

// Mapper maps kinds to resources.
func (c *Client) Mapper() meta.ResettableRESTMapper { return c.mapper }
