//go:build e2e

package live_test

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/kube"
	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/scope"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/live"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/provision"
)

// TestAgreement puts random policies in force in a cluster and holds the verdict of every connection against the
// offline engine's. The cluster is that of $LABCTL_E2E_KUBECONFIG, made by labctl up from a lab with the external
// kubernetes.io; how many sets of policies: $LABCTL_AGREEMENT_SETS, from the seed $LABCTL_AGREEMENT_SEED.
//
// Left out, since they need an Envoy, which not every cluster has: HTTP rules.
func TestAgreement(t *testing.T) {
	kubeconfig := clusterOf(t)
	sets, seed := number(t, "LABCTL_AGREEMENT_SETS", 10), number(t, "LABCTL_AGREEMENT_SEED", 1)
	first := number(t, "LABCTL_AGREEMENT_FIRST", 0) // to look at one set again
	lab, eng, model := agreementLab(t, kubeconfig)
	flows := agreementFlows(lab)
	start := time.Now()
	sum := tally{verdicts: map[verdict.Verdict]int{}, drawn: map[string]int{}}
	if agree(t, "no policy", &engine.State{Task: "any"}, flows, eng, model, &sum) > 0 {
		t.Fatal("with no policy in force everything must work: the cluster is to be made with LABCTL_EXTERNALS=stand_in")
	}
	for n := first; n < first+sets; n++ {
		g := generator{rand: rand.New(rand.NewPCG(uint64(seed), uint64(n))), drawn: sum.drawn}
		state := g.state(t)
		if differ := agree(t, fmt.Sprintf("set %d", n), state, flows, eng, model, &sum); differ > 0 {
			t.Logf("set %d:\n%s", n, show(state))
		}
	}
	stats := eng.Stats()
	t.Logf("seed %d, sets %d to %d: %d connections compared, %d differences, in %s", seed, first, first+sets-1, sum.compared, sum.differ, time.Since(start).Round(time.Second))
	t.Logf("verdicts: %v", sum.verdicts)
	t.Logf("drawn: %v", sum.drawn)
	t.Logf("%d execs, %d bytes, %d retries, apply %s, settle %s, probe %s", stats.Execs, stats.Bytes, stats.Retries,
		stats.Applied.Round(time.Second), stats.Settled.Round(time.Second), stats.Probed.Round(time.Second))
	if sets >= 100 {
		for _, feature := range features {
			if sum.drawn[feature] == 0 {
				t.Errorf("no set has %s: this says nothing of it", feature)
			}
		}
	}
}

// clusterOf is the kubeconfig of the cluster to test on.
func clusterOf(t *testing.T) string {
	t.Helper()
	kubeconfig := os.Getenv("LABCTL_E2E_KUBECONFIG")
	if kubeconfig == "" {
		t.Fatal("LABCTL_E2E_KUBECONFIG is not set: set it to the kubeconfig of a running lab")
	}
	return kubeconfig
}

// tally is what a run of sets came to.
type tally struct {
	compared, differ int
	verdicts         map[verdict.Verdict]int
	drawn            map[string]int // features of policies → in how many of them
}

// agree holds both engines against each other at one state, and returns on how many connections they differ.
func agree(t *testing.T, name string, state *engine.State, flows []engine.Probe, eng *live.Engine, model *offline.Engine, sum *tally) int {
	t.Helper()
	modelled, err := model.At(t.Context(), state)
	if err != nil {
		t.Errorf("%s: offline: %v\n%s", name, err, show(state))
		return 0
	}
	want, err := modelled.Probe(t.Context(), flows)
	if err != nil {
		t.Fatalf("%s: offline: %v", name, err)
	}
	prober, err := eng.At(t.Context(), state)
	if err != nil {
		t.Errorf("%s: live: %v\n%s", name, err, show(state))
		return 0
	}
	got, err := prober.Probe(t.Context(), flows)
	if err != nil {
		t.Fatalf("%s: live: %v", name, err)
	}
	differ := 0
	for i := range flows {
		sum.compared++
		sum.verdicts[got[i].Verdict]++
		if got[i].Verdict == want[i].Verdict {
			continue
		}
		differ++
		why := ""
		if e, err := modelled.(engine.Explainer).Explain(t.Context(), flows[i:i+1]); err == nil && e[0].Detail != nil {
			why = strings.Join(grade.Account(e[0].Detail), " ")
		}
		t.Errorf("%s: %s → %s: live %s (%s), offline %s (%s)", name, flows[i].From, engine.TargetName(flows[i].To),
			got[i].Verdict, got[i].Seen+got[i].Error, want[i].Verdict, why)
	}
	sum.differ += differ
	return differ
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("$%s: %v", name, err)
	}
	return n
}

