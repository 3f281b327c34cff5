// Package kube is the Kubernetes API as labctl uses it: a client from a kubeconfig, server-side apply,
// waiting that can say why it waits, commands in pods and connections to them. It knows nothing of labs,
// and of Cilium only that it may take a while to come up.
package kube

import (
	"context"
	"fmt"
	"os"
	"sync"
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

	cache     discovery.CachedDiscoveryInterface
	mapper    *restmapper.DeferredDiscoveryRESTMapper
	resetting sync.Mutex
}

// Open makes a client for a context of the kubeconfig file; an empty context is the file's current one. It
// does not connect.
func Open(path, contextName string) (*Client, error) {
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("read the kubeconfig: %w", err)
	}
	raw := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(
		&clientcmd.ClientConfigLoadingRules{ExplicitPath: path},
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
	// Warnings (a deprecated API in a chart) would otherwise go to standard error in the middle of a line.
	config.WarningHandler = rest.NoWarnings{}
	typed, err := kubernetes.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	dyn, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connect to the cluster: %w", err)
	}
	cache := memory.NewMemCacheClient(typed.Discovery())
	return &Client{
		Config: config, Raw: raw, Typed: typed, Dynamic: dyn,
		cache: cache, mapper: restmapper.NewDeferredDiscoveryRESTMapper(cache),
	}, nil
}

// UID tells this cluster from any other: the UID of the namespace kube-system.
func (c *Client) UID(ctx context.Context) (string, error) {
	ns, err := c.Typed.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("ask the cluster who it is: %w", err)
	}
	return string(ns.UID), nil
}

// WaitAPI waits until the API server says that it is ready, or until the timeout with its last error.
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
