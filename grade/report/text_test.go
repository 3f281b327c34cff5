package report

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/labs"
)

var update = flag.Bool("update", false, "write the golden files")

func TestText(t *testing.T) {
	t.Parallel()
	for name, style := range map[string]Style{
		"terminal": {Width: 80, Color: true},
		"pipe":     {Width: 100},
		"narrow":   {Width: 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Text(&out, sampleReport(), style); err != nil {
				t.Fatal(err)
			}
			golden(t, "text-"+name+".golden", out.Bytes())
		})
	}
}

func TestTextSaysHowItEnded(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		change func(*grade.Report)
		want   string
	}{
		{"passed", func(r *grade.Report) { r.Score.Passed, r.Status = true, grade.Passed }, "pass mark 70%: passed\n"},
		{"failed", func(*grade.Report) {}, "pass mark 70%: not passed\n"},
		{"error", func(r *grade.Report) { r.Status = grade.Errored }, "not to be relied on"},
		{"some tasks", func(r *grade.Report) { r.Selected = []string{"a", "b"} }, "(only a, b)\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := sampleReport()
			tc.change(r)
			var out bytes.Buffer
			if err := Text(&out, r, Style{}); err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(out.Bytes(), []byte(tc.want)) {
				t.Errorf("%q is not in:\n%s", tc.want, out.String())
			}
		})
	}
}

// sampleReport has every status and every kind of line.
func sampleReport() *grade.Report {
	pts := func(f float64) *float64 { return &f }
	why := &grade.Why{Text: []string{
		"ingress of default/backend: NetworkPolicy default/backend-deny isolates the pod (01/deny.yaml:4), and no rule allows this connection",
		"nearest is spec.ingress[0].from[1] of NetworkPolicy default/allow (02/allow.yaml:12): the rule wants app=front, the pod has app=frontend",
	}}
	return &grade.Report{
		FormatVersion: 1,
		Lab:           grade.LabReport{Name: "networkpolicy", Title: "Kubernetes NetworkPolicy fundamentals"},
		Engine:        "offline",
		Status:        grade.Failed,
		Score:         grade.Score{Points: 18.5, Max: 40, Percent: 46.25, PassMark: 70},
		Submission:    grade.SubmissionReport{Layout: labs.LayoutCheckpoints, Files: []string{"01/deny.yaml", "02/allow.yaml"}},
		Tasks: []grade.TaskReport{
			{
				Name: "backend-deny", Title: "Put the backend into ingress default deny", Attempted: true,
				Score: grade.TaskScore{Points: 14, Max: 15, HintCost: 1},
				Hints: []grade.HintTaken{{Name: "selector", Cost: 1}},
				Objectives: []grade.ObjectiveReport{
					{Name: "isolated", Title: "Nothing gets into the backend", Points: pts(10), Max: 10, Status: grade.Met},
					{Name: "egress", Points: pts(5), Max: 5, Bonus: true, Status: grade.Met},
				},
			},
			{
				Name: "frontend", Title: "Let the frontend in", Attempted: true,
				Score: grade.TaskScore{Points: 4.5, Max: 20},
				Objectives: []grade.ObjectiveReport{
					{
						Name: "reaches", Title: "The frontend reaches the backend on its port, whatever the name by which it asks for it", Points: pts(0), Max: 10, Status: grade.Missed,
						Checks: []grade.Check{
							{Kind: grade.CheckExpect, From: "frontend", To: "backend:8080", Expected: verdict.Allowed, Verdict: verdict.Dropped, Why: why, Mistake: "pod-labels", Hint: "Compare the selector with the labels of the running pods."},
							{Kind: grade.CheckExpect, From: "frontend", To: "backend:9090", Expected: verdict.Allowed, Verdict: verdict.Dropped, Why: why, Mistake: "pod-labels", Hint: "Compare the selector with the labels of the running pods."},
							{Kind: grade.CheckExpect, From: "backend", To: "external internet:443", Expected: verdict.Allowed, Verdict: verdict.DNSFailed, Because: "Replies are stateful, new connections are not."},
							{Kind: grade.CheckExpect, From: "monitoring", To: "backend:8080", Expected: verdict.Denied, Verdict: verdict.Dropped, Passed: true},
						},
					},
					{
						Name: "only", Title: "Nobody else does", Points: pts(4.5), Max: 9, Status: grade.Partly,
						Checks: []grade.Check{
							{Kind: grade.CheckInvariant, Name: "closed", From: "default/other", To: "backend:1", Expected: verdict.Denied, Verdict: verdict.Allowed, Why: why, Mistake: "pod-labels", Hint: "Compare the selector with the labels of the running pods."},
							{Kind: grade.CheckObject, Name: "named", Error: "no such field: spec.x"},
						},
					},
					{Name: "later", Title: "Still isolated", Points: pts(0), Max: 1, Status: grade.Blocked, BlockedBy: []string{"frontend/reaches"}},
				},
			},
			{
				Name: "last", Title: "The last one",
				Score: grade.TaskScore{Max: 5},
				Objectives: []grade.ObjectiveReport{
					{Name: "secret", Max: 4, Status: grade.Hidden},
					{Name: "broken", Title: "Cannot be told", Points: pts(0), Max: 1, Status: grade.Error},
				},
			},
		},
		Findings: []grade.Finding{
			{ID: "pod-labels", Title: "A label that no pod has", Message: "app=front selects no pod of the lab.", Hint: "Compare the selector with the labels of the running pods.", File: "02/allow.yaml", Line: 12, Task: "frontend", Objective: "reaches"},
			{ID: "no-effect", Title: "A step without effect", Message: "Deleting NetworkPolicy default/none changes nothing.", File: "03/delete/none.yaml", Line: 1, Task: "last"},
		},
	}
}

