package canary

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/verdict"
)

// The pods of Prove.
const (
	proofClient = "client"
	proofServer = "server"
)

// enforceTimeout is how long a policy may take to be in force. Tests shorten it.
var enforceTimeout = 15 * time.Second

// Prove tries one connection without a policy, with a deny, and with an allow, and deletes the canary again. step gets
// what it does, warn what does not count: Hubble that cannot be read. The policies are Kubernetes' own, which every
// network with policies has.
func (c *Canary) Prove(ctx context.Context, step, warn func(string)) error {
	defer func() {
		// Deleting a namespace takes seconds, and nothing depends on it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := c.Delete(ctx); err != nil {
			warn(err.Error())
		}
	}()
	step("starting a client and a server")
	connection, err := c.startProof(ctx)
	if err != nil {
		return err
	}
	step("without a policy: the connection must work")
	err = connection.becomes(ctx, verdict.Allowed, "two pods cannot reach each other with no policy in force")
	if err != nil {
		return err
	}
	step("with a deny: it must be dropped")
	if _, err := c.Client.ApplyAs(ctx, c.FieldManager, c.proofPolicy(nil)); err != nil {
		return err
	}
	err = connection.becomes(ctx, verdict.Dropped,
		"a policy that denies everything does not stop a connection: this cluster's network does not enforce policies")
	if err != nil {
		return err
	}
	seen, err := cilium.SawDrop(ctx, c.Client, c.Scope.Canary+"/"+proofClient, c.Scope.Canary+"/"+proofServer)
	switch {
	case err != nil:
		warn(fmt.Sprintf("cannot read the drop from Hubble: %v", err))
	case !seen:
		return errors.New("the connection was dropped, but Hubble did not report it: something other than Cilium drops it, or Hubble is off")
	}
	step("with an allow: it must work again")
	if _, err := c.Client.ApplyAs(ctx, c.FieldManager, c.proofPolicy([]any{map[string]any{}})); err != nil {
		return err
	}
	return connection.becomes(ctx, verdict.Allowed, "a policy that allows everything does not let a connection through")
}

// startProof starts the client and the server.
func (c *Canary) startProof(ctx context.Context) (*connection, error) {
	if _, err := c.Ensure(ctx, c.server(proofServer), c.idle(proofClient)); err != nil {
		return nil, err
	}
	// A run that was killed may have left its deny in force.
	if err := c.Client.Delete(ctx, c.proofPolicy(nil)); err != nil {
		return nil, err
	}
	server, err := c.Client.Typed.CoreV1().Pods(c.Scope.Canary).Get(ctx, proofServer, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("find the canary's server: %w", err)
	}
	if _, err := netip.ParseAddr(server.Status.PodIP); err != nil {
		return nil, fmt.Errorf("the canary's server has no address: %w", err)
	}
	return &connection{c.Client, kube.Pod{Namespace: c.Scope.Canary, Name: proofClient}, server.Status.PodIP}, nil
}

// proofPolicy isolates the server; ingress are its rules.
func (c *Canary) proofPolicy(ingress []any) *unstructured.Unstructured {
	spec := map[string]any{
		"podSelector": map[string]any{"matchLabels": map[string]any{nameLabel: proofServer}},
		"policyTypes": []any{"Ingress"},
	}
	if ingress != nil {
		spec["ingress"] = ingress
	}
	return kube.NewObject("networking.k8s.io/v1", "NetworkPolicy", c.Scope.Canary, "canary", spec)
}

// connection is that from the client to the server.
type connection struct {
	client *kube.Client
	from   kube.Pod
	to     string
}

// becomes retries the connection until it has a verdict, since a policy takes time to be in force. otherwise says
// what it means if the verdict stays another.
func (c *connection) becomes(ctx context.Context, want verdict.Verdict, otherwise string) error {
	try := []probe.Probe{{Host: c.to, Port: Port}}
	deadline := time.Now().Add(enforceTimeout)
	for {
		got, err := probe.Run(ctx, c.client, c.from, try, probe.Options{Timeout: time.Second})
		switch {
		case err == nil && got[0].Verdict == want:
			return nil
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Now().Before(deadline):
			time.Sleep(100 * time.Millisecond) // an exec may fail at once
		case err != nil:
			return err
		default:
			return fmt.Errorf("%s (verdict %s: %s)", otherwise, got[0].Verdict, got[0].Detail)
		}
	}
}
