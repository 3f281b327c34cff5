package grade

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// A classic mistake is recognised by undoing it: each recogniser proposes a repair (two peers merged, a
// port changed, a policy moved), and only one after which the missed check passes is reported. So nobody
// is accused of a mistake that would not have helped to avoid. What no repair can show, such as a rule
// that is simply not there, is told from the engine's account of the verdict.

// mistake is an entry of the catalogue; docs/mistakes.md has one section for each.
type mistake struct {
	id    string
	title string
	hint  string // names what to look at, never the solution
}

// repair is a state in which one mistake is undone, and where that mistake stands.
type repair struct {
	mistake mistake
	state   *State
	unless  *State // where the check must not pass: what would help as well without undoing the mistake
	object  *manifest.Object
	field   string // "spec.ingress[0].from[1]"
	message string
}

// recognize names the classic mistake that explains why a check missed: none if there is no telling. A breakdown is an error:
// what a student wrote may be more than a recogniser can stand, and a hint is not worth a grade.
func recognize(in mistakeInput) (found []Finding, err error) {
	defer func() {
		if e := recover(); e != nil {
			found, err = nil, fmt.Errorf("looking for the mistake broke down: %v", e)
		}
	}()
	r := newRecognizer(in)
	var repairs iter.Seq[repair]
	switch {
	case in.outcome == nil || in.probe.Want == "":
		repairs = r.leftovers // an object assertion: all that can be told is what was left behind
	case in.probe.Want == labs.Allowed && in.outcome.Verdict != labs.Allowed:
		repairs = r.blocked
	case in.outcome.Verdict == labs.Allowed:
		repairs = r.open
	default: // dropped where the name was to fail, and the like
		return nil, nil
	}
	if in.passes != nil {
		for fix := range repairs {
			if in.passes(fix.state) && (fix.unless == nil || !in.passes(fix.unless)) {
				return []Finding{fix.finding()}, nil
			}
		}
	}
	if in.probe.Want == labs.Allowed {
		return r.missing(), nil
	}
	return nil, nil
}

func (fix *repair) finding() Finding {
	return Finding{
		ID: fix.mistake.id, Title: fix.mistake.title, Hint: fix.mistake.hint, Message: fix.message,
		File: fix.object.File, Line: fix.object.LineOf(fix.field), Policy: fix.object.Ref().String(),
	}
}

// recognizer is what the recognisers look at.
type recognizer struct {
	mistakeInput
	policies []*networkPolicy
	flat     bool // nothing tells what was applied for which of several tasks
	client   party
	server   party
}

// networkPolicy is a NetworkPolicy in force.
type networkPolicy struct {
	*manifest.Object
	spec  spec
	owned bool // it was applied in the task that is graded, and so is meant for it
}

func newRecognizer(in mistakeInput) *recognizer {
	r := &recognizer{mistakeInput: in}
	for _, o := range in.state.Policies {
		if s, ok := specOf(o); ok {
			r.policies = append(r.policies, &networkPolicy{Object: o, spec: s, owned: r.fromThisTask(o)})
		}
	}
	slices.Reverse(r.policies) // what the student did last is the likeliest culprit
	r.client, r.server = r.parties()
	return r
}

// fromThisTask reports whether an object was applied in the task that is graded.
func (r *recognizer) fromThisTask(o *manifest.Object) bool {
	folder, _, nested := strings.Cut(o.File, "/")
	task := ""
	if nested {
		task = r.taskOfFolder(folder)
	}
	if task == "" && len(r.lab.Tasks) > 1 {
		r.flat = true
	}
	return task == r.task.Name || task == "" && !r.flat
}

// taskOfFolder returns the task that a folder of a submission belongs to; "" if it is no task's.
func (r *recognizer) taskOfFolder(folder string) string {
	bare := strings.TrimLeft(strings.TrimLeft(folder, "0123456789"), "-_.")
	for i := range r.lab.Tasks {
		if name := r.lab.Tasks[i].Name; name == folder || name == bare {
			return name
		}
	}
	return ""
}

// attempted reports whether the student applied a policy in this task, as far as can be told.
func (r *recognizer) attempted() bool {
	if r.flat {
		return true
	}
	for _, p := range r.policies {
		if p.owned {
			return true
		}
	}
	return false
}
