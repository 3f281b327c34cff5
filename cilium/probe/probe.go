// Package probe tries connections from inside pods, with the tools of the pods' images: one exec per pod runs all
// of its probes at the same time, and each step of a probe prints one line. What it returns is what was seen;
// what it means for a lab is for others to say.
package probe

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/verdict"
)

// Probe is one connection to try.
type Probe struct {
	Host     string // a name or an address
	Port     int
	Protocol string // TCP (default), UDP, SCTP, ICMP; DNS: look the Host up, over UDP, or over TCP with DNSOverTCP
	// DNSOverTCP makes a look-up go over TCP.
	DNSOverTCP bool
	// Echo says that the demo image's server answers: it has to repeat the nonce and to say who it is. Without
	// it a connection is enough.
	Echo bool
	// Learn is a name to look up before, whatever the answer: for addresses that policies know by their names.
	Learn string
	// HTTP is the request to make and the status to get, instead of any.
	HTTP *HTTP
}

// HTTP is a request and the status that it must get.
type HTTP struct {
	Method  string // GET if empty
	Path    string
	Headers map[string]string
	Status  int
}

// DNS as a Protocol means a look-up at the cluster's DNS.
const DNS = "DNS"

func (p Probe) String() string {
	if p.Protocol == DNS {
		return "dns " + p.Host
	}
	return fmt.Sprintf("%s:%d", strings.TrimSuffix(p.Host, "."), p.Port)
}

// named says whether the host must be looked up.
func (p Probe) named() bool {
	_, err := netip.ParseAddr(p.Host)
	return err != nil
}

// Result is what a probe saw.
type Result struct {
	Verdict verdict.Verdict
	Detail  string       // the tool's own words
	Drop    *hubble.Drop // the packet of this probe that a policy dropped, if Hubble reported it
	Server  string       // who answered, by its own word: the name of a pod
	// DNSStatus is what the name server answered that did not resolve the name, such as "REFUSED"; empty: no answer.
	DNSStatus string
	Lookup    time.Duration
	Took      time.Duration // of the connection
	// Missing says that the pod's image lacks what the probe takes.
	Missing bool
}

// Options say how to probe. The zero value is what a baseline uses.
type Options struct {
	// Timeout is how long a connection may take before it counts as dropped; default 3 s.
	Timeout time.Duration
}

const defaultTimeout = 3 * time.Second

// Run tries all probes from a pod at the same time, in one exec. A probe whose line is missing from the
// output has the verdict probe_error. An error means that the exec itself could not be made.
func Run(ctx context.Context, client *kube.Client, pod kube.Pod, probes []Probe, opts Options) ([]Result, error) {
	r := Runner{Client: client, Timeout: opts.Timeout}
	return r.Run(ctx, Source{Pod: pod}, probes)
}

// Runner runs probes, learns about drops before their time-outs, and counts what it does. It is safe for concurrent
// use.
type Runner struct {
	Client  *kube.Client
	Drops   *hubble.Drops // nil: drops are recognized by time-outs alone
	Timeout time.Duration // for each step, a look-up or a connection; default 3 s

	ports atomic.Uint32
	execs atomic.Int64
	bytes atomic.Int64
}

// Source is where probes start.
type Source struct {
	Pod  kube.Pod
	Addr netip.Addr // of the pod
	// Node says that the pod is in its node's network. A node has several addresses.
	Node bool
}

// Stats counts the execs made and the bytes that they sent.
func (r *Runner) Stats() (execs, bytes int64) { return r.execs.Load(), r.bytes.Load() }

// Source ports of probes are assigned in turn from this range, portsEach per probe, so that a drop can be
// attributed to one of the last few thousand probes.
const (
	firstPort = 33000
	lastPort  = 60000
	portsEach = 4
)

// nextPort is the first of a probe's own source ports: the first is for the look-up, the others for the connection.
func (r *Runner) nextPort() int {
	if r.ports.Load() == 0 {
		var seed [2]byte
		_, _ = rand.Read(seed[:]) // never fails, see its documentation
		r.ports.CompareAndSwap(0, 1+uint32(seed[0])<<8+uint32(seed[1]))
	}
	const slots = (lastPort - firstPort) / portsEach
	return firstPort + int(r.ports.Add(1)%slots)*portsEach
}

