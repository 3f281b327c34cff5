package grade

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// Checkpoints returns the state in force at the end of every task of the lab, in order: with what earlier
// tasks left, what setup did, and what was removed. Without a submission (nil) it is the lab as it is
// handed out. For a flat submission every state is the final one.
func Checkpoints(lab *labs.Lab, sub *Submission) ([]*State, error) {
	g, err := NewGrader(lab)
	if err != nil {
		return nil, err
	}
	return g.Checkpoints(sub)
}

// Checkpoints is the function of the same name, for the grader's lab.
func (g *Grader) Checkpoints(sub *Submission) ([]*State, error) {
	if sub == nil {
		sub = &Submission{Layout: labs.LayoutCheckpoints, Steps: make([]Step, len(g.lab.Tasks))}
		for i := range sub.Steps {
			sub.Steps[i].Task = g.lab.Tasks[i].Name
		}
	}
	if sub.states == nil {
		if problems := g.replay(sub); len(problems) > 0 {
			return nil, &Refused{Problems: problems}
		}
	}
	if sub.Layout != labs.LayoutFlat {
		return sub.states, nil
	}
	states := make([]*State, len(g.lab.Tasks))
	for i := range states {
		s := *sub.states[0]
		s.Task = g.lab.Tasks[i].Name
		states[i] = &s
	}
	return states, nil
}

// IsPolicy reports whether objects of a kind are judged by as policies (or are part of one), and not
// part of the cluster.
func IsPolicy(kind string) bool {
	switch kind {
	case "NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "ClusterNetworkPolicy", "CiliumCIDRGroup":
		return true
	}
	return false
}

// replay goes through the steps in order, writes the state after each to sub.states and returns what the
// lab does not take.
func (g *Grader) replay(sub *Submission) manifest.Problems {
	r := replayer{g: g, sub: sub}
	sub.states, sub.findings = nil, nil
	if sub.Layout == labs.LayoutFlat {
		// Everything is in force at once: what the lab sets up, then what the student did.
		for i := range g.lab.Tasks {
			if sub.upTo != nil && i > *sub.upTo {
				break
			}
			r.setUp(g.setups[i])
		}
		r.step(&sub.Steps[0])
		sub.states = []*State{r.snapshot("")}
		return r.problems
	}
	for i := range sub.Steps {
		r.setUp(g.setups[i])
		r.step(&sub.Steps[i])
		sub.states = append(sub.states, r.snapshot(sub.Steps[i].Task))
	}
	return r.problems
}

// replayer holds the state while the steps are replayed. Its slices and maps are copied before they are
// changed, because snapshots share them.
type replayer struct {
	g        *Grader
	sub      *Submission
	state    State
	problems manifest.Problems
}

func (r *replayer) snapshot(task string) *State {
	s := r.state
	s.Task = task
	return &s
}

func (r *replayer) setUp(actions []setupAction) {
	for _, a := range actions {
		for ns, labels := range a.labels {
			r.label(ns, labels)
		}
		for _, o := range a.apply {
			if ns, ok := o.Value.(*corev1.Namespace); ok {
				r.label(ns.Name, ns.Labels)
				continue
			}
			r.apply(o)
		}
		for _, o := range a.remove {
			if !r.remove(o.Ref()) {
				r.state.Deleted = append(slices.Clip(r.state.Deleted), o.Ref())
			}
		}
	}
}

