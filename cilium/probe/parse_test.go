package probe

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/hubble"
	"github.com/labctl/labctl/cilium/verdict"
)

const nonce = "0123456789abcdef"

func newRunning(probes ...Probe) *running {
	r := &running{
		nonce: nonce, probes: probes, ports: make([]int, len(probes)), results: make([]Result, len(probes)),
		settled: make([]bool, len(probes)), open: len(probes), done: make(chan struct{}),
	}
	for i := range probes {
		r.ports[i] = 40000 + i*portsEach
		r.results[i] = Result{Verdict: verdict.ProbeError, Detail: "the probe printed nothing"}
	}
	return r
}

func said(probe int, step string, code int, text string) string {
	return fmt.Sprintf(`{"nonce":%q,"probe":%d,"step":%q,"code":%d,"text":%q}`+"\n", nonce, probe, step, code, text)
}

const answer = ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1 ;; ANSWER SECTION: b.default.svc.cluster.local. 30 IN A 10.96.0.9 ;; Query time: 3 msec"

func TestVerdicts(t *testing.T) {
	t.Parallel()
	echo := Probe{Host: "10.0.0.1", Port: 80, Echo: true}
	name := Probe{Host: "b.default.svc.cluster.local.", Port: 80, Echo: true}
	for _, tc := range []struct {
		name  string
		probe Probe
		out   string
		want  verdict.Verdict
	}{
		{"the nonce comes back", echo, said(0, stepConnect, 0, nonce+"|connect=0.001 ip=10.0.0.1 http=200|web-1|connect=0 ip=10.0.0.1 http=200|"), verdict.Allowed},
		{"another server answers", echo, said(0, stepConnect, 0, "hello|connect=0.001 ip=10.0.0.1 http=200|"), verdict.AppError},
		{"connected, then silence", echo, said(0, stepConnect, 28, "|connect=0.001 ip=10.0.0.1 http=000|"), verdict.AppError},
		{"connected, then reset", echo, said(0, stepConnect, 56, "|connect=0.001 ip=10.0.0.1 http=000|"), verdict.AppError},
		{"no answer to the connect", echo, said(0, stepConnect, 28, "|connect=0.000000 ip= http=000|"), verdict.Dropped},
		{"refused", echo, said(0, stepConnect, 7, "Couldn't connect to server |connect=0.000000 ip= http=000|"), verdict.Rejected},
		{"no curl", echo, said(0, stepConnect, 127, "sh: curl: not found"), verdict.ProbeError},
		{"the source port is taken", echo, said(0, stepConnect, 45, "bind failed"), verdict.ProbeError},
		{"nothing printed, but the end", echo, fmt.Sprintf(`{"nonce":%q,"end":true}`+"\n", nonce), verdict.ProbeError},
		{"somebody else's line", echo, `{"nonce":"other","probe":0,"step":"connect","code":0,"text":""}` + "\n", verdict.ProbeError},
		{"looked up and connected", name, said(0, stepLookup, 0, answer) + said(0, stepConnect, 0, nonce+"|connect=0.001 ip=10.96.0.9 http=200|"), verdict.Allowed},
		{"looked up, then dropped", name, said(0, stepLookup, 0, answer) + said(0, stepConnect, 28, "|connect=0 ip= http=000|"), verdict.Dropped},
		{"no answer from the name server", name, said(0, stepLookup, 9, ";; communications error: timed out ;; no servers could be reached"), verdict.DNSFailed},
		{"the DNS proxy refuses", name, said(0, stepLookup, 0, ";; ->>HEADER<<- opcode: QUERY, status: REFUSED, id: 1"), verdict.DNSFailed},
		{"the query is all there is", Probe{Host: "x.", Protocol: DNS}, said(0, stepLookup, 0, answer), verdict.Allowed},
		{"an address of IPv6", Probe{Host: "x.", Protocol: DNS}, said(0, stepLookup, 0, strings.ReplaceAll(answer, "A 10.96.0.9", "AAAA fd00::9")), verdict.Allowed},
		{"no address", Probe{Host: "x.", Protocol: DNS}, said(0, stepLookup, 0, ";; ->>HEADER<<- opcode: QUERY, status: NOERROR, id: 1 ;; Query time: 3 msec"), verdict.DNSFailed},
		{"UDP: the nonce comes back", Probe{Host: "10.0.0.1", Port: 53, Protocol: "UDP"}, said(0, stepConnect, 0, nonce), verdict.Allowed},
		{"UDP: silence", Probe{Host: "10.0.0.1", Port: 53, Protocol: "UDP"}, said(0, stepConnect, 0, " timeout"), verdict.Dropped},
		{"UDP: refused", Probe{Host: "10.0.0.1", Port: 53, Protocol: "UDP"}, said(0, stepConnect, 0, ""), verdict.Rejected},
		{"UDP: something else answers", Probe{Host: "10.0.0.1", Port: 53, Protocol: "UDP"}, said(0, stepConnect, 0, "what?"), verdict.AppError},
		{"ICMP: a reply", Probe{Host: "10.0.0.1", Protocol: "ICMP"}, said(0, stepConnect, 0, "1 received"), verdict.Allowed},
		{"ICMP: none", Probe{Host: "10.0.0.1", Protocol: "ICMP"}, said(0, stepConnect, 1, "0 received"), verdict.Dropped},
		{"ICMP: not permitted to send", Probe{Host: "10.0.0.1", Protocol: "ICMP"}, said(0, stepConnect, 2, "ping: socket: Operation not permitted"), verdict.ProbeError},
		{"HTTP: the status asked for", Probe{Host: "10.0.0.1", Port: 80, HTTP: &HTTP{Status: 403}}, said(0, stepConnect, 0, "|connect=0.001 ip=10.0.0.1 http=403|"), verdict.Allowed},
		{"HTTP: another status", Probe{Host: "10.0.0.1", Port: 80, HTTP: &HTTP{Status: 200}}, said(0, stepConnect, 0, "|connect=0.001 ip=10.0.0.1 http=403|"), verdict.AppError},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRunning(tc.probe)
			// However the output is cut into pieces.
			for _, piece := range strings.SplitAfter(tc.out, `"step"`) {
				if _, err := r.Write([]byte(piece)); err != nil {
					t.Fatal(err)
				}
			}
			if got := r.results[0]; got.Verdict != tc.want {
				t.Errorf("got %s (%s), want %s", got.Verdict, got.Detail, tc.want)
			}
		})
	}
}