// agreementLab deploys the lab of the test and opens both engines on it.
func agreementLab(t *testing.T, kubeconfig string) (*labs.Lab, *live.Engine, *offline.Engine) {
	t.Helper()
	lab, diags := labs.Load(os.DirFS("testdata/agreement"), "agreement", labs.LoadOptions{})
	if lab == nil {
		t.Fatal(diags.Err())
	}
	eng, model := deployed(t, kubeconfig, lab)
	return lab, eng, model
}

// deployed deploys a lab and opens both engines on it. With the test it is taken away again.
func deployed(t *testing.T, kubeconfig string, lab *labs.Lab) (*live.Engine, *offline.Engine) {
	t.Helper()
	client, err := kube.Open(kubeconfig, "")
	if err != nil {
		t.Fatal(err)
	}
	image := os.Getenv("LABCTL_APP_IMAGE")
	if image == "" {
		image = provision.DefaultAppImage
	}
	manager := &provision.Manager{Settings: &provision.Settings{AppImage: image}}
	objs, err := manager.Deployed(lab, &provision.State{Name: lab.Name})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Apply(t.Context(), objs...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		slices.Reverse(objs)
		if err := client.Delete(ctx, objs...); err != nil {
			t.Error(err)
		}
	})
	var checks []kube.Check
	instance := live.Instance{Name: lab.Name, Scope: scope.Scope{Instance: lab.Name, Exclusive: true, Canary: scope.CanaryNamespace(true, "")}, NamespaceLabels: map[string]map[string]string{"kube-system": {}}, AppImage: image, Deployed: objs, Externals: map[string][]string{}}
	for _, ext := range lab.Externals {
		instance.Externals[ext.Name] = ext.Addrs
	}
	for _, obj := range objs {
		if obj.GetKind() == "Deployment" {
			checks = append(checks, client.Deployment(obj.GetNamespace(), obj.GetName()))
		}
	}
	for _, ns := range lab.Namespaces {
		instance.NamespaceLabels[ns.Name] = ns.Labels
	}
	if err := (kube.Waiter{Timeout: 3 * time.Minute}).Wait(t.Context(), checks...); err != nil {
		t.Fatal(err)
	}
	model, err := offline.New(lab, policy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	eng, err := live.Open(t.Context(), live.Config{Client: client, Lab: lab, Instance: instance, Model: model})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if _, err := eng.At(ctx, &engine.State{}); err != nil {
			t.Error(err)
		}
		eng.Close()
	})
	if err := eng.Canary(t.Context()); err != nil {
		t.Fatal(err)
	}
	return eng, model
}

// agreementFlows are all pairs of pods on all ports, by address; some by name; the outside, and look-ups.
func agreementFlows(lab *labs.Lab) []engine.Probe {
	var flows []engine.Probe
	for i := range lab.Apps {
		from := labs.Source{App: lab.Apps[i].Name}
		for j := range lab.Apps {
			if i == j {
				continue
			}
			for _, p := range lab.Apps[j].Ports {
				flows = append(flows, engine.Probe{From: from, To: labs.Target{App: lab.Apps[j].Name, Via: labs.ViaIP, Port: p.TargetPort, Protocol: p.Protocol}})
			}
			if (i+j)%3 == 0 {
				flows = append(flows, engine.Probe{From: from, To: labs.Target{App: lab.Apps[j].Name, Via: labs.ViaService, Port: lab.Apps[j].Ports[0].Port}})
			}
		}
		flows = append(flows,
			engine.Probe{From: from, To: labs.Target{External: "internet", Via: labs.ViaIP, Port: 443}},
			engine.Probe{From: from, To: labs.Target{External: "internet", Port: 443}},
			engine.Probe{From: from, To: labs.Target{DNS: "kubernetes.io"}},
			engine.Probe{From: from, To: labs.Target{DNS: "kubernetes.io", Protocol: "TCP"}},
			engine.Probe{From: from, To: labs.Target{App: lab.Apps[(i+1)%len(lab.Apps)].Name, Via: labs.ViaIP, Protocol: "ICMP"}},
			engine.Probe{From: from, To: labs.Target{App: lab.Apps[(i+4)%len(lab.Apps)].Name, Via: labs.ViaIP, Protocol: "ICMP"}},
		)
	}
	for i := range flows {
		if flows[i].To.Port != 0 && flows[i].To.App != "" && flows[i].To.Protocol == "" {
			flows[i].To.Protocol = "TCP"
		}
	}
	return flows
}

func show(s *engine.State) string {
	var b strings.Builder
	for _, o := range s.Policies {
		fmt.Fprintf(&b, "%s\n", o.JSON)
	}
	labels, _ := json.Marshal(s.NamespaceLabels)
	fmt.Fprintf(&b, "namespaces: %s\n", labels)
	return b.String()
}

// generator draws policies. Choices are narrow, so that rules hit often.
type generator struct {
	rand  *rand.Rand
	drawn map[string]int
}