// step does what the student did: deletions first, so that what is deleted and created anew under the same
// name is in force.
func (r *replayer) step(s *Step) {
	for _, o := range s.Delete {
		if p, ok := r.g.mayDelete(o); !ok {
			r.problems = append(r.problems, p)
			continue
		}
		if r.remove(o.Ref()) {
			continue
		}
		r.note(s, o, "delete-nothing", "A deletion without effect",
			fmt.Sprintf("%s is not in force at this point, so deleting it changes nothing.", o.Ref()),
			r.whyNothing(s, o.Ref()))
	}
	seen := make(map[manifest.Ref]*manifest.Object, len(s.Apply))
	for _, o := range s.Apply {
		if ns, ok := o.Value.(*corev1.Namespace); ok {
			if problems := r.g.mayLabel(o, ns, r.state.NamespaceLabels[ns.Name]); len(problems) > 0 {
				r.problems = append(r.problems, problems...)
				continue
			}
			r.label(ns.Name, ns.Labels)
			continue
		}
		if p, ok := r.g.mayApply(o); !ok {
			r.problems = append(r.problems, p)
			continue
		}
		if first := seen[o.Ref()]; first != nil {
			r.note(s, o, "applied-twice", "Two objects of one name",
				fmt.Sprintf("%s replaces the one at %s:%d, which has the same name.", o.Ref(), first.File, first.Line),
				"Two policies that are meant to be in force together need two names.")
		}
		seen[o.Ref()] = o
		r.apply(o)
	}
}

// whyNothing says what is likely meant by a deletion that found nothing.
func (r *replayer) whyNothing(s *Step, ref manifest.Ref) string {
	if slices.ContainsFunc(s.Apply, func(o *manifest.Object) bool { return o.Ref() == ref }) {
		return "It is applied in the same task, and deletions come first: leave out one of the two files."
	}
	for _, o := range r.state.Policies {
		if o.Name == ref.Name {
			return fmt.Sprintf("There is a %s: check kind and namespace.", o.Ref())
		}
	}
	names := make([]string, len(r.state.Policies))
	for i, o := range r.state.Policies {
		names[i] = o.Name
	}
	if near := nearest(ref.Name, names); near != "" {
		return fmt.Sprintf("There is one called %q.", near)
	}
	return ""
}

func (r *replayer) note(s *Step, o *manifest.Object, id, title, message, hint string) {
	r.sub.findings = append(r.sub.findings, Finding{
		ID: id, Title: title, Message: message, Hint: hint,
		File: o.File, Line: o.Line, Policy: o.Ref().String(), Task: s.Task,
	})
}

// apply puts an object in force; one of the same kind, namespace and name is replaced in its place.
func (r *replayer) apply(o *manifest.Object) {
	list := &r.state.Applied
	if IsPolicy(o.Kind) {
		list = &r.state.Policies
	}
	ref := o.Ref()
	if i := slices.IndexFunc(*list, func(x *manifest.Object) bool { return x.Ref() == ref }); i >= 0 {
		*list = slices.Clone(*list)
		(*list)[i] = o
		return
	}
	*list = append(slices.Clip(*list), o)
}

// remove takes an object out of force and reports whether it was.
func (r *replayer) remove(ref manifest.Ref) bool {
	for _, list := range []*[]*manifest.Object{&r.state.Policies, &r.state.Applied} {
		if i := slices.IndexFunc(*list, func(x *manifest.Object) bool { return x.Ref() == ref }); i >= 0 {
			*list = slices.Concat((*list)[:i], (*list)[i+1:])
			return true
		}
	}
	return false
}

func (r *replayer) label(ns string, labels map[string]string) {
	if len(labels) == 0 {
		return
	}
	all := maps.Clone(r.state.NamespaceLabels)
	if all == nil {
		all = make(map[string]map[string]string)
	}
	merged := maps.Clone(all[ns])
	if merged == nil {
		merged = make(map[string]string)
	}
	maps.Copy(merged, labels)
	all[ns] = merged
	r.state.NamespaceLabels = all
}

// mayApply says whether the lab takes an object, and if not why.
func (g *Grader) mayApply(o *manifest.Object) (manifest.Problem, bool) {
	p := manifest.Problem{File: o.File, Line: o.Line, Object: o.Ref().String()}
	take := &g.lab.Submission
	if !slices.Contains(g.kinds, o.Kind) {
		p.Message = fmt.Sprintf("the lab %q does not take objects of the kind %s", g.lab.Name, o.Kind)
		p.Hint = g.taken()
		return p, false
	}
	if o.Namespace != "" && !slices.Contains(take.Namespaces, o.Namespace) {
		p.Line, p.Field = o.LineOf("metadata.namespace"), "metadata.namespace"
		p.Message = fmt.Sprintf("the lab %q takes nothing in the namespace %q", g.lab.Name, o.Namespace)
		p.Hint = "it takes policies in " + list(take.Namespaces)
		if near := nearest(o.Namespace, take.Namespaces); near != "" {
			p.Hint = fmt.Sprintf("did you mean %q?", near)
		}
		return p, false
	}
	return p, true
}

