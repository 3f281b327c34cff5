// Package hubble asks the Hubble relay of a cluster for the flows of pods with their verdicts, and for the status
// of the relay and its nodes. It connects through a port forward to the relay's pod, so that no port has to be
// open.
package hubble

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/kube"
)

// Names that Cilium's chart gives to what belongs to the relay.
const (
	namespace   = metav1.NamespaceSystem
	relayLabel  = "k8s-app=hubble-relay"
	relayConfig = "hubble-relay-config"       // ConfigMap
	relayCerts  = "hubble-relay-server-certs" // Secret, where the relay's server speaks TLS
	relayPort   = "grpc"                      // of the relay's container
)

// ErrNoRelay reports that the cluster has no Hubble relay.
var ErrNoRelay = errors.New(
	"the cluster has no Hubble relay (a lab has one unless its cilium block says hubble { relay = false })")

// Client is a connection to a cluster's relay. Close it.
type Client struct {
	conn     *grpc.ClientConn
	forward  *kube.Forward
	observer observerpb.ObserverClient
}

// Dial connects to a ready pod of the relay through a port forward. The connection ends with ctx or Close.
func Dial(ctx context.Context, kc *kube.Client) (*Client, error) {
	pod, port, err := findRelay(ctx, kc)
	if err != nil {
		return nil, err
	}
	creds, err := relayCredentials(ctx, kc)
	if err != nil {
		return nil, err
	}
	forward, err := kc.Forward(ctx, pod, port)
	if err != nil {
		return nil, fmt.Errorf("connect to the Hubble relay: %w", err)
	}
	// passthrough: the address is the forward's own, and no proxy of the environment applies.
	conn, err := grpc.NewClient("passthrough:///"+forward.Addr, grpc.WithTransportCredentials(creds),
		grpc.WithNoProxy())
	if err != nil {
		forward.Close()
		return nil, fmt.Errorf("connect to the Hubble relay: %w", err)
	}
	return &Client{conn: conn, forward: forward, observer: observerpb.NewObserverClient(conn)}, nil
}

// Forward forwards a local port to a ready pod of the relay. secure reports whether the relay speaks TLS.
func Forward(ctx context.Context, kc *kube.Client, local int) (forward *kube.Forward, secure bool, err error) {
	pod, port, err := findRelay(ctx, kc)
	if err != nil {
		return nil, false, err
	}
	creds, err := relayCredentials(ctx, kc)
	if err != nil {
		return nil, false, err
	}
	forward, err = kc.ForwardFrom(ctx, local, pod, port)
	return forward, creds.Info().SecurityProtocol == "tls", err
}

// Close ends the connection and the forward.
func (c *Client) Close() error {
	err := c.conn.Close()
	c.forward.Close()
	return err
}

// findRelay finds a ready pod of the relay and its port.
func findRelay(ctx context.Context, kc *kube.Client) (kube.Pod, int, error) {
	pods, err := kc.Typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: relayLabel})
	if err != nil {
		return kube.Pod{}, 0, fmt.Errorf("find the Hubble relay: %w", err)
	}
	var waiting []string
	for _, pod := range pods.Items {
		if pod.DeletionTimestamp != nil {
			continue
		}
		if !kube.PodReady(&pod) {
			waiting = append(waiting, fmt.Sprintf("%s (%s)", pod.Name, strings.ToLower(string(pod.Status.Phase))))
			continue
		}
		for _, container := range pod.Spec.Containers {
			for _, port := range container.Ports {
				if port.Name == relayPort {
					return kube.Pod{Namespace: pod.Namespace, Name: pod.Name}, int(port.ContainerPort), nil
				}
			}
		}
		return kube.Pod{}, 0, fmt.Errorf("find the Hubble relay: pod %s/%s has no port named %q",
			pod.Namespace, pod.Name, relayPort)
	}
	if len(waiting) > 0 {
		return kube.Pod{}, 0, fmt.Errorf("no pod of the Hubble relay is ready: %s", strings.Join(waiting, ", "))
	}
	if _, err := kc.Typed.AppsV1().Deployments(namespace).
		Get(ctx, "hubble-relay", metav1.GetOptions{}); apierrors.IsNotFound(err) {
		return kube.Pod{}, 0, ErrNoRelay
	}
	return kube.Pod{}, 0, errors.New("the Hubble relay has no pod (scaled to 0, or not scheduled yet)")
}

// relayCredentials are plain text, as the chart configures the relay's server by default, or TLS checked
// against the authority that signed its certificate.
func relayCredentials(ctx context.Context, kc *kube.Client) (credentials.TransportCredentials, error) {
	config, err := kc.Typed.CoreV1().ConfigMaps(namespace).Get(ctx, relayConfig, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, ErrNoRelay
	}
	if err != nil {
		return nil, fmt.Errorf("read the Hubble relay's configuration: %w", err)
	}
	var relay struct {
		DisableServerTLS bool `json:"disable-server-tls"`
	}
	if err := yaml.Unmarshal([]byte(config.Data["config.yaml"]), &relay); err != nil {
		return nil, fmt.Errorf("read the Hubble relay's configuration: ConfigMap %s/%s: %w",
			namespace, relayConfig, err)
	}
	if relay.DisableServerTLS {
		return insecure.NewCredentials(), nil
	}
	secret, err := kc.Typed.CoreV1().Secrets(namespace).Get(ctx, relayCerts, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read the certificate authority of the Hubble relay: %w", err)
	}
	authority := secret.Data[corev1.ServiceAccountRootCAKey]
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("read the certificate authority of the Hubble relay: Secret %s/%s has no certificate in %s", namespace, relayCerts, corev1.ServiceAccountRootCAKey)
	}
	return credentials.NewTLS(&tls.Config{
		RootCAs:    roots,
		MinVersion: tls.VersionTLS12,
		// The chart issues the certificate for *.hubble-relay.cilium.io.
		ServerName: "relay.hubble-relay.cilium.io",
	}), nil
}

