package grade

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Answer is what a submission says for one task, without what changes nothing about it: names, comments, labels of
// policies, order, formatting. Equal answers have equal fingerprints.
type Answer struct {
	Task   string   `json:"task"`   // "" in a flat submission
	Digest string   `json:"digest"` // of all of it
	Parts  []string `json:"parts"`  // of each rule with the pods it is for, in order; never null
	Names  []string `json:"names"`  // that the student gave to policies, in order; never null
}

// Answers lists the answers of a submission, for the tasks that it says something for.
func (g *Grader) Answers(sub *Submission) []Answer {
	answers := []Answer{}
	for i := range sub.Steps {
		if a, ok := g.answerOf(&sub.Steps[i]); ok {
			answers = append(answers, a)
		}
	}
	return answers
}

// answerOf is the answer of a step; false if there is none.
func (g *Grader) answerOf(step *Step) (Answer, bool) {
	a := Answer{Task: step.Task, Parts: []string{}, Names: []string{}}
	var objects []string
	for _, o := range step.Apply {
		part, ok := g.objectAnswer(o)
		if !ok {
			continue
		}
		objects = append(objects, part.normal)
		a.Parts = append(a.Parts, part.rules...)
		if o.Kind != "Namespace" {
			a.Names = append(a.Names, o.Name)
		}
	}
	for _, o := range step.Delete {
		// What is deleted has the name that the student gave it: that there is a deletion is all that counts.
		objects = append(objects, "delete "+o.Kind+" "+o.Namespace)
	}
	slices.Sort(objects)
	slices.Sort(a.Parts)
	slices.Sort(a.Names)
	a.Parts, a.Names = slices.Compact(a.Parts), slices.Compact(a.Names)
	a.Digest = fingerprint(objects...)
	return a, len(objects) > 0
}

// objectAnswer is what an object says: its normal form, and the fingerprints of its rules.
type objectAnswer struct {
	normal string
	rules  []string
}

// objectAnswer is that of an object; false if it says nothing.
func (g *Grader) objectAnswer(o *manifest.Object) (objectAnswer, bool) {
	if g.memo != nil {
		if known, ok := g.memo.answers.Get(g.memo.digests(o).says); ok {
			return known, true
		}
	}
	root := decodeTree(o.JSON)
	if root == nil {
		return objectAnswer{}, false
	}
	a := objectAnswer{normalObject(o, root), ruleFingerprints(o, root)}
	if g.memo != nil {
		g.memo.answers.Add(g.memo.digests(o).says, a)
	}
	return a, true
}

// normalObject is an object in a form that objects which say the same have in common.
func normalObject(o *manifest.Object, root map[string]any) string {
	var b strings.Builder
	b.WriteString(o.Kind + " " + o.Namespace)
	if o.Kind == "Namespace" {
		b.WriteString(o.Name)
		if meta, ok := root["metadata"].(map[string]any); ok {
			writeNormal(&b, "labels", meta["labels"])
		}
	}
	writeNormal(&b, "", root["spec"])
	writeNormal(&b, "", root["specs"])
	return b.String()
}

// ruleFingerprints are those of an object's rules, each with the selector of the pods that it is for.
func ruleFingerprints(o *manifest.Object, root map[string]any) []string {
	specs, _ := root["specs"].([]any)
	var all []string
	for _, s := range append([]any{root["spec"]}, specs...) {
		spec, ok := s.(map[string]any)
		if !ok {
			continue
		}
		var pods strings.Builder
		pods.WriteString(o.Kind + " " + o.Namespace)
		for _, key := range []string{"podSelector", "endpointSelector", "subject"} {
			writeNormal(&pods, key, spec[key])
		}
		for _, direction := range []string{"ingress", "egress", "ingressDeny", "egressDeny"} {
			rules, _ := spec[direction].([]any)
			for _, rule := range rules {
				var b strings.Builder
				writeNormal(&b, "", rule)
				all = append(all, fingerprint(pods.String(), direction, b.String()))
			}
		}
	}
	return all
}

