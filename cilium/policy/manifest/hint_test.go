package manifest

import (
	"strings"
	"testing"
)

// Each text has one slip; the problems, without file and object, are what a newcomer is told.
func TestHints(t *testing.T) {
	t.Parallel()
	const (
		network = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\n"
		cilium  = "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: x}\n"
	)
	for _, tt := range []struct {
		name, text string
		want       []string
	}{
		{"a field of the rules beside them", network + "spec: {podSelector: {}, ingress: [{from: [{podSelector: {}}]}], ports: [{port: 80}]}",
			[]string{`spec.ports: unknown field "ports" ("ports" is a field of "ingress": put it under that)`}},
		{"a field of rules that are not there", network + "spec: {podSelector: {}, ports: [{port: 80}]}",
			[]string{`spec.ports: unknown field "ports" ("ports" is a field of "egress" or "ingress": put it under that)`}},
		{"a peer as a rule", network + "spec: {podSelector: {}, ingress: [{podSelector: {}}]}",
			[]string{`spec.ingress[0].podSelector: unknown field "podSelector" ("podSelector" is a field of "from": put it under that)`}},
		{"a selector inside the other", network + "spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {podSelector: {}}}]}]}",
			[]string{`spec.ingress[0].from[0].namespaceSelector.podSelector: unknown field "podSelector" ("podSelector" belongs further out: ` +
				`indent it less)`}},
		{"a field that begins an item of its own", network + "spec: {podSelector: {}, ingress: [{from: [{ports: [{port: 80}]}]}]}",
			[]string{`spec.ingress[0].from[0].ports: unknown field "ports" ("ports" belongs further out: begin it without its own "-")`}},
		{"labels as a peer", network + "spec: {podSelector: {}, ingress: [{from: [{matchLabels: {a: b}}]}]}",
			[]string{`spec.ingress[0].from[0].matchLabels: unknown field "matchLabels" ("matchLabels" is a field of "namespaceSelector" ` +
				`or "podSelector": put it under that)`}},
		{"a field of the port beside the list", network + "spec: {podSelector: {}, ingress: [{port: 80}]}",
			[]string{`spec.ingress[0].port: unknown field "port" ("port" is a field of "ports": put it under that)`}},
		{"the specification in the metadata", strings.Replace(network, "{name: x}\n", "{name: x, podSelector: {}}\n", 1) + "spec: {podSelector: {}}",
			[]string{`metadata.podSelector: unknown field "podSelector" ("podSelector" is a field of "spec": put it under that)`}},
		{"a spec that is indented too far, with nothing below it", strings.Replace(network, "{name: x}\n", "\n  name: x\n  spec:\n", 1) +
			"podSelector: {}\npolicyTypes: [Ingress]",
			[]string{`metadata.spec: unknown field "spec" ("spec" belongs further out: indent it less)`}},
		{"a word for a closed direction", network + "spec: {podSelector: {}, ingress: deny, egress: none}", []string{
			`spec.ingress: expected a list, not text (a NetworkPolicy only allows; leave the rules out to let nobody in)`,
			`spec.egress: expected a list, not text (a NetworkPolicy only allows; leave the rules out, with Egress under policyTypes, ` +
				`to let nobody out)`}},
		{"a word for an open direction", network + "spec: {podSelector: {}, ingress: all}",
			[]string{`spec.ingress: expected a list, not text (begin each item with "- ")`}},
		{"a word for a closed direction of Cilium's", cilium + "spec: {endpointSelector: {}, ingress: deny}",
			[]string{`spec.ingress: expected a list, not text (to close a direction, write one empty rule: ingress: [{}])`}},
		{"a Cilium policy without rules", cilium + "spec: {endpointSelector: {}}",
			[]string{`spec: a policy needs at least one rule: one of ingress, ingressDeny, egress, egressDeny ` +
				`(ingress: [{}] lets nobody in, egress: [{}] lets nobody out)`}},
		{"the other direction", network + "spec: {podSelector: {}, ingress: [{to: [{podSelector: {}}]}]}",
			[]string{`spec.ingress[0].to: unknown field "to" (to is for egress rules; an ingress rule has from)`}},
		{"Cilium's words in a NetworkPolicy", network + "spec: {endpointSelector: {}, ingress: [{fromEndpoints: [{}]}]}", []string{
			`spec.endpointSelector: unknown field "endpointSelector" (a NetworkPolicy calls it podSelector)`,
			`spec.ingress[0].fromEndpoints: unknown field "fromEndpoints" (a NetworkPolicy calls it from, and its items have a podSelector)`}},
		{"a NetworkPolicy's words in a Cilium policy", cilium + "spec: {podSelector: {}, policyTypes: [Ingress], ingress: [{from: [{}]}]}", []string{
			`spec.podSelector: unknown field "podSelector" (a Cilium policy calls it endpointSelector)`,
			`spec.policyTypes: unknown field "policyTypes" (a Cilium policy has none: it isolates the directions that it has rules for)`,
			`spec.ingress[0].from: unknown field "from" (a Cilium policy has fromEndpoints for pods, and fromEntities and fromCIDR for others)`}},
		{"a selector in a selector", cilium + "spec: {endpointSelector: {}, ingress: [{fromEndpoints: [{podSelector: {matchLabels: {a: b}}}]}]}",
			[]string{`spec.ingress[0].fromEndpoints[0].podSelector: unknown field "podSelector" (this is a selector already: ` +
				`leave podSelector out, and indent its matchLabels less)`}},
		{"ports as the items of toPorts", cilium + `spec: {endpointSelector: {}, ingress: [{toPorts: [{port: "80"}]}]}`,
			[]string{`spec.ingress[0].toPorts[0].port: unknown field "port" ("port" is a field of "ports": put it under that)`}},
		{"a range of ports", network + "spec: {podSelector: {}, ingress: [{ports: [{port: 80-90}]}]}",
			[]string{`spec.ingress[0].ports[0].port: Invalid value: "80-90": must contain at least one letter (a-z) ` +
				`(the end of a range has a field of its own: write port: 80 and, below it, endPort: 90)`}},
		{"a letter in the port", network + "spec: {podSelector: {}, ingress: [{ports: [{port: 8O80}]}]}",
			[]string{`spec.ingress[0].ports[0].port: Invalid value: "8O80": must contain only alpha-numeric characters (a-z, 0-9), ` +
				`and hyphens (-) (a port is a number, or the name that the pods give a port)`}},
		{"two objects in one", network + "spec: {podSelector: {}}\n" + cilium + "specs: 1\n", []string{
			`apiVersion: the key "apiVersion" occurs twice in the same mapping, first on line 1 ` +
				`(if another object begins here, put a line with --- before it)`}},
		{"a template", "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {{ .Values.name }}\n", []string{
			`metadata.name: a key must be a string, not a list or mapping (a value that begins with { or [ must be quoted)`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(tt.text)}}, Limits{})
			var got []string
			for _, p := range problems {
				p.File, p.Line, p.Object = "", 0, ""
				got = append(got, p.String())
			}
			if strings.Join(got, "\n") != strings.Join(tt.want, "\n") {
				t.Errorf("%s\ngot\n%s\nwant\n%s", tt.text, strings.Join(got, "\n"), strings.Join(tt.want, "\n"))
			}
		})
	}
	for text, want := range map[string]string{
		network + "spec: {podSelector: {matchLabels: {a: '*'}}}":                                           "a selector knows no wildcards",
		strings.Replace(network, "name: x", "name: My_Policy", 1) + "spec: {podSelector: {}}":              "(write my-policy)",
		network + "spec:\n  podSelector:\n    matchLabels:\n      a: b\n   policyTypes: [Ingress]\n":       "is the line indented like those above",
		network + "spec:\n  podSelector: {}\n  ingress:\n  - from:\n    - podSelector: {}\n   ports: []\n": "is the line indented like those above",
	} {
		if _, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{}); len(problems) != 1 ||
			!strings.Contains(problems.Error(), want) {
			t.Errorf("%s\ngot\n%v\nwant %q", text, problems.Error(), want)
		}
	}
}
