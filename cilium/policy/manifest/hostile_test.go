package manifest

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
	"unicode"
)

// Aliases that contain themselves, in every place that something walks over.
func TestSelfContainingAliases(t *testing.T) {
	t.Parallel()
	const policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: a\n"
	for name, text := range map[string]string{
		"a list of itself":     "apiVersion: v1\nkind: List\nitems: &i\n- apiVersion: v1\n  kind: List\n  items: *i\n",
		"items of a list":      "apiVersion: v1\nkind: List\nitems: &i [*i]\n",
		"a typed list":         "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicyList\nitems: &i\n- &j\n  kind: NetworkPolicyList\n  items: [*j, *i]\n",
		"the document":         "&a\nkind: List\nitems:\n- *a\n",
		"spec":                 policy + "spec: &s\n  podSelector: *s\n",
		"two of each other":    policy + "spec: &s\n  podSelector: &p {matchLabels: *s}\n  ingress: [{from: [*p, *s]}]\n",
		"a merge key":          policy + "spec: &s\n  <<: *s\n",
		"a list of merges":     policy + "spec: &s\n  <<: [*s, {a: b}]\n",
		"a merge in a list":    policy + "spec:\n  ingress: &i\n  - <<: *i\n",
		"a key":                policy + "spec: &s\n  ? *s\n  : a\n",
		"an anchored key":      policy + "spec:\n  ? &k [*k]\n  : a\n",
		"metadata":             "apiVersion: v1\nkind: Pod\nmetadata: &m\n  name: a\n  labels: *m\n",
		"the header":           "apiVersion: &v\n- *v\nkind: NetworkPolicy\n",
		"the kind":             "apiVersion: v1\nkind: &k {a: *k}\n",
		"of an unknown kind":   "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: &d\n  a: *d\n",
		"an anchor used again": policy + "spec: &s\n  podSelector: &s\n    matchLabels: &s {a: *s}\n",
		"deep":                 policy + "spec: &s " + strings.Repeat("[", 40) + "*s" + strings.Repeat("]", 40) + "\n",
		"flow":                 "&a {kind: List, items: [*a, *a]}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, parse := range []func([]File, Limits) ([]*Object, Problems){Parse, ParseRefs} {
				_, problems := parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
				if len(problems) != 1 || !strings.Contains(problems[0].Message, "contains itself") || problems[0].Line == 0 {
					t.Errorf("%s\ngave %v", text, problems)
				}
			}
		})
	}
}

