package manifest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"
)

// apiServer checks custom resources with the API server's own packages, in the order of its handlers.
type apiServer struct {
	structural *structuralschema.Structural
	validator  validation.SchemaValidator
	cel        *cel.Validator
}

func newAPIServer(t *testing.T, crd []byte) apiServer {
	t.Helper()
	var v1 apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(crd, &v1); err != nil {
		t.Fatal(err)
	}
	var props apiextensions.JSONSchemaProps
	in := v1.Spec.Versions[0].Schema.OpenAPIV3Schema
	delete(in.Properties, "status")
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(in, &props, nil); err != nil {
		t.Fatal(err)
	}
	s, err := structuralschema.NewStructural(&props)
	if err != nil {
		t.Fatal(err)
	}
	validator, _, err := validation.NewSchemaValidator(&props)
	if err != nil {
		t.Fatal(err)
	}
	return apiServer{s, validator, cel.NewValidator(s, true, celconfig.PerCallLimit)}
}

func (a apiServer) check(object map[string]any) (problems []string) {
	unknown := pruning.PruneWithOptions(object, a.structural, true, structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true})
	for _, path := range unknown {
		if !strings.HasPrefix(path, "metadata.") {
			problems = append(problems, path+": unknown field")
		}
	}
	defaulting.PruneNonNullableNullsWithoutDefaults(object, a.structural)
	defaulting.Default(object, a.structural)
	errs := validation.ValidateCustomResource(nil, object, a.validator)
	errs = append(errs, listtype.ValidateListSetsAndMaps(nil, a.structural, object)...)
	if len(errs) == 0 { // the API server, too, evaluates rules only on objects of the right shape
		celErrs, _ := a.cel.Validate(context.Background(), nil, a.structural, object, nil, celconfig.RuntimeCELCostBudget)
		errs = append(errs, celErrs...)
	}
	for _, e := range errs {
		problems = append(problems, shortened(e))
	}
	return problems
}

// shortened leaves out of an error what is not of interest: the value that CEL prints in full.
func shortened(e *field.Error) string {
	if e.Type == field.ErrorTypeInvalid && e.Detail != "" && !strings.Contains(e.Detail, "in body") {
		return e.Field + ": " + e.Detail
	}
	return e.Error()
}

// The checks of schema.go find what the API server's packages find: on the test data, and on random
// changes of it.
func TestSchemaAgreesWithAPIServer(t *testing.T) {
	t.Parallel()
	crds := upstreamCRDs(t)
	servers := map[string]apiServer{}
	for name, kinds := range map[string][]string{
		"ciliumnetworkpolicy":  {"CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"},
		"ciliumcidrgroup":      {"CiliumCIDRGroup"},
		"clusternetworkpolicy": {"ClusterNetworkPolicy"},
	} {
		for _, kind := range kinds {
			servers[kind] = newAPIServer(t, crds[name])
		}
	}
	files, err := ReadPath("testdata", Limits{})
	if err != nil {
		t.Fatal(err)
	}
	var seeds []map[string]any
	for _, f := range files {
		for d, err := range documents(f, new(int)) {
			if err != nil || d.root == nil || (&survey{lim: DefaultLimits()}).document(d.root) != nil {
				continue
			}
			c := converter{doc: d}
			c.value(d.root)
			var object map[string]any
			if json.Unmarshal(c.buf, &object) == nil {
				if _, ok := servers[fmt.Sprint(object["kind"])]; ok {
					seeds = append(seeds, object)
				}
			}
		}
	}
	if len(seeds) < 8 {
		t.Fatalf("only %d seeds", len(seeds))
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	rounds := 400
	if testing.Short() {
		rounds = 40
	}
	refused := 0
	for i := range rounds {
		for _, seed := range seeds {
			object := clone(seed)
			for range min(i, 1+rnd.IntN(3)) {
				mutate(rnd, object["spec"])
				if rnd.IntN(20) == 0 {
					mutate(rnd, object)
				}
			}
			server, ok := servers[fmt.Sprint(object["kind"])]
			if !ok {
				continue
			}
			text, err := json.MarshalIndent(object, "", " ")
			if err != nil {
				t.Fatal(err)
			}
			docs, syntaxErr := jsonDocuments(text)
			if syntaxErr != nil {
				t.Fatal(syntaxErr)
			}
			k, _ := lookupKind(fmt.Sprint(object["kind"]))
			c := checker{doc: docs[0]}
			c.check(k.schema(), docs[0].root, docs[0].root)
			if _, ok := object["metadata"].(map[string]any); !ok {
				continue // decoded before there is any schema
			}
			want := withoutConsequences(server.check(clone(object)))
			if len(want) > 0 {
				refused++
			}
			// A list passes for a string with a format there. Cilium cannot decode it, so it does not here.
			got := slices.DeleteFunc(comparable(c.findings.list), func(p string) bool {
				return strings.Contains(p, "must be of type string: \"array\"") && !slices.Contains(want, p)
			})
			if !slices.Equal(got, want) {
				t.Fatalf("disagree on\n%s\nhere:\n %s\nthe API server:\n %s", text, strings.Join(got, "\n "), strings.Join(want, "\n "))
			}
		}
	}
	if refused < rounds {
		t.Errorf("only %d objects were refused: the changes do not test much", refused)
	}
}

// withoutConsequences sorts the API server's problems and drops what only repeats another of them: what
// else is wrong with a value of the wrong type, the fields of which are unknown, too; and that of several alternatives it says that the first
// one's field is missing.
func withoutConsequences(problems []string) []string {
	return slices.DeleteFunc(sortedSet(problems), func(p string) bool {
		path, _, _ := strings.Cut(p, ": ")
		if quoted, _, ok := strings.Cut(p, " must validate"); ok {
			path = strings.Trim(quoted, `"`)
		}
		if strings.HasPrefix(p, "Checked value") {
			path = p[strings.LastIndexByte(p, ' ')+1:]
		}
		return slices.ContainsFunc(problems, func(q string) bool {
			of, _, _ := strings.Cut(q, ": ")
			if p != q && path == of && strings.Contains(q, "in body must be of type") {
				return true
			}
			if strings.HasSuffix(p, ": unknown field") {
				return strings.Contains(q, "in body must be of type") && (strings.HasPrefix(path, of+".") || strings.HasPrefix(path, of+"["))
			}
			parent, ok := strings.CutSuffix(p, path[strings.LastIndexByte(path, '.')+1:]+": Required value")
			return ok && strings.HasPrefix(q, fmt.Sprintf("%q must validate", strings.TrimSuffix(parent, ".")))
		})
	})
}

// comparable writes the findings as apiServer.check does.
func comparable(findings []finding) []string {
	var all, rules []string
	for _, f := range findings {
		switch {
		case strings.HasPrefix(f.field, "metadata."):
		case f.unknown:
			all = append(all, f.field+": unknown field")
		case f.rule:
			_, message, _ := strings.Cut(f.message, ": ")
			_, message, _ = strings.Cut(message, ": ")
			rules = append(rules, strings.TrimPrefix(f.field+": "+message, ": "))
		case strings.Contains(f.message, "must validate"), strings.Contains(f.message, "Checked value"):
			all = append(all, f.message[strings.Index(f.message, `"": `)+len(`"": `):]) // the API server names no field
		default:
			all = append(all, strings.TrimPrefix(f.field+": "+f.message, ": "))
		}
	}
	onlyUnknown := !slices.ContainsFunc(all, func(s string) bool { return !strings.HasSuffix(s, ": unknown field") })
	if onlyUnknown {
		all = append(all, rules...)
	}
	return sortedSet(all)
}

func sortedSet(lines []string) []string {
	for i, l := range lines {
		lines[i] = strings.TrimPrefix(strings.TrimPrefix(l, "<nil>: "), ": ")
	}
	slices.Sort(lines)
	return slices.Compact(lines)
}

func clone(object map[string]any) map[string]any {
	data, err := json.Marshal(object)
	if err != nil {
		panic(err)
	}
	var out map[string]any
	if err := json.Unmarshal(data, &out); err != nil {
		panic(err)
	}
	return numbers(out).(map[string]any)
}

// numbers turns whole numbers into the int64 that the API server decodes.
func numbers(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = numbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = numbers(v[i])
		}
	case float64:
		if v == float64(int64(v)) {
			return int64(v)
		}
	}
	return v
}

