package manifest

import (
	"strings"
	"testing"
)

const slipCilium = `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: x}
spec:
  endpointSelector:
    matchLabels:
      app: backend
  egress:
  - toEndpoints:
    - matchLabels:
        app: frontend
    toPorts:
    - ports:
      - port: "80"
        protocol: TCP
  - toFQDNs:
    - matchName: example.com
`

// Each slip that people make while they write YAML is named on its line, with what to write instead.
func TestSlips(t *testing.T) {
	t.Parallel()
	const (
		peer      = "podSelector:\n        matchLabels:\n          app: frontend\n"
		types     = "policyTypes: [Ingress]\n"
		dash      = "a space is missing after the dash"
		colon     = "a space is missing after the colon"
		by        = " by their labels: write "
		below     = " with matchLabels below it"
		selector  = "podSelector:\n    matchLabels:\n      app: backend\n"
		labels    = "matchLabels:\n      app: backend\n"
		unclosed  = "the quote that opens here "
		namespace = "(a namespace is chosen by its labels: write namespaceSelector" + below + ")"
	)
	for _, tt := range []struct {
		old, new string // in typical; in slipCilium if that has it
		want     string // line and text
	}{
		// A space is missing.
		{types, "policyTypes:\n    -Ingress\n", "10: expected a list, not text (" + dash + ": write - Ingress)"},
		{types, "policyTypes:\n    -Ingress\n    -Egress\n", "10: expected a list, not text (" + dash + ": write - Ingress)"},
		{types, "policyTypes:\n  -Ingress\n", "11: not valid YAML: " + dash + " (write - Ingress)"},
		{types, "policyTypes: -Ingress\n", "10: expected a list, not text (" + dash},
		{"    - podSelector:\n", "    -podSelector:\n", "13: " + dash + " (write - podSelector:)"},
		{"  - from:", "  -from:", "12: " + dash + " (write - from:)"},
		{"- protocol: TCP", "-protocol: TCP", "19: " + dash + " (write - protocol: TCP)"},
		{"    - protocol: TCP\n      port: 8080", "      -port: 8080", "18: expected a list, not a mapping (" + dash + ": write - port:)"},
		{"app: frontend", "app:frontend", "14: expected a mapping, not text (" + colon + ": write app: frontend)"},
		{"matchLabels: {type: monitoring}", "matchLabels: {type:monitoring}", "17: name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', or '123-abc') (write type: monitoring)"},
		{"port: 8080", "port:8080", "20: " + colon + " (write port: 8080)"},
		{"kind: NetworkPolicy", "kind:NetworkPolicy", "3: " + colon + " (write kind: NetworkPolicy)"},
		{"    - protocol: TCP\n      port: 8080", "    - port:8080", "19: expected a mapping, not text (" + colon + ": write port: 8080)"},
		{"- toEndpoints:", "-toEndpoints:", "9: " + dash + " (write - toEndpoints:)"},
		// A colon or dash is missing, or there is one too many.
		{"spec:", "spec", "6: a colon is missing after spec (write spec:)"},
		{"    - podSelector:\n", "    - podSelector\n", "13: a colon is missing after podSelector (write - podSelector:)"},
		{"port: 8080", "port 8080", "20: a colon is missing after port (write port: 8080)"},
		{types, "policyTypes:\n  Ingress\n", "11: a dash is missing before Ingress (write - Ingress)"},
		{types, "policyTypes:\n  * Ingress\n", "11: an item of a list begins with -, not with * (write - Ingress)"},
		{types, "policyTypes:\n  -- Ingress\n", "11: an item of a list begins with one dash (write - Ingress)"},
		{types, "policyTypes:\n  - - Ingress\n", "11: expected text, not a list (remove one \"-\")"},
		{types, "policyTypes: - Ingress\n", "10: block sequence entries are not allowed in this context (begin the list on the next line, or write it in [ ])"},
		{types, "policyTypes: {Ingress}\n", "10: expected a list, not a mapping (write it in [ ], not in { })"},
		{types, "policyTypes:\n  - Ingress:\n", "11: expected text, not a mapping (leave out the colon after Ingress)"},
		{types, "policyTypes: [Ingress, Egress\n", "is every [ closed with ]"},
		{types, types + "  ---\n", "11: the line --- is indented"},
		{"app: frontend", "app: app: frontend", "15: the line has two colons"},
		{"- protocol: TCP\n", "- protocol: TCP port: 80\n", "19: the line has two colons"},
		// A text must be quoted, or its quotes closed.
		{"app: frontend", "app: *", `15: text that begins with * must be quoted (write app: "*")`},
		{"matchName: example.com", "matchName: *", `17: text that begins with * must be quoted (write - matchName: "*")`},
		{"matchName: example.com", "matchPattern: *.example.com", `write - matchPattern: "*.example.com"`},
		{"app: frontend", "app: @x", `15: text that begins with @ must be quoted (write app: "@x")`},
		{"app: frontend", "app: %x # y", `15: text that begins with % must be quoted (write app: "%x")`},
		{"app: frontend", "app: `x`", "15: text that begins with ` must be quoted (write app: \"x\")"},
		{"app: frontend", `app: "frontend`, "15: " + unclosed + "is never closed (end the text with the same quote)"},
		{"app: frontend", `app: 'frontend"`, "15: " + unclosed + "is never closed"},
		{"app: frontend", "app: \"frontend\n          tier: \"web\"", "15: " + unclosed + "is not closed before line 16"},
		// Lines that are not indented alike.
		{"  policyTypes", "   policyTypes", "10: did not find expected key (is the line indented like those above that belong to the same mapping or list? It has 3 spaces before it, and they have 0, 2, 4 or 6)"},
		{"matchLabels:\n          app: frontend", "matchLabels:\n        app: frontend", `15: unknown field "app" (labels go under matchLabels: indent it deeper)`},
		{selector, "podSelector:\n    matchLabels:\n  app: backend\n", `9: unknown field "app" (it goes under the matchLabels of podSelector: indent it deeper)`},
		// What a peer chooses.
		{peer, "namespace: monitoring\n", `13: unknown field "namespace" ` + namespace},
		{peer, "namespace:\n        matchLabels: {a: b}\n", `13: unknown field "namespace" ` + namespace},
		{peer, peer + "        namespace: x\n", namespace},
		{peer, "pod: frontend\n", "(pods are chosen" + by + "podSelector" + below + ")"},
		{peer, "app: frontend\n", "(pods are chosen" + by + "podSelector" + below + ")"},
		{peer, "service: frontend\n", "(a policy chooses pods, not services," + by + "podSelector" + below + ")"},
		{peer, "name: frontend\n", "(pods and namespaces are chosen" + by + "podSelector or namespaceSelector" + below + ")"},
		{peer, "labels:\n        app: frontend\n", "(pods and namespaces are chosen" + by},
		{peer, "type: frontend\n", "(if it is a label, it goes under the matchLabels of podSelector or namespaceSelector)"},
		{"- from:\n", "- namespace: x\n    from:\n", "(a namespace is chosen by its labels: below from, write - namespaceSelector" + below + ")"},
		{"- matchLabels:\n        app: frontend\n", "- namespace: default\n", "(a Cilium policy has k8s:io.kubernetes.pod.namespace among the matchLabels)"},
		{peer, "ipBlock: 10.0.0.0/8\n", "(write ipBlock: {cidr: 10.0.0.0/8})"},
		{peer, "ipBlock: {cidr: 10.0.0.5/8}\n", "(the range is 10.0.0.0/8; this address alone is 10.0.0.5/32)"},
		{peer, "ipBlock:\n        cidr: *\n", "a range has addresses, not * (every address is the range 0.0.0.0/0)"},
		{peer, "ipBlock: {cidr: \"*\"}\n", "(every address is the range 0.0.0.0/0)"},
		{peer, "ipBlock: {cidr: Any}\n", "(every address is the range 0.0.0.0/0)"},
		{peer, "ipBlock: {cidr: backend}\n", "(a range has addresses, not names)"},
		{"port: 8080", "name: http", "(a port is chosen by its number or its name: write port)"},
		// A value of another type.
		{selector, "podSelector: []\n", "7: expected a mapping, not a list (write podSelector: {})"},
		{selector, "podSelector: [app: a]\n", "7: expected a mapping, not a list (write it without the brackets, as key: value)"},
		{labels, "matchLabels:\n      - app: backend\n", "8: expected a mapping, not a list (remove the \"-\")"},
		{labels, "matchLabels: []\n", "8: expected a mapping, not a list (write matchLabels: {})"},
		{labels, "matchLabels: app=backend\n", "8: expected a mapping, not text (write app: backend)"},
		{labels, "matchLabels: {app: [a, b]}\n", "expected text, not a list (a label has one value here; matchExpressions"},
		{"port: 8080", "port: [80, 443]", "20: expected a number or a name, not a list (each port is an item of ports"},
		{"port: 8080", "port: 80, 443", "(each port is an item of ports: begin it with \"- \")"},
		{"protocol: TCP", "protocol: HTTP", "(HTTP runs over TCP: write TCP)"},
		{types, "policyTypes: [\"Ingress, Egress\"]\n", "(one value an item: begin each with \"- \")"},
		{types, "policyTypes: [Ingres]\n", `(did you mean "Ingress"?)`},
		{"- matchName: example.com", "- example.com", `17: expected a mapping, not text (write - matchName: "example.com")`},
		// Names.
		{"name: allow-frontend", `name: "allow "`, "5: Invalid value: \"allow \": a name must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com') (it ends with a space: write allow)"},
		{"name: allow-frontend", "name: a\n  namespace: Default", "(write default)"},
		{"name: allow-frontend", "name: a\n  namespace: my_ns", "(write my-ns)"},
		{"name: allow-frontend", "Name: a", `5: unknown field "Name" (did you mean "name"? Case matters)`},
		{"kind: NetworkPolicy", "kind: NetworkPolicy\nKind: NetworkPolicy", `4: unknown field "Kind" (did you mean "kind"? Case matters)`},
		{"apiVersion: ", "apiversion: ", "2: the object has no apiVersion (write apiVersion, not apiversion: case matters)"},
		{"app: frontend", `app: " frontend"`, "(it begins with a space: write frontend)"},
		{"app: frontend", `app: "front end"`, "(a label has no spaces in it)"},
		{"app: frontend", "app: a,b", "(for one of several values, write matchExpressions with the operator In)"},
		{labels, "matchExpressions: [{key: a, operator: Equals, values: [b]}]\n", "(write In, with the value in the list values)"},
		{labels, "matchExpressions: [{key: a, operator: in, values: [b]}]\n", "(write In)"},
		{labels, "matchExpressions: [{key: a, operator: Like, values: [b]}]\n", "(the operators are In, NotIn, Exists and DoesNotExist)"},
		{labels, "matchExpressions: [{app: a}]\n", `8: unknown field "app" (known here: key, operator, values)`},
		{"matchName: example.com", `matchName: "*.example.com"`, `(a name with a * is a pattern: write matchPattern: "*.example.com")`},
		{"matchName: example.com", "matchName: https://example.com/x", `Invalid value: "https://example.com/x": it is not written as this field needs it (a name has no scheme, port or path: write matchName: "example.com")`},
		{"matchName: example.com", "matchName: example.com:443", `write matchName: "example.com"`},
		{"matchName: example.com", `matchName: "example com"`, "(a name has letters, digits and -, and dots between its parts)"},
		{"matchName: example.com", "host: example.com", `17: unknown field "host" (a host is named by matchName`},
		{"app: frontend\n    toPorts", "app: front_end!\n    toPorts", "(it may have letters, digits, -, _ and ."},
	} {
		base := typical
		if strings.Contains(slipCilium, tt.old) && !strings.Contains(typical, tt.old) || strings.Contains(tt.old, "toPorts") {
			base = slipCilium
		}
		text := strings.Replace(base, tt.old, tt.new, 1)
		if text == base {
			t.Fatalf("%q is not in the text", tt.old)
		}
		_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
		line, want, placed := strings.Cut(tt.want, ": ")
		if !placed || strings.Trim(line, "0123456789") != "" {
			line, want = "", tt.want
		}
		got := problems.Error()
		if len(problems) != 1 || !strings.Contains(got, want) || line != "" && !strings.HasPrefix(got, "a.yaml:"+line+":") {
			t.Errorf("%q instead of %q\ngot  %s\nwant %s", tt.new, tt.old, got, tt.want)
		}
		if strings.Contains(got, "regex") || strings.Contains(got, "in body") || strings.Contains(got, "unmarshal") || strings.Contains(got, "v1.") {
			t.Errorf("%q: in the words of a programmer: %s", tt.new, got)
		}
	}
}

// The line between two documents is none of the slips.
func TestSlipAfterSeparator(t *testing.T) {
	t.Parallel()
	_, problems := Parse([]File{{Name: "a.yaml", Data: []byte("---\n\"x\ny: [\n")}}, Limits{})
	if got := problems.Error(); len(problems) != 1 || strings.Contains(got, "---") {
		t.Error(got)
	}
}

// What stands in quotes over several lines is no quote left open, and an apostrophe is no quote.
func TestQuotesThatAreClosed(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"a: 'it''s'\nb: \"x\\\"y\"\nc: [\n", "a: it's\nb: [\n", "# don't\na: \"x\n  y\"\nb: [\n", "a: {b: 'c', d: \"e\"}\nf: [\n",
	} {
		_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
		if len(problems) != 1 || strings.Contains(problems.Error(), "quote") {
			t.Errorf("%q: %v", text, problems)
		}
	}
}
