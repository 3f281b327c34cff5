package labtest

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/submission"
)

// shipped is a submission that ships with the lab.
type shipped struct {
	name       string // `the sample "wrong"`
	submission *submission.Submission
}

// conditions finds CEL expressions that fail on what ships with the lab or on an empty submission: grading could then not
// tell whether an objective is met. It warns of samples that cannot be read.
func (l *linter) conditions(ctx context.Context) error {
	reported := make(map[hcl.Range]bool)
	for _, s := range l.shipped() {
		states, err := l.grader.Rules.Checkpoints(s.submission)
		if refused := (*engine.Refused)(nil); errors.As(err, &refused) {
			continue // shipped has warned of it
		}
		if err != nil {
			return err
		}
		for i, state := range states {
			failed, err := l.grader.FailedConditions(ctx, state, i)
			if err != nil {
				return err
			}
			for _, f := range failed {
				if reported[f.At] {
					continue
				}
				reported[f.At] = true
				l.error(f.At, "Condition fails",
					"%s cannot be evaluated on %s at the end of the task %q: %v. It must work for everything that a student may submit; has(…) tells whether a field exists.",
					f.What, s.name, l.lab.Tasks[i].Name, f.Err)
			}
		}
	}
	return nil
}

// shipped reads all submissions that ship with the lab, and an empty one. It warns of samples that grading would refuse.
func (l *linter) shipped() []shipped {
	all := []shipped{{"an empty submission", nil}}
	if l.lab.Starter != "" {
		if sub, err := l.grader.Rules.ReadFS(l.lab.FS, l.lab.Starter, manifest.Limits{}); err == nil {
			all = append(all, shipped{"the starter files", sub})
		} // otherwise vacuous has reported it
	}
	for i := range l.lab.Samples {
		s := &l.lab.Samples[i]
		sub, err := l.grader.Rules.ReadSample(s)
		if err == nil {
			err = l.refused(sub)
		}
		if err != nil {
			report := l.warn
			if s.Score != nil && *s.Score > 0 || s.Points != nil && *s.Points > 0 {
				report = l.error // what is refused has no points
			}
			report(s.Written("path"), "Sample refused", "The sample %q cannot be graded: %v", s.Name, err)
			continue
		}
		all = append(all, shipped{fmt.Sprintf("the sample %q", s.Name), sub})
	}
	return append(all, l.bare()...)
}

// bare are submissions with NetworkPolicies that lack what a condition may expect, one for each such policy, in force from the first task on.
func (l *linter) bare() []shipped {
	if !slices.Contains(l.lab.Submission.Kinds, "NetworkPolicy") {
		return nil
	}
	var all []shipped
	namespace := "default"
	if len(l.lab.Submission.Namespaces) > 0 {
		namespace = l.lab.Submission.Namespaces[0]
	}
	for _, p := range []struct{ name, spec string }{
		{"a NetworkPolicy without a spec", ""},
		{"a NetworkPolicy with empty lists", `, "spec": {"ingress": [], "egress": [], "policyTypes": []}`},
		{"a NetworkPolicy with empty rules", `, "spec": {"podSelector": {}, "ingress": [{}], "egress": [{"to": [], "ports": [{}]}]}`},
	} {
		text := fmt.Sprintf(`{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "bare", "namespace": %q}%s}`,
			namespace, p.spec)
		objects, problems := manifest.Parse([]manifest.File{{Name: "bare.json", Data: []byte(text)}}, manifest.Limits{})
		sub := l.grader.Rules.Empty()
		if len(problems) > 0 || len(sub.Steps) == 0 {
			continue
		}
		sub.Steps[0].Apply = objects
		all = append(all, shipped{p.name, sub})
	}
	return all
}

// refused returns what the engine does not take of a submission.
func (l *linter) refused(sub *submission.Submission) error {
	if sim, ok := l.eng.(engine.Simulator); ok {
		if problems := sim.Check(sub.Objects()); len(problems) > 0 {
			return &engine.Refused{Problems: problems}
		}
	}
	return nil
}

// notLive warns of checks that only offline grading can answer: nothing can be sent from a host outside the cluster.
func (l *linter) notLive() {
	reported := make(map[hcl.Range]bool)
	for i := range l.lab.Tasks {
		for _, q := range l.grader.Questions(i) {
			at := q.Block.At()
			if q.From.External == "" || reported[at] {
				continue
			}
			reported[at] = true
			l.warn(at, "Cannot be checked live",
				"The objective %q asks for connections from %s, which is outside the cluster: labctl cannot send anything from there. Offline grading decides it; grading a running lab reports it as an error.",
				q.Objective, q.From)
		}
	}
}
