package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"
)

func TestGenerateIsDeterministic(t *testing.T) {
	for i := range 20 {
		seed := caseSeed(7, i)
		a, b := writeCase(t, Generate(seed, 30)), writeCase(t, Generate(seed, 30))
		for name, text := range a {
			if !bytes.Equal(text, b[name]) {
				t.Fatalf("case %016x: %s differs between two runs", seed, name)
			}
		}
	}
	if caseSeed(1, 0) == caseSeed(2, 0) || caseSeed(1, 0) == caseSeed(1, 1) {
		t.Error("two cases have the same seed")
	}
}

func writeCase(t *testing.T, c *Case) map[string][]byte {
	t.Helper()
	dir := t.TempDir()
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	out := map[string][]byte{}
	for _, name := range []string{manifestsFile, policiesFile, probesFile} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		out[name] = text
	}
	return out
}

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	dir := t.TempDir()
	want := Generate(caseSeed(1, 1), 10)
	if err := want.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := ReadCase(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2][]object{{want.Cluster, got.Cluster}, {want.Policies, got.Policies}} {
		a, errA := yaml.Marshal(pair[0])
		b, errB := yaml.Marshal(pair[1])
		if errA != nil || errB != nil || !bytes.Equal(a, b) {
			t.Errorf("read back %s\nwant %s", b, a)
		}
	}
	if len(got.Probes.Probes) != 10 {
		t.Errorf("%d probes, want 10", len(got.Probes.Probes))
	}
}

// Cilium must take what the generator means to be valid, and its verdicts must be mixed: a generator
// whose probes are all allowed would prove nothing.
func TestGeneratedCasesAreValidAndMixed(t *testing.T) {
	cov := newCoverage()
	spoilt := 0
	for i := range 60 {
		c := Generate(caseSeed(3, i), 60)
		f, err := newFull(c)
		if c.Invalid != "" {
			spoilt++
			continue
		}
		if err != nil {
			t.Fatalf("case %016x: %v", c.Seed, err)
		}
		for j := range c.Probes.Probes {
			want, err := f.Judge(&c.Probes.Probes[j])
			if err != nil {
				t.Fatalf("case %016x: %v", c.Seed, err)
			}
			cov.count(&c.Probes.Probes[j], want)
		}
	}
	if spoilt == 0 {
		t.Error("no policy was spoilt")
	}
	for _, v := range []string{allowed, dropped} {
		if share := float64(cov.verdicts[v]) / float64(cov.probes); share < 0.2 {
			t.Errorf("only %.0f %% of the probes are %s", 100*share, v)
		}
	}
	for _, v := range []string{appError, rejected, dnsFailed} {
		if cov.verdicts[v] == 0 {
			t.Errorf("no probe is %s", v)
		}
	}
}

