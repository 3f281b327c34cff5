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
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

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
// delays them by up to a second. An agent that restarts is followed again.
type Drops struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu        sync.Mutex
	agents    int                  // that there are; -1: not known yet
	following map[types.UID]string // the agents that are followed: their pods
	ended     chan struct{}        // a stream has ended
	resumed   time.Time            // when all agents were followed again after a gap
	lastErr   error
	subs      map[int]subscription
	nextSub   int
}

type subscription struct {
	source netip.Addr // the zero value: any
	fn     func(Drop)
}

// lookEvery is how long an agent that restarts may go unnoticed, or not be followed.
const lookEvery = 500 * time.Millisecond

// follower reads one agent's drops until the agent or the context ends.
type follower func(ctx context.Context, agent kube.Pod) error

// WatchDrops follows, in every agent, what is dropped from now on, until ctx ends or Close is called.
func WatchDrops(ctx context.Context, kc *kube.Client) (*Drops, error) {
	d := newDrops()
	return d, d.watch(ctx, kc, func(ctx context.Context, agent kube.Pod) error { return d.follow(ctx, kc, agent) })
}

func newDrops() *Drops {
	return &Drops{
		agents: -1, following: map[types.UID]string{}, ended: make(chan struct{}, 1), subs: map[int]subscription{},
	}
}

func (d *Drops) watch(ctx context.Context, kc *kube.Client, follow follower) error {
	ctx, d.stop = context.WithCancel(ctx)
	if err := d.look(ctx, kc, follow); err != nil {
		d.stop()
		return err
	}
	d.done.Go(func() {
		for {
			every := 10 * lookEvery
			if d.Complete() != nil {
				every = lookEvery
			}
			select {
			case <-ctx.Done():
				return
			case <-d.ended:
			case <-time.After(every):
			}
			if err := d.look(ctx, kc, follow); err != nil && ctx.Err() == nil {
				d.mu.Lock()
				d.lastErr = err
				d.mu.Unlock()
			}
		}
	})
	return nil
}

// look follows the agents that run and are not followed yet.
func (d *Drops) look(ctx context.Context, kc *kube.Client, follow follower) error {
	pods, err := kc.Typed.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: "k8s-app=cilium"})
	if err != nil {
		return fmt.Errorf("list Cilium's agents: %w", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	was := d.complete()
	d.agents = len(pods.Items)
	for i := range pods.Items {
		pod := &pods.Items[i]
		if _, followed := d.following[pod.UID]; followed || pod.Status.Phase != corev1.PodRunning || !kube.PodReady(pod) {
			continue
		}
		d.following[pod.UID] = pod.Name
		agent := kube.Pod{Namespace: pod.Namespace, Name: pod.Name, Container: "cilium-agent"}
		d.done.Go(func() {
			err := follow(ctx, agent)
			d.mu.Lock()
			defer d.mu.Unlock()
			delete(d.following, pod.UID)
			if ctx.Err() == nil {
				d.lastErr = err
			}
			select {
			case d.ended <- struct{}{}:
			default:
			}
		})
	}
	if was != nil && d.complete() == nil {
		d.resumed = time.Now()
	}
	return nil
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
	return d.complete()
}

func (d *Drops) complete() error {
	switch {
	case d.agents == 0:
		return errors.New("this cluster has no Cilium agent")
	case len(d.following) == d.agents:
		return nil
	case d.lastErr != nil:
		return d.lastErr
	}
	return fmt.Errorf("%d of %d agents report what they drop", len(d.following), max(d.agents, 0))
}

// CompleteSince returns an error unless every agent was followed all the time since.
func (d *Drops) CompleteSince(since time.Time) error {
	if err := d.Complete(); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.resumed.After(since) {
		return errors.New("a Cilium agent was restarted, and what it dropped meanwhile is not known")
	}
	return nil
}

// AwaitComplete waits until every agent is followed, and returns why not when the time is up.
func (d *Drops) AwaitComplete(ctx context.Context, timeout time.Duration) error {
	deadline := time.Now().Add(timeout)
	for {
		err := d.Complete()
		if d == nil || err == nil || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(lookEvery / 5):
		}
	}
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
	// No drop must be lost because the stream begins late. Old drops have other ports.
	script := "hubble observe --follow --since 10s --type drop -o jsonpb & p=$!; cat >/dev/null; kill $p; wait $p"
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