// mutate changes one thing somewhere in v.
func mutate(rnd *rand.Rand, v any) {
	values := []any{nil, true, int64(0), int64(1), int64(-5), int64(70000), int64(1) << 40, 1.5, "", "x", "TCP", "10.0.0.0/8", "::ffff:1.2.3.4/100", "10.0.0.1", "*", "a b", strings.Repeat("y", 300), "80", "99999", "GET",
		[]any{}, []any{int64(1)}, []any{"a", "a"}, []any{map[string]any{}}, []any{nil}, map[string]any{}, map[string]any{"a": "b"}, map[string]any{"matchLabels": nil}}
	names := []string{"ports", "http", "dns", "cidr", "except", "cidrGroupRef", "endpointSelector", "nodeSelector", "ingress", "egressDeny", "matchName", "matchPattern", "toFQDNs", "toServices", "icmps", "terminatingTLS", "domainNames", "namespaces", "pods", "networks", "start", "enableDefaultDeny", "listener", "authentication", "serverNames", "endPort", "l7proto", "description", "specs", "order"}
	value := values[rnd.IntN(len(values))]
	switch v := v.(type) {
	case map[string]any:
		keys := slices.Sorted(maps.Keys(v))
		if len(keys) > 0 && rnd.IntN(4) > 0 {
			k := keys[rnd.IntN(len(keys))]
			if rnd.IntN(3) > 0 {
				mutate(rnd, v[k])
			}
			switch rnd.IntN(6) {
			case 0:
				delete(v, k)
			case 1:
				if k != "kind" {
					v[k] = value
				}
			}
			return
		}
		v[names[rnd.IntN(len(names))]] = value
	case []any:
		if len(v) > 0 {
			i := rnd.IntN(len(v))
			if rnd.IntN(3) > 0 {
				mutate(rnd, v[i])
			} else {
				v[i] = value
			}
		}
	}
}

// Every rule in CEL that the CRDs bring is written down in celRules.
func TestEveryCELRuleIsKnown(t *testing.T) {
	t.Parallel()
	known := map[string]bool{}
	var walk func(s *schema)
	walk = func(s *schema) {
		for _, r := range s.Rules {
			known[r.Rule] = true
			if celRules[r.Rule] == nil {
				t.Errorf("no Go for the CEL rule %s", r.Rule)
			}
		}
		for _, child := range append(slices.Collect(maps.Values(s.Properties)), s.Items, s.Values) {
			if child != nil && child.goType == "" {
				walk(child)
			}
		}
	}
	for _, s := range []*schema{ciliumPolicySchema(), cidrGroupSchema(), clusterPolicySchema()} {
		walk(s)
	}
	for rule := range celRules {
		if !known[rule] {
			t.Errorf("no CRD has the CEL rule %s any more", rule)
		}
	}
}