// features are what a run of many sets must have drawn, by words of the policies' JSON that stand for them.
var features = []string{
	"NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "ingress", "egress", "ingressDeny", "egressDeny",
	"podSelector", "namespaceSelector", "ipBlock", "except", "endPort", "named port", "fromEndpoints", "toEndpoints", "fromEntities", "toEntities",
	"fromCIDR", "toCIDR", "fromCIDRSet", "toCIDRSet", "toFQDNs", "dns", "icmps", "enableDefaultDeny", "namespace labels",
}

// note counts what a policy has.
func (g *generator) note(kind string, data []byte) {
	g.drawn[kind]++
	for _, feature := range features {
		if strings.Contains(string(data), fmt.Sprintf("%q:", feature)) {
			g.drawn[feature]++
		}
	}
	if strings.Contains(string(data), `"port":"http"`) {
		g.drawn["named port"]++
	}
}

type m = map[string]any

func pick[T any](g *generator, from ...T) T { return from[g.rand.IntN(len(from))] }

func (g *generator) chance(percent int) bool { return g.rand.IntN(100) < percent }

func (g *generator) state(t *testing.T) *engine.State {
	t.Helper()
	state := &engine.State{Task: "any", NamespaceLabels: map[string]map[string]string{}}
	var files []manifest.File
	for i := range 1 + g.rand.IntN(4) {
		var obj m
		name := fmt.Sprintf("p%d", i)
		switch pick(g, 0, 0, 0, 1, 1, 1, 2) {
		case 0:
			obj = g.networkPolicy(name)
		case 1:
			obj = g.ciliumPolicy("CiliumNetworkPolicy", name)
		default:
			obj = g.ciliumPolicy("CiliumClusterwideNetworkPolicy", name)
		}
		data, err := json.Marshal(obj)
		if err != nil {
			t.Fatal(err)
		}
		g.note(obj["kind"].(string), data)
		files = append(files, manifest.File{Name: name + ".yaml", Data: data})
	}
	objs, problems := manifest.Parse(files, manifest.Limits{})
	if err := problems.Err(); err != nil {
		t.Fatalf("the generator's own fault: %v", err)
	}
	state.Policies = objs
	if g.chance(30) {
		state.NamespaceLabels[pick(g, "red", "green", "blue")] = map[string]string{"team": pick(g, "red", "blue"), "purpose": "dns"}
	}
	if g.chance(20) {
		state.NamespaceLabels["kube-system"] = map[string]string{"purpose": "dns"}
	}
	if len(state.NamespaceLabels) > 0 {
		g.drawn["namespace labels"]++
	}
	return state
}

func (g *generator) labels() m {
	switch g.rand.IntN(4) {
	case 0:
		return m{}
	case 1:
		return m{"matchLabels": m{"app": pick(g, "web", "api", "db")}}
	case 2:
		return m{"matchLabels": m{"tier": pick(g, "front", "back")}}
	}
	return m{"matchExpressions": []any{m{"key": "app", "operator": pick(g, "In", "NotIn"), "values": []any{pick(g, "web", "api", "db")}}}}
}

func (g *generator) namespaces() m {
	return pick(g, m{}, m{"matchLabels": m{"team": pick(g, "red", "green", "blue")}}, m{"matchLabels": m{"zone": pick(g, "inner", "outer")}},
		m{"matchLabels": m{"purpose": "dns"}}, m{"matchLabels": m{"kubernetes.io/metadata.name": pick(g, "red", "blue", "kube-system")}})
}

