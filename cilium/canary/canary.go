// Package canary proves in a cluster that policies are enforced: a deny drops a connection, an allow passes it. On a
// network that ignores policies, every connection would otherwise be graded as open, without a reason.
package canary

import (
	"context"
	"fmt"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/scope"
)

// Port is the TCP port on which the canary's servers answer as the demo image does.
const Port = 8080

// nameLabel is the label of the canary's pods. Its value is the name of the pod.
const nameLabel = "labctl/canary"

// Canary is a set of pods and policies in the namespace Scope.Canary.
type Canary struct {
	Client       *kube.Client
	Scope        *scope.Scope
	Image        string        // the demo apps' image
	FieldManager string        // of the objects
	Timeout      time.Duration // how long the pods may take to become ready
	Progress     func(string)  // gets what is waited for; may be nil
}

// Ensure creates or updates the canary's namespace and objects in it, and waits until the pods among them are ready.
// It returns the objects as applied. A namespace of that name that the instance did not create is an error.
func (c *Canary) Ensure(ctx context.Context, objs ...*unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	ns := c.namespace()
	live, err := c.Client.Get(ctx, ns)
	if err != nil {
		return nil, err
	}
	if live != nil && live.GetDeletionTimestamp() != nil { // of an up or a reset that has just ended
		if err := (kube.Waiter{Timeout: time.Minute}).Wait(ctx, c.Client.Gone(live)); err != nil {
			return nil, err
		}
		live = nil
	}
	if live != nil && !c.Scope.MayReplace(live) {
		return nil, fmt.Errorf("namespace %s already exists and was not created by this lab; delete it", c.Scope.Canary)
	}
	c.Scope.MarkDeployed(ns)
	applied, err := c.Client.ApplyAs(ctx, c.FieldManager, append([]*unstructured.Unstructured{ns}, objs...)...)
	if err != nil {
		return nil, err
	}
	var ready []kube.Check
	for _, obj := range objs {
		if obj.GetKind() == "Pod" {
			ready = append(ready, c.Client.Pod(c.Scope.Canary, obj.GetName()))
		}
	}
	return applied[1:], kube.Waiter{Timeout: c.Timeout, Progress: c.Progress}.Wait(ctx, ready...)
}

// Delete deletes the canary's namespace if the instance created it. It does not wait until the namespace is gone.
func (c *Canary) Delete(ctx context.Context) error {
	live, err := c.Client.Get(ctx, c.namespace())
	if err != nil || live == nil || !c.Scope.MayReplace(live) {
		return err
	}
	return c.Client.Delete(ctx, live)
}

func (c *Canary) namespace() *unstructured.Unstructured {
	return kube.NewObject("v1", "Namespace", "", c.Scope.Canary, nil)
}

// idle is a pod that waits for probes to be run in it.
func (c *Canary) idle(name string) *unstructured.Unstructured { return c.pod(name, "pause") }

// server is a pod that answers on Port.
func (c *Canary) server(name string) *unstructured.Unstructured {
	return c.pod(name, "netexec", "--http-port="+strconv.Itoa(Port), "--udp-port=-1")
}

func (c *Canary) pod(name string, args ...any) *unstructured.Unstructured {
	pod := kube.NewObject("v1", "Pod", c.Scope.Canary, name, map[string]any{
		"terminationGracePeriodSeconds": int64(0),
		"containers": []any{map[string]any{
			"name": name, "image": c.Image, "imagePullPolicy": string(corev1.PullIfNotPresent), "args": args,
		}},
	})
	pod.SetLabels(map[string]string{nameLabel: name})
	return pod
}