// mayDelete says whether a student may delete an object, and if not why.
func (g *Grader) mayDelete(o *manifest.Object) (manifest.Problem, bool) {
	if o.Kind == "Namespace" {
		return manifest.Problem{
			File: o.File, Line: o.Line, Object: o.Ref().String(),
			Message: "a namespace cannot be deleted, nor can labels be taken off one",
			Hint:    "a Namespace manifest in the task's folder adds or changes labels",
		}, false
	}
	return g.mayApply(o)
}

// mayLabel returns what is wrong with a Namespace manifest: it may carry labels, and change those of the
// namespaces that the lab names. had are the labels that earlier steps left.
func (g *Grader) mayLabel(o *manifest.Object, ns *corev1.Namespace, had map[string]string) manifest.Problems {
	var problems manifest.Problems
	refuse := func(field, message, hint string) {
		problems = append(problems, manifest.Problem{
			File: o.File, Line: o.LineOf(field), Object: o.Ref().String(), Field: field, Message: message, Hint: hint,
		})
	}
	base, exists := g.namespaces[ns.Name]
	if !exists {
		known := slices.Sorted(maps.Keys(g.namespaces))
		hint := "its namespaces are " + list(known)
		if near := nearest(ns.Name, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		refuse("metadata.name", fmt.Sprintf("the lab %q has no namespace %q, and a submission cannot create one", g.lab.Name, ns.Name), hint)
		return problems
	}
	allowed := slices.Contains(g.lab.Submission.MayLabel, ns.Name)
	for _, k := range slices.Sorted(maps.Keys(ns.Labels)) {
		now, has := had[k]
		if !has {
			now, has = base[k]
		}
		if has && now == ns.Labels[k] {
			continue
		}
		field := fmt.Sprintf("metadata.labels[%s]", k)
		switch {
		case k == corev1.LabelMetadataName:
			refuse(field, fmt.Sprintf("the label %s always is the namespace's name", k), "leave it out")
		case !allowed && len(g.lab.Submission.MayLabel) == 0:
			refuse(field, fmt.Sprintf("the lab %q does not let labels of namespaces be changed", g.lab.Name), "")
		case !allowed:
			refuse(field, fmt.Sprintf("the labels of the namespace %s may not be changed", ns.Name),
				"they may be of "+list(g.lab.Submission.MayLabel))
		}
	}
	// What the API server and kubectl add by themselves changes nothing; all else would be more than labels.
	for _, k := range slices.Sorted(maps.Keys(ns.Annotations)) {
		if k != corev1.LastAppliedConfigAnnotation {
			refuse("metadata.annotations", fmt.Sprintf("a Namespace manifest may carry labels only, and this one has the annotation %s", k), "leave the annotations out")
		}
	}
	if f := ns.Spec.Finalizers; len(f) > 0 && !slices.Equal(f, []corev1.FinalizerName{corev1.FinalizerKubernetes}) {
		refuse("spec", "a Namespace manifest may carry labels only", "leave the spec out")
	}
	return problems
}

// taken says in words what the lab takes.
func (g *Grader) taken() string {
	s := "it takes " + list(g.kinds)
	if may := g.lab.Submission.MayLabel; len(may) > 0 {
		s += ", and Namespace with labels for " + list(may)
	}
	return s
}

// list joins words as a sentence does.
func list(words []string) string {
	switch len(words) {
	case 0:
		return "none"
	case 1:
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " and " + words[len(words)-1]
}
