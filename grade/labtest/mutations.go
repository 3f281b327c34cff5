package labtest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// allTasks stands for the folder of a submission that has none for each task.
const allTasks = "all tasks"

// String describes the mutant in a line, with its object and the place of the change.
func (m *Mutant) String() string {
	switch {
	case m.File == "" && m.Task == allTasks:
		return m.Message
	case m.File == "":
		return fmt.Sprintf("%s, in the folder of %s", m.Message, m.Task)
	case strings.Contains(m.Message, m.Object):
		return fmt.Sprintf("%s (%s)", m.Message, grade.Place(m.File, m.Line))
	}
	return fmt.Sprintf("%s, in %s (%s)", m.Message, m.Object, grade.Place(m.File, m.Line))
}

// Mutations lists the mistakes that a student can make in one step of a lab's solution: in each of its objects, in order,
// and then what the student may have added.
func Mutations(lab *labs.Lab, solution *submission.Submission, step int) []Mutation {
	var all []Mutation
	s := &solution.Steps[step]
	task := cmp.Or(s.Task, allTasks)
	note := func(o *manifest.Object, id, message, field string) Mutation {
		return Mutation{step: step, object: o, Mutant: Mutant{
			Mutation: id, Message: message, Object: o.Ref().String(), File: o.File, Line: o.LineOf(field), Task: task,
		}}
	}
	for _, o := range s.Apply {
		all = append(all, note(o, "drop-object", "leave out "+o.Ref().String(), ""))
		for _, e := range edits(lab, o) {
			m := note(o, e.id, e.message, e.at.String())
			if m.put = e.apply(o); m.put != nil {
				all = append(all, m)
			}
		}
	}
	for _, o := range s.Delete {
		all = append(all, note(o, "drop-deletion", "do not delete "+o.Ref().String(), ""))
	}
	for _, ns := range lab.Submission.Namespaces {
		for _, direction := range []string{"ingress", "egress"} {
			if o := allowAll(lab, ns, direction); o != nil {
				m := note(o, "add-allow-all", fmt.Sprintf("add a policy that allows all %s in the namespace %s", direction, ns), "")
				m.object, m.put, m.File, m.Line = nil, o, "", 0
				all = append(all, m)
			}
		}
	}
	return all
}

// Mutation is a Mutant with how it is made from the solution.
type Mutation struct {
	Mutant
	step   int
	object *manifest.Object // of the step's Apply or Delete; nil: add
	put    *manifest.Object // in its place; nil: nothing
}

// Apply returns the solution with the mutation in it.
func (m *Mutation) Apply(solution *submission.Submission) *submission.Submission {
	mutant := &submission.Submission{Layout: solution.Layout, Steps: slices.Clone(solution.Steps)}
	s := &mutant.Steps[m.step]
	s.Apply, s.Delete = m.in(s.Apply), m.in(s.Delete)
	if m.object == nil {
		s.Apply = append(slices.Clip(s.Apply), m.put)
	}
	return mutant
}

func (m *Mutation) in(objs []*manifest.Object) []*manifest.Object {
	i := slices.Index(objs, m.object)
	switch {
	case m.object == nil || i < 0:
		return objs
	case m.put == nil:
		return slices.Concat(objs[:i], objs[i+1:])
	}
	objs = slices.Clone(objs)
	objs[i] = m.put
	return objs
}

// allowAll is a policy of a kind the lab takes that opens a namespace in one direction; nil if there is none.
func allowAll(lab *labs.Lab, ns, direction string) *manifest.Object {
	const name = "mutant-allow-all"
	var text string
	switch {
	case slices.Contains(lab.Submission.Kinds, "NetworkPolicy"):
		text = fmt.Sprintf(`{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":%q,"namespace":%q},`+
			`"spec":{"podSelector":{},"policyTypes":[%q],%q:[{}]}}`, name, ns, strings.ToUpper(direction[:1])+direction[1:], direction)
	case slices.Contains(lab.Submission.Kinds, "CiliumNetworkPolicy"):
		peer := map[string]string{"ingress": "fromEntities", "egress": "toEntities"}[direction]
		text = fmt.Sprintf(`{"apiVersion":"cilium.io/v2","kind":"CiliumNetworkPolicy","metadata":{"name":%q,"namespace":%q},`+
			`"spec":{"endpointSelector":{},%q:[{%q:["all"]}]}}`, name, ns, direction, peer)
	default:
		return nil
	}
	return parseMutant("", []byte(text))
}