// What exceeds a limit is refused with the limit's name, first of all problems, and nothing after it is looked at.
func TestLimitsAreNamed(t *testing.T) {
	t.Parallel()
	policy := func(spec string) string {
		return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\nspec: " + spec + "\n"
	}
	repeat := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	cidr := func(n int) string {
		return policy("{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0, except: [" + repeat(n, "10.1.%d.0/32,") + "]}}]}]}")
	}
	long := strings.Repeat("K", 1<<16)
	for _, tt := range []struct{ name, text, limit string }{
		{"repeated keys", repeat(60_000, "a: %d\n"), "max-values"},
		{"repeated empty keys", strings.Repeat("a:\n", 100_000), "max-values"},
		{"repeated merges", "x: &x {a: b}\n" + strings.Repeat("<<: *x\n", 60_000), "max-values"},
		{"empty documents", strings.Repeat("---\n", 200_000), "max-documents"},
		{"null documents", strings.Repeat("--- ~\n", 200_000), "max-documents"},
		{"empty mappings", strings.Repeat("--- {}\n", 100_000), "max-documents"},
		{"broken documents", strings.Repeat("---\n@\n", 100_000), "max-documents"},
		{"JSON values", strings.Repeat("{}", 100_000), "max-documents"},
		{"items of a list", "kind: List\nitems:\n" + strings.Repeat("- {}\n", 2000), "max-documents"},
		{"one item again and again", "kind: List\nitems:\n- &a {}\n" + strings.Repeat("- *a\n", 2000), "max-documents"},
		{"a long text again and again", "a: &a " + long + "\nb:\n" + strings.Repeat("- *a\n", 1000), "max-bytes"},
		{"long texts in a value again and again", "a: &a {b: " + long + "}\nb:\n" + strings.Repeat("- <<: *a\n", 1000), "max-bytes"},
		{"depth", "a: " + strings.Repeat("[", 70) + strings.Repeat("]", 70), "max-depth"},
		{"depth of aliases", "a0: &a0 [x]\n" + func() string {
			var b strings.Builder
			for i := range 70 {
				fmt.Fprintf(&b, "a%d: &a%d [*a%d]\n", i+1, i+1, i)
			}
			return b.String()
		}(), "max-depth"},
		{"rules", policy("{podSelector: {}, ingress: [" + strings.Repeat("{},", 1001) + "]}"), "max-rules"},
		{"rules of many policies", strings.Repeat("---\n"+policy("{podSelector: {}, egress: [{},{},{},{},{}]}"), 201), "max-rules"},
		{"rules in a list", "kind: List\nitems:\n- &a\n  apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n  metadata: {name: a}\n  spec: {podSelector: {}, ingress: [{},{},{},{},{},{}]}\n" + strings.Repeat("- *a\n", 500), "max-rules"},
		{"deny rules", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspec: {endpointSelector: {}, ingressDeny: [" + strings.Repeat("{},", 600) + "], egressDeny: [" + strings.Repeat("{},", 600) + "]}\n", "max-rules"},
		{"except", cidr(5001), "max-entries"},
		{"peers", policy("{podSelector: {}, ingress: [{from: [" + strings.Repeat("{podSelector: {}},", 5001) + "]}]}"), "max-entries"},
		{"ports", policy("{podSelector: {}, ingress: [{ports: [" + strings.Repeat("{port: http},", 5001) + "]}]}"), "max-entries"},
		{"expressions", policy("{podSelector: {matchExpressions: [" + strings.Repeat("{key: a, operator: Exists},", 5001) + "]}}"), "max-entries"},
		{"values of an expression", policy("{podSelector: {matchExpressions: [{key: a, operator: In, values: [" + repeat(5001, "v%d,") + "]}]}}"), "max-entries"},
		{"labels", policy("{podSelector: {matchLabels: {" + repeat(5001, "v%d: a,") + "}}}"), "max-entries"},
		{"a CIDR group", "apiVersion: cilium.io/v2\nkind: CiliumCIDRGroup\nmetadata: {name: a}\nspec: {externalCIDRs: [" + repeat(5001, "10.0.0.%d/32,") + "]}\n", "max-entries"},
		{"text that does not parse", "a: [" + strings.Repeat("x,", 600_000), "max-bytes"},
		{"much that does not parse", strings.Repeat("---\n@"+strings.Repeat("x", 4000)+"\n", 300), "max-bytes"},
		{"JSON that does not parse", `{"a": [` + strings.Repeat("1,", 600_000), "max-bytes"},
		{"specs", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspecs:\n" + strings.Repeat("- {endpointSelector: {}, egress: [{toCIDR: [1.2.3.4/32, 1.2.3.5/32]}]}\n", 1001), "max-rules"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			files := []File{{Name: "a.yaml", Data: []byte(tt.text)}, {Name: "b.yaml", Data: []byte("nonsense")}}
			_, problems := Parse(files, SubmissionLimits())
			if len(problems) == 0 || !strings.Contains(problems[0].Message, "(the limit "+tt.limit+")") || problems[0].File != "a.yaml" {
				t.Fatalf("got %.400v", problems)
			}
			for _, p := range problems {
				if p.File == "b.yaml" {
					t.Errorf("went on: %v", p)
				}
			}
		})
	}
	if _, problems := Parse([]File{{Name: "a.yaml", Data: []byte(cidr(200))}}, SubmissionLimits()); len(problems) > 0 && problems[0].limit {
		t.Errorf("an ordinary policy exceeds a limit: %v", problems[0])
	}
}

