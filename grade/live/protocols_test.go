//go:build e2e

package live_test

import (
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/live"
	"github.com/labctl/labctl/labs"
)

// TestProtocols probes every protocol and kind of target, as they are and under policies that let some of them
// through. Both engines must come to the verdicts.
func TestProtocols(t *testing.T) {
	lab, diags := labs.Load(os.DirFS("testdata/protocols"), "protocols", labs.LoadOptions{})
	if lab == nil {
		t.Fatal(diags.Err())
	}
	eng, model := deployed(t, clusterOf(t), lab)
	client, near, far := labs.Source{App: "client"}, labs.Source{Node: "worker"}, labs.Source{Node: "control-plane"}
	server := labs.Target{App: "server", Via: labs.ViaService, Port: 8080, Protocol: "TCP"}
	byIP := func(protocol string, port int) labs.Target {
		return labs.Target{App: "server", Via: labs.ViaIP, Port: port, Protocol: protocol}
	}
	asking := func(h labs.HTTP) labs.Target {
		to := byIP("TCP", 8080)
		to.HTTP = &h
		return to
	}
	connections := []struct {
		name string
		from labs.Source
		to   labs.Target
	}{
		{"service", client, server},
		{"tcp", client, byIP("TCP", 8080)},
		{"udp", client, byIP("UDP", 8081)},
		{"icmp", client, byIP("ICMP", 0)},
		{"http", client, asking(labs.HTTP{Path: "/echo?msg=x", Status: 200})},
		{"http post", client, asking(labs.HTTP{Method: "POST", Path: "/echo?msg=x", Headers: map[string]string{"X-Lab": "it's 100%"}, Status: 200})},
		{"http head", client, asking(labs.HTTP{Method: "HEAD", Path: "/hostname", Status: 200})},
		{"look-up", client, labs.Target{DNS: "server.protocols.svc.cluster.local"}},
		{"look-up over tcp", client, labs.Target{DNS: "server.protocols.svc.cluster.local", Protocol: "TCP"}},
		{"kubelet", client, labs.Target{Node: "worker", Port: 10250, Protocol: "TCP"}},
		{"node icmp", client, labs.Target{Node: "control-plane", Protocol: "ICMP"}},
		{"own node", near, byIP("TCP", 8080)},
		{"other node", far, byIP("TCP", 8080)},
		{"other node udp", far, byIP("UDP", 8081)},
		{"other node icmp", far, byIP("ICMP", 0)},
	}
	const ingress = `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p, namespace: protocols}, spec: {endpointSelector: {matchLabels: {app: server}}, ingress: [`
	for _, tc := range []struct {
		name, policy string
		dropped      []string // all others are allowed
		unresolved   []string
	}{
		{"no policy", "", nil, nil},
		{
			"nobody gets in", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: protocols}, spec: {podSelector: {matchLabels: {app: server}}, policyTypes: [Ingress]}}`,
			[]string{"service", "tcp", "udp", "icmp", "http", "http post", "http head", "other node", "other node udp", "other node icmp"}, nil,
		},
		{
			"udp gets in", ingress + `{fromEndpoints: [{}], toPorts: [{ports: [{port: "8081", protocol: UDP}]}]}]}}`,
			[]string{"service", "tcp", "icmp", "http", "http post", "http head", "other node", "other node udp", "other node icmp"}, nil,
		},
		{
			"icmp gets in", ingress + `{icmps: [{fields: [{family: IPv4, type: EchoRequest}]}]}]}}`,
			[]string{"service", "tcp", "udp", "http", "http post", "http head", "other node", "other node udp"}, nil,
		},
		{
			"other nodes get in", ingress + `{fromEntities: [remote-node]}]}}`,
			[]string{"service", "tcp", "udp", "icmp", "http", "http post", "http head"}, nil,
		},
		{
			"nothing gets out", `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: protocols}, spec: {podSelector: {matchLabels: {app: client}}, policyTypes: [Egress]}}`,
			[]string{"tcp", "udp", "icmp", "http", "http post", "http head", "kubelet", "node icmp"}, []string{"service", "look-up", "look-up over tcp"},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			state := stateOf(t, tc.policy)
			modelled, err := model.At(t.Context(), state)
			if err != nil {
				t.Fatal(err)
			}
			prober, err := eng.At(t.Context(), state)
			if err != nil {
				t.Fatal(err)
			}
			probes := make([]engine.Probe, len(connections))
			for i, c := range connections {
				probes[i] = engine.Probe{From: c.from, To: c.to}
			}
			want, err := modelled.Probe(t.Context(), probes)
			if err != nil {
				t.Fatal(err)
			}
			got, err := prober.Probe(t.Context(), probes)
			if err != nil {
				t.Fatal(err)
			}
			for i, c := range connections {
				expected := verdict.Allowed
				for _, name := range tc.dropped {
					if name == c.name {
						expected = verdict.Dropped
					}
				}
				for _, name := range tc.unresolved {
					if name == c.name {
						expected = verdict.DNSFailed
					}
				}
				if got[i].Verdict != expected || want[i].Verdict != expected {
					t.Errorf("%s: live %s (%s%s), offline %s, want %s", c.name, got[i].Verdict, got[i].Seen, got[i].Error, want[i].Verdict, expected)
				}
			}
		})
	}

	// What is no policy's doing, so that the offline engine cannot know it.
	hasSCTP := false
	if fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 132); err == nil {
		syscall.Close(fd)
		hasSCTP = true
	}
	prober, err := eng.At(t.Context(), stateOf(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		to   labs.Target
		want verdict.Verdict
		says string
		skip bool
	}{
		{"the status that is wanted", asking(labs.HTTP{Path: "/echo?msg=x&code=403", Status: 403}), verdict.Allowed, "HTTP status 403", false},
		{"another status", asking(labs.HTTP{Path: "/echo?msg=x&code=500", Status: 200}), verdict.AppError, "HTTP status 500 instead of 200", false},
		{"a port that nobody listens on", byIP("TCP", 9), verdict.Rejected, "", false},
		{"a port of UDP that nobody listens on", byIP("UDP", 9), verdict.Rejected, "", false},
		{"a name that is not there", labs.Target{DNS: "nobody.protocols.svc.cluster.local"}, verdict.ProbeError, "NXDOMAIN", false},
		{"an address of IPv6", labs.Target{IP: "fd00::1", Port: 80, Protocol: "TCP"}, verdict.ProbeError, "has no IPv6 address", false},
		{"SCTP that the kernel lacks", byIP("SCTP", 8082), verdict.ProbeError, "SCTP is not available on the pod's node", hasSCTP},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if tc.skip {
				t.Skip("the kernel has it")
			}
			got, err := prober.Probe(t.Context(), []engine.Probe{{From: client, To: tc.to}})
			if err != nil {
				t.Fatal(err)
			}
			if words := got[0].Seen + got[0].Error; got[0].Verdict != tc.want || !strings.Contains(words, tc.says) {
				t.Errorf("%s (%s), want %s (…%s…)", got[0].Verdict, words, tc.want, tc.says)
			}
		})
	}
	api, err := kube.Open(clusterOf(t), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Run("tampered", func(t *testing.T) { tampered(t, eng, lab, api) })
}

// tampered grades a lab that is not as it was deployed, and that wants that reported: nothing counts but packets,
// and the pods' own tools are not used.
func tampered(t *testing.T, eng *live.Engine, lab *labs.Lab, client *kube.Client) {
	patch := []byte(`{"metadata":{"labels":{"role":"vip"}}}`)
	pods, err := client.Typed.CoreV1().Pods("protocols").List(t.Context(), metav1.ListOptions{LabelSelector: "app=client"})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods: %v", len(pods.Items), err)
	}
	if _, err := client.Typed.CoreV1().Pods("protocols").Patch(t.Context(), pods.Items[0].Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
		t.Fatal(err)
	}
	var refused *engine.Refused
	if _, err := eng.Integrity(t.Context()); !errors.As(err, &refused) {
		t.Fatalf("a tampered lab is graded: %v", err)
	}
	lab.Tampered = labs.TamperedReport
	if _, err := eng.Integrity(t.Context()); err != nil {
		t.Fatal(err)
	}
	if found := eng.Tampering(); len(found) != 1 || !strings.Contains(found[0].Message, "role=vip") {
		t.Errorf("reported: %v", found)
	}
	prober, err := eng.At(t.Context(), stateOf(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	from := labs.Source{App: "client"}
	got, err := prober.Probe(t.Context(), []engine.Probe{
		{From: from, To: labs.Target{App: "server", Via: labs.ViaIP, Port: 8080, Protocol: "TCP"}, Want: verdict.Allowed},
		{From: from, To: labs.Target{App: "server", Via: labs.ViaIP, Port: 9, Protocol: "TCP"}, Want: verdict.Denied},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got[0].Verdict != verdict.Allowed || got[1].Verdict != verdict.ProbeError {
		t.Errorf("a server that answers is %s (%s), one that refuses %s (%s): want allowed, and nothing", got[0].Verdict, got[0].Error, got[1].Verdict, got[1].Error)
	}
	if with := prober.Notes().Probers; len(with) != 1 || with[0].Prober != engine.EphemeralContainer {
		t.Errorf("probed with %+v", with)
	}
}