// parseMutant reads a mutated object; nil if the API server would not take it.
func parseMutant(file string, text []byte) *manifest.Object {
	objs, problems := manifest.Parse([]manifest.File{{Name: file, Data: text}}, manifest.Limits{})
	if len(problems) > 0 || len(objs) != 1 {
		return nil
	}
	return objs[0]
}

// edit replaces one value of an object.
type edit struct {
	id, message string
	at          fieldPath // what is replaced
	value       any       // dropped: nothing in its place
}

type dropped struct{}

// apply returns a changed copy of the object, or nil if the API server would not take it.
func (e *edit) apply(o *manifest.Object) *manifest.Object {
	root, err := o.Tree()
	if err != nil || !e.at.set(root, e.value) {
		return nil
	}
	text, err := json.Marshal(root)
	if err != nil {
		return nil
	}
	return parseMutant(o.File, text)
}

// fieldPath leads to a value: keys (string) and places in lists (int).
type fieldPath []any

func (p fieldPath) String() string {
	var b strings.Builder
	labels := false
	for _, elem := range p {
		switch e := elem.(type) {
		case int:
			fmt.Fprintf(&b, "[%d]", e)
		case string:
			switch {
			case labels:
				b.WriteString("[" + e + "]")
			case b.Len() > 0:
				b.WriteString("." + e)
			default:
				b.WriteString(e)
			}
			labels = e == "matchLabels" || e == "labels"
		}
	}
	return b.String()
}

// with returns the path of something in the value.
func (p fieldPath) with(elems ...any) fieldPath { return slices.Concat(p, elems) }

// set replaces the value at the path. A list that loses its last element goes altogether: that is how one
// leaves out the last peer or port.
func (p fieldPath) set(root map[string]any, value any) bool {
	var parent any = root
	for _, elem := range p[:len(p)-1] {
		parent = child(parent, elem)
	}
	_, drop := value.(dropped)
	switch last := p[len(p)-1].(type) {
	case string:
		m, ok := parent.(map[string]any)
		if !ok {
			return false
		}
		if drop {
			delete(m, last)
		} else {
			m[last] = value
		}
	case int:
		l, ok := parent.([]any)
		if !ok || last >= len(l) {
			return false
		}
		if !drop {
			l[last] = value
			return true
		}
		rest := slices.Concat(l[:last], l[last+1:])
		if len(rest) == 0 {
			return p[:len(p)-1].set(root, dropped{})
		}
		return p[:len(p)-1].set(root, rest)
	}
	return true
}

func child(parent any, elem any) any {
	switch e := elem.(type) {
	case string:
		if m, ok := parent.(map[string]any); ok {
			return m[e]
		}
	case int:
		if l, ok := parent.([]any); ok && e < len(l) {
			return l[e]
		}
	}
	return nil
}

// edits lists the single changes to an object that students make by mistake.
func edits(lab *labs.Lab, o *manifest.Object) []edit {
	root, err := o.Tree()
	if err != nil {
		return nil
	}
	e := editor{}
	if o.Kind == "Namespace" {
		meta, _ := root["metadata"].(map[string]any)
		e.labels(meta["labels"], fieldPath{"metadata", "labels"}, 1)
		return e.edits
	}
	for _, ns := range lab.Submission.Namespaces {
		if o.Namespace != "" && ns != o.Namespace {
			e.add("other-namespace", "put it into the namespace "+ns, fieldPath{"metadata", "namespace"}, ns)
		}
	}
	for _, key := range []string{"spec", "specs"} {
		if v, ok := root[key]; ok {
			e.walk(v, fieldPath{key})
		}
	}
	return e.edits
}