// The verdicts that everything else rests on, by hand.
func TestCiliumsVerdicts(t *testing.T) {
	const cluster = `
- {apiVersion: v1, kind: Namespace, metadata: {name: default, labels: {env: prod}}}
- {apiVersion: v1, kind: Node, metadata: {name: node-1}, status: {addresses: [{type: InternalIP, address: 172.18.0.2}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: web, namespace: default, labels: {app: web}}, spec: {nodeName: node-1, containers: [{name: c, ports: [{name: http, containerPort: 8080}]}]}, status: {podIPs: [{ip: 10.0.0.1}]}}
- {apiVersion: v1, kind: Pod, metadata: {name: db, namespace: default, labels: {app: db}}, spec: {nodeName: node-1, containers: [{name: c}]}, status: {podIPs: [{ip: 10.0.0.2}]}}
`
	networkPolicy := func(spec string) string {
		return `[{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: p, namespace: default}, spec: ` + spec + `}]`
	}
	ciliumPolicy := func(spec string) string {
		return `[{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: p, namespace: default}, spec: ` + spec + `}]`
	}
	toWeb := Probe{From: "default/db", To: "default/web", Port: 8080}
	with := func(p Probe, change func(*Probe)) Probe { change(&p); return p }
	tests := []struct {
		name, policies string
		probe          Probe
		want           string
	}{
		{"no policy", `[]`, toWeb, allowed},
		{"default deny", networkPolicy(`{podSelector: {}}`), toWeb, dropped},
		{"default deny lets the own node in", networkPolicy(`{podSelector: {}}`), with(toWeb, func(p *Probe) { p.From = "node:node-1" }), allowed},
		{"default deny keeps another node out", networkPolicy(`{podSelector: {}}`), with(toWeb, func(p *Probe) { p.From = "entity:remote-node" }), dropped},
		{"named port", networkPolicy(`{podSelector: {}, ingress: [{ports: [{port: http}]}]}`), toWeb, allowed},
		{"named port, other port", networkPolicy(`{podSelector: {}, ingress: [{ports: [{port: http}]}]}`), with(toWeb, func(p *Probe) { p.Port = 80 }), dropped},
		{"ipBlock selects no pod", networkPolicy(`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}`), toWeb, dropped},
		{"ipBlock", networkPolicy(`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 8.8.8.0/24}}]}]}`), with(toWeb, func(p *Probe) { p.From = "ip:8.8.8.8" }), allowed},
		{"except", networkPolicy(`{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 8.8.8.0/24, except: [8.8.8.8/32]}}]}]}`), with(toWeb, func(p *Probe) { p.From = "ip:8.8.8.8" }), dropped},
		{"deny beats allow", ciliumPolicy(`{endpointSelector: {}, ingress: [{fromEntities: [all]}], ingressDeny: [{fromEndpoints: [{matchLabels: {app: db}}]}]}`), toWeb, dropped},
		{"an empty rule allows nobody", ciliumPolicy(`{endpointSelector: {}, ingress: [{}]}`), toWeb, dropped},
		{"default deny switched off", ciliumPolicy(`{endpointSelector: {}, enableDefaultDeny: {ingress: false}, ingress: [{}]}`), toWeb, allowed},
		{"HTTP path", ciliumPolicy(`{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "8080", protocol: TCP}], rules: {http: [{path: /a}]}}]}]}`), with(toWeb, func(p *Probe) { p.HTTP = &HTTPProbe{Path: "/a"} }), allowed},
		{"HTTP path matches whole", ciliumPolicy(`{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "8080", protocol: TCP}], rules: {http: [{path: /a}]}}]}]}`), with(toWeb, func(p *Probe) { p.HTTP = &HTTPProbe{Path: "/ab"} }), appError},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c := &Case{Probes: ProbeFile{Probes: []Probe{test.probe}}}
			if err := errors.Join(yaml.Unmarshal([]byte(cluster), &c.Cluster), yaml.Unmarshal([]byte(test.policies), &c.Policies)); err != nil {
				t.Fatal(err)
			}
			f, err := newFull(c)
			if err != nil {
				t.Fatal(err)
			}
			got, err := f.Judge(&test.probe)
			if err != nil {
				t.Fatal(err)
			}
			if got.verdict != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}

func TestAcceptRefusesMistakes(t *testing.T) {
	taken := 0
	for i := range 300 {
		g := newGenerator(caseSeed(5, i))
		g.cluster()
		c := &Case{Policies: []object{pick(g, []object{g.networkPolicy("p"), g.ciliumPolicy("p", false), g.clusterPolicy("p", 1)})}}
		spec, ok := c.Policies[0]["spec"].(object)
		if !ok {
			continue
		}
		what := g.mistake(kindOf(c.Policies[0]), spec)
		if _, err := newFull(c); err == nil {
			taken++ // some mistakes are none: "cidr with host bits" before Kubernetes 1.36
			t.Logf("taken: %s", what)
		} else if !errors.Is(err, errRefused) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if taken > 60 {
		t.Errorf("%d of 300 mistakes were taken: the mistakes are none, or nothing is checked", taken)
	}
}

func TestShrinkKeepsTheDifferenceAlone(t *testing.T) {
	c := Generate(caseSeed(1, 2), 5)
	want := nameOf(c.Policies[len(c.Policies)-1])
	small := shrink(c, 5000, func(c *Case) bool {
		for _, obj := range c.Policies {
			if nameOf(obj) == want {
				return true
			}
		}
		return false
	})
	if len(small.Policies) != 1 || nameOf(small.Policies[0]) != want {
		t.Errorf("%d policies are left, want only %s", len(small.Policies), want)
	}
	if text := mustText(small.Policies[0]); strings.Contains(text, "egress") || strings.Contains(text, "ingress") {
		t.Errorf("rules are left: %s", text)
	}
	if len(c.Policies) < 2 {
		t.Error("the original was changed, or is no example")
	}
}
