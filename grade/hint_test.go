package grade_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
)

// A report does not give away what the lab sells as hints; the mistake is named all the same.
func TestHintsAreWithheld(t *testing.T) {
	t.Parallel()
	const hints = `
    hint "deep" {
      text = "Deep."
      cost = 1
    }`
	lab := gradetest.Load(t, fstest.MapFS{
		"lab.hcl": {Data: []byte(strings.NewReplacer("CHECKS", nobodyReachesAPI+hints, `task "t" {`, `task "t" {
  hint "free" { text = "Free." }
  hint "priced" {
    text = "Priced."
    cost = 0.5
  }`).Replace(mistakeLab))},
		"api.yaml": {Data: []byte(apiManifests)},
	})
	submission, err := lab.Grader.Rules.ReadFS(fstest.MapFS{
		"answers/t/a.yaml": {Data: []byte(np(`{podSelector: {matchLabels: {app: apii}}, policyTypes: [Ingress]}`))},
	}, "answers", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		taken []string
		shown bool
	}{
		{nil, false},
		{[]string{"t/priced"}, false},
		{[]string{"t/o/deep"}, false},
		{[]string{"t/priced", "t/o/deep"}, true},
		{nil, false}, // what another report shows is not that of this one
	} {
		report, err := lab.Grader.Grade(t.Context(), submission, lab.Engine, grade.Options{Hints: tt.taken})
		if err != nil {
			t.Fatal(err)
		}
		if len(report.Findings) != 1 || report.Findings[0].ID != "selector-selects-nothing" || (report.Findings[0].Hint != "") != tt.shown {
			t.Errorf("%q taken: findings are %+v", tt.taken, report.Findings)
		}
		if !report.Tasks[1].HintsLeft || report.Tasks[0].HintsLeft {
			t.Errorf("%q taken: hints are left of the wrong task", tt.taken) // nobody took the free one
		}
		if report.Tasks[1].HintsWithheld == tt.shown || report.Tasks[0].HintsWithheld {
			t.Errorf("%q taken: hints are withheld: %v, %v", tt.taken, report.Tasks[0].HintsWithheld, report.Tasks[1].HintsWithheld)
		}
		for _, c := range missed(report) {
			if c.Mistake == "" || (c.Hint != "") != tt.shown {
				t.Errorf("%q taken: the check has the mistake %q with the hint %q", tt.taken, c.Mistake, c.Hint)
			}
		}
	}
}