// Run tries all probes from a pod at the same time, in one exec. A drop by a policy is settled as soon as Hubble
// reports it, and when everything is settled the rest is cancelled.
func (r *Runner) Run(ctx context.Context, from Source, probes []Probe) ([]Result, error) {
	if len(probes) == 0 {
		return nil, nil
	}
	timeout := r.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	run, err := r.begin(probes)
	if err != nil {
		return nil, err
	}
	switch {
	case from.Addr.IsValid():
		defer r.Drops.Subscribe(from.Addr, run.dropped)()
	case from.Node:
		defer r.Drops.SubscribeAll(func(d hubble.Drop) {
			if d.FromNode() {
				run.dropped(d)
			}
		})()
	}
	ctx, cancel := context.WithTimeout(ctx, 3*timeout+10*time.Second)
	defer cancel()
	stdin, keepOpen := io.Pipe() // while it is open, the script continues
	defer keepOpen.Close()
	var stderr tail
	failed := make(chan error, 1)
	script := run.script(timeout)
	r.execs.Add(1)
	r.bytes.Add(int64(len(script)))
	go func() {
		_, err := r.Client.Stream(ctx, from.Pod, stdin, run, &stderr, "/bin/sh", "-c", script)
		failed <- err
	}()
	select {
	case <-run.done:
	case err = <-failed:
	}
	return run.end(err, &stderr)
}

// begin prepares the run of probes.
func (r *Runner) begin(probes []Probe) (*running, error) {
	random := make([]byte, 8)
	if _, err := rand.Read(random); err != nil {
		return nil, fmt.Errorf("make a nonce: %w", err)
	}
	run := &running{
		nonce: hex.EncodeToString(random), probes: probes, ports: make([]int, len(probes)),
		results: make([]Result, len(probes)), settled: make([]bool, len(probes)), open: len(probes),
		done: make(chan struct{}),
	}
	for i := range probes {
		run.ports[i] = r.nextPort()
		run.results[i] = Result{Verdict: verdict.ProbeError, Detail: "the probe printed nothing"}
	}
	return run, nil
}

// end returns the results of an exec that has ended, or whose probes are all settled. failed is the error of the exec,
// which counts for the probes that are not settled, and for the whole run if none is.
func (r *running) end(failed error, stderr *tail) ([]Result, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.open == 0 || r.ended:
		return r.results, nil
	case failed != nil && r.open == len(r.probes):
		return nil, failed
	}
	detail := "exec ended before all probes reported"
	if words := stderr.String(); words != "" {
		detail += ": " + words
	} else if failed != nil {
		detail += ": " + failed.Error()
	}
	for i := range r.results {
		if !r.settled[i] {
			r.results[i] = Result{Verdict: verdict.ProbeError, Detail: detail}
		}
	}
	return r.results, nil
}

// running is one exec under way. It is the writer of the exec's output.
type running struct {
	nonce  string
	probes []Probe
	ports  []int // of each probe, the first of its source ports

	mu      sync.Mutex
	rest    []byte // of a line that is not whole yet
	results []Result
	settled []bool
	open    int
	ended   bool
	done    chan struct{} // closed when nothing is open
}

// settle notes a probe's verdict; later ones do not count. The lock is held.
func (r *running) settle(i int, result Result) {
	if r.settled[i] {
		return
	}
	result.Lookup = max(result.Lookup, r.results[i].Lookup)
	r.settled[i], r.results[i] = true, result
	if r.open--; r.open == 0 {
		close(r.done)
	}
}

// dropped settles the probe that the packet was of.
func (r *running) dropped(d hubble.Drop) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, p := range r.probes {
		if r.settled[i] {
			continue
		}
		step, ok := stepOf(p, r.ports[i], d)
		if !ok {
			continue
		}
		result := Result{Verdict: verdict.Dropped, Drop: &d, Detail: "a policy dropped the connection's first packet"}
		if step == stepLookup {
			result.Verdict, result.Detail = verdict.DNSFailed, "a policy dropped the lookup of "+p.Host
		}
		r.settle(i, result)
	}
}

// stepOf says whether a packet was of a probe, and of which step.
func stepOf(p Probe, first int, d hubble.Drop) (step string, ok bool) {
	port := int(d.Source.Port())
	switch p.Protocol {
	case DNS:
		return stepLookup, port == first
	case "ICMP", "SCTP":
		// Their tools take no source port: protocol, address and port have to do.
		return stepConnect, d.Protocol == p.Protocol && d.Destination.Addr().String() == p.Host &&
			(p.Protocol == "ICMP" || int(d.Destination.Port()) == p.Port)
	case "UDP":
		if d.Protocol != "UDP" {
			return "", false
		}
	}
	if port == first && d.Protocol == "UDP" {
		return stepLookup, p.Learn == ""
	}
	return stepConnect, port > first && port < first+portsEach
}

// tail keeps the beginning of what is written to it.
type tail struct {
	mu   sync.Mutex
	text []byte
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if room := 500 - len(t.text); room > 0 {
		t.text = append(t.text, p[:min(room, len(p))]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return printable(string(t.text))
}
