package similarity_test

import (
	"context"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/similarity"
)

const answerPolicy = `apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
  namespace: default
spec:
  podSelector: {matchLabels: {app: backend}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: frontend}}
    - namespaceSelector: {matchLabels: {purpose: monitoring}}
    ports: [{port: 8080}, {port: 9090, protocol: TCP}]
`

func TestAnswersAreEqualIfOnlyTheWritingDiffers(t *testing.T) {
	t.Parallel()
	g := gradetest.Open(t, gradetest.Tutorial).Grader
	answer := func(text string) similarity.Answer {
		t.Helper()
		sub, err := g.Rules.ReadFS(fstest.MapFS{"03-allow-frontend/p.yaml": {Data: []byte(text)}}, ".", manifest.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		answers := similarity.NewReader().Answers(sub)
		if len(answers) != 1 || answers[0].Task != "allow-frontend" {
			t.Fatalf("got %+v", answers)
		}
		return answers[0]
	}
	base := answer(answerPolicy)
	for name, tc := range map[string]struct {
		text  string
		equal bool
	}{
		"names, comments, order, formatting": {`# mine
{"kind":"NetworkPolicy","apiVersion":"networking.k8s.io/v1","metadata":{"annotations":{"a":"b"},"labels":{"x":"y"},"name":"other"},
"spec":{"policyTypes":["Egress","Ingress"],"podSelector":{"matchLabels":{"app":"backend"}},"ingress":[{"ports":[{"port":9090},{"protocol":"TCP","port":8080}],
"from":[{"namespaceSelector":{"matchLabels":{"purpose":"monitoring"}}},{"podSelector":{"matchLabels":{"app":"frontend"}}}]}]}}`, true},
		"one peer instead of two": {`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow, namespace: default}
spec:
  podSelector: {matchLabels: {app: backend}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: frontend}}
      namespaceSelector: {matchLabels: {purpose: monitoring}}
    ports: [{port: 8080}, {port: 9090}]
`, false},
		"a port that is a name": {`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: allow, namespace: default}
spec:
  podSelector: {matchLabels: {app: backend}}
  policyTypes: [Ingress, Egress]
  ingress:
  - from:
    - podSelector: {matchLabels: {app: frontend}}
    - namespaceSelector: {matchLabels: {purpose: monitoring}}
    ports: [{port: web}, {port: 9090}]
`, false},
	} {
		if got := answer(tc.text); (got.Digest == base.Digest) != tc.equal || tc.equal && !slices.Equal(got.Parts, base.Parts) {
			t.Errorf("%s: %+v and %+v", name, got, base)
		}
	}
}

func TestKnownMutantsHaveAnswersAndOutcomes(t *testing.T) {
	t.Parallel()
	lab := gradetest.Open(t, gradetest.Tutorial)
	g, eng := lab.Grader, lab.Engine
	known, err := similarity.LearnLab(context.Background(), g, eng, grade.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if len(known.Mutants) < 100 || len(known.Given) < 9 || len(known.Digests) < 2 {
		t.Fatalf("%d mutants, %d given answers, %d digests", len(known.Mutants), len(known.Given), len(known.Digests))
	}
	// A sample that is the solution with one mistake in it is one of the mutants, by its answer and by its outcome.
	sub, err := g.Rules.ReadFS(lab.FS, "samples/and-or-peers", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	rep, err := g.Grade(context.Background(), sub, eng, grade.Options{})
	if err != nil {
		t.Fatal(err)
	}
	key := similarity.StatusKey(func(yield func(grade.ObjectiveStatus) bool) {
		for _, t := range rep.Tasks {
			for _, o := range t.Objectives {
				if !yield(o.Status) {
					return
				}
			}
		}
	})
	answers := similarity.NewReader().Answers(sub)
	byAnswer := slices.ContainsFunc(known.Mutants, func(m similarity.KnownMutant) bool {
		return slices.ContainsFunc(answers, func(a similarity.Answer) bool { return a.Task == m.Task && a.Digest == m.Answer.Digest })
	})
	byOutcome := slices.ContainsFunc(known.Mutants, func(m similarity.KnownMutant) bool { return m.StatusKey != "" && m.StatusKey == key })
	if !byAnswer || !byOutcome {
		t.Errorf("the sample and-or-peers is no mutant: by answer %v, by outcome %v", byAnswer, byOutcome)
	}
}
