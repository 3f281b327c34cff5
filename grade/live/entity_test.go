package live

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/probe"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

const nodesAndAPI = `
{apiVersion: v1, kind: Pod, metadata: {name: near, namespace: default, labels: {app: near}}, spec: {nodeName: shop-worker, containers: [{name: app, image: web}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: shop-control-plane}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}, {type: Hostname, address: shop-control-plane}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: shop-worker}, status: {addresses: [{type: InternalIP, address: 172.18.0.3}]}}
---
{apiVersion: v1, kind: Node, metadata: {name: shop-worker2}, status: {addresses: [{type: InternalIP, address: 172.18.0.4}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: kubernetes, namespace: default}, spec: {clusterIP: 10.96.0.1, ports: [{port: 443, targetPort: 6443}]}}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: kubernetes, namespace: default, labels: {kubernetes.io/service-name: kubernetes}}, addressType: IPv4, endpoints: [{addresses: [172.18.0.2]}], ports: [{name: https, port: 6443}]}
---
{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: other, namespace: default, labels: {kubernetes.io/service-name: other}}, addressType: IPv4, endpoints: [{addresses: [10.0.0.9]}], ports: [{port: 80}]}
`

// TestConnections: what an end stands for is every node, name and address of it.
func TestConnections(t *testing.T) {
	t.Parallel()
	e, api := probing(t)
	api.Add(nodesAndAPI)
	e.cfg.Lab.Apps = append(e.cfg.Lab.Apps, labs.App{Name: "near", Namespace: "default", Labels: map[string]string{"app": "near"}})
	e.cfg.Lab.Externals = []labs.External{
		{Name: "partner", Host: "a.example", MoreHosts: []string{"any.b.example"}, Addrs: []string{"198.51.100.7", "198.51.100.8"}, Port: 443},
		{Name: "real", Host: "c.example", Addrs: []string{"203.0.113.1"}, Port: 443},
		{Name: "office", CIDR: "192.0.2.0/24", Addrs: []string{"192.0.2.7", "192.0.2.8"}, Port: 22},
	}
	e.cfg.Instance.Externals = map[string][]string{"real": {"8.8.8.8"}}
	topology := e.testProber(t).topology
	topology.learn = true
	pod := topology.apps["near"].pods[0].Status.PodIP

	near := labs.Source{App: "near"}
	target := func(e labs.Entity, via labs.Via, port int) labs.Target {
		return labs.Target{Entity: e, Via: via, Port: port}
	}
	web := labs.Target{App: "near", Via: labs.ViaIP, Port: 8080}
	for _, tc := range []struct {
		from labs.Source
		to   labs.Target
		want string // connections, or the beginning of the error
	}{
		{near, target(labs.EntityHost, labs.ViaIP, 10250), "default/near 172.18.0.3:10250 at node shop-worker"},
		{near, target(labs.EntityRemoteNode, labs.ViaIP, 22), "default/near 172.18.0.2:22 at node shop-control-plane, default/near 172.18.0.4:22 at node shop-worker2"},
		{near, target(labs.EntityAPIServer, labs.ViaIP, 0), "default/near 172.18.0.2:6443 at 172.18.0.2"},
		{near, target(labs.EntityAPIServer, labs.ViaIP, 10250), "default/near 172.18.0.2:10250 at 172.18.0.2"},
		{near, target(labs.EntityAPIServer, labs.ViaCluster, 443), "default/near 10.96.0.1:443"},
		{near, target(labs.EntityAPIServer, labs.ViaService, 443), "default/near kubernetes.default.svc.cluster.local:443"},
		{labs.Source{Entity: labs.EntityHost}, web, "node shop-worker " + pod + ":8080 at node shop-worker"},
		{labs.Source{Entity: labs.EntityRemoteNode}, web, "node shop-control-plane " + pod + ":8080 at node shop-control-plane, node shop-worker2 " + pod + ":8080 at node shop-worker2"},
		{labs.Source{Entity: labs.EntityAPIServer}, web, "node shop-control-plane " + pod + ":8080 at node shop-control-plane"},
		{labs.Source{Entity: labs.EntityHost}, labs.Target{App: "near", Port: 80}, "a connection from entity host goes to the pods"},
		{labs.Source{Node: "worker"}, target(labs.EntityHost, labs.ViaIP, 22), "which node the entity host is depends on the pod"},
		{near, labs.Target{External: "partner", Port: 443},
			"default/near a.example:443 at a.example, default/near 198.51.100.7:443 at 198.51.100.7 learns a.example, default/near 198.51.100.8:443 at 198.51.100.8 learns a.example, " +
				"default/near any.b.example:443 at any.b.example, default/near 198.51.100.7:443 at 198.51.100.7 learns any.b.example, default/near 198.51.100.8:443 at 198.51.100.8 learns any.b.example"},
		{near, labs.Target{External: "real", Port: 443}, "default/near c.example:443 at c.example"},
		{near, labs.Target{External: "real", Port: 443, Via: labs.ViaIP}, "default/near 8.8.8.8:443 at 8.8.8.8 learns c.example"},
		{near, labs.Target{External: "office", Port: 22, Via: labs.ViaIP}, "default/near 192.0.2.7:22 at 192.0.2.7, default/near 192.0.2.8:22 at 192.0.2.8"},
		{near, labs.Target{External: "office", IP: "192.0.2.99", Port: 22}, "default/near 192.0.2.99:22"},
	} {
		connections, err := topology.resolve(engine.Probe{From: tc.from, To: tc.to})
		if err != nil {
			if !strings.HasPrefix(err.Error(), tc.want) {
				t.Errorf("%s to %s: %v", tc.from, tc.to, err)
			}
			continue
		}
		var got []string
		for _, c := range connections {
			text := fmt.Sprint(c.from, " ", c.to)
			if c.at != "" {
				text += " at " + c.at
			}
			if c.to.Learn != "" {
				text += " learns " + strings.TrimSuffix(c.to.Learn, ".")
			}
			got = append(got, text)
		}
		if all := strings.Join(got, ", "); all != tc.want {
			t.Errorf("%s to %s:\n%s\nwant\n%s", tc.from, tc.to, all, tc.want)
		}
	}
}

