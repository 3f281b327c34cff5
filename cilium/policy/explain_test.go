package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
)

// near lists the near misses of the side that refuses, nearest first: "MISMATCH RULE:LINE WHY".
func near(r policy.Result) []string {
	if r.DNS != nil {
		return near(*r.DNS)
	}
	for _, s := range []*policy.Side{r.Egress, r.Ingress} {
		if s != nil && s.Verdict != verdict.Allowed {
			var list []string
			for _, n := range s.Near {
				list = append(list, fmt.Sprintf("%s %s:%d %s", n.Mismatch, n.Rule, n.Line, n.Why))
			}
			return list
		}
	}
	return nil
}

func TestExplain(t *testing.T) {
	t.Parallel()
	// The policies begin at line 1 of a file of their own.
	for _, c := range []struct {
		name  string
		yaml  string
		probe string
		want  []string
	}{
		{
			name: "label",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: wep}}
`,
			probe: "web > db 1",
			want:  []string{"peer spec.ingress[0].from[0]:8 the rule admits pods with app=wep in namespace default; web has app=web"},
		},
		{
			name: "label that is not there",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {role: web}}
    - podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}
`,
			probe: "web > db 1",
			want: []string{
				"peer spec.ingress[0].from[0]:8 the rule admits pods with role=web in namespace default; web has no label role",
				"peer spec.ingress[0].from[1]:9 the rule admits pods with app!=web in namespace default; web has app=web",
			},
		},
		{
			name: "namespace label",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {team: red}}
`,
			probe: "other/client > db 1",
			want:  []string{"namespace spec.ingress[0].from[0]:8 the rule admits all pods in namespaces with team=red; namespace other does not have label team=red (its labels: kubernetes.io/metadata.name=other, team=blue)"},
		},
		{
			name: "port is nearer than label, the other rule last",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: wep}}
  - from:
    - podSelector: {matchLabels: {app: web}}
    ports:
    - port: 80
    - {port: 1000, endPort: 2000, protocol: UDP}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress]}
`,
			probe: "web > db 5432",
			want: []string{
				"port spec.ingress[1].from[0]:10 the rule allows TCP 80, UDP 1000-2000, the connection goes to TCP 5432",
				"peer spec.ingress[0].from[0]:8 the rule admits pods with app=wep in namespace default; web has app=web",
				"no-peer :15 NetworkPolicy default/deny has no rule that allows ingress: it only isolates default/db",
			},
		},
		{
			name: "service port for target port",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 80}]}]}
`,
			probe: "web > svc:default/db 80",
			want:  []string{"port spec.ingress[0]:4 the rule allows TCP 80, the connection goes to TCP 5432 (the target port of port 80 of service default/db: policies see the pod's port, not the service's)"},
		},
		{
			name: "cluster address in an ipBlock",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.96.0.50/32}}]}]}
`,
			probe: "web > ip:10.96.0.50 80",
			want:  []string{"peer spec.egress[0].to[0]:4 an ipBlock never selects pods or nodes in Cilium, only addresses outside the cluster; the range 10.96.0.50/32 has the address of service default/db, but that is translated to the pod's before policies look"},
		},
		{
			name: "pod's address in an ipBlock",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}
`,
			probe: "web > db 80",
			want:  []string{"peer spec.ingress[0].from[0]:4 an ipBlock never selects pods or nodes in Cilium, only addresses outside the cluster; web is a pod, with an address (10.0.0.1) in the range 10.0.0.0/8"},
		},
		{
			name: "one address where every address was meant",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/32}}]}]}
`,
			probe: "web > ip:1.2.3.4 80",
			want:  []string{"peer spec.egress[0].to[0]:4 the rule allows egress to 0.0.0.0/32; 1.2.3.4 is not in that range (every address is 0.0.0.0/0)"},
		},
		{
			name: "exception",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 1.0.0.0/8, except: [1.2.0.0/16]}}]}]}
