package cilium

import "testing"

const view = `7
[{"Labels":[{"key":"io.cilium.k8s.policy.uid","value":"u1","source":"k8s"}]}]
--
ready	7	12	10.0.0.1	["k8s:app=web","k8s:io.kubernetes.pod.namespace=red","k8s:io.cilium.k8s.namespace.labels.team=red"]
ready	7	1		["reserved:host"]

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
		{"a policy is not there", Change{Policies: map[string]string{"u2": "NetworkPolicy a/b"}}, nil, "agent a has not taken in NetworkPolicy a/b"},
		{"a deleted policy is there", Change{Gone: []string{"u1"}}, nil, "agent a still has a policy that was deleted"},
		{"an endpoint lags behind", Change{}, func(v *agentView) { v.endpoints[0].revision = 6 }, "agent a: endpoint 10.0.0.1 is ready at policy revision 6 of 7"},
		{"an endpoint regenerates", Change{}, func(v *agentView) { v.endpoints[0].state = "regenerating" }, "agent a: endpoint 10.0.0.1 is regenerating at policy revision 7 of 7"},
		{"a namespace has its labels", Change{NamespaceLabels: map[string]map[string]string{"red": {"team": "red"}}}, nil, ""},
		{"a namespace's labels are not there", Change{NamespaceLabels: map[string]map[string]string{"red": {"team": "blue"}}}, nil, "agent a: endpoint 10.0.0.1 does not have its namespace's new labels yet"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v, err := parseView([]byte(view), true)
			if err != nil {
				t.Fatal(err)
			}
			v.name = "a"
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
