package labtest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/mistake"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// Lint finds likely mistakes in a lab that loads without errors: an objective that a student meets by doing nothing, an
// expectation that is repeated or that no policies can meet. These are warnings; that a sample declares a mistake that
// cannot be named is an error. The error returned is the engine's, or the lab's as a whole.
func Lint(ctx context.Context, lab *labs.Lab, eng engine.Engine) (hcl.Diagnostics, error) {
	g, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	l := linter{lab: lab, grader: g, eng: eng}
	l.duplicates()
	if err := l.unreachable(ctx); err != nil {
		return nil, err
	}
	if err := l.vacuous(ctx); err != nil {
		return nil, err
	}
	l.notLive()
	l.hints()
	l.solution()
	l.mistakes()
	if err := l.conditions(ctx); err != nil {
		return nil, err
	}
	return l.diags, nil
}

type linter struct {
	lab    *labs.Lab
	grader *grade.Grader
	eng    engine.Engine
	diags  hcl.Diagnostics
}

func (l *linter) warn(at hcl.Range, summary, format string, args ...any) {
	l.diags = append(l.diags, &hcl.Diagnostic{
		Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &at,
	})
}

func (l *linter) error(at hcl.Range, summary, format string, args ...any) {
	l.warn(at, summary, format, args...)
	l.diags[len(l.diags)-1].Severity = hcl.DiagError
}

// mistakes finds mistake blocks with the name of a classic mistake, and samples that declare a mistake that there is not.
func (l *linter) mistakes() {
	var known []string
	for _, m := range mistake.Catalogue() {
		known = append(known, m.ID)
	}
	var own []string
	for _, m := range l.ownMistakes() {
		if slices.Contains(known, m.Name) {
			l.error(m.Range, "Duplicate mistake", "labctl already has a mistake named %q. Give this one another name.", m.Name)
			continue
		}
		own = append(own, m.Name)
	}
	known = append(own, known...)
	for i := range l.lab.Samples {
		s := &l.lab.Samples[i]
		if s.Mistake == "" || slices.Contains(known, s.Mistake) {
			continue
		}
		l.error(s.Written("mistake"), "Unknown mistake", "There is no mistake %q.%s The mistakes are %s.", s.Mistake,
			wording.DidYouMean(s.Mistake, known), wording.And(known))
	}
}

// ownMistakes are those of all mistake blocks of the lab.
func (l *linter) ownMistakes() []labs.Mistake {
	all := slices.Clone(l.lab.Mistakes)
	for i := range l.lab.Tasks {
		all = append(all, l.lab.Tasks[i].Mistakes...)
		for j := range l.lab.Tasks[i].Objectives {
			all = append(all, l.lab.Tasks[i].Objectives[j].Mistakes...)
		}
	}
	return all
}

// duplicates finds connections that a task asks for twice: with the same verdict, or with two that cannot
// both hold.
func (l *linter) duplicates() {
	for i := range l.lab.Tasks {
		seen := make(map[string][]grade.Question)
		reported := make(map[hcl.Range]bool)
		for _, p := range l.grader.Questions(i) {
			bare := p.Probe
			bare.Want = ""
			bare.From.App = l.firstLike(bare.From.App)
			key := engine.ProbeKey(bare)
			for _, first := range seen[key] {
				if reported[p.Block.At()] {
					break
				}
				what := fmt.Sprintf("%s to %s", p.From, engine.TargetName(p.To))
				where := fmt.Sprintf("objective %q, line %d", first.Objective, first.Block.At().Start.Line)
				switch {
				case first.From != p.From && compatible(first.Want, p.Want):
				case first.From != p.From:
					reported[p.Block.At()] = true
					l.warn(p.Block.At(), "Impossible expectation", "%s cannot be %s here and %s from %s (%s): the two apps have the same namespace and labels, so no policy tells them apart.",
						what, p.Want, first.Want, first.From, where)
				case !compatible(first.Want, p.Want):
					reported[p.Block.At()] = true
					l.warn(p.Block.At(), "Impossible expectation", "%s cannot be %s here and %s in the same task (%s).", what, p.Want, first.Want, where)
				case first.Want == p.Want && first.Block.Type() == p.Block.Type():
					// A matrix repeats what a single expectation says on purpose.
					reported[p.Block.At()] = true
					l.warn(p.Block.At(), "Duplicate expectation", "%s is already expected to be %s (%s).", what, p.Want, where)
				}
			}
			seen[key] = append(seen[key], p)
		}
	}
}

// firstLike is the first app of the lab whose pods policies cannot tell from those of an app.
func (l *linter) firstLike(name string) string {
	app := l.lab.App(name)
	if app == nil || app.HostNetwork || len(app.Manifests) > 0 {
		return name
	}
	return l.lab.Apps[slices.IndexFunc(l.lab.Apps, func(a labs.App) bool {
		return a.Namespace == app.Namespace && maps.Equal(a.Labels, app.Labels) && !a.HostNetwork && len(a.Manifests) == 0
	})].Name
}

