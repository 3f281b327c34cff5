package policy_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
)

// Policies that would take too much to compile are refused before they are, and the limit is named.
func TestLimits(t *testing.T) {
	t.Parallel()
	http := func(path string) string {
		return cnp("p", fmt.Sprintf(`{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{path: '%s'}]}}]}]}`, path))
	}
	var names, sni, paths []string
	for i := range 3000 {
		names = append(names, fmt.Sprintf(`{matchPattern: "*.a%d.*.b.*.example.com"}`, i))
		sni = append(sni, fmt.Sprintf(`"*.a%d.*.b.*.example.com"`, i))
		paths = append(paths, fmt.Sprintf(`{path: '/%d/[a-z]+/[0-9]{2,30}', method: "GET"}`, i))
	}
	expressions := "{matchExpressions: [" + strings.Repeat("{key: a, operator: Exists},", 201) + "]}"
	for name, c := range map[string]struct{ yaml, want string }{
		"repetition":          {http(`(?i)/\pL{300}[\pN\pS\pM]{600}`), "size of patterns"},
		"nested repetitions":  {http(`((a{0,30}){0,30}){0,1}` + strings.Repeat(`(b{900})`, 120)), "size of patterns"},
		"long":                {http(strings.Repeat("(a|b)*", 1000)), "bytes of a pattern"},
		"classes":             {http(`[` + strings.Repeat(`\pL`, 1000) + `]`), "size of patterns"},
		"folded ranges":       {http(`(?i)` + strings.Repeat(`[\x{100}-\x{1e942}]`, 100)), "size of patterns"},
		"many paths":          {cnp("p", `{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [`+strings.Join(paths, ", ")+`]}}]}]}`), "size of patterns"},
		"many names":          {cnp("p", `{endpointSelector: {}, egress: [{toFQDNs: [`+strings.Join(names, ", ")+`]}]}`), "size of patterns"},
		"many look-ups":       {cnp("p", `{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "53", protocol: UDP}], rules: {dns: [`+strings.Join(names, ", ")+`]}}]}]}`), "size of patterns"},
		"many server names":   {cnp("p", `{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: "443", protocol: TCP}], serverNames: [`+strings.Join(sni, ", ")+`]}]}]}`), "size of patterns"},
		"expressions":         {cnp("p", `{endpointSelector: `+expressions+`, ingress: [{}]}`), "expressions of a selector"},
		"expressions of peer": {"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: {}, ingress: [{from: [{namespaceSelector: " + expressions + "}]}]}\n", "expressions of a selector"},
		"what people write":   {http(`(?i)/api/v[0-9]+/(users|orders)/[^/]{1,64}(\?.*)?`), ""},
		"unicode":             {http(`/caf\x{e9}/\p{L}+`), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, problems := policy.Compile(parse(t, c.yaml)[0], policy.Config{})
			switch {
			case c.want == "" && len(problems) > 0:
				t.Error(problems)
			case c.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Message, c.want)):
				t.Errorf("problems are %v, want one with %q", problems, c.want)
			}
		})
	}
}

// A budget ends what takes more work, with the same error each time.
func TestBudget(t *testing.T) {
	t.Parallel()
	c := newCluster(t, policy.Config{}, shop)
	var text strings.Builder
	for i := range 100 {
		fmt.Fprintf(&text, "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p%d}\nspec: {podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: a%d}}}]}]}\n", i, i)
	}
	var policies []*policy.Policy
	for _, o := range parse(t, text.String()) {
		p, problems := policy.Compile(o, policy.Config{})
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		policies = append(policies, p)
	}
	prove := func(steps int64) (int64, error) {
		b := policy.NewBudget(steps)
		_, err := policy.NewWithin(b, c, policies, nil).Prove(policy.Reach{To: []string{"default/db"}, ExceptNamespaces: []string{"default"}})
		return b.Used(), err
	}
	needed, err := prove(1 << 40)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := prove(needed); err != nil {
		t.Errorf("as much as is needed is not enough: %v", err)
	}
	for steps := needed - 1; steps > 0; steps /= 4 {
		if _, err := prove(steps); err == nil || err.Error() != (&policy.BudgetError{Limit: steps}).Error() {
			t.Errorf("with %d of %d steps the error is %v", steps, needed, err)
		}
	}
}

// An engine with a policy replaced evaluates as one made anew.
func TestReplace(t *testing.T) {
	t.Parallel()
	c := newCluster(t, policy.Config{}, shop)
	compile := func(text string) []*policy.Policy {
		var policies []*policy.Policy
		for _, o := range parse(t, text) {
			p, problems := policy.Compile(o, policy.Config{})
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			policies = append(policies, p)
		}
		return policies
	}
	np := func(name, spec string) string {
		return "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + "}\nspec: " + spec + "\n"
	}
	deny := cnp("d", `{endpointSelector: {matchLabels: {app: db}}, ingressDeny: [{fromEndpoints: [{matchLabels: {app: nobody}}]}]}`)
	variants := []string{
		`{podSelector: {}, policyTypes: [Ingress, Egress]}`,
		`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`,
		`{podSelector: {matchLabels: {app: db}}, ingress: [{from: [{podSelector: {}}, {namespaceSelector: {}}]}, {ports: [{port: 80}]}]}`,
		`{podSelector: {matchLabels: {app: web}}, egress: [{to: [{namespaceSelector: {matchLabels: {team: blue}}}]}, {ports: [{port: 53, protocol: UDP}]}]}`,
		`{podSelector: {}, ingress: [{}], egress: [{}]}`,
	}
	pods := []string{"default/db", "default/web", "other/client", "ip:1.2.3.4"}
	for i, before := range variants {
		for j, after := range variants {
			for k, beside := range variants {
				policies := compile(np("a", before) + np("b", beside) + "---\n" + deny)
				replaced := compile(np("a", after))[0]
				base := policy.New(c, policies, nil)
				invariant := policy.Reach{To: []string{"default/db"}, ExceptNamespaces: []string{"other"}, ExceptPods: []string{"default/web"}}
				_, _ = base.Prove(invariant) // what it finds is tried first
				for _, by := range []*policy.Policy{replaced, nil} {
					rest := policies[1:]
					if by != nil {
						rest = append([]*policy.Policy{by}, rest...)
					}
					got, want := base.Replace(nil, policies[0], by), policy.New(c, rest, nil)
					for _, from := range pods {
						for _, to := range pods[:3] {
							for _, port := range []int{53, 80} {
								probe := policy.Probe{From: from, To: to, Port: port, Protocol: map[int]string{53: "UDP"}[port]}
								a, _ := got.Evaluate(probe)
								b, _ := want.Evaluate(probe)
								if a.Verdict != b.Verdict {
									t.Errorf("%d by %d beside %d: %s to %s:%d is %s, want %s", i, j, k, from, to, port, a.Verdict, b.Verdict)
								}
							}
						}
					}
					a, errA := got.Prove(invariant)
					b, errB := want.Prove(invariant)
					if errA != nil || errB != nil || (a == nil) != (b == nil) {
						t.Errorf("%d by %d beside %d: the proof is %v, want %v", i, j, k, a, b)
					}
				}
			}
		}
	}
}
