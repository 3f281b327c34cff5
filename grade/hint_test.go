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

// What a hint of the tutorial sells is not said for nothing by the mistakes that its wrong samples are named for.
func TestHintsAreWorthTheirPrice(t *testing.T) {
	t.Parallel()
	lab := gradetest.Open(t, gradetest.Tutorial)
	free := map[string][]string{} // what reports say of each task
	for i := range lab.Samples {
		for _, f := range gradeFS(t, lab, lab.FS, lab.Samples[i].Path).Findings {
			free[f.Task] = append(free[f.Task], f.Title+". "+f.Message)
		}
	}
	for i := range lab.Tasks {
		task := &lab.Tasks[i]
		for name, h := range task.AllHints() {
			sold := stems(h.Text)
			for _, text := range free[task.Name] {
				said := stems(text)
				same := slices.DeleteFunc(slices.Clone(sold), func(s string) bool { return !slices.Contains(said, s) })
				if h.Cost > 0 && 3*len(same) > len(sold) {
					t.Errorf("%s: the hint %q shares %q with %q", task.Name, name, same, text)
				}
			}
		}
	}
}

// stems are the beginnings of the longer words of a text.
func stems(text string) []string {
	var list []string
	for _, w := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' }) {
		if len(w) > 3 && !slices.Contains(list, w[:4]) {
			list = append(list, w[:4])
		}
	}
	return list
}