type editor struct{ edits []edit }

func (e *editor) add(id, message string, at fieldPath, value any) {
	e.edits = append(e.edits, edit{id: id, message: message, at: at, value: value})
}

func (e *editor) drop(id, what string, at fieldPath) {
	e.add(id, fmt.Sprintf("leave out the %s %s", what, at), at, dropped{})
}

func (e *editor) walk(node any, at fieldPath) {
	switch n := node.(type) {
	case map[string]any:
		for _, key := range slices.Sorted(maps.Keys(n)) {
			e.field(key, n[key], at.with(key))
		}
	case []any:
		for i := range n {
			e.walk(n[i], at.with(i))
		}
	}
}

// field adds the edits of one field, by its name, and goes on into it.
func (e *editor) field(key string, value any, at fieldPath) {
	elements, _ := value.([]any)
	each := func(id, what string) {
		for i := range elements {
			e.drop(id, what, at.with(i))
		}
	}
	switch key {
	case "matchLabels":
		e.labels(value, at, 2)
		return
	case "podSelector", "namespaceSelector", "endpointSelector", "nodeSelector":
		e.widen(value, at)
	case "ingress", "egress", "ingressDeny", "egressDeny":
		each("drop-rule", "rule")
		for i := range elements {
			if m, ok := elements[i].(map[string]any); ok && len(m) > 0 {
				e.add("empty-rule", fmt.Sprintf("make the rule %s empty", at.with(i)), at.with(i), map[string]any{})
			}
		}
	case "from", "to":
		each("drop-peer", "peer")
		e.andOr(elements, at)
	case "fromEndpoints", "toEndpoints":
		each("drop-peer", "peer")
		for i := range elements {
			e.widen(elements[i], at.with(i))
		}
		e.andOrLabels(elements, at)
	case "fromCIDR", "toCIDR", "fromCIDRSet", "toCIDRSet", "fromEntities", "toEntities", "toFQDNs", "toServices":
		each("drop-peer", "peer")
	case "ports", "toPorts", "icmps", "fields":
		each("drop-port", "port")
	case "except":
		each("drop-except", "exception")
	case "matchExpressions":
		each("drop-expression", "expression")
	case "http", "dns":
		each("drop-request", "request rule")
	case "rules":
		e.drop("drop-requests", "rules for requests", at)
	case "policyTypes":
		if len(elements) > 1 {
			each("drop-policy-type", "policy type")
		}
		e.drop("drop-policy-types", "list", at)
	case "enableDefaultDeny", "endPort":
		e.drop("drop-field", "field", at)
	default:
		e.scalar(key, value, at)
	}
	e.walk(value, at)
}

// scalar adds the edits of a single value.
func (e *editor) scalar(key string, value any, at fieldPath) {
	text := fmt.Sprint(value)
	change := func(id string, to any) {
		e.add(id, fmt.Sprintf("change %s from %s to %v", at, text, to), at, to)
	}
	switch key {
	case "port":
		n, err := strconv.Atoi(text)
		if err != nil || n <= 0 || n >= 65535 {
			return
		}
		if _, isText := value.(string); isText {
			change("other-port", strconv.Itoa(n+1))
		} else {
			change("other-port", n+1)
		}
	case "protocol":
		if text == "TCP" {
			change("other-protocol", "UDP")
		} else {
			change("other-protocol", "TCP")
		}
	case "cidr":
		all := "0.0.0.0/0"
		if strings.Contains(text, ":") {
			all = "::/0"
		}
		if text != all {
			change("widen-cidr", all)
		}
	case "operator":
		if other := map[string]string{"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}[text]; other != "" {
			change("other-operator", other)
		}
	case "matchName", "matchPattern":
		if text != "*" {
			e.add("widen-name", fmt.Sprintf("match every name at %s", at[:len(at)-1]), at[:len(at)-1], map[string]any{"matchPattern": "*"})
		}
	case "action":
		if other := map[string]string{"Accept": "Deny", "Deny": "Accept", "Pass": "Accept"}[text]; other != "" {
			change("other-action", other)
		}
	}
}

