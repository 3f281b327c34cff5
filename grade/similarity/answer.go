package similarity

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/submission"
)

// Answer is what a submission says for one task, without what changes nothing about it: names, comments, labels of
// policies, order, formatting, and how what NetworkPolicies allow is divided into policies, rules and lists. Equal answers have
// equal fingerprints.
type Answer struct {
	Task   string   `json:"task"`   // "" in a flat submission
	Digest string   `json:"digest"` // of all of it
	Parts  []string `json:"parts"`  // of each statement of a rule, with the pods it is for, sorted; never null
	Names  []string `json:"names"`  // that the student gave to policies, in order; never null
}

// Reader reads the answers of submissions. It caches those of single objects, which many students write alike. It is
// safe for concurrent use.
type Reader struct {
	objects *lru.Cache[[sha256.Size]byte, objectAnswer] // by what the object says
}

// Bounds of a Reader's cache.
const (
	cachedObjects = 1 << 12
	mostCached    = 1 << 14 // bytes of JSON of one object
)

// NewReader returns a Reader with an empty cache.
func NewReader() *Reader {
	objects, _ := lru.New[[sha256.Size]byte, objectAnswer](cachedObjects) // fails only for a size that is not positive
	return &Reader{objects}
}

// Answers lists the answers of a submission, for the tasks that it says something for.
func (r *Reader) Answers(sub *submission.Submission) []Answer {
	answers := []Answer{}
	left := mostAnswered
	for i := range sub.Steps {
		if a, ok := r.answerOf(&sub.Steps[i]); ok {
			a.Parts, a.Names = within(a.Parts, &left), within(a.Names, &left)
			answers = append(answers, a)
		}
	}
	return answers
}

// mostAnswered is how many bytes the parts and names of a submission's answers have; beyond it they are left out.
const mostAnswered = 24 << 10

// within returns as many texts as there is room for.
func within(texts []string, left *int) []string {
	for i, s := range texts {
		if *left -= len(s) + 3; *left < 0 {
			return texts[:i]
		}
	}
	return texts
}

// answerOf is the answer of a step; false if there is none.
func (r *Reader) answerOf(step *submission.Step) (Answer, bool) {
	a := Answer{Task: step.Task, Parts: []string{}, Names: []string{}}
	var says, deleted []string
	for _, o := range step.Apply {
		part, ok := r.objectAnswer(o)
		if !ok {
			continue
		}
		says = append(says, part.says...)
		a.Parts = append(a.Parts, part.rules...)
		if o.Kind != "Namespace" {
			a.Names = append(a.Names, o.Name)
		}
	}
	for _, o := range step.Delete {
		// What is deleted has the name that the student gave it: that there is a deletion is all that counts.
		deleted = append(deleted, "delete "+o.Kind+" "+o.Namespace)
	}
	slices.Sort(says)
	slices.Sort(deleted)
	slices.Sort(a.Parts)
	slices.Sort(a.Names)
	a.Parts, a.Names = slices.Compact(a.Parts), slices.Compact(a.Names)
	a.Digest = fingerprint(append(slices.Compact(says), deleted...)...)
	return a, len(says)+len(deleted) > 0
}

// objectAnswer is what an object says.
type objectAnswer struct {
	says  []string // statements in a normal form; their order and number mean nothing
	rules []string // fingerprints of those that are of rules
}

// objectAnswer is that of an object; false if it says nothing.
func (r *Reader) objectAnswer(o *manifest.Object) (objectAnswer, bool) {
	key := keyOf(o)
	if known, ok := r.objects.Get(key); ok {
		return known, true
	}
	root, err := o.Tree()
	if err != nil {
		return objectAnswer{}, false
	}
	a := statements(o, root)
	if len(o.JSON) <= mostCached {
		r.objects.Add(key, a)
	}
	return a, true
}

// keyOf is a digest of all that an answer depends on. A List may give its objects a kind and a namespace that are not in
// their JSON.
func keyOf(o *manifest.Object) [sha256.Size]byte {
	h := sha256.New()
	for _, s := range []string{o.APIVersion, o.Kind, o.Namespace} {
		fmt.Fprintf(h, "%d %s", len(s), s)
	}
	h.Write(o.JSON)
	return [sha256.Size]byte(h.Sum(nil))
}

// maxStatements is how many statements the rules of one object are taken apart into; beyond, each rule is one.
const maxStatements = 2000

// statements takes an object apart. The rules of the kinds that only add up are single statements, one for each peer and port of a
// NetworkPolicy: so it does not matter how they are divided. Any other object is one statement.
func statements(o *manifest.Object, root map[string]any) objectAnswer {
	switch o.Kind {
	case "NetworkPolicy":
		spec, _ := root["spec"].(map[string]any)
		return ruleStatements(o, spec, []string{"ingress", "egress"}, peersAndPorts)
	case "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy":
		all := objectAnswer{}
		specs, _ := root["specs"].([]any)
		for _, s := range append([]any{root["spec"]}, specs...) {
			if spec, ok := s.(map[string]any); ok {
				a := ruleStatements(o, spec, []string{"ingress", "egress", "ingressDeny", "egressDeny"}, nil)
				all.says, all.rules = append(all.says, a.says...), append(all.rules, a.rules...)
			}
		}
		return all
	}
	var b strings.Builder
	b.WriteString(o.Kind + " " + o.Namespace)
	if o.Kind == "Namespace" {
		b.WriteString(o.Name)
		if meta, ok := root["metadata"].(map[string]any); ok {
			writeNormal(&b, "labels", meta["labels"])
		}
	}
	writeNormal(&b, "", root["spec"])
	return objectAnswer{says: []string{b.String()}, rules: wholeRules(o, root)}
}

