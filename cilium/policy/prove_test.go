package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/verdict"
)

func TestProve(t *testing.T) {
	t.Parallel()
	toDB := func(r policy.Reach) policy.Reach {
		r.To = []string{"default/db"}
		return r
	}
	fromWeb := func(r policy.Reach) policy.Reach {
		r.From = []string{"default/web"}
		return r
	}
	webOnly := np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 5432}]}]}`)
	for _, c := range []struct {
		name, yaml string
		q          policy.Reach
		want       string // "FROM > TO PORT/PROTOCOL[: part of the reason]"; empty: proved
	}{
		{"nothing isolates", "", toDB(policy.Reach{}), "default/web > default/db 5432/TCP"},
		{"isolated", np("p", `{podSelector: {}, policyTypes: [Ingress]}`), toDB(policy.Reach{}), ""},
		{"isolated for other pods only", np("p", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`), toDB(policy.Reach{}), "default/web > default/db 5432/TCP"},
		{"an excepted pod", webOnly, toDB(policy.Reach{ExceptPods: []string{"default/web"}}), ""},
		{"an excepted port", webOnly, toDB(policy.Reach{ExceptPorts: []int{5432}}), ""},
		{"another port", webOnly, toDB(policy.Reach{ExceptPorts: []int{80}}), "default/web > default/db 5432/TCP"},
		{"an excepted namespace", webOnly, toDB(policy.Reach{ExceptNamespaces: []string{"default"}}), ""},
		{"another protocol", webOnly, toDB(policy.Reach{Protocols: []string{"UDP", "ICMP"}}), ""},
		{
			"a label too many: no pod in the cluster has it, but one could", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: In, values: [web, admin]}]}}]}]}`),
			toDB(policy.Reach{ExceptPods: []string{"default/web"}}), "default/any-pod > default/db 5432/TCP: app=admin",
		},
		{
			"the empty selector", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}]}]}`),
			toDB(policy.Reach{ExceptPods: []string{"default/web"}}), "default/any-pod > default/db 5432/TCP: stands for any other pod in namespace default",
		},
		{
			"everything but one", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}]}]}`),
			toDB(policy.Reach{}), "default/any-pod > default/db 5432/TCP: any other pod in namespace default",
		},
		{
			"an extra label makes no other pod of it", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`) + "---\n" +
				np("q", `{podSelector: {matchLabels: {role: x}}, ingress: [{}]}`),
			toDB(policy.Reach{ExceptPods: []string{"default/web"}}), "",
		},
		{
			"a namespace's label means its namespace", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}`),
			toDB(policy.Reach{ExceptNamespaces: []string{"other"}}), "",
		},
		{
			"a pod's label and its namespace's", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}, podSelector: {matchLabels: {app: client}}}]}]}`),
			toDB(policy.Reach{ExceptPods: []string{"other/client"}}), "",
		},
		{
			"every pod of a namespace is more than the pod", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {team: blue}}}]}]}`),
			toDB(policy.Reach{ExceptPods: []string{"other/client"}}), "other/any-pod > default/db 5432/TCP: any other pod in namespace other",
		},
		{
			"any namespace", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: client}}}]}]}`),
			toDB(policy.Reach{ExceptNamespaces: []string{"other"}}), "default/any-pod > default/db 5432/TCP: app=client in namespace default",
		},
		{
			"a namespace that is not there", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: later}}}]}]}`),
			toDB(policy.Reach{}), "later/any-pod > default/db 5432/TCP: any pod in the namespace later, which is not in the cluster",
		},
		{
			"namespaces without a label", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchExpressions: [{key: team, operator: DoesNotExist}]}}]}]}`),
			toDB(policy.Reach{ExceptNamespaces: []string{"default", "kube-system"}}),
			"any-namespace-1/any-pod > default/db 5432/TCP: any pod in a namespace that is not in the cluster and has none of the labels that policies ask for",
		},
		{
			"namespaces with a label, whatever its value", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{namespaceSelector: {matchExpressions:
				[{key: shift, operator: Exists}, {key: tier, operator: In, values: [a]}]}}]}]}`),
			toDB(policy.Reach{}),
			"any-namespace-6/any-pod > default/db 5432/TCP: any pod in a namespace that is not in the cluster, with the labels shift (of any other value), tier=a",
		},
		{
			"an address outside", np("p", `{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{ipBlock: {cidr: 9.9.9.0/24}}]}]}`),
			toDB(policy.Reach{}), "ip:9.9.9.0 > default/db 5432/TCP",
		},
		{
			"one port in a range", cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEntities: [remote-node], toPorts: [{ports: [{port: "30000", endPort: 30001, protocol: UDP}]}]}]}`),
			toDB(policy.Reach{}), "entity:remote-node > default/db 30000/UDP",
		},
		{
			"a deny rule closes it", cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEntities: [all]}], ingressDeny: [{fromEntities: [all]}]}`),
			toDB(policy.Reach{}), "",
		},
		{"egress", np("p", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`), fromWeb(policy.Reach{}), ""},
		{
			"egress to one", np("p", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}`),
			fromWeb(policy.Reach{ExceptPods: []string{"default/db"}}), "",
		},
		{
			"egress to the other side's deny", np("p", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: db}}}]}]}`) + "---\n" +
				np("q", `{podSelector: {}, policyTypes: [Ingress]}`),
			fromWeb(policy.Reach{}), "",
		},
		{
			"egress to the world", np("p", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]}`),
			fromWeb(policy.Reach{}), "default/web > entity:world 443/TCP",
		},
		{
			"the world is excepted", np("p", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]}`),
			fromWeb(policy.Reach{ExceptExternal: true}), "",
		},
		{
			"the world is excepted, pods are not", np("p", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 443}]}]}`),
			fromWeb(policy.Reach{ExceptExternal: true}), "default/web > default/db 443/TCP",
		},
		{
			"the world is excepted, other nodes are not", cnp("p", `{endpointSelector: {matchLabels: {app: db}}, ingress: [{fromEntities: [world, remote-node]}]}`),
			toDB(policy.Reach{ExceptExternal: true}), "entity:remote-node > default/db 5432/TCP",
		},
		{
			"egress to the own node", cnp("p", `{endpointSelector: {matchLabels: {app: web}}, egress: [{toEntities: [host]}]}`),
			fromWeb(policy.Reach{}), "default/web > entity:host 1/TCP",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			e := engine(t, policy.Config{}, nil, shop, c.yaml)
			r, err := e.Prove(c.q)
			if err != nil {
				t.Fatal(err)
			}
			if r == nil {
				if c.want != "" {
					t.Errorf("proved, want %s", c.want)
				}
				return
			}
			got := fmt.Sprintf("%s > %s %d/%s", r.From, r.To, r.Port, r.Protocol)
			want, reason, _ := strings.Cut(c.want, ": ")
			for _, n := range "0123456789" {
				got = strings.ReplaceAll(got, "any-pod-"+string(n), "any-pod")
			}
			if got != want || !strings.Contains(r.Reason, reason) {
				t.Errorf("got %s (%s), want %s (%s)", got, r.Reason, want, reason)
			}
			if r.Verdict != verdict.Allowed {
				t.Errorf("the counterexample is %s", r.Verdict)
			}
		})
	}
}

func TestProveErrors(t *testing.T) {
	t.Parallel()
	e := engine(t, policy.Config{}, nil, shop)
	for _, c := range []struct {
		q    policy.Reach
		want string
	}{
		{policy.Reach{}, "no pods"},
		{policy.Reach{To: []string{"default/wob"}}, `did you mean "default/web"`},
		{policy.Reach{To: []string{"default/web"}, Direction: "both"}, "neither ingress nor egress"},
	} {
		if _, err := e.Prove(c.q); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.q, err, c.want)
		}
	}
}
