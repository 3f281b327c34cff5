package grade

import (
	"context"
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// Lint finds what is likely wrong with a lab that reads well: an objective that those who do nothing
// achieve, an expectation that is asked twice or that nothing can meet. The diagnostics are warnings, but
// for a condition that does not compile. The error is the engine's, or the lab's as a whole.
func Lint(ctx context.Context, lab *labs.Lab, eng Engine) (hcl.Diagnostics, error) {
	g, err := NewGrader(lab)
	if err != nil {
		return nil, err
	}
	l := linter{g: g, eng: eng}
	l.conditions()
	if l.diags.HasErrors() {
		return l.diags, nil
	}
	l.duplicates()
	if err := l.unreachable(ctx); err != nil {
		return nil, err
	}
	if err := l.vacuous(ctx); err != nil {
		return nil, err
	}
	l.solution()
	return l.diags, nil
}

type linter struct {
	g     *Grader
	eng   Engine
	diags hcl.Diagnostics
}

func (l *linter) warn(at hcl.Range, summary, format string, args ...any) {
	l.diags = append(l.diags, &hcl.Diagnostic{
		Severity: hcl.DiagWarning, Summary: summary, Detail: fmt.Sprintf(format, args...), Subject: &at,
	})
}

// conditions compiles every CEL condition.
func (l *linter) conditions() {
	for i := range l.g.plans {
		for _, op := range l.g.plans[i].objectives {
			for j := range op.Objects {
				a := &op.Objects[j]
				if _, err := l.g.conditions.program(a.Condition); err != nil {
					l.diags = append(l.diags, &hcl.Diagnostic{
						Severity: hcl.DiagError, Summary: "Invalid condition", Subject: &a.Range,
						Detail: fmt.Sprintf("The condition is not valid CEL: %v. Its variables are objects (the list of objects in force) and namespaces (a map from each namespace to its labels).", err),
					})
				}
			}
		}
	}
}

// asked is a probe of a task and the block that asks for it.
type asked struct {
	Probe
	objective string
	matrix    bool // asked by a truth table
	at        hcl.Range
}

// probes lists what the blocks of a task ask, in order.
func probesOf(t *labs.Task) []asked {
	var all []asked
	for i := range t.Objectives {
		o := &t.Objectives[i]
		for _, e := range o.Expect {
			for _, from := range e.From {
				for _, to := range e.To {
					all = append(all, asked{Probe{From: from, To: to, Want: e.Verdict}, o.Name, false, e.Range})
				}
			}
		}
		for j := range o.Matrices {
			for _, p := range matrixCells(&o.Matrices[j]) {
				all = append(all, asked{p, o.Name, true, o.Matrices[j].Range})
			}
		}
	}
	return all
}

// duplicates finds connections that a task asks for twice: with the same verdict, or with two that cannot
// both hold.
func (l *linter) duplicates() {
	for i := range l.g.lab.Tasks {
		t := &l.g.lab.Tasks[i]
		seen := make(map[string][]asked)
		told := make(map[hcl.Range]bool)
		for _, p := range probesOf(t) {
			bare := p.Probe
			bare.Want = ""
			key := probeKey(bare)
			for _, first := range seen[key] {
				if told[p.at] {
					break
				}
				what := fmt.Sprintf("%s to %s", p.From, TargetName(p.To))
				where := fmt.Sprintf("objective %q, line %d", first.objective, first.at.Start.Line)
				switch {
				case !compatible(first.Want, p.Want):
					told[p.at] = true
					l.warn(p.at, "Unreachable expectation", "%s cannot be %s here and %s in the same task (%s).", what, p.Want, first.Want, where)
				case first.Want == p.Want && first.matrix == p.matrix:
					// A truth table holds what a single expectation says, too: that is no slip.
					told[p.at] = true
					l.warn(p.at, "Duplicate expectation", "%s is already expected to be %s (%s).", what, p.Want, where)
				}
			}
			seen[key] = append(seen[key], p)
		}
	}
}

// compatible reports whether one verdict can meet both expectations.
func compatible(a, b labs.Verdict) bool { return a == b || a.Meets(b) || b.Meets(a) }

// unreachable finds expectations that no policies can bring about, whatever is submitted.
func (l *linter) unreachable(ctx context.Context) error {
	states, err := l.g.Checkpoints(nil)
	if err != nil {
		return err
	}
	for i := range l.g.lab.Tasks {
		open := *states[i]
		open.Policies = nil
		prober, err := l.eng.At(ctx, &open)
		if err != nil {
			return err
		}
		told := make(map[hcl.Range]bool)
		for _, p := range probesOf(&l.g.lab.Tasks[i]) {
			bare := p.Probe
			bare.Want = ""
			found, err := prober.Probe(ctx, []Probe{bare})
			if err != nil {
				return err
			}
			reason := impossible(p.Probe, &found[0])
			if reason == "" || told[p.at] {
				continue
			}
			told[p.at] = true
			l.warn(p.at, "Unreachable expectation", "%s to %s cannot be %s: %s.", p.From, TargetName(p.To), p.Want, reason)
		}
	}
	return nil
}

// impossible says why an expectation cannot be met, given what is found while no policy is in force.
func impossible(p Probe, found *Outcome) string {
	open := found.Verdict
	switch {
	case open == labs.ProbeError:
		return "the probe cannot be run: " + found.Error
	case p.Want == labs.Allowed && open != labs.Allowed:
		return fmt.Sprintf("it is %s even while no policy is in force", open)
	case p.Want == labs.Rejected && open != labs.Rejected:
		return "policies drop connections, and do not reject them"
	case p.Want == labs.DNSFailed && open != labs.DNSFailed && !namesTarget(p.To):
		return "the target is an address, so no name is looked up"
	case p.Want == labs.AppError && open != labs.AppError && p.To.HTTP == nil:
		return "the probe sends no request that the application could refuse; add an http block"
	case p.Want != labs.DNSFailed && p.Want != labs.Allowed && p.To.DNS != "":
		return "a look-up is allowed or dns_failed"
	}
	return ""
}

// namesTarget reports whether the target's name is looked up before the connection.
func namesTarget(t labs.Target) bool {
	switch {
	case t.DNS != "":
		return true
	case t.App != "":
		return via(t) == labs.ViaService
	}
	return t.External != "" && t.IP == "" && t.Via != labs.ViaIP
}

// vacuous finds objectives that are met by what students start from.
func (l *linter) vacuous(ctx context.Context) error {
	var starter *Submission
	if l.g.lab.Starter != "" {
		var err error
		if starter, err = l.g.ReadSubmissionFS(l.g.lab.FS, l.g.lab.Starter, manifest.Limits{}); err != nil {
			return fmt.Errorf("the starter %s: %w", l.g.lab.Starter, err)
		}
	}
	report, err := l.g.Grade(ctx, starter, l.eng, Options{Reveal: true, RevealHidden: true})
	if err != nil {
		return fmt.Errorf("grade the starter: %w", err)
	}
	for i, t := range report.Tasks {
		for j, o := range t.Objectives {
			if o.Status == Met && o.Max > 0 {
				l.warn(l.g.lab.Tasks[i].Objectives[j].Range, "Vacuous objective",
					"The objective %q of task %q is met before anything is done, so it gives %v points for nothing. Let it depend on one that is not: depends_on = [\"…\"].",
					o.Name, t.Name, o.Max)
			}
		}
	}
	return nil
}

// solution warns of a lab that nothing proves to be solvable.
func (l *linter) solution() {
	for i := range l.g.lab.Samples {
		if l.g.lab.Samples[i].Solution {
			return
		}
	}
	l.diags = append(l.diags, &hcl.Diagnostic{
		Severity: hcl.DiagWarning, Summary: "No solution",
		Detail: "No sample is the lab's solution, so nothing shows that it can be solved, and labctl test has nothing to mutate. Add sample \"solution\" { path = \"…\", score = 100 }.",
	})
}
