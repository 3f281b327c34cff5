package submission

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/mistake"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// Checkpoints returns the state in force at the end of every task of the lab, in order: what the setup of this task
// and all earlier ones did, and what the student applied and deleted up to here. A nil submission is an empty one. In
// a flat submission every task has the final state.
func (r *Rules) Checkpoints(sub *Submission) ([]*engine.State, error) {
	if sub == nil {
		sub = r.Empty()
	}
	if sub.states == nil {
		if problems := r.replay(sub); len(problems) > 0 {
			return nil, &engine.Refused{Problems: problems}
		}
	}
	if sub.Layout != labs.LayoutFlat {
		return sub.states, nil
	}
	states := make([]*engine.State, len(r.lab.Tasks))
	for i := range states {
		s := *sub.states[0]
		s.Task = r.lab.Tasks[i].Name
		states[i] = &s
	}
	return states, nil
}

// Empty returns the submission of a student who did nothing.
func (r *Rules) Empty() *Submission {
	sub := &Submission{Layout: labs.LayoutCheckpoints, Steps: make([]Step, len(r.lab.Tasks))}
	for i := range sub.Steps {
		sub.Steps[i].Task = r.lab.Tasks[i].Name
	}
	return sub
}

// replay goes through the steps in order, writes the state after each to sub.states and returns what the lab does
// not allow.
func (r *Rules) replay(sub *Submission) manifest.Problems {
	p := replayer{rules: r, sub: sub}
	p.state.Flat, p.state.AppliedIn = sub.Layout == labs.LayoutFlat, map[*manifest.Object]string{}
	p.state.Replaced = map[*manifest.Object]*manifest.Object{}
	sub.states, sub.findings = nil, nil
	if sub.Layout == labs.LayoutFlat {
		// Everything is in force at once: what the lab sets up, then what the student did.
		for i := range r.lab.Tasks {
			if sub.upTo != nil && i > *sub.upTo {
				break
			}
			p.setUp(r.setups[i])
		}
		p.step(&sub.Steps[0])
		sub.states = []*engine.State{p.snapshot("", sub.Steps[0].Attempted)}
		return p.problems
	}
	for i := range sub.Steps {
		p.setUp(r.setups[i])
		p.step(&sub.Steps[i])
		sub.states = append(sub.states, p.snapshot(sub.Steps[i].Task, sub.Steps[i].Attempted))
	}
	return p.problems
}

// replayer holds the state while the steps are replayed. Its slices and maps are copied before they are
// changed, because snapshots share them.
type replayer struct {
	rules    *Rules
	sub      *Submission
	state    engine.State
	problems manifest.Problems
	noted    int // steps without effect
}

// mostNotes is how many steps without effect a report tells.
const mostNotes = 50

func (r *replayer) snapshot(task string, attempted bool) *engine.State {
	s := r.state
	s.Task, s.Attempted = task, attempted
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
			if r.remove(o.Ref()) == nil {
				r.state.Deleted = append(slices.Clip(r.state.Deleted), o.Ref())
			}
		}
	}
}

// step does what the student did: deletions first, so that what is deleted and created anew under the same
// name is in force.
func (r *replayer) step(s *Step) {
	for _, o := range s.Delete {
		if p, ok := r.rules.mayDelete(o); !ok {
			r.problems = append(r.problems, p)
			continue
		}
		if old := r.remove(o.Ref()); old != nil {
			if manifest.IsPolicy(old.Kind) {
				r.state.Deletions = append(slices.Clip(r.state.Deletions), engine.Deletion{Policy: old, By: o, Task: s.Task})
			}
			continue
		}
		r.note(s, o, "delete-nothing", "A deletion without effect", func() (string, string) {
			return fmt.Sprintf("%s is not in force at this point, so deleting it changes nothing.", o.Ref()), r.whyNothing(s, o.Ref())
		})
	}
	seen := make(map[manifest.Ref]*manifest.Object, len(s.Apply))
	for _, o := range s.Apply {
		if ns, ok := o.Value.(*corev1.Namespace); ok {
			if problems := r.rules.mayLabel(o, ns, r.state.NamespaceLabels[ns.Name]); len(problems) > 0 {
				r.problems = append(r.problems, problems...)
				continue
			}
			r.label(ns.Name, ns.Labels)
			continue
		}
		if p, ok := r.rules.mayApply(o); !ok {
			r.problems = append(r.problems, p)
			continue
		}
		if first := seen[o.Ref()]; first != nil {
			r.note(s, o, "applied-twice", "Two objects of one name", func() (string, string) {
				return fmt.Sprintf("%s replaces the one at %s:%d, which has the same name.", o.Ref(), first.File, first.Line),
					"Two policies that are meant to be in force together need two names."
			})
		}
		seen[o.Ref()] = o
		r.noteNodePolicy(s, o)
		r.noteUnlistedRules(s, o)
		r.noteNoSpec(s, o)
		r.state.AppliedIn[o] = s.Task // shared by all states: an object is applied once
		if old := r.apply(o); old != nil && !bytes.Equal(old.JSON, o.JSON) {
			r.state.Replaced[o] = old
		}
	}
}

