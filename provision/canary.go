package provision

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/labctl/labctl/cilium"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/labs"
)

// canaryNamespace is where enforcement is proved; it is gone afterwards.
const canaryNamespace = "labctl-canary"

func (r *run) lookCanary(context.Context) (Action, error) {
	st := r.state()
	return r.action(phaseCanary, "policies are enforced", st.Cluster.UID, st.Phases[phaseCilium].Started), nil
}

// canary proves that a deny drops and an allow passes here: a lab on a network that ignores policies would
// otherwise grade everything as open, and nothing would say why.
func (r *run) canary(ctx context.Context, p *progress) error {
	client, err := r.kube()
	if err != nil {
		return err
	}
	defer func() {
		// A namespace takes seconds to go, and nobody needs to wait for it.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if err := client.Delete(ctx, kube.NewObject("v1", "Namespace", "", canaryNamespace, nil)); err != nil {
			p.warnf("%v", err)
		}
	}()
	addr, err := r.startCanary(ctx, client, p)
	if err != nil {
		return err
	}
	from := kube.Pod{Namespace: canaryNamespace, Name: "client"}
	try := []probe.Probe{{Host: addr, Port: 8080}}
	once := func() (probe.Result, error) {
		got, err := probe.Run(ctx, client, from, try, probe.Options{Timeout: time.Second})
		if err != nil {
			return probe.Result{}, err
		}
		return got[0], nil
	}
	p.step("without a policy: the connection must work")
	if err := until(ctx, 15*time.Second, once, labs.Allowed, "two pods cannot reach each other with no policy in force"); err != nil {
		return err
	}
	p.step("under a deny: it must be dropped")
	if _, err := client.Apply(ctx, canaryPolicy(nil)); err != nil {
		return err
	}
	if err := until(ctx, 15*time.Second, once, labs.Dropped, "a policy that denies everything does not stop a connection: this cluster's network does not enforce policies"); err != nil {
		return err
	}
	seen, err := cilium.SawDrop(ctx, client, canaryNamespace+"/client", canaryNamespace+"/server")
	switch {
	case err != nil:
		p.warnf("Hubble could not be asked about the drop: %v", err)
	case !seen:
		return fmt.Errorf("the connection was dropped, but Hubble has not seen it: something else than Cilium drops, or Hubble is off")
	}
	p.step("under an allow: it must work again")
	if _, err := client.Apply(ctx, canaryPolicy([]any{map[string]any{}})); err != nil {
		return err
	}
	return until(ctx, 15*time.Second, once, labs.Allowed, "a policy that allows everything does not let a connection through")
}

// until tries until the verdict is the one wanted, since a policy takes a moment to be in force.
func until(ctx context.Context, timeout time.Duration, once func() (probe.Result, error), want labs.Verdict, otherwise string) error {
	deadline := time.Now().Add(timeout)
	for {
		got, err := once()
		if err == nil && got.Verdict == want {
			return nil
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if time.Now().After(deadline) {
			if err != nil {
				return err
			}
			return fmt.Errorf("%s (verdict %s: %s)", otherwise, got.Verdict, got.Detail)
		}
	}
}

// startCanary starts a server and a client, on different nodes where it can, and returns the server's address.
func (r *run) startCanary(ctx context.Context, client *kube.Client, p *progress) (string, error) {
	p.step("starting a client and a server")
	ns := kube.NewObject("v1", "Namespace", "", canaryNamespace, nil)
	old, err := client.Get(ctx, ns)
	if err != nil {
		return "", err
	}
	if old != nil && old.GetDeletionTimestamp() != nil {
		if err := waitGone(ctx, client, ns, time.Minute); err != nil {
			return "", err
		}
	}
	mark(ns, r.opts.Name)
	if _, err := client.Apply(ctx, ns, canaryPod("server", r.m.Settings.AppImage, "netexec", "--http-port=8080", "--udp-port=-1"),
		canaryPod("client", r.m.Settings.AppImage, "pause")); err != nil {
		return "", err
	}
	// A run that was killed may have left its deny in force.
	if err := client.Delete(ctx, canaryPolicy(nil)); err != nil {
		return "", err
	}
	wait := kube.Waiting{Timeout: r.m.Settings.Timeouts.Cilium + r.m.Settings.Timeouts.Apps, Progress: p.step}
	if err := wait.Wait(ctx, client.Pod(canaryNamespace, "server"), client.Pod(canaryNamespace, "client")); err != nil {
		return "", err
	}
	server, err := client.Typed.CoreV1().Pods(canaryNamespace).Get(ctx, "server", metav1.GetOptions{})
	if err != nil {
		return "", fmt.Errorf("look for the canary's server: %w", err)
	}
	if _, err := netip.ParseAddr(server.Status.PodIP); err != nil {
		return "", fmt.Errorf("the canary's server has no address: %w", err)
	}
	return server.Status.PodIP, nil
}

func waitGone(ctx context.Context, client *kube.Client, obj *unstructured.Unstructured, timeout time.Duration) error {
	check := kube.Check{Object: kube.Ref(obj), Look: func(ctx context.Context) (kube.Look, error) {
		live, err := client.Get(ctx, obj)
		return kube.Look{Ready: live == nil && err == nil, Why: "it is being deleted"}, err
	}}
	return kube.Waiting{Timeout: timeout}.Wait(ctx, check)
}

func canaryPod(name, image string, args ...string) *unstructured.Unstructured {
	pod := kube.NewObject("v1", "Pod", canaryNamespace, name, map[string]any{
		"terminationGracePeriodSeconds": int64(0),
		"containers": []any{map[string]any{
			"name": name, "image": image, "imagePullPolicy": string(corev1.PullIfNotPresent), "args": anyList(args),
		}},
	})
	pod.SetLabels(map[string]string{"labctl/canary": name})
	return pod
}

// canaryPolicy isolates the server; ingress are its rules.
func canaryPolicy(ingress []any) *unstructured.Unstructured {
	spec := map[string]any{
		"podSelector": map[string]any{"matchLabels": map[string]any{"labctl/canary": "server"}},
		"policyTypes": []any{"Ingress"},
	}
	if ingress != nil {
		spec["ingress"] = ingress
	}
	return kube.NewObject("networking.k8s.io/v1", "NetworkPolicy", canaryNamespace, "canary", spec)
}