// wholeRules are the fingerprints of the rules of an object whose rules depend on each other.
func wholeRules(o *manifest.Object, root map[string]any) []string {
	spec, ok := root["spec"].(map[string]any)
	if !ok {
		return nil
	}
	var rules []string
	for _, direction := range []string{"ingress", "egress"} {
		list, _ := spec[direction].([]any)
		for _, rule := range list {
			rules = append(rules, fingerprint(o.Kind, normal(spec["subject"]), direction, normal(rule)))
		}
	}
	return rules
}

// ruleStatements are the statements of a policy: which pods it isolates in which direction, and what its rules say for them. apart
// takes a rule apart; nil: it stays whole.
func ruleStatements(o *manifest.Object, spec map[string]any, directions []string, apart func(rule map[string]any, direction string) []string) objectAnswer {
	head := map[string]any{}
	for k, v := range spec {
		if k != "policyTypes" && !slices.Contains(directions, k) {
			head[k] = v
		}
	}
	pods := o.Kind + " " + o.Namespace + " " + normal(head) + " "
	var a objectAnswer
	types, given := spec["policyTypes"].([]any)
	for _, direction := range directions {
		rules, there := spec[direction].([]any)
		isolates := there
		switch {
		case o.Kind != "NetworkPolicy":
		case given:
			isolates = slices.ContainsFunc(types, func(t any) bool { return strings.EqualFold(fmt.Sprint(t), direction) })
		case direction == "ingress":
			isolates = true // the default
		}
		if isolates {
			a.says = append(a.says, pods+"isolated "+direction)
		}
		for _, r := range rules {
			rule, ok := r.(map[string]any)
			parts := []string{normal(r)}
			if ok && apart != nil && len(a.says) < maxStatements {
				parts = apart(rule, direction)
			}
			for _, part := range parts {
				a.says = append(a.says, pods+direction+" "+part)
				a.rules = append(a.rules, fingerprint(pods, direction, part))
			}
		}
	}
	return a
}

// peersAndPorts is what a rule of a NetworkPolicy says for each of its peers and ports; without a list it is for any.
func peersAndPorts(rule map[string]any, direction string) []string {
	side := "from"
	if direction == "egress" {
		side = "to"
	}
	peers, _ := rule[side].([]any)
	ports, _ := rule["ports"].([]any)
	if len(rule) > 2 || len(peers)*len(ports) > maxStatements {
		return []string{normal(rule)}
	}
	each := func(list []any) []string {
		if len(list) == 0 {
			return []string{"any"}
		}
		texts := make([]string, len(list))
		for i := range list {
			texts[i] = normal(list[i])
		}
		return texts
	}
	var parts []string
	for _, peer := range each(peers) {
		for _, port := range each(ports) {
			parts = append(parts, side+" "+peer+" "+port)
		}
	}
	return parts
}

func normal(value any) string {
	var b strings.Builder
	writeNormal(&b, "", value)
	return b.String()
}

// writeNormal writes a value: keys and lists in order, and without what is the default anyhow.
func writeNormal(b *strings.Builder, key string, value any) {
	switch v := value.(type) {
	case map[string]any:
		v = plainSelector(v)
		b.WriteByte('{')
		keys := make([]string, 0, len(v))
		for k := range v {
			if k == "description" || k == "protocol" && v[k] == "TCP" {
				continue
			}
			keys = append(keys, k)
		}
		slices.Sort(keys)
		for _, k := range keys {
			b.WriteString(strconv.Quote(k))
			b.WriteByte(':')
			writeNormal(b, k, v[k])
			b.WriteByte(',')
		}
		b.WriteByte('}')
	case []any:
		elems := make([]string, len(v))
		for i := range v {
			var e strings.Builder
			writeNormal(&e, "", v[i])
			elems[i] = e.String()
		}
		slices.Sort(elems)
		b.WriteString(key + "[" + strings.Join(elems, ",") + "]")
	case string:
		b.WriteString(strconv.Quote(v))
	case json.Number:
		b.WriteString(v.String())
	case nil:
		b.WriteString("null")
	default:
		fmt.Fprint(b, v)
	}
}

// plainSelector writes the labels of a selector as expressions, which say the same.
func plainSelector(v map[string]any) map[string]any {
	labels, ok := v["matchLabels"].(map[string]any)
	if !ok {
		return v
	}
	expressions, _ := v["matchExpressions"].([]any)
	expressions = slices.Clone(expressions)
	for k, value := range labels {
		expressions = append(expressions, map[string]any{"key": k, "operator": "In", "values": []any{value}})
	}
	plain := maps.Clone(v)
	delete(plain, "matchLabels")
	delete(plain, "matchExpressions")
	if len(expressions) > 0 {
		plain["matchExpressions"] = expressions
	}
	return plain
}

// fingerprint is short: of a million different texts two have the same one with a probability of 1 in 500.
func fingerprint(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d %s", len(t), t)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}