// Status is what the relay reports about itself and its nodes.
type Status struct {
	Connected   int      `json:"connected_nodes"`        // nodes that the relay is connected to
	Unavailable int      `json:"unavailable_nodes"`      // nodes that it is not connected to
	Missing     []string `json:"unavailable_node_names"` // may be incomplete
	FlowsPerSec float64  `json:"flows_per_second"`       // over the last minute
	Flows       uint64   `json:"flows"`                  // that the nodes have kept
	MaxFlows    uint64   `json:"max_flows"`              // that they can keep
	Version     string   `json:"version"`                // of the relay
}

// Status asks the relay for its status.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	res, err := c.observer.ServerStatus(ctx, &observerpb.ServerStatusRequest{})
	if err != nil {
		return nil, fmt.Errorf("read the status of the Hubble relay: %w", plain(err))
	}
	return &Status{
		Connected:   int(res.GetNumConnectedNodes().GetValue()),
		Unavailable: int(res.GetNumUnavailableNodes().GetValue()),
		Missing:     append([]string{}, res.GetUnavailableNodes()...),
		FlowsPerSec: res.GetFlowsRate(),
		Flows:       res.GetNumFlows(), MaxFlows: res.GetMaxFlows(), Version: res.GetVersion(),
	}, nil
}

// Node is a node as the relay knows it.
type Node struct {
	Name        string        `json:"name"`
	State       string        `json:"state"` // connected, unavailable, gone, error
	Version     string        `json:"version"`
	Age         time.Duration `json:"age_nanoseconds"` // of its agent
	FlowsPerSec float64       `json:"flows_per_second"`
	Flows       uint64        `json:"flows"`
	MaxFlows    uint64        `json:"max_flows"`
}

// Nodes asks the relay for its nodes.
func (c *Client) Nodes(ctx context.Context) ([]Node, error) {
	res, err := c.observer.GetNodes(ctx, &observerpb.GetNodesRequest{})
	if err != nil {
		return nil, fmt.Errorf("read the nodes of the Hubble relay: %w", plain(err))
	}
	nodes := []Node{}
	for _, n := range res.GetNodes() {
		age := time.Duration(n.GetUptimeNs())
		node := Node{
			Name: n.GetName(), State: strings.ToLower(strings.TrimPrefix(n.GetState().String(), "NODE_")), Version: n.GetVersion(),
			Age: age, Flows: n.GetNumFlows(), MaxFlows: n.GetMaxFlows(),
		}
		if age > 0 {
			node.FlowsPerSec = float64(n.GetSeenFlows()) / age.Seconds()
		}
		nodes = append(nodes, node)
	}
	return nodes, nil
}

// Serves checks that the relay accepts requests and is connected to every node of the cluster.
func Serves(kc *kube.Client) kube.Check {
	return kube.Check{Object: "Hubble relay", Observe: func(ctx context.Context) (kube.Status, error) {
		nodes, err := kc.Typed.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
		if err != nil {
			return kube.Status{}, fmt.Errorf("list the nodes: %w", err)
		}
		ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
		defer cancel()
		client, err := Dial(ctx, kc)
		if err != nil {
			return kube.Status{Why: err.Error()}, nil
		}
		defer client.Close()
		if err := client.Serving(ctx, len(nodes.Items)); err != nil {
			return kube.Status{Why: err.Error()}, nil
		}
		return kube.Status{Ready: true}, nil
	}}
}

// Serving returns an error if the relay does not accept requests or is not connected to the given number of nodes.
// For some seconds after the agents restart, the relay reports that it does not serve.
func (c *Client) Serving(ctx context.Context, nodes int) error {
	health, err := healthpb.NewHealthClient(c.conn).Check(ctx, &healthpb.HealthCheckRequest{})
	if err != nil {
		return fmt.Errorf("read the health of the Hubble relay: %w", plain(err))
	}
	if health.GetStatus() != healthpb.HealthCheckResponse_SERVING {
		return fmt.Errorf("the Hubble relay is %s", health.GetStatus())
	}
	status, err := c.Status(ctx)
	if err != nil {
		return err
	}
	if status.Unavailable > 0 || status.Connected < nodes {
		missing := ""
		if len(status.Missing) > 0 {
			missing = " (not to " + strings.Join(status.Missing, ", ") + ")"
		}
		return fmt.Errorf("the Hubble relay is connected to %d of %d nodes%s",
			status.Connected, max(nodes, status.Connected+status.Unavailable), missing)
	}
	return nil
}