// Whatever is wrong, and however often, what is said about it is short.
func TestProblemsAreBounded(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("K", 1<<19)
	for name, text := range map[string]string{
		"a kind":            "apiVersion: v1\nkind: " + long + "\nmetadata: {name: x}\n",
		"an apiVersion":     "apiVersion: " + long + "\nkind: NetworkPolicy\nmetadata: {name: x}\n",
		"a name":            "apiVersion: v1\nkind: Other\nmetadata: {name: " + long + "}\n",
		"a namespace":       "apiVersion: v1\nkind: Other\nmetadata: {name: a, namespace: " + long + "}\n",
		"the name of a pod": "apiVersion: v1\nkind: Pod\nmetadata: {name: " + long + "}\n",
		"an unknown field":  "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n" + long + ": {a: [" + long + "]}\n",
		"unknown fields":    "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n? " + long + "\n: a\n" + strings.Repeat("b:\n", 40_000),
		"an unknown anchor": "apiVersion: *" + long + "\n",
		"a key":             "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  labels:\n    ? " + long + "\n    : " + strings.Repeat("x", 1000) + "\n",
		"labels": "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: a\n  labels:\n" + func() string {
			var b strings.Builder
			for i := range 40_000 {
				fmt.Fprintf(&b, "    a%d: '!'\n", i)
			}
			return b.String()
		}(),
		"ports":        "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    ports:\n" + strings.Repeat("    - {containerPort: x, hostPort: y}\n", 15_000),
		"many objects": strings.Repeat("---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nspec: {a: b, c: d, podSelector: []}\n", 900),
		"syntax":       strings.Repeat("---\n@\n", 900),
		"a selector":   "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}\nspec:\n  selector:\n    matchLabels: {a: " + long + "}\n  template: {}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			files := []File{{Name: "a.yaml", Data: []byte(text)}}
			start := time.Now()
			_, problems := Parse(files, SubmissionLimits())
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %v", took)
			}
			if len(problems) == 0 || len(problems) > MaxProblems {
				t.Fatalf("%d problems", len(problems))
			}
			if size := len(problems.Error()); size > 2*maxProblemBytes {
				t.Errorf("%d bytes of problems", size)
			}
			for _, p := range problems {
				if len(p.String()) > 4*maxShown {
					t.Errorf("%d bytes: %.200s", len(p.String()), p)
				}
			}
			// What is left can be shown, too.
			for _, parse := range []func([]File, Limits) ([]*Object, Problems){Parse, ParseRefs} {
				objects, _ := parse(files, SubmissionLimits())
				for _, o := range objects {
					if len(o.Ref().String()) > 3*maxName || len(o.APIVersion) > maxName {
						t.Errorf("an object with a name of %d bytes", len(o.Ref().String()))
					}
				}
			}
		})
	}
}

// Nothing that a student writes begins a line of its own in what is said about it, or changes how the line reads: lines in the logs of
// a workflow may be commands.
func TestProblemsAreOneLineEach(t *testing.T) {
	t.Parallel()
	const evil = `"x\n::error::forged\r\u0085\u2028\e[31m\u202e\a"`
	policy := "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a}\n"
	for name, text := range map[string]string{
		"a name":                      "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + evil + "}\nspec: {podSelector: {}}\n",
		"a namespace":                 "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: " + evil + "}\nspec: {podSelector: {}}\n",
		"a kind":                      "apiVersion: v1\nkind: " + evil + "\nmetadata: {name: a}\n",
		"an apiVersion":               "apiVersion: " + evil + "\nkind: Other\nmetadata: {name: a}\n",
		"the name of another kind":    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: " + evil + "}\n",
		"the namespace of one":        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a, namespace: " + evil + "}\n",
		"a field":                     policy + "spec: {podSelector: {}, " + evil + ": 1}\n",
		"a value":                     policy + "spec: {podSelector: {}, policyTypes: [" + evil + "]}\n",
		"a key of a label":            policy + "spec: {podSelector: {matchLabels: {" + evil + ": a}}}\n",
		"a repeated key":              policy + "? " + evil + "\n: a\n? " + evil + "\n: b\n",
		"a port":                      policy + "spec: {podSelector: {}, ingress: [{ports: [{port: " + evil + "}]}]}\n",
		"a range":                     policy + "spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: " + evil + "}}]}]}\n",
		"a value of a Cilium policy":  "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspec: {endpointSelector: {}, egress: [{toFQDNs: [{matchName: " + evil + "}]}]}\n",
		"an entity":                   "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: a}\nspec: {endpointSelector: {}, egress: [{toEntities: [" + evil + "]}]}\n",
		"an unknown policy's project": "apiVersion: " + evil + "\nkind: NetworkPolicy\nmetadata: {name: a}\n",
	} {
		for _, text := range []string{text, strings.NewReplacer(`\u0085`, "", `\u2028`, "", `\u202e`, "").Replace(text)} {
			for what, parse := range map[string]func([]File, Limits) ([]*Object, Problems){"whole": Parse, "reference": ParseRefs} {
				objects, problems := parse([]File{{Name: "a.yaml", Data: []byte(text)}}, SubmissionLimits())
				said := []string{}
				for _, p := range problems {
					said = append(said, p.String())
				}
				for _, o := range objects {
					said = append(said, o.Ref().String(), o.APIVersion)
				}
				if what == "whole" && len(problems) == 0 {
					t.Errorf("%s is accepted", name)
				}
				for _, s := range said {
					if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u202e' }) {
						t.Errorf("%s, %s: %q", name, what, s)
					}
				}
			}
		}
	}
}

