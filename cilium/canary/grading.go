package canary

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
)

// The pods of gradings. They stay in the namespace between gradings, so that a proof costs one exec.
const (
	gradingClient = "grade-client"
	gradingDenied = "grade-denied"
	gradingOpen   = "grade-open"
)

// Pods are a client, a server to which a policy denies every connection, and one to which a policy allows every
// connection.
type Pods struct{ Client, Denied, Open *corev1.Pod }

// ForGrading returns the pods, and creates those that do not run. Their policies are in force; settle is how long that
// may take.
func (c *Canary) ForGrading(ctx context.Context, settle time.Duration) (*Pods, error) {
	if pods := c.running(ctx); pods != nil {
		return pods, nil
	}
	policies := []*unstructured.Unstructured{
		c.allPolicy(gradingDenied, "ingressDeny"), c.allPolicy(gradingOpen, "ingress"),
	}
	applied, err := c.Ensure(ctx, append(policies,
		c.idle(gradingClient), c.server(gradingDenied), c.server(gradingOpen))...)
	if err != nil {
		return nil, err
	}
	change := cilium.Change{Policies: map[string]string{}, Namespaces: []string{c.Scope.Canary}}
	for _, policy := range applied[:len(policies)] {
		change.Policies[string(policy.GetUID())] = kube.Ref(policy)
	}
	if err := cilium.Settle(ctx, c.Client, change, settle); err != nil {
		return nil, err
	}
	if pods := c.running(ctx); pods != nil {
		return pods, nil
	}
	return nil, fmt.Errorf("its pods in namespace %s keep disappearing", c.Scope.Canary)
}

// running are the pods of gradings; nil unless all of them run.
func (c *Canary) running(ctx context.Context) *Pods {
	list, err := c.Client.Typed.CoreV1().Pods(c.Scope.Canary).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil
	}
	named := map[string]*corev1.Pod{}
	for i := range list.Items {
		p := &list.Items[i]
		if p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil && p.Labels[nameLabel] == p.Name {
			named[p.Name] = p
		}
	}
	pods := &Pods{named[gradingClient], named[gradingDenied], named[gradingOpen]}
	if pods.Client == nil || pods.Denied == nil || pods.Open == nil {
		return nil
	}
	return pods
}

// allPolicy allows or denies every connection to a server. An explicit deny takes precedence over all other policies.
func (c *Canary) allPolicy(server, rules string) *unstructured.Unstructured {
	return kube.NewObject("cilium.io/v2", "CiliumNetworkPolicy", c.Scope.Canary, server, map[string]any{
		"endpointSelector": map[string]any{"matchLabels": map[string]any{nameLabel: server}},
		rules:              []any{map[string]any{"fromEntities": []any{"all"}}},
	})
}
