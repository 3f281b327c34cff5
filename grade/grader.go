package grade

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"

	corev1 "k8s.io/api/core/v1"
)

// Grader reads and grades submissions of one lab. What depends on the lab alone is worked out once, so
// use one Grader for many submissions. It is safe for concurrent use.
type Grader struct {
	lab        *labs.Lab
	taskIndex  map[string]int
	kinds      []string                     // that a submission may hold
	namespaces map[string]map[string]string // of the lab, with the labels they begin with
	setups     [][]setupAction              // one a task
	plans      []taskPlan                   // one a task
	conditions *conditions
	memo       *memo // nil: nothing is remembered
}

// setupAction is a setup block with its manifests read.
type setupAction struct {
	apply  []*manifest.Object
	remove []*manifest.Object
	labels map[string]map[string]string
}

// NewGrader prepares a lab for grading. An error is the lab's: a setup manifest that does not parse.
func NewGrader(lab *labs.Lab) (*Grader, error) {
	g := &Grader{
		lab:        lab,
		taskIndex:  make(map[string]int, len(lab.Tasks)),
		kinds:      lab.Submission.Kinds,
		namespaces: namespacesOf(lab),
		setups:     make([][]setupAction, len(lab.Tasks)),
		plans:      make([]taskPlan, len(lab.Tasks)),
		conditions: &conditions{},
	}
	if len(g.kinds) == 0 {
		g.kinds = []string{"NetworkPolicy"}
	}
	for i := range lab.Tasks {
		t := &lab.Tasks[i]
		g.taskIndex[t.Name] = i
		g.plans[i] = planTask(t)
		for j := range t.Setup {
			a, err := readSetup(lab, &t.Setup[j])
			if err != nil {
				return nil, fmt.Errorf("lab %q, setup of task %q: %w", lab.Name, t.Name, err)
			}
			g.setups[i] = append(g.setups[i], a)
		}
	}
	return g, nil
}

// Lab returns the lab that is graded.
func (g *Grader) Lab() *labs.Lab { return g.lab }

// NamesTask reports whether a folder of that name, in a submission, holds what was done during a task.
func (g *Grader) NamesTask(folder string) bool { return g.taskOf(folder) >= 0 }

func readSetup(lab *labs.Lab, s *labs.Setup) (setupAction, error) {
	var a setupAction
	if s.Action == "label" {
		a.labels = map[string]map[string]string{s.Namespace: s.Labels}
		return a, nil
	}
	for _, name := range s.Manifests {
		files, err := manifest.ReadFS(lab.FS, name, manifest.Limits{})
		if err != nil {
			return a, err
		}
		var objs []*manifest.Object
		var problems manifest.Problems
		if s.Action == "delete" {
			objs, problems = manifest.ParseRefs(files, manifest.Limits{})
			a.remove = append(a.remove, objs...)
		} else {
			objs, problems = manifest.Parse(files, manifest.Limits{})
			a.apply = append(a.apply, objs...)
		}
		if err := problems.Err(); err != nil {
			return a, err
		}
	}
	return a, nil
}

// namespacesOf returns the namespaces that exist in the lab before any submission, with their labels.
func namespacesOf(lab *labs.Lab) map[string]map[string]string {
	all := make(map[string]map[string]string)
	add := func(name string, labels map[string]string) {
		if all[name] == nil {
			all[name] = map[string]string{corev1.LabelMetadataName: name}
		}
		maps.Copy(all[name], labels)
	}
	for _, name := range []string{"default", "kube-system", "kube-public", "kube-node-lease"} {
		add(name, nil)
	}
	for _, ns := range lab.Namespaces {
		add(ns.Name, ns.Labels)
	}
	for _, app := range lab.Apps {
		if app.Namespace != "" {
			add(app.Namespace, nil)
		}
	}
	return all
}

// Options choose what of a lab is graded, and what of the outcome is told.
type Options struct {
	Tasks  []string // names of tasks; empty: all. The score is then of these tasks alone
	Hints  []string // hints that were taken: "task/hint" or "task/objective/hint"
	Reveal bool     // tell objectives that are shown after the due date
	// RevealHidden tells hidden objectives too: for the lab's author and graders.
	RevealHidden bool
}

// Grade grades a submission against the lab it was read for. The error is *Refused if the engine does not
// model a policy of the submission; any other is the lab's, the options' or the engine's.
func Grade(ctx context.Context, lab *labs.Lab, sub *Submission, eng Engine, opts Options) (*Report, error) {
	g, err := NewGrader(lab)
	if err != nil {
		return nil, err
	}
	return g.Grade(ctx, sub, eng, opts)
}