// The parser compares each %TAG directive with all others.
func TestManyDirectives(t *testing.T) {
	t.Parallel()
	var tags strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&tags, "%%TAG !a%d! t:x\n", i)
	}
	for name, text := range map[string]string{
		"before a document":  tags.String() + "---\na: b\n",
		"before no document": tags.String(),
		"after one":          "a: b\n...\n" + tags.String() + "---\na: b\n",
		"on one line":        strings.ReplaceAll(tags.String(), "\n", "\u2028"),
	} {
		_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, SubmissionLimits())
		if len(problems) == 0 || !strings.Contains(problems[0].Message, "%TAG directives") || problems[0].Line == 0 {
			t.Errorf("%s: %v", name, problems)
		}
	}
}

func TestTrim(t *testing.T) {
	t.Parallel()
	var p Problems
	for i := range 250 {
		p = append(p, Problem{File: "a.yaml", Line: i + 1, Message: "x"})
	}
	once := p.Trim()
	if last := once[len(once)-1].String(); len(once) != MaxProblems || last != "… and 151 more problems" {
		t.Errorf("%d problems, the last: %s", len(once), last)
	}
	again := append(append(once, p[:10]...), Problem{File: "z.yaml", Message: "too much", limit: true}).Trim()
	if last := again[len(again)-1].String(); len(again) != MaxProblems || again[0].File != "z.yaml" || last != "… and 162 more problems" {
		t.Errorf("%d problems, the first %v, the last: %s", len(again), again[0], last)
	}
	if few := p[:MaxProblems].Trim(); len(few) != MaxProblems || few[99].more > 0 {
		t.Errorf("%d problems of %d", len(few), MaxProblems)
	}
}

// yamlWriter writes YAML with anchors, aliases and merge keys of every shape, drawn from a source of randomness.
type yamlWriter struct {
	rnd     *rand.Rand
	b       strings.Builder
	anchors int
	left    int // values
}

var (
	hostileKeys   = []string{"apiVersion", "kind", "metadata", "name", "namespace", "labels", "spec", "podSelector", "matchLabels", "items", "ingress", "from", "ports", "port", "<<", "a", "b", `"<<"`, "specs", "endpointSelector", "matchExpressions", "values", "status", "annotations"}
	hostileValues = []string{"v1", "List", "NetworkPolicy", "NetworkPolicyList", "CiliumNetworkPolicy", "networking.k8s.io/v1", "cilium.io/v2", "a", "8080", "~", "yes", `"x"`, "!!str 1", "!!binary aGk=", "1.5", "''", "Namespace", "Pod", "Deployment", "Service", "apps/v1"}
)

func (w *yamlWriter) pick(from []string) string { return from[w.rnd.IntN(len(from))] }

func (w *yamlWriter) document() {
	if w.rnd.IntN(3) == 0 {
		w.b.WriteString("--- ")
	}
	switch w.rnd.IntN(4) {
	case 0:
		w.value(0)
	case 1:
		fmt.Fprintf(&w.b, "&d {kind: List, items: [*d, ")
		w.value(2)
		w.b.WriteString(", *d]}")
	case 2:
		w.b.WriteString("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: ")
		w.value(1)
		w.b.WriteString("}")
	default:
		w.b.WriteString("{apiVersion: v1, kind: List, items: ")
		w.value(1)
		w.b.WriteString("}")
	}
	w.b.WriteString("\n")
}

