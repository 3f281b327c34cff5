package grade_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
)

// authoredLab is a lab whose task asks that web cannot reach api; MISTAKES and CHECK come from each case.
const authoredLab = `
lab "authored" {}
app "api" {
  labels = { app = "api" }
  port "http" { port = 80 }
}
app "web" { labels = { app = "web" } }
submission { may_label = ["kube-system"] }
mistake "of-the-lab" {
  when    = "objects.exists(p, p.metadata.name == 'lab' || p.metadata.name == 'both')"
  message = "Named for the lab."
}
task "t" {
  mistake "of-the-task" {
    title   = "A task's mistake"
    kind    = "NetworkPolicy"
    when    = "objects.exists(p, p.metadata.name == 'both')"
    message = "Named for both."
    hint    = "Look at its name."
  }
  mistake "nothing-there" {
    when    = "objects.size() == 0"
    message = "There is no policy."
  }
  mistake "broken" {
    when    = "objects.all(p, p.spec.nowhere == 1)"
    message = "Never."
  }
  objective "closed" {
    points = 1
    expect "denied" {
      from = app.web
      to   = app.api.port.http
      via  = "ip"
    }
  }
}
`

// TestAuthoredMistakes: the lab's own mistakes explain what is missed before the classic ones do, and no more.
func TestAuthoredMistakes(t *testing.T) {
	t.Parallel()
	open := func(name string) string {
		return policyIn("default", name, "{podSelector: {matchLabels: {app: api}}, ingress: [{}]}")
	}
	for _, tt := range []struct {
		name     string
		manifest string
		want     string // the mistake of the check
		policy   string // where it is
	}{
		{"the lab's", open("lab"), "of-the-lab", "NetworkPolicy default/lab"},
		{"the task's comes first", open("both"), "of-the-task", "NetworkPolicy default/both"},
		{"the culprit is the latest that fits", open("both") + "---\n" + open("other"), "of-the-task", "NetworkPolicy default/both"},
		{"a classic one where none of them was made", open("other"), "empty-vs-missing", "NetworkPolicy default/other"},
		{"something is missing, so no object is to blame", label("kube-system", "a: b"), "nothing-there", ""},
		{"nothing is missed", policyIn("default", "both", "{podSelector: {}}"), "", ""},
		{"nothing is submitted", "# nothing yet", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lab := gradetest.Load(t, fstest.MapFS{
				"lab.hcl": {Data: []byte(authoredLab)}, "s/t/p.yaml": {Data: []byte(tt.manifest)},
			})
			for _, lab := range []*gradetest.Lab{lab, {Lab: lab.Lab, Engine: lab.Engine, Grader: lab.Grader.Remembering(lab.Engine)}} {
				report := gradeFS(t, lab, lab.FS, "s")
				c := report.Tasks[0].Objectives[0].Checks[0]
				if c.Mistake != tt.want {
					t.Fatalf("the mistake is %q, want %q", c.Mistake, tt.want)
				}
				i := slices.IndexFunc(report.Findings, func(f grade.Finding) bool { return f.ID == tt.want })
				if tt.want == "" {
					continue
				}
				if f := report.Findings[i]; f.Policy != tt.policy || f.Task != "t" || f.Objective != "closed" || f.Hint != c.Hint {
					t.Errorf("%+v", f)
				}
			}
		})
	}
}

// A condition that cannot be evaluated is the lab's error: the objective is neither met nor missed.
func TestConditionFails(t *testing.T) {
	t.Parallel()
	hcl := strings.Replace(authoredLab, "  objective \"closed\" {", `  objective "named" {
    points = 1
    object "spec" { condition = "objects.all(p, p.spec.nowhere == 1)" }
  }
  objective "closed" {`, 1)
	lab := gradetest.Load(t, fstest.MapFS{
		"lab.hcl": {Data: []byte(hcl)}, "s/t/p.yaml": {Data: []byte(policyIn("default", "p", "{podSelector: {}}"))},
	})
	report := gradeFS(t, lab, lab.FS, "s")
	o := report.Tasks[0].Objectives[0]
	if o.Status != grade.Error || report.Status != grade.Errored || report.Score.Passed {
		t.Errorf("the objective is %s, the report %s", o.Status, report.Status)
	}
	want := `the condition of the object block "spec", which is the lab's and not yours, fails: no such key: nowhere`
	if got := o.Checks[0].Error; got != want {
		t.Errorf("the check says %q, want %q", got, want)
	}

	sub, err := lab.Grader.Rules.ReadFS(lab.FS, "s", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	states, err := lab.Grader.Rules.Checkpoints(sub)
	if err != nil {
		t.Fatal(err)
	}
	failed, err := lab.Grader.FailedConditions(t.Context(), states[0], 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range failed {
		got = append(got, f.What+": "+f.Err.Error())
	}
	if want := []string{
		`The condition of the object block "spec": no such key: nowhere`,
		`The expression (when) of the mistake "broken": no such key: nowhere`,
	}; !slices.Equal(got, want) {
		t.Errorf("failed: %q, want %q", got, want)
	}
}