// noteNodePolicy says of a policy for nodes that it does nothing in a lab without Cilium's host firewall.
func (r *replayer) noteNodePolicy(s *Step, o *manifest.Object) {
	if len(policy.NodeSelectors(o)) == 0 || r.rules.lab.Cilium.HostFirewall() {
		return
	}
	r.note(s, o, "node-policy", "A policy for nodes", func() (string, string) {
		return fmt.Sprintf("%s has no effect: %s.", o.Ref(), policy.NoHostFirewall), "Pods are selected with endpointSelector."
	})
}

// noteUnlistedRules says of rules in a direction that policyTypes does not list that they count in Cilium only.
func (r *replayer) noteUnlistedRules(s *Step, o *manifest.Object) {
	np, ok := o.Value.(*networkingv1.NetworkPolicy)
	if !ok {
		return
	}
	for _, x := range []struct {
		rules int
		of    networkingv1.PolicyType
		field string
	}{
		{len(np.Spec.Ingress), networkingv1.PolicyTypeIngress, "ingress"},
		{len(np.Spec.Egress), networkingv1.PolicyTypeEgress, "egress"},
	} {
		if x.rules == 0 || slices.Contains(np.Spec.PolicyTypes, x.of) {
			continue
		}
		r.note(s, o, "rules-without-policy-type", "Rules for a direction that policyTypes does not list", func() (string, string) {
			return fmt.Sprintf("%s has %s rules, and its policyTypes do not list %s. Cilium enforces these rules all the same; "+
					"the Kubernetes API says that they are ignored, and other network plugins ignore them.", o.Ref(), x.field, x.of),
				"List every direction that the policy has rules for."
		})
	}
}

// noteNoSpec says of a NetworkPolicy without a spec what it does, and what may have been meant.
func (r *replayer) noteNoSpec(s *Step, o *manifest.Object) {
	var written struct{ Spec *json.RawMessage }
	if _, ok := o.Value.(*networkingv1.NetworkPolicy); !ok || json.Unmarshal(o.JSON, &written) != nil || written.Spec != nil {
		return
	}
	r.note(s, o, "no-spec", "A NetworkPolicy without a spec", func() (string, string) {
		hint := "Write spec.podSelector, and what the policy allows."
		if at, ok := r.sub.commented[o.File]; ok {
			hint = fmt.Sprintf("Lines %d to %d of the file are still commented out.", at.first, at.last)
		} else if s.Task != "" {
			hint = fmt.Sprintf("What you delete belongs in the folder %s/delete/ of the task.", path.Dir(o.File))
		}
		return fmt.Sprintf("%s has no spec, so it closes the ingress of every pod of the namespace %s.", o.Ref(), o.Namespace), hint
	})
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
	names := make([]string, min(len(r.state.Policies), mostNotes))
	for i := range names {
		names[i] = r.state.Policies[i].Name
	}
	if near := wording.Nearest(ref.Name, names); near != "" {
		return fmt.Sprintf("There is one called %q.", near)
	}
	return ""
}

// note tells of a step without effect, unless very many have been noted.
func (r *replayer) note(s *Step, o *manifest.Object, id, title string, text func() (message, hint string)) {
	r.noted++
	switch {
	case r.noted == mostNotes+1:
		r.sub.findings = append(r.sub.findings, mistake.Finding{
			ID: "more-without-effect", Title: "More steps without effect", Task: s.Task,
			Message: fmt.Sprintf("More than %d objects are applied twice or deleted without effect; the others are not listed.", mostNotes),
		})
		return
	case r.noted > mostNotes:
		return
	}
	message, hint := text()
	r.sub.findings = append(r.sub.findings, mistake.Finding{
		ID: id, Title: title, Message: message, Hint: hint,
		File: o.File, Line: o.Line, Policy: o.Ref().String(), Task: s.Task,
	})
}

// apply puts an object in force; one of the same kind, namespace and name is replaced in its place, and returned.
func (r *replayer) apply(o *manifest.Object) (old *manifest.Object) {
	list := &r.state.Applied
	if manifest.IsPolicy(o.Kind) {
		list = &r.state.Policies
	}
	ref := o.Ref()
	if i := slices.IndexFunc(*list, func(x *manifest.Object) bool { return x.Ref() == ref }); i >= 0 {
		*list = slices.Clone(*list)
		old, (*list)[i] = (*list)[i], o
		return old
	}
	*list = append(slices.Clip(*list), o)
	return nil
}

// remove takes an object out of force, and returns it if it was.
func (r *replayer) remove(ref manifest.Ref) (removed *manifest.Object) {
	for _, list := range []*[]*manifest.Object{&r.state.Policies, &r.state.Applied} {
		if i := slices.IndexFunc(*list, func(x *manifest.Object) bool { return x.Ref() == ref }); i >= 0 {
			removed = (*list)[i]
			*list = slices.Concat((*list)[:i], (*list)[i+1:])
			return removed
		}
	}
	return nil
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