`,
			probe: "web > ip:1.2.3.4 80",
			want:  []string{"peer spec.egress[0].to[0]:4 the rule allows egress to 1.0.0.0/8 except 1.2.0.0/16; 1.2.3.4 is in the exception"},
		},
		{
			name: "subject",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow}
spec: {podSelector: {matchLabels: {app: database}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}
`,
			probe: "web > db 80",
			want: []string{
				"subject spec.ingress[0].from[0]:9 the rule would allow it, but NetworkPolicy default/allow applies to pods with app=database in namespace default; default/db has app=db",
				"no-peer :1 NetworkPolicy default/deny has no rule that allows ingress: it only isolates default/db",
			},
		},
		{
			name:  "empty rule of Cilium",
			yaml:  cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{}]}`),
			probe: "web > db 80",
			want:  []string{"no-peer spec.ingress[0]:4 the rule names no peer, so it allows none: in Cilium an empty rule is not an allow-all"},
		},
		{
			name:  "entity",
			yaml:  cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEntities: [world]}]}`),
			probe: "web > db 80",
			want:  []string{"peer spec.ingress[0].fromEntities[0]:4 the rule admits the entity world; web is a pod"},
		},
		{
			name:  "request",
			yaml:  cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{method: GET, path: /a}]}}]}]}`),
			probe: "web > db 80 POST /a",
			want:  []string{"l7 spec.ingress[0]:4 the rule lets only these requests through: method GET, path /a; this is POST /a"},
		},
		{
			name:  "name that was never learnt",
			yaml:  cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toFQDNs: [{matchName: www.example.com}]}]}`),
			probe: "web > fqdn:www.example.com 443",
			want:  []string{"name spec.egress[0].toFQDNs[0]:4 the rule allows the name www.example.com, but Cilium never learnt the address of www.example.com: no rules.dns lets default/web look it up"},
		},
		{
			name: "label that Cilium leaves out",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {pod-template-hash: abc}}}]}]}
`,
			probe: "web > db 80",
			want:  []string{"peer spec.ingress[0].from[0]:4 the rule admits pods with pod-template-hash=abc in namespace default; web has pod-template-hash=abc, but Cilium does not use that label to distinguish pods"},
		},
		{
			name: "the right port of another protocol, by service",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: 5432, protocol: UDP}]}]}
`,
			probe: "web > svc:default/db 80",
			want:  []string{`port spec.ingress[0]:4 the rule allows UDP 5432, the connection goes to TCP 5432`},
		},
		{
			name: "named port",
			yaml: `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: p}
spec: {podSelector: {matchLabels: {app: db}}, ingress: [{ports: [{port: http}, {port: web}]}]}
`,
			probe: "web > db 8080",
			want:  []string{`port spec.ingress[0]:4 the rule allows TCP port "http", TCP port "web", the connection goes to TCP 8080; the port named http of default/db is 80, default/db has no TCP port named web: a port's name is the one that the container gives it, here sql (5432), http (80)`},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			cluster := newCluster(t, policy.Config{}, shopServices)
			var policies []*policy.Policy
			for _, o := range parse(t, c.yaml) {
				p, problems := policy.Compile(o, policy.Config{})
				if len(problems) > 0 {
					t.Fatal(problems)
				}
				policies = append(policies, p)
			}
			e := policy.New(cluster, policies, map[string][]string{"www.example.com": {"1.2.3.4"}})
			r, err := e.Explain(probe(t, c.probe))
			if err != nil {
				t.Fatal(err)
			}
			if got := near(r); strings.Join(got, "\n") != strings.Join(c.want, "\n") {
				t.Errorf("%s: %s\ngot\n  %s\nwant\n  %s", c.probe, r.Verdict, strings.Join(got, "\n  "), strings.Join(c.want, "\n  "))
			}
			if plain, _ := e.Evaluate(probe(t, c.probe)); near(plain) != nil || plain.Verdict != r.Verdict {
				t.Errorf("Evaluate gives %s with %v", plain.Verdict, near(plain))
			}
		})
	}
}