// Grade is the function of the same name, for the grader's lab.
func (g *Grader) Grade(ctx context.Context, sub *Submission, eng Engine, opts Options) (*Report, error) {
	selected, err := g.selectTasks(opts.Tasks)
	if err != nil {
		return nil, err
	}
	hints, err := g.hintsTaken(opts.Hints)
	if err != nil {
		return nil, err
	}
	states, err := g.Checkpoints(sub)
	if err != nil {
		return nil, err
	}
	if sub == nil {
		sub = &Submission{Layout: labs.LayoutCheckpoints, Steps: make([]Step, len(g.lab.Tasks))}
	}
	if c, ok := eng.(Checker); ok {
		check := c.Check
		if g.remembers(eng) {
			check = func(objs []*manifest.Object) manifest.Problems { return g.memo.check(c, objs) }
		}
		if problems := check(sub.objects()); len(problems) > 0 {
			return nil, &Refused{Problems: problems}
		}
	}
	ProbersOf(eng) // what was probed before, for others
	outcomes, err := g.judge(ctx, eng, states, g.needed(selected))
	if err != nil {
		return nil, err
	}
	rep := g.report(sub, eng.Name(), outcomes, selected, hints, opts)
	rep.Probers = ProbersOf(eng)
	if b, ok := eng.(*both); ok && len(b.differ) > 0 {
		rep.Disagreements = byTask(b.differ, g.taskIndex)
		rep.Status = Errored
	}
	return rep, nil
}

// Checker is an engine that can tell of all objects at once whether it models them, before it is asked to
// put any in force.
type Checker interface {
	Check(objs []*manifest.Object) manifest.Problems
}

// Explainer is a prober that accounts for every verdict, not only for those that miss: Outcome.Detail then
// has the rules that nearly matched.
type Explainer interface {
	Explain(ctx context.Context, probes []Probe) ([]Outcome, error)
}

// objects returns everything the submission applies, in the order of its steps.
func (s *Submission) objects() []*manifest.Object {
	var objs []*manifest.Object
	for i := range s.Steps {
		objs = append(objs, s.Steps[i].Apply...)
	}
	return objs
}

// selectTasks turns names into a set of task indices; no names are all tasks.
func (g *Grader) selectTasks(names []string) ([]bool, error) {
	selected := make([]bool, len(g.lab.Tasks))
	for _, name := range names {
		i, ok := g.taskIndex[name]
		if !ok {
			hint := "its tasks are " + g.taskNames()
			if near := nearest(name, g.names()); near != "" {
				hint = fmt.Sprintf("did you mean %q?", near)
			}
			return nil, fmt.Errorf("lab %q has no task %q; %s", g.lab.Name, name, hint)
		}
		selected[i] = true
	}
	if len(names) == 0 {
		for i := range selected {
			selected[i] = true
		}
	}
	return selected, nil
}

// Check says which of the names in options the lab does not have.
func (g *Grader) Check(o Options) error {
	_, tasks := g.selectTasks(o.Tasks)
	_, hints := g.hintsTaken(o.Hints)
	return errors.Join(tasks, hints)
}

// needed adds to the selected tasks those that their objectives depend on.
func (g *Grader) needed(selected []bool) []bool {
	needed := slices.Clone(selected)
	for changed := true; changed; {
		changed = false
		for i := range g.lab.Tasks {
			if !needed[i] {
				continue
			}
			for _, dep := range g.dependencies(i) {
				if j, ok := g.taskIndex[dep]; ok && !needed[j] {
					needed[j], changed = true, true
				}
			}
		}
	}
	return needed
}

// dependencies names the other tasks that a task and its objectives depend on.
func (g *Grader) dependencies(task int) []string {
	t := &g.lab.Tasks[task]
	deps := slices.Clone(t.DependsOn)
	for i := range t.Objectives {
		for _, d := range t.Objectives[i].DependsOn {
			if name, _, other := strings.Cut(d, "/"); other {
				deps = append(deps, name)
			}
		}
	}
	return deps
}

// hintsTaken returns, for each task, the hints that were taken.
func (g *Grader) hintsTaken(names []string) (map[int][]HintTaken, error) {
	taken := make(map[int][]HintTaken)
	for _, name := range slices.Compact(slices.Sorted(slices.Values(names))) {
		task, rest, _ := strings.Cut(name, "/")
		i, ok := g.taskIndex[task]
		if !ok {
			return nil, fmt.Errorf("hint %q: lab %q has no task %q", name, g.lab.Name, task)
		}
		t := &g.lab.Tasks[i]
		hints, label := t.Hints, rest
		if objective, hint, ok := strings.Cut(rest, "/"); ok {
			hints, label = nil, hint
			for j := range t.Objectives {
				if t.Objectives[j].Name == objective {
					hints = t.Objectives[j].Hints
				}
			}
		}
		k := slices.IndexFunc(hints, func(h labs.Hint) bool { return h.Name == label })
		if k < 0 {
			return nil, fmt.Errorf("lab %q has no hint %q", g.lab.Name, name)
		}
		taken[i] = append(taken[i], HintTaken{Name: rest, Cost: hints[k].Cost})
	}
	return taken, nil
}