// compatible reports whether one verdict can meet both expectations.
func compatible(a, b verdict.Verdict) bool { return a == b || a.Meets(b) || b.Meets(a) }

// unreachable finds expectations that no policies can bring about, whatever is submitted.
func (l *linter) unreachable(ctx context.Context) error {
	states, err := l.grader.Rules.Checkpoints(nil)
	if err != nil {
		return err
	}
	for i := range l.lab.Tasks {
		open := *states[i]
		open.Policies = nil
		prober, err := l.eng.At(ctx, &open)
		if err != nil {
			return err
		}
		reported := make(map[hcl.Range]bool)
		for _, p := range l.grader.Questions(i) {
			bare := p.Probe
			bare.Want = ""
			found, err := prober.Probe(ctx, []engine.Probe{bare})
			if err != nil {
				return err
			}
			reason := cmp.Or(l.itself(p.Probe), impossible(p.Probe, &found[0]))
			if reason == "" || reported[p.Block.At()] {
				continue
			}
			reported[p.Block.At()] = true
			l.warn(p.Block.At(), "Impossible expectation", "%s to %s cannot be %s: %s.", p.From, engine.TargetName(p.To), p.Want, reason)
		}
	}
	return nil
}

// itself says why a pod cannot be kept from itself.
func (l *linter) itself(p engine.Probe) string {
	if p.From.App == "" || p.From.App != p.To.App || p.To.HTTP != nil || p.Want != verdict.Denied && p.Want != verdict.Dropped {
		return ""
	}
	if app := l.lab.App(p.From.App); app == nil || app.Replicas > 1 {
		return ""
	}
	return "a pod always reaches itself"
}

// impossible says why an expectation cannot be met, given what is found while no policy is in force.
func impossible(p engine.Probe, found *engine.Observation) string {
	open := found.Verdict
	switch {
	case open == verdict.ProbeError:
		return "the probe cannot be run: " + found.Error
	case p.Want == verdict.Allowed && open != verdict.Allowed:
		return fmt.Sprintf("it is %s even while no policy is in force", open)
	case p.Want == verdict.Rejected && open != verdict.Rejected:
		return "policies drop connections, and do not reject them"
	case p.Want == verdict.DNSFailed && open != verdict.DNSFailed && !engine.LooksUpName(p.To):
		return "the target is an address, so no name is looked up"
	case p.Want == verdict.AppError && open != verdict.AppError && p.To.HTTP == nil:
		return "the probe sends no request that the application could refuse; add an http block"
	case p.Want != verdict.DNSFailed && p.Want != verdict.Allowed && p.To.DNS != "":
		return "a look-up can only be allowed or dns_failed"
	}
	return ""
}

// hints finds hints that cost more than there is to be had.
func (l *linter) hints() {
	for i := range l.lab.Tasks {
		t := &l.lab.Tasks[i]
		points := 0.0
		for j := range t.Objectives {
			points += t.Objectives[j].Points
		}
		for _, h := range t.AllHints() {
			if h.Cost > points {
				l.warn(t.Range, "Hint costs too much", "The hint %q costs more points than the task %q is worth.", h.Name, t.Name)
			}
		}
	}
}

// vacuous finds objectives that are met by what students start from.
func (l *linter) vacuous(ctx context.Context) error {
	var starter *submission.Submission
	if l.lab.Starter != "" {
		var err error
		if starter, err = l.grader.Rules.ReadFS(l.lab.FS, l.lab.Starter, manifest.Limits{}); err != nil {
			l.starterRefused(err)
			return nil
		}
	}
	report, err := l.grader.Grade(ctx, starter, l.eng, grade.Options{AfterDue: true, Reveal: true})
	if refused := (*engine.Refused)(nil); errors.As(err, &refused) {
		l.starterRefused(err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("grade the starter: %w", err)
	}
	for i, t := range report.Tasks {
		for j, o := range t.Objectives {
			if o.Status == grade.Met && o.Max > 0 {
				l.warn(l.lab.Tasks[i].Objectives[j].Range, "Objective already met",
					"The objective %q of task %q is met before the student does anything, so it gives points for nothing. Let it depend on an objective that is not met yet: depends_on = [\"…\"].",
					o.Name, t.Name)
			}
		}
	}
	return nil
}

func (l *linter) starterRefused(err error) {
	l.error(l.lab.StarterRange, "Starter refused", "What students start from cannot be graded: %v", err)
}

// solution warns of a lab that nothing proves to be solvable.
func (l *linter) solution() {
	for i := range l.lab.Samples {
		if l.lab.Samples[i].Solution {
			return
		}
	}
	l.diags = append(l.diags, &hcl.Diagnostic{
		Severity: hcl.DiagWarning, Summary: "No solution",
		Detail: "No sample is the lab's solution, so nothing shows that it can be solved, and labctl test has nothing to mutate. Add a block sample \"solution\" with path, its directory below the lab's, and score = 100.",
	})
}
