package policy_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// FuzzCompile feeds policies as students write them: whatever they are, they are compiled or refused, and
// what is compiled can be evaluated, explained and proved about.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{
		np("p", `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80, endPort: 90}]}]}`),
		cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: "/a.*", headers: ["X 1"]}]}}]}]}`),
		cnp("p", `{endpointSelector: {}, egress: [{toFQDNs: [{matchPattern: "*.a"}]}, {toServices: [{k8sService: {serviceName: x}}]}, {icmps: [{fields: [{type: 8}]}]}]}`),
		kcnp("p", `{tier: Admin, priority: 1, subject: {namespaces: {}}, egress: [{action: Pass, to: [{networks: ["::/0"]}], protocols: [{tcp: {destinationPort: {number: 1}}}]}]}`),
		"apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: g}\nspec: {externalCIDRs: [1.2.3.4/32]}",
	} {
		f.Add(seed)
	}
	objs := parse(f, shopServices+dnsPods)
	c, problems := policy.NewCluster(objs, policy.Config{})
	if len(problems) > 0 {
		f.Fatal(problems)
	}
	probes := []policy.Probe{
		{From: "default/web", To: "svc:default/db", Port: 80, HTTP: &policy.HTTPProbe{}},
		{From: "ip:1.2.3.4", To: "default/db", Port: 80},
		{From: "default/db", To: "fqdn:x.a", Port: 443, TLSSNI: "x.a"},
		{From: "entity:host", To: "default/web", Protocol: "ICMPv6"},
	}
	f.Fuzz(func(t *testing.T, yaml string) {
		objs, _ := manifest.Parse([]manifest.File{{Name: "f.yaml", Data: []byte(yaml)}}, manifest.Limits{})
		var policies []*policy.Policy
		for _, o := range objs {
			if p, problems := policy.Compile(o, policy.Config{}); len(problems) == 0 {
				policies = append(policies, p)
			}
		}
		if len(policies) == 0 {
			return
		}
		e := policy.New(c, policies, map[string][]string{"x.a": {"5.5.5.5"}})
		for _, p := range probes {
			if _, err := e.Explain(p); err != nil {
				t.Fatalf("%+v: %v", p, err)
			}
		}
		if _, err := e.Prove(policy.Reach{To: []string{"default/db"}}); err != nil {
			t.Fatal(err)
		}
	})
}
