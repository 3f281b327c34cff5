package policy_test

import (
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
)

func podNames(c *policy.Cluster) string {
	var names []string
	for _, p := range c.Pods() {
		names = append(names, p.Namespace+"/"+p.Name)
	}
	return strings.Join(names, " ")
}

func newCluster(t *testing.T, cfg policy.Config, yaml string) *policy.Cluster {
	t.Helper()
	c, problems := policy.NewCluster(parse(t, yaml), cfg)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPodsOfWorkloads(t *testing.T) {
	t.Parallel()
	const spec = `template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: x, ports: [{containerPort: 80}]}]}}`
	nodes := "apiVersion: v1\nkind: Node\nmetadata: {name: cp, labels: {node-role.kubernetes.io/control-plane: \"\"}}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: w1}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: w2}\n---\n"
	for _, c := range []struct{ name, yaml, want string }{
		{"deployment", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {selector: {matchLabels: {app: x}}, " + spec + "}", "default/d"},
		{"replicas", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d, namespace: ns}\nspec: {replicas: 2, selector: {matchLabels: {app: x}}, " + spec + "}", "ns/d-1 ns/d-2"},
		{"none", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {replicas: 0, selector: {matchLabels: {app: x}}, " + spec + "}", ""},
		{"stateful set", "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec: {replicas: 2, selector: {matchLabels: {app: x}}, " + spec + "}", "default/s-0 default/s-1"},
		{"daemon set without nodes", "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: ds}\nspec: {selector: {matchLabels: {app: x}}, " + spec + "}", "default/ds"},
		{"daemon set", nodes + "apiVersion: apps/v1\nkind: DaemonSet\nmetadata: {name: ds}\nspec: {selector: {matchLabels: {app: x}}, " + spec + "}", "default/ds-cp default/ds-w1 default/ds-w2"},
		{"job", "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {parallelism: 3, completions: 2, " + strings.Replace(spec, "containers:", "restartPolicy: Never, containers:", 1) + "}", "default/j-1 default/j-2"},
		{
			"a dump of a cluster has the pods already",
			"apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec: {selector: {matchLabels: {app: x}}, " + spec + "}\n---\n" +
				"apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: d-5f, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: u}]}\nspec: {selector: {matchLabels: {app: x}}, " + spec + "}\n---\n" +
				"apiVersion: v1\nkind: Pod\nmetadata: {name: d-5f-abc, labels: {app: x}, ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: d-5f, uid: u}]}\nspec: {containers: [{name: c, image: x}]}",
			"default/d-5f-abc",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := podNames(newCluster(t, policy.Config{}, c.yaml)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestPlacement(t *testing.T) {
	t.Parallel()
	c := newCluster(t, policy.Config{IPv6: true}, "apiVersion: v1\nkind: Node\nmetadata: {name: cp, labels: {node-role.kubernetes.io/control-plane: \"\"}}\n---\napiVersion: v1\nkind: Node\nmetadata: {name: w1}\n---\n"+
		"apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: c, image: x}]}\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: b}\nspec: {nodeName: cp, hostNetwork: true, containers: [{name: c, image: x}]}")
	pods := c.Pods()
	if pods[0].Node != "w1" || pods[1].Node != "cp" {
		t.Errorf("pods are on %s and %s; want w1 (a worker) and cp", pods[0].Node, pods[1].Node)
	}
	if ips := pods[0].IPs; len(ips) != 2 || !ips[0].Is4() || !ips[1].Is6() {
		t.Errorf("pod a has %v; want an address of each family", ips)
	}
	if len(pods[1].IPs) != 1 || pods[1].IPs[0].String() != "172.18.0.2" {
		t.Errorf("pod b has %v; want its node's address", pods[1].IPs)
	}
}

func TestClusterProblems(t *testing.T) {
	t.Parallel()
	pod := func(name, rest string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + "}\nspec: {containers: [{name: c, image: x}]}\n" + rest
	}
	for _, c := range []struct{ name, yaml, want string }{
		{"two pods of one address", pod("a", "status: {podIP: 10.0.0.1}\n---\n") + pod("b", "status: {podIP: 10.0.0.1}"), "test.yaml:11: Pod default/b: status.podIP: the pods default/a and default/b both have the address 10.0.0.1"},
		{"two pods of one name", pod("a", "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: x}]}}}"), "there is another pod default/a (of a Pod)"},
		{"too many pods", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {replicas: 1000000, selector: {matchLabels: {app: x}}, template: {metadata: {labels: {app: x}}, spec: {containers: [{name: c, image: x}]}}}", "1000000 pods are too many"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster, problems := policy.NewCluster(parse(t, c.yaml), policy.Config{})
			if cluster != nil || !strings.Contains(problems.Error(), c.want) {
				t.Errorf("got %v, want %q", problems, c.want)
			}
		})
	}
}

func TestWithSystem(t *testing.T) {
	t.Parallel()
	c := newCluster(t, policy.Config{}, shop)
	if c.HasDNS() {
		t.Fatal("the cluster has DNS before WithSystem")
	}
	s := c.WithSystem()
	if !s.HasDNS() || !strings.Contains(podNames(s), "kube-system/coredns-1 kube-system/coredns-2") {
		t.Errorf("WithSystem gives %s", podNames(s))
	}
	if s.WithSystem() != s {
		t.Error("a second WithSystem changes the cluster")
	}
	if strings.Contains(podNames(c), "coredns") {
		t.Error("WithSystem changed the original")
	}
}

func TestWithNamespaceLabels(t *testing.T) {
	t.Parallel()
	c := newCluster(t, policy.Config{}, shop)
	labelled := c.WithNamespaceLabels(map[string]map[string]string{"other": {"purpose": "test"}, "missing": {"a": "b"}})
	p, problems := policy.Compile(parse(t, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: test, team: blue}}}]}]}`)[0], policy.Config{})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, x := range []struct {
		c    *policy.Cluster
		want verdict.Verdict
	}{{c, verdict.Dropped}, {labelled, verdict.Allowed}} {
		r, err := policy.New(x.c, []*policy.Policy{p}, nil).Evaluate(policy.Probe{From: "other/client", To: "default/db", Port: 1})
		if err != nil || r.Verdict != x.want {
			t.Errorf("got %s, %v; want %s", r.Verdict, err, x.want)
		}
	}
	if got := labelled.Namespaces()["other"]; got["purpose"] != "test" || got["team"] != "blue" || got["kubernetes.io/metadata.name"] != "other" {
		t.Errorf("namespace other has %v", got)
	}
	if c.WithNamespaceLabels(map[string]map[string]string{"other": {"team": "blue"}}) != c {
		t.Error("labels that are there already make another cluster")
	}
}

func TestProbeErrors(t *testing.T) {
	t.Parallel()
	e := engine(t, policy.Config{}, nil, shop)
	icmp := 300
	for _, c := range []struct {
		probe policy.Probe
		want  string
	}{
		{policy.Probe{From: "default/wep", To: "default/db", Port: 1}, `from: there is no pod "default/wep" in the cluster (did you mean "default/web"?)`},
		{policy.Probe{From: "default/web", To: "svc:default/x", Port: 1}, `there is no service "default/x"`},
		{policy.Probe{From: "svc:default/x", To: "default/web", Port: 1}, "a connection cannot start at"},
		{policy.Probe{From: "default/web", To: "default/db"}, "port: 0 is not from 1 to 65535"},
		{policy.Probe{From: "default/web", To: "default/db", Port: 70000}, "port: 70000"},
		{policy.Probe{From: "default/web", To: "default/db", Port: 1, Protocol: "GRE"}, `protocol: "GRE"`},
		{policy.Probe{From: "default/web", To: "default/db", ICMPType: &icmp}, "icmp_type: 300"},
		{policy.Probe{From: "ip:1.2.3", To: "default/db", Port: 1}, `"1.2.3" is not an IP address`},
		{policy.Probe{From: "node:nx", To: "default/db", Port: 1}, `there is no node "nx" in the cluster (did you mean "n1"?)`},
		{policy.Probe{From: "entity:all", To: "default/db", Port: 1}, "not one of the entities"},
		{policy.Probe{From: "thing:x", To: "default/db", Port: 1}, "is not one of ip:"},
	} {
		if _, err := e.Evaluate(c.probe); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.probe, err, c.want)
		}
	}
}