// TestOutcomeOfSeveral: one that misses is enough, and the addresses of a name that does not resolve do not count.
func TestOutcomeOfSeveral(t *testing.T) {
	t.Parallel()
	e, _ := probing(t)
	p := e.testProber(t)
	p.engine.unseen = fmt.Errorf("Hubble is off")
	name := func(host string, v verdict.Verdict) connection {
		c := connection{to: probe.Probe{Host: host, Port: 443}, at: host}
		p.seen[keyOf(c)] = probe.Result{Verdict: v}
		return c
	}
	address := func(addr string, v verdict.Verdict) connection {
		c := name(addr, v)
		c.named = true
		return c
	}
	resolved, unresolved := name("a.example.", verdict.Allowed), name("b.example.", verdict.DNSFailed)
	open, shut := address("192.0.2.1", verdict.Allowed), address("192.0.2.2", verdict.Dropped)
	for _, tc := range []struct {
		name        string
		want, found verdict.Verdict
		at          string
		all         []verdict.Verdict
		attempts    []connection
	}{
		{"all are alike", verdict.Allowed, verdict.Allowed, "a.example.", nil, []connection{resolved, open}},
		{"one address is shut", verdict.Allowed, verdict.Dropped, "192.0.2.2", []verdict.Verdict{verdict.Allowed, verdict.Dropped}, []connection{resolved, open, shut}},
		{"one address is open", verdict.Denied, verdict.Allowed, "192.0.2.1", []verdict.Verdict{verdict.Dropped, verdict.Allowed}, []connection{shut, open}},
		{"addresses of a name that does not resolve", verdict.DNSFailed, verdict.DNSFailed, "b.example.", nil, []connection{unresolved, open, shut}},
		{"one name does not resolve", verdict.Allowed, verdict.DNSFailed, "b.example.", []verdict.Verdict{verdict.Allowed, verdict.DNSFailed}, []connection{resolved, open, unresolved, shut}},
	} {
		got := p.outcome(engine.Probe{Want: tc.want}, tc.attempts)
		if got.Verdict != tc.found || got.At != tc.at || !slices.Equal(got.Verdicts, tc.all) {
			t.Errorf("%s: %s at %q, %v", tc.name, got.Verdict, got.At, got.Verdicts)
		}
	}
}