// TestSideSaysWhoDecided checks the references of a result, which the reports print.
func TestSideSaysWhoDecided(t *testing.T) {
	t.Parallel()
	e := engine(t, policy.Config{}, nil, shop, `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: nobody}}
    - podSelector: {matchLabels: {app: web}}
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: deny}
spec:
  endpointSelector: {matchLabels: {app: db}}
  ingressDeny:
  - fromEndpoints:
    - matchLabels: {app: nobody}
    - matchLabels: {k8s:io.kubernetes.pod.namespace: other}
`)
	for _, c := range []struct{ probe, want string }{
		{"web > db 1", "allow NetworkPolicy default/allow spec.ingress[0].from[1] test.yaml:51"},
		{"other/client > db 1", "deny CiliumNetworkPolicy default/deny spec.ingressDeny[0].fromEndpoints[1] test.yaml:61"},
		{"ip:1.1.1.1 > db 1", "default-deny CiliumNetworkPolicy default/deny test.yaml:53, NetworkPolicy default/allow test.yaml:43"},
	} {
		r, err := e.Evaluate(probe(t, c.probe))
		if err != nil {
			t.Fatal(err)
		}
		got := string(r.Ingress.Decision)
		if ref := r.Ingress.Rule; ref != nil {
			got += fmt.Sprintf(" %s %s %s:%d", ref.Policy, ref.Rule, ref.File, ref.Line)
		}
		for i, ref := range r.Ingress.Isolating {
			if i > 0 {
				got += ","
			}
			got += fmt.Sprintf(" %s %s:%d", ref.Policy, ref.File, ref.Line)
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.probe, got, c.want)
		}
	}
}

// TestNeeded shows that advice names what a policy must say: the pod's port behind a service, the entity of a node, and
// the request that a rule for the proxy lacks. A denied connection needs no allow rule, so there is no advice on it.
func TestNeeded(t *testing.T) {
	t.Parallel()
	const isolate = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\n" +
		"spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}\n"
	const names = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n" +
		"  endpointSelector: {matchLabels: {app: web}}\n  egress:\n  - toEndpoints: [{matchLabels: {app: db}}]\n" +
		"    toPorts: [{ports: [{port: \"53\", protocol: UDP}], rules: {dns: [{matchName: a.example}]}}]\n"
	const denied = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n" +
		"  endpointSelector: {matchLabels: {app: db}}\n  ingressDeny: [{fromEntities: [all]}]\n"
	for _, c := range []struct {
		yaml  string
		probe policy.Probe
		want  string
	}{
		{isolate, policy.Probe{From: "default/web", To: "svc:default/db", Port: 80}, "default/web TCP 5432"},
		{isolate, policy.Probe{From: "default/web", To: "default/db", Port: 5432}, "default/web TCP 5432"},
		{isolate, policy.Probe{From: "node:n1", To: "default/db", Port: 80}, "entity:remote-node TCP 80"},
		{isolate, policy.Probe{From: "ip:192.0.2.7", To: "default/db", Port: 80}, "ip:192.0.2.7 TCP 80"},
		{isolate, policy.Probe{From: "default/web", To: "default/db", Protocol: "ICMP"}, "default/web ICMP 0"},
		{names, policy.Probe{From: "default/web", To: "default/db", DNSQuery: "b.example"}, "default/db UDP 53 a query for b.example"},
		{denied, policy.Probe{From: "default/web", To: "default/db", Port: 80}, ""},
	} {
		e := engine(t, policy.Config{}, nil, shopServices, c.yaml)
		r, err := e.Explain(c.probe)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, s := range []*policy.Side{r.Egress, r.Ingress} {
			if s != nil && s.Needed != nil {
				got = strings.TrimSpace(fmt.Sprintf("%s %s %d %s", s.Needed.Peer, s.Needed.Protocol, s.Needed.Port, s.Needed.Request))
			}
		}
		if got != c.want {
			t.Errorf("%+v: %s, needs %q, want %q", c.probe, r.Verdict, got, c.want)
		}
	}
}
