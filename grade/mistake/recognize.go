// Package mistake names the classic mistake behind a check that missed. Its catalogue is one ordered slice; docs/mistakes.md
// has a section for each entry. A mistake costs no points.
package mistake

import (
	"fmt"
	"iter"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// A classic mistake is recognised by undoing it: each recogniser proposes a repair (two peers merged, a
// port changed, a policy moved), and only one after which the missed check passes is reported. So nobody
// is accused of a mistake that would not have helped to avoid. What no repair can show, such as a rule
// that is simply not there, is recognized from the engine's account of the verdict.

// repair is a change that undoes one mistake, and where that mistake stands.
type repair struct {
	mistake Mistake
	change  engine.Change
	unless  *engine.Change // with which the check must not pass: what would help as well without undoing the mistake
	keeps   bool           // no check of the task that passes may miss with the change
	whole   bool           // every check of the objective has to pass with the change, not only this one
	object  *manifest.Object
	field   string // "spec.ingress[0].from[1]"
	message string
}

// Recognize names the classic mistake that explains why a check missed: none if there is no telling. A breakdown is an error:
// what a student wrote may be more than a recogniser can stand, and a hint is not worth a grade.
func Recognize(in Miss) (found []Finding, err error) {
	defer func() {
		switch e := recover().(type) {
		case nil:
		case *policy.BudgetError:
			found, err = []Finding{unnamed()}, nil
		default:
			found, err = nil, fmt.Errorf("looking for the mistake broke down: %v", e)
		}
	}()
	r := newRecognizer(in)
	r.Spend(1)
	var repairs iter.Seq[repair]
	switch {
	case in.Observation == nil || in.Probe.Want == "":
		repairs = r.leftovers // an object assertion: all that can be known is what was left behind
	case in.Probe.Want == verdict.Allowed && in.Observation.Verdict != verdict.Allowed:
		repairs = r.proposals(blocked)
	case in.Observation.Verdict == verdict.Allowed || in.Probe.Want == verdict.DNSFailed:
		repairs = r.proposals(open)
	default: // a DNS failure where the connection was to be dropped, and the like
		return nil, nil
	}
	if in.Passes != nil {
		// What undoes a mistake that is named already for another check, and helps here as well, is the same mistake.
		for i := range r.undone {
			r.Spend(1)
			if in.Passes(r.undone[i].change) {
				return []Finding{r.undone[i].finding()}, nil
			}
		}
		for fix := range repairs {
			r.Spend(1)
			if r.ofTheLab(&fix) {
				continue
			}
			if in.undoneBy(&fix) {
				r.undone = append(r.undone, fix)
				return []Finding{fix.finding()}, nil
			}
		}
	}
	if in.Probe.Want == verdict.Allowed {
		return r.missing(), nil
	}
	return nil, nil
}

// ofTheLab reports whether a repair changes a policy that the lab's setup applied: nothing that the student wrote. That one
// is still in force may be what the student left undone.
func (s *Scene) ofTheLab(fix *repair) bool {
	_, submitted := s.State.AppliedIn[fix.object]
	return !submitted && !s.State.Flat && fix.mistake.ID != stillInForce.ID && slices.Contains(s.State.Policies, fix.object)
}

// undoneBy reports whether a repair shows that the mistake is the one.
func (in *Miss) undoneBy(fix *repair) bool {
	return in.Passes(fix.change) && (fix.unless == nil || !in.Passes(*fix.unless)) &&
		(!fix.whole || in.Solves(fix.change)) && (!fix.keeps || in.Keeps(fix.change))
}

func unnamed() Finding {
	return Finding{
		ID: tooManyRules.ID, Title: tooManyRules.Title, Hint: tooManyRules.Hint,
		Message: "The policies in force have so many rules, peers or ports that labctl does not look for the mistake behind this.",
	}
}

func (fix *repair) finding() Finding {
	return Finding{
		ID: fix.mistake.ID, Title: fix.mistake.Title, Hint: fix.mistake.Hint, Message: wording.Shorten(fix.message, longestMessage),
		File: fix.object.File, Line: fix.object.LineOf(fix.field), Policy: fix.object.Ref().String(),
	}
}

// recognizer is what the recognisers look at for one check.
type recognizer struct {
	Miss
	client endpoint
	server endpoint
	// What is the same for all policies: see findMeantPorts and findMeantPeers.
	meantPorts func() []int
	meantPeers map[direction]func() []endpoint
}

// Scene is what the recognisers look at in one state, whatever check missed.
type Scene struct {
	lab      *labs.Lab
	Task     *labs.Task
	State    *engine.State
	workload func(*labs.App) map[string]string // see Namer.workloadLabels
	Work     *policy.Budget                    // what all that they do costs

	policies  []*networkPolicy
	cilium    []*ciliumPolicy
	flat      bool     // nothing tells what was applied for which of several tasks
	undone    []repair // of the mistakes that were named for checks before
	everybody []endpoint
	selectors map[*metav1.LabelSelector]selector
	namespace map[string]map[string]string // labels, see namespaceLabels
}

// networkPolicy is a NetworkPolicy in force.
type networkPolicy struct {
	*manifest.Object
	spec         spec
	fromThisTask bool // it was applied in the task that is graded, and so is meant for it
	written      *written
}

// DefaultWork is the budget, in steps, for naming mistakes in all tasks of a submission, in equal parts: whether a task's mistakes are
// named must not depend on the others.
const DefaultWork = 4_000_000

// Namer names mistakes in submissions to one lab. It is safe for concurrent use.
type Namer struct {
	Work      int64 // the budget of a submission, in steps; change it before use only
	lab       *labs.Lab
	workloads sync.Map // labels of Deployments by app, see workloadLabels
}

// NewNamer returns the namer of a lab, with the default budget.
func NewNamer(lab *labs.Lab) *Namer { return &Namer{Work: DefaultWork, lab: lab} }

// Scene returns what the recognisers look at in the state at the end of a task, which is given by its index.
func (n *Namer) Scene(state *engine.State, task int) *Scene {
	s := &Scene{
		lab: n.lab, Task: &n.lab.Tasks[task], State: state, workload: n.workloadLabels,
		Work:      policy.NewBudget(n.Work / int64(len(n.lab.Tasks))),
		flat:      state.Flat && len(n.lab.Tasks) > 1,
		selectors: map[*metav1.LabelSelector]selector{}, namespace: map[string]map[string]string{},
	}
	s.everybody = append(s.everybody, nameServer())
	for i := range n.lab.Apps {
		s.everybody = append(s.everybody, appEndpoint(&n.lab.Apps[i]))
	}
	for _, o := range slices.Backward(state.Policies) { // what the student did last is the likeliest culprit
		owned := state.AppliedIn[o] == s.Task.Name || state.Flat && !s.flat
		if spec, ok := specOf(o); ok {
			s.policies = append(s.policies, &networkPolicy{Object: o, spec: spec, fromThisTask: owned})
		} else if p := ciliumPolicyOf(o); p != nil {
			p.fromThisTask = owned
			s.cilium = append(s.cilium, p)
		}
	}
	return s
}

func newRecognizer(in Miss) *recognizer {
	r := &recognizer{Miss: in}
	r.client, r.server = r.endpoints()
	r.meantPorts = sync.OnceValue(r.findMeantPorts)
	r.meantPeers = map[direction]func() []endpoint{}
	for _, d := range directions {
		r.meantPeers[d] = sync.OnceValue(func() []endpoint { return r.findMeantPeers(d) })
	}
	return r
}

// Spend counts work, and ends the search for the mistake if there has been too much.
func (s *Scene) Spend(steps int) {
	if !s.Work.Spend(steps) {
		panic(&policy.BudgetError{})
	}
}

// attempted reports whether the student applied a policy in this task, as far as can be known.
func (r *recognizer) attempted() bool {
	return r.flat || r.ownPolicies() > 0
}