func (w *yamlWriter) value(depth int) {
	w.left--
	if w.anchors > 0 && w.rnd.IntN(3) == 0 {
		fmt.Fprintf(&w.b, "*n%d ", w.rnd.IntN(w.anchors)) // most are open or done, so this is a cycle or a bomb
		return
	}
	if w.rnd.IntN(3) == 0 {
		if w.anchors == 0 || w.rnd.IntN(4) > 0 {
			w.anchors++
		}
		fmt.Fprintf(&w.b, "&n%d ", w.rnd.IntN(w.anchors))
	}
	kind := w.rnd.IntN(5)
	if depth > 12 || w.left < 0 {
		kind = 4
	}
	switch kind {
	case 0, 1:
		w.b.WriteString("{")
		for i := range w.rnd.IntN(6) {
			if i > 0 {
				w.b.WriteString(", ")
			}
			switch w.rnd.IntN(12) {
			case 0:
				w.b.WriteString("? ")
				w.value(depth + 1)
			default:
				w.b.WriteString(w.pick(hostileKeys))
			}
			w.b.WriteString(" : ")
			w.value(depth + 1)
		}
		w.b.WriteString("}")
	case 2, 3:
		w.b.WriteString("[")
		for i := range w.rnd.IntN(6) {
			if i > 0 {
				w.b.WriteString(", ")
			}
			w.value(depth + 1)
		}
		w.b.WriteString("]")
	default:
		w.b.WriteString(w.pick(hostileValues))
	}
}

// hostileYAML is the text that a seed stands for.
func hostileYAML(seed uint64) string {
	w := yamlWriter{rnd: rand.New(rand.NewPCG(seed, 1)), left: 300}
	for range 1 + w.rnd.IntN(3) {
		w.document()
	}
	return w.b.String()
}

func checkHostile(t *testing.T, text string) {
	t.Helper()
	lim := Limits{Nodes: 3000, Documents: 50, Rules: 50, Entries: 500}
	files := []File{{Name: "a.yaml", Data: []byte(text)}}
	start := time.Now()
	objects, problems := Parse(files, lim)
	_, more := ParseRefs(files, lim)
	for _, o := range objects {
		o.LineOf("spec.ingress[0].from[1].podSelector.matchLabels.a")
		o.Layout()
	}
	if took := time.Since(start); took > 30*time.Second {
		t.Fatalf("took %v:\n%s", took, text)
	}
	for _, p := range append(problems, more...) {
		if strings.Contains(p.Message, "cannot be read: ") || strings.Contains(p.Message, "the YAML parser failed") {
			t.Fatalf("a panic was caught: %v\n%s", p, text)
		}
	}
}

func TestHostileYAML(t *testing.T) {
	t.Parallel()
	cycles := 0
	for seed := range uint64(1000) {
		text := hostileYAML(seed)
		checkHostile(t, text)
		_, problems := Parse([]File{{Name: "a.yaml", Data: []byte(text)}}, Limits{})
		if strings.Contains(problems.Error(), "contains itself") {
			cycles++
		}
	}
	if cycles < 100 {
		t.Errorf("only %d of the texts have a cycle: the generator has gone blind", cycles)
	}
}

// FuzzHostileYAML draws texts from a generator that knows anchors, aliases and merge keys.
func FuzzHostileYAML(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(binary.LittleEndian.AppendUint64(nil, seed))
	}
	f.Fuzz(func(t *testing.T, choices []byte) {
		var seed [32]byte
		copy(seed[:], choices)
		w := yamlWriter{rnd: rand.New(&choiceSource{choices: choices, rest: rand.NewChaCha8(seed)}), left: 300}
		w.document()
		w.document()
		checkHostile(t, w.b.String())
	})
}

// choiceSource gives the fuzzer a say in each choice, as long as its bytes last.
type choiceSource struct {
	choices []byte
	rest    *rand.ChaCha8
}

func (c *choiceSource) Uint64() uint64 {
	if len(c.choices) < 2 {
		return c.rest.Uint64()
	}
	v := uint64(binary.LittleEndian.Uint16(c.choices))
	c.choices = c.choices[2:]
	return v<<48 | v<<32 | v<<16 | v
}