// TestDropSettles checks that the drop of this very probe settles it, and only it, before anything is printed.
func TestDropSettles(t *testing.T) {
	t.Parallel()
	from := netip.MustParseAddr("10.0.0.9")
	drop := func(protocol string, port int) hubble.Drop {
		return hubble.Drop{Protocol: protocol, Source: netip.AddrPortFrom(from, uint16(port)), Destination: netip.MustParseAddrPort("10.0.0.1:80")}
	}
	for _, tc := range []struct {
		name string
		drop hubble.Drop
		want [2]verdict.Verdict
	}{
		{"the connection's port", drop("TCP", 40001), [2]verdict.Verdict{verdict.Dropped, verdict.ProbeError}},
		{"the second one's port", drop("TCP", 40006), [2]verdict.Verdict{verdict.ProbeError, verdict.Dropped}},
		{"the look-up's port", drop("UDP", 40000), [2]verdict.Verdict{verdict.DNSFailed, verdict.ProbeError}},
		{"a port of nobody", drop("TCP", 50000), [2]verdict.Verdict{verdict.ProbeError, verdict.ProbeError}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := newRunning(Probe{Host: "a.", Port: 80}, Probe{Host: "b.", Port: 80})
			r.dropped(tc.drop)
			// What the tool says afterwards does not count.
			if _, err := r.Write([]byte(said(0, stepConnect, 0, "|connect=0.1 ip=1.1.1.1 http=200|"))); err != nil {
				t.Fatal(err)
			}
			if tc.want[0] != verdict.ProbeError && r.results[0].Verdict != tc.want[0] {
				t.Errorf("first: got %s, want %s", r.results[0].Verdict, tc.want[0])
			}
			if r.results[1].Verdict != tc.want[1] {
				t.Errorf("second: got %s, want %s", r.results[1].Verdict, tc.want[1])
			}
		})
	}
}

func TestScriptQuotes(t *testing.T) {
	t.Parallel()
	r := newRunning(Probe{Host: "10.0.0.1", Port: 80, HTTP: &HTTP{Path: "/'; rm -rf /; '", Headers: map[string]string{"X": "$(id)"}}})
	script := r.script(2 * time.Second)
	if !strings.Contains(script, `'http://10.0.0.1:80/'\''; rm -rf /; '\'''`) || !strings.Contains(script, `'X: $(id)'`) {
		t.Errorf("a word escapes its quotes:\n%s", script)
	}
}