// writeNormal writes a value: keys and lists in order, and without what is the default anyhow.
func writeNormal(b *strings.Builder, key string, value any) {
	switch v := value.(type) {
	case map[string]any:
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

// fingerprint is short: of a million different texts two have the same one with a probability of 1 in 500.
func fingerprint(texts ...string) string {
	h := sha256.New()
	for _, t := range texts {
		fmt.Fprintf(h, "%d %s", len(t), t)
	}
	return hex.EncodeToString(h.Sum(nil)[:6])
}

// Known is what the lab's own files say, to hold submissions against.
type Known struct {
	Given   []Answer // of the starter and the solutions: that these coincide says nothing
	Digests []string // of the starter and the solutions, as Submission.Digest
	Mutants []KnownMutant
}

// KnownMutant is a change to a solution: the answer that it makes, and what it comes to.
type KnownMutant struct {
	Mutant
	Answer  Answer // Digest is "" where nothing is left
	Outcome string // Report.Outcome; "" if it was not graded, or misses nothing
}

// Known grades every mutant of the lab's solutions with the engine, which may be nil: then their outcomes are not known.
func (g *Grader) Known(ctx context.Context, eng Engine, opts Options) (*Known, error) {
	k := &Known{}
	read := func(dir string) (*Submission, error) {
		sub, err := g.ReadSubmissionFS(g.lab.FS, dir, manifest.Limits{})
		if err != nil {
			return nil, fmt.Errorf("read %s of the lab: %w", dir, err)
		}
		k.Digests = append(k.Digests, sub.Digest)
		k.Given = append(k.Given, g.Answers(sub)...)
		return sub, nil
	}
	if g.lab.Starter != "" {
		if _, err := read(g.lab.Starter); err != nil {
			return nil, err
		}
	}
	for i := range g.lab.Samples {
		s := &g.lab.Samples[i]
		if !s.Solution {
			continue
		}
		sub, err := read(s.Path)
		if err != nil {
			return nil, err
		}
		if err := g.knownMutants(ctx, eng, opts, s.Name, sub, k); err != nil {
			return nil, fmt.Errorf("mutate the sample %q: %w", s.Name, err)
		}
	}
	return k, nil
}

func (g *Grader) knownMutants(ctx context.Context, eng Engine, opts Options, sample string, solution *Submission, k *Known) error {
	for step := range solution.Steps {
		for _, m := range g.mutants(solution, step) {
			known := KnownMutant{Mutant: m.Mutant}
			known.Sample = sample
			mutant := m.apply(solution)
			known.Answer, _ = g.answerOf(&mutant.Steps[step])
			if known.Answer.Task = solution.Steps[step].Task; len(mutant.Steps[step].Apply)+len(mutant.Steps[step].Delete) == 0 {
				known.Answer.Digest = ""
			}
			if eng != nil {
				rep, err := g.Grade(ctx, mutant, eng, opts)
				if err := ctx.Err(); err != nil {
					return err
				}
				if err == nil {
					known.Outcome = rep.Outcome()
				}
			}
			k.Mutants = append(k.Mutants, known)
		}
	}
	return nil
}

// Outcome writes down how every objective came out that is told, as OutcomeKey does.
func (r *Report) Outcome() string {
	return OutcomeKey(func(yield func(ObjectiveStatus) bool) {
		for i := range r.Tasks {
			for j := range r.Tasks[i].Objectives {
				if !yield(r.Tasks[i].Objectives[j].Status) {
					return
				}
			}
		}
	})
}

// OutcomeKey puts the outcomes of all objectives into a text that gradings of one lab can be compared by; "" if nothing was
// missed.
func OutcomeKey(statuses iter.Seq[ObjectiveStatus]) string {
	var b strings.Builder
	missed := false
	for s := range statuses {
		b.WriteString(string(s) + " ")
		missed = missed || s != Met && s != Hidden
	}
	if !missed {
		return ""
	}
	return b.String()
}