// labels adds the edits of a map of labels; they are left out one by one if there are at least min.
func (e *editor) labels(value any, at fieldPath, min int) {
	labels, _ := value.(map[string]any)
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		if key == "kubernetes.io/metadata.name" && at[0] == "metadata" {
			continue
		}
		other := fmt.Sprintf("%v-other", labels[key])
		e.add("other-label", fmt.Sprintf("change the label %s of %s from %v to %s", key, at, labels[key], other), at.with(key), other)
		if len(labels) >= min {
			e.drop("drop-label", "label", at.with(key))
		}
	}
}

// widen makes a selector select everything.
func (e *editor) widen(value any, at fieldPath) {
	if m, ok := value.(map[string]any); ok && len(m) > 0 {
		e.add("widen-selector", fmt.Sprintf("make the selector %s empty, so that it selects all", at), at, map[string]any{})
	}
}

// andOr mistakes one peer for two and two for one.
func (e *editor) andOr(peers []any, at fieldPath) {
	const ns, pods = "namespaceSelector", "podSelector"
	for i := range peers {
		peer, _ := peers[i].(map[string]any)
		if peer[ns] == nil || peer[pods] == nil {
			continue
		}
		split := slices.Concat(peers[:i], []any{map[string]any{ns: peer[ns]}, map[string]any{pods: peer[pods]}}, peers[i+1:])
		e.add("and-to-or", fmt.Sprintf("make the selectors of %s two peers", at.with(i)), at, split)
		e.drop("drop-selector", "selector", at.with(i, ns))
		e.drop("drop-selector", "selector", at.with(i, pods))
	}
	for i := range max(len(peers)-1, 0) {
		a, _ := peers[i].(map[string]any)
		b, _ := peers[i+1].(map[string]any)
		if len(a) != 1 || len(b) != 1 {
			continue
		}
		merged := maps.Clone(a)
		maps.Copy(merged, b)
		if merged[ns] != nil && merged[pods] != nil {
			e.add("or-to-and", fmt.Sprintf("make %s and %s one peer", at.with(i), at.with(i+1)), at, slices.Concat(peers[:i], []any{merged}, peers[i+2:]))
		}
	}
}

// andOrLabels is andOr for the endpoint selectors of Cilium's policies, where a namespace is a label.
func (e *editor) andOrLabels(peers []any, at fieldPath) {
	labelsOf := func(peer any) map[string]any {
		m, _ := peer.(map[string]any)
		labels, _ := m["matchLabels"].(map[string]any)
		if len(m) != 1 {
			return nil
		}
		return labels
	}
	for i := range peers {
		labels := labelsOf(peers[i])
		if len(labels) < 2 {
			continue
		}
		var split []any
		for _, key := range slices.Sorted(maps.Keys(labels)) {
			split = append(split, map[string]any{"matchLabels": map[string]any{key: labels[key]}})
		}
		e.add("and-to-or", fmt.Sprintf("make the labels of %s peers of their own", at.with(i)), at, slices.Concat(peers[:i], split, peers[i+1:]))
	}
	for i := range max(len(peers)-1, 0) {
		a, b := labelsOf(peers[i]), labelsOf(peers[i+1])
		if len(a) == 0 || len(b) == 0 {
			continue
		}
		merged := maps.Clone(a)
		maps.Copy(merged, b)
		if len(merged) == len(a)+len(b) {
			one := map[string]any{"matchLabels": merged}
			e.add("or-to-and", fmt.Sprintf("make %s and %s one peer", at.with(i), at.with(i+1)), at, slices.Concat(peers[:i], []any{one}, peers[i+2:]))
		}
	}
}
