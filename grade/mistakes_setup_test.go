package grade_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/grade/gradetest"
)

// What the lab itself applied is no mistake of the student's, however it is written.
func TestNoMistakeInSetup(t *testing.T) {
	t.Parallel()
	open := np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress], ingress: [{}]}`)
	for _, tt := range []struct {
		name  string
		setup bool
		want  []string
	}{
		{"by the student", false, []string{"allows-everything"}},
		{"by the lab", true, nil},
	} {
		lab, files := mistakeLab, fstest.MapFS{"answers/t/a.yaml": {Data: []byte(strings.Replace(np(closeAPI), "name: p", "name: q", 1))}}
		if tt.setup {
			lab = strings.Replace(lab, `task "t" {`, "task \"t\" {\n  setup {\n    apply = [\"open.yaml\"]\n  }", 1)
		} else {
			files["answers/t/open.yaml"] = &fstest.MapFile{Data: []byte(open)}
		}
		report := gradeFS(t, gradetest.Load(t, fstest.MapFS{
			"lab.hcl":   {Data: []byte(strings.Replace(lab, "CHECKS", nobodyReachesAPI, 1))},
			"api.yaml":  {Data: []byte(apiManifests)},
			"open.yaml": {Data: []byte(open)},
		}), files, "answers")
		if got := findingIDs(report); !slices.Equal(got, tt.want) || len(missed(report)) == 0 {
			t.Errorf("%s: findings are %q, want %q; missed: %d", tt.name, got, tt.want, len(missed(report)))
		}
	}
}

// An entity that is one kind of peer is not too wide; what the policy selects is.
func TestNarrowEntities(t *testing.T) {
	t.Parallel()
	checkMistakes(t, `
    expect "denied" {
      from = app.api
      to   = node("control-plane")
      port = 6443
    }
    expect "allowed" {
      from = app.web
      to   = node("control-plane")
      port = 6443
    }`,
		[]string{np(`{podSelector: {}, policyTypes: [Egress]}`)},
		[]string{strings.Replace(cnp(`{endpointSelector: {}, egress: [{toEntities: [kube-apiserver], toPorts: [{ports: [{port: '6443'}]}]}]}`),
			"name: p", "name: q", 1)},
		[]string{"empty-vs-missing"})
}