func TestTest(t *testing.T) {
	t.Parallel()
	lab := grade.LabReport{Name: "networkpolicy", Title: "Kubernetes NetworkPolicy fundamentals"}
	mark := 70.0
	starter := labtest.SampleResult{Name: "starter", Want: &mark, Got: 10, Passed: true}
	for name, r := range map[string]*labtest.Report{
		"passed": {
			Lab: lab, Engine: "offline", Passed: true, Starter: starter,
			Samples:  []labtest.SampleResult{{Name: "solution", Got: 100, Passed: true}},
			Mutation: labtest.MutationResult{Mutants: 10, Killed: 7, Equivalent: 2, Invalid: 1},
		},
		"failed": {
			Lab: lab, Engine: "offline", Starter: labtest.SampleResult{Name: "starter", Want: &mark, Got: 100, Differences: []labtest.Difference{
				{Message: "scores 100%, but must stay below the pass mark of 70%", File: "lab.hcl", Line: 1},
			}},
			Samples: []labtest.SampleResult{
				{Name: "forgot-dns", Got: 66.67, Differences: []labtest.Difference{
					{Message: "scores 66.67%, but declares 60%", File: "lab.hcl", Line: 30},
					{Message: "the report names no mistake, but the sample declares dns-forgotten", File: "lab.hcl", Line: 31},
				}},
				{Name: "gone", Error: "samples/gone: no such directory", File: "lab.hcl", Line: 34},
			},
			Mutation: labtest.MutationResult{Mutants: 11, Killed: 9, Survivors: []labtest.Mutant{{
				Message: "add a policy that allows all ingress in the namespace default", Object: "NetworkPolicy default/mutant-allow-all", Task: "frontend",
				Flow: labtest.ChangedFlow{Task: "frontend", From: "other", To: "backend:8080", Before: verdict.Dropped, After: verdict.Allowed},
			}, {
				Message: "drop the peer spec.ingress[0].from[1]", Object: "NetworkPolicy default/allow", File: "02/policy.yaml", Line: 9,
				Flow: labtest.ChangedFlow{Task: "frontend", From: "frontend", To: "backend:8080", Before: verdict.Allowed, After: verdict.Dropped},
			}}},
		},
		"skipped": {Lab: lab, Engine: "offline", Starter: starter, Mutation: labtest.MutationResult{Skipped: "no sample is a solution"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var out bytes.Buffer
			if err := Test(&out, r, Style{Width: 100}); err != nil {
				t.Fatal(err)
			}
			golden(t, "test-"+name+".golden", out.Bytes())
		})
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs (go test -update writes it anew); got:\n%s", path, got)
	}
}
