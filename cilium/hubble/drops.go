package hubble

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"sync"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/kube"
)

// Drop is a packet that a policy dropped.
type Drop struct {
	Source, Destination netip.AddrPort // port 0 for ICMP
	Protocol            string         // TCP, UDP, SCTP, ICMP
	Flow                *flowpb.Flow
}

// FromNode reports whether a node sent it, and not a pod.
func (d Drop) FromNode() bool {
	return slices.ContainsFunc(d.Flow.GetSource().GetLabels(), func(l string) bool {
		return l == "reserved:host" || l == "reserved:remote-node" || l == "reserved:kube-apiserver"
	})
}

// Drops follows the packets that policies drop. It asks the agents themselves, since the relay sorts flows and
// delays them by up to a second.
type Drops struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu      sync.Mutex
	alive   int
	agents  int
	lastErr error
	subs    map[int]subscription
	nextSub int
}

type subscription struct {
	source netip.Addr // the zero value: any
	fn     func(Drop)
}

// WatchDrops follows, in every agent, what is dropped from now on, until ctx ends or Close is called.
func WatchDrops(ctx context.Context, kc *kube.Client) (*Drops, error) {
	pods, err := kc.Typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=cilium"})
	if err != nil {
		return nil, fmt.Errorf("list Cilium's agents: %w", err)
	}
	ctx, stop := context.WithCancel(ctx)
	d := &Drops{stop: stop, subs: map[int]subscription{}, agents: len(pods.Items)}
	for i := range pods.Items {
		pod := &pods.Items[i]
		if pod.Status.Phase != corev1.PodRunning || !kube.PodReady(pod) {
			continue
		}
		d.alive++
		d.done.Go(func() {
			err := d.follow(ctx, kc, kube.Pod{Namespace: pod.Namespace, Name: pod.Name, Container: "cilium-agent"})
			d.mu.Lock()
			defer d.mu.Unlock()
			d.alive--
			if ctx.Err() == nil {
				d.lastErr = err
			}
		})
	}
	return d, nil
}

// Close ends the streams and waits until they have ended.
func (d *Drops) Close() {
	if d == nil {
		return
	}
	d.stop()
	d.done.Wait()
}

// Complete returns an error unless every agent is followed. Only then does the absence of drops mean that nothing
// was dropped.
func (d *Drops) Complete() error {
	if d == nil {
		return errors.New("drops are not being observed")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.agents == 0:
		return errors.New("this cluster has no Cilium agent")
	case d.alive == d.agents:
		return nil
	case d.lastErr != nil:
		return d.lastErr
	}
	return fmt.Errorf("%d of %d agents report what they drop", d.alive, d.agents)
}

// Subscribe calls fn for every dropped packet that source sent, until cancel is called. fn must not block.
func (d *Drops) Subscribe(source netip.Addr, fn func(Drop)) (cancel func()) {
	return d.subscribe(subscription{source, fn})
}

// SubscribeAll is Subscribe for packets from anywhere.
func (d *Drops) SubscribeAll(fn func(Drop)) (cancel func()) { return d.subscribe(subscription{fn: fn}) }

func (d *Drops) subscribe(s subscription) (cancel func()) {
	if d == nil {
		return func() {}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	id := d.nextSub
	d.nextSub++
	d.subs[id] = s
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.subs, id)
	}
}

func (d *Drops) publish(drop Drop) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, s := range d.subs {
		if !s.source.IsValid() || s.source == drop.Source.Addr() {
			s.fn(drop)
		}
	}
}

// follow reads one agent's drops. The command in the agent ends with its standard input, which ends with this
// connection.
func (d *Drops) follow(ctx context.Context, kc *kube.Client, agent kube.Pod) error {
	stdin, closeIn := io.Pipe()
	out, in := io.Pipe()
	defer closeIn.Close()
	d.done.Go(func() {
		defer out.Close()
		lines := bufio.NewScanner(out)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if drop, ok := parseDrop(lines.Bytes()); ok {
				d.publish(drop)
			}
		}
		_, _ = io.Copy(io.Discard, out) // the writer must not block, whatever ended the scan
	})
	defer in.Close()
	// No drop must be lost because this clock differs from the nodes'. Old drops have other ports.
	script := "hubble observe --follow --since 1s --type drop -o jsonpb & p=$!; cat >/dev/null; kill $p; wait $p"
	_, err := kc.Stream(ctx, agent, stdin, in, io.Discard, "/bin/sh", "-c", script)
	if err == nil {
		err = fmt.Errorf("the flows of agent %s ended", agent)
	}
	return err
}

// parseDrop reads a line of `hubble observe -o jsonpb`; false if it is not a policy drop.
func parseDrop(line []byte) (Drop, bool) {
	var res observerpb.GetFlowsResponse
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(line, &res); err != nil {
		return Drop{}, false
	}
	return dropOf(res.GetFlow())
}

func dropOf(f *flowpb.Flow) (Drop, bool) {
	if f.GetVerdict() != flowpb.Verdict_DROPPED {
		return Drop{}, false
	}
	switch f.GetDropReasonDesc() {
	case flowpb.DropReason_POLICY_DENIED, flowpb.DropReason_POLICY_DENY:
	default:
		return Drop{}, false
	}
	from, err := netip.ParseAddr(f.GetIP().GetSource())
	if err != nil {
		return Drop{}, false
	}
	to, err := netip.ParseAddr(f.GetIP().GetDestination())
	if err != nil {
		return Drop{}, false
	}
	drop := Drop{Flow: f}
	var fromPort, toPort uint32
	switch l4 := f.GetL4(); {
	case l4.GetTCP() != nil:
		drop.Protocol, fromPort, toPort = "TCP", l4.GetTCP().GetSourcePort(), l4.GetTCP().GetDestinationPort()
	case l4.GetUDP() != nil:
		drop.Protocol, fromPort, toPort = "UDP", l4.GetUDP().GetSourcePort(), l4.GetUDP().GetDestinationPort()
	case l4.GetSCTP() != nil:
		drop.Protocol, fromPort, toPort = "SCTP", l4.GetSCTP().GetSourcePort(), l4.GetSCTP().GetDestinationPort()
	case l4.GetICMPv4() != nil, l4.GetICMPv6() != nil:
		drop.Protocol = "ICMP"
	default:
		return Drop{}, false
	}
	drop.Source, drop.Destination = netip.AddrPortFrom(from, uint16(fromPort)), netip.AddrPortFrom(to, uint16(toPort))
	return drop, true
}
