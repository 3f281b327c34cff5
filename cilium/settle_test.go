package cilium

import "testing"

const view = `7
[{"Labels":[{"key":"io.cilium.k8s.policy.uid","value":"u1","source":"k8s"},{"key":"io.cilium.k8s.policy.derived-from","value":"CiliumNetworkPolicy"},{"key":"io.cilium.k8s.policy.namespace","value":"red"},{"key":"io.cilium.k8s.policy.name","value":"p"}]}]
--
125	red/web-1	ready	7	12	10.0.0.1	["k8s:app=web","k8s:io.kubernetes.pod.namespace=red","k8s:io.cilium.k8s.namespace.labels.team=red"]
937	/	ready	7	1		["reserved:host"]

--
{"10.0.0.1/32":["identity=12 encryptkey=0"],"0.0.0.0/0":["identity=2 encryptkey=0"]}
--
`

func TestSettled(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change Change
		edit   func(*agentView)
		want   string
	}{
		{"all is there", Change{Policies: map[string]string{"u1": "p"}}, nil, ""},
		{"a policy is not there", Change{Policies: map[string]string{"u2": "NetworkPolicy a/b"}}, nil, "agent a on node n has not processed NetworkPolicy a/b (UID u2); its policy revision is 7"},
		{"a policy was recreated, unnoticed", Change{Policies: map[string]string{"u2": "CiliumNetworkPolicy red/p"}}, nil, "agent a on node n has not processed CiliumNetworkPolicy red/p (UID u2) but still has the deleted one of the same name (UID u1): delete it, and reapply it after a few seconds; its policy revision is 7"},
		{"a deleted policy is there", Change{Gone: []string{"u1"}}, nil, "agent a on node n still has CiliumNetworkPolicy red/p (UID u1), which was deleted"},
		{"an endpoint lags behind", Change{}, func(v *agentView) { v.endpoints[0].revision = 6 }, "agent a on node n: endpoint 125 red/web-1 10.0.0.1 is ready at policy revision 6 of 7"},
		{"an endpoint regenerates", Change{}, func(v *agentView) { v.endpoints[0].state = "regenerating" }, "agent a on node n: endpoint 125 red/web-1 10.0.0.1 is regenerating at policy revision 7 of 7"},
		{"a namespace has its labels", Change{NamespaceLabels: map[string]map[string]string{"red": {"team": "red"}}}, nil, ""},
		{"a namespace's labels are not there", Change{NamespaceLabels: map[string]map[string]string{"red": {"team": "blue"}}}, nil, "agent a on node n: endpoint 125 red/web-1 10.0.0.1 does not have its namespace's new labels yet, its identity is 12"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v, err := parseView([]byte(view), true)
			if err != nil {
				t.Fatal(err)
			}
			v.name, v.node = "a", "n"
			if tc.edit != nil {
				tc.edit(v)
			}
			if got := v.missing(tc.change); got != tc.want {
				t.Errorf("got %q, want %q", got, tc.want)
			}
			if v.identities["10.0.0.1"] != 12 {
				t.Errorf("identities: %v", v.identities)
			}
		})
	}
}

// TestHalfAnAnswer: an exec that ended early must not be taken for an agent without policies.
func TestHalfAnAnswer(t *testing.T) {
	t.Parallel()
	for _, out := range []string{"", "7\n[]", "7\n[]\n--\n", "\n[]\n--\nready\n--\n"} {
		if _, err := parseView([]byte(out), false); err == nil {
			t.Errorf("%q was taken for an answer", out)
		}
	}
}

// TestIdentities holds what two agents know of pods' identities against each other.
func TestIdentities(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name          string
		known         map[string]int64 // by the second agent
		differ        string
		staleIdentity string
	}{
		{"the same", map[string]int64{"10.0.0.1": 12, "10.0.0.2": 12}, "", ""},
		{"one is not known", map[string]int64{"10.0.0.1": 12}, "agent b on node m does not know 10.0.0.2", ""},
		{"another one", map[string]int64{"10.0.0.1": 12, "10.0.0.2": 13}, "agent b on node m uses identity 13 for 10.0.0.2, but 10.0.0.1 has 12", ""},
		{"an old one", map[string]int64{"10.0.0.1": 11, "10.0.0.2": 11}, "agent b on node m uses identity 11 for 10.0.0.1, but 10.0.0.1 has 12", "agent b on node m still uses the old identity 11 of endpoint 125 red/web-1 10.0.0.1; the new one is 12"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			a, err := parseView([]byte(view), true)
			if err != nil {
				t.Fatal(err)
			}
			a.identities["10.0.0.2"] = 12
			views := []*agentView{a, {name: "b", node: "m", identities: tc.known}}
			if got := identityMismatch(views, "10.0.0.1", "10.0.0.2"); got != tc.differ {
				t.Errorf("got %q, want %q", got, tc.differ)
			}
			if got := staleIdentity(views); got != tc.staleIdentity {
				t.Errorf("got %q, want %q", got, tc.staleIdentity)
			}
		})
	}
}