func (g *generator) networkPolicy(name string) m {
	spec := m{"podSelector": g.labels()}
	var types []any
	if g.chance(65) {
		types = append(types, "Ingress")
		spec["ingress"] = g.rules("from")
	}
	if g.chance(50) || len(types) == 0 {
		types = append(types, "Egress")
		spec["egress"] = g.rules("to")
	}
	if g.chance(80) {
		spec["policyTypes"] = types
	}
	return m{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": m{"name": name, "namespace": pick(g, "red", "green", "blue")}, "spec": spec}
}

func (g *generator) rules(peers string) []any {
	rules := []any{}
	for range g.rand.IntN(3) {
		rule := m{}
		if g.chance(85) {
			var list []any
			for range 1 + g.rand.IntN(2) {
				peer := m{}
				switch g.rand.IntN(4) {
				case 0:
					peer["podSelector"] = g.labels()
				case 1:
					peer["namespaceSelector"] = g.namespaces()
				case 2:
					peer["podSelector"], peer["namespaceSelector"] = g.labels(), g.namespaces()
				default:
					peer["ipBlock"] = g.block()
				}
				list = append(list, peer)
			}
			rule[peers] = list
		}
		if g.chance(60) {
			rule["ports"] = []any{pick(g, m{"port": 8080}, m{"port": "http"}, m{"port": 8080, "endPort": 9000}, m{"protocol": "UDP", "port": 8081},
				m{"protocol": "UDP", "port": 53}, m{"port": 9090, "protocol": "TCP"}, m{"protocol": "UDP"}, m{"port": 443}, m{"port": 8000, "endPort": 9999})}
			if peers == "to" && g.chance(30) {
				rule["ports"] = append(rule["ports"].([]any), m{"protocol": "UDP", "port": 53})
			}
		}
		rules = append(rules, rule)
	}
	return rules
}

func (g *generator) block() m {
	return pick(g, m{"cidr": "0.0.0.0/0"}, m{"cidr": "203.0.113.0/24"}, m{"cidr": "10.0.0.0/8"},
		m{"cidr": "0.0.0.0/0", "except": []any{"203.0.113.0/24"}}, m{"cidr": "192.0.2.0/24"})
}

func (g *generator) ciliumPolicy(kind, name string) m {
	spec := m{"endpointSelector": g.labels()}
	meta := m{"name": name}
	if kind == "CiliumNetworkPolicy" {
		meta["namespace"] = pick(g, "red", "green", "blue")
	} else {
		// Not the whole cluster: what keeps it going is to be left alone.
		spec["endpointSelector"] = m{"matchLabels": m{"k8s:io.kubernetes.pod.namespace": pick(g, "red", "green", "blue"), "app": pick(g, "web", "api", "db")}}
	}
	ingress, egress := g.chance(60), g.chance(50)
	if ingress || !egress {
		spec[pick(g, "ingress", "ingress", "ingressDeny")] = g.ciliumRules("from")
	}
	if egress {
		section := pick(g, "egress", "egress", "egressDeny")
		rules := g.ciliumRules("to")
		if section == "egress" && g.chance(30) {
			rules = append(rules, g.names()...)
		}
		spec[section] = rules
	}
	if g.chance(15) {
		spec["enableDefaultDeny"] = m{pick(g, "ingress", "egress"): g.chance(50)}
	}
	return m{"apiVersion": "cilium.io/v2", "kind": kind, "metadata": meta, "spec": spec}
}

// names lets names be looked up, and perhaps one of them be reached.
func (g *generator) names() []any {
	dns := m{
		"toEndpoints": []any{m{"matchLabels": m{"k8s:io.kubernetes.pod.namespace": "kube-system", "k8s-app": "kube-dns"}}},
		"toPorts":     []any{m{"ports": []any{m{"port": "53", "protocol": "ANY"}}, "rules": m{"dns": []any{m{"matchPattern": pick(g, "*", "*.io", "*.cluster.local")}}}}},
	}
	if g.chance(40) {
		return []any{dns}
	}
	return []any{dns, m{"toFQDNs": []any{pick(g, m{"matchName": "kubernetes.io"}, m{"matchPattern": "*.io"}, m{"matchName": "example.com"})}}}
}

func (g *generator) ciliumRules(side string) []any {
	rules := []any{}
	for range 1 + g.rand.IntN(2) {
		rule := m{}
		endpoints := side + "Endpoints"
		switch g.rand.IntN(8) {
		case 0, 1:
			rule[endpoints] = []any{g.labels()}
		case 5:
			rule[endpoints] = []any{m{"matchLabels": m{"k8s:io.cilium.k8s.namespace.labels." + pick(g, "team", "zone"): pick(g, "red", "blue", "inner", "outer")}}}
		case 6:
			if g.chance(60) {
				rule["icmps"] = []any{m{"fields": []any{m{"family": "IPv4", "type": 8}}}}
				rules = append(rules, rule)
				continue
			}
		case 2:
			rule[endpoints] = []any{m{"matchLabels": m{"k8s:io.kubernetes.pod.namespace": pick(g, "red", "green", "blue"), "app": pick(g, "web", "api", "db")}}}
		case 3:
			rule[side+"Entities"] = []any{pick(g, "all", "cluster", "world", "host", "remote-node")}
		case 4:
			if g.chance(50) {
				rule[side+"CIDR"] = []any{pick(g, "203.0.113.0/24", "0.0.0.0/0", "10.0.0.0/8", "203.0.113.1/32")}
			} else {
				rule[side+"CIDRSet"] = []any{g.block()}
			}
		}
		if len(rule) == 0 || g.chance(50) {
			rule["toPorts"] = []any{m{"ports": []any{pick(g, m{"port": "8080", "protocol": "TCP"}, m{"port": "http", "protocol": "TCP"}, m{"port": "8080", "endPort": 9500, "protocol": "TCP"},
				m{"port": "8081", "protocol": "UDP"}, m{"port": "9090"}, m{"port": "53", "protocol": "UDP"}, m{"port": "443", "protocol": "TCP"})}}}
		}
		rules = append(rules, rule)
	}
	return rules
}
