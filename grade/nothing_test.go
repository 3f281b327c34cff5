package grade_test

import (
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/submission"
)

// TestNothingHandedIn: what was handed in without anything to grade is told apart from a running lab without policies.
func TestNothingHandedIn(t *testing.T) {
	t.Parallel()
	lab := gradetest.Open(t, gradetest.Tutorial)
	for _, tt := range []struct {
		name string
		read func() (*submission.Submission, error)
		opts grade.Options
		want string
	}{
		{"no file", func() (*submission.Submission, error) {
			return lab.Grader.Rules.Read(t.TempDir(), manifest.DefaultLimits())
		}, grade.Options{}, "it contains no manifest"},
		{"an empty file", func() (*submission.Submission, error) {
			return lab.Grader.Rules.ReadStream("-", strings.NewReader("# nothing\n"), manifest.DefaultLimits())
		}, grade.Options{}, "its manifests are empty"},
		{"an empty file, of one task", func() (*submission.Submission, error) {
			return lab.Grader.Rules.ReadStream("-", strings.NewReader("# nothing\n"), manifest.DefaultLimits())
		}, grade.Options{Tasks: []string{"allow-dns"}}, ""},
		{"a running lab", func() (*submission.Submission, error) {
			return lab.Grader.Rules.ReadRunning(nil, "allow-dns", manifest.DefaultLimits())
		}, grade.Options{}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			sub, err := tt.read()
			if err != nil {
				t.Fatal(err)
			}
			r, err := lab.Grader.Grade(t.Context(), sub, lab.Engine, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			if got := r.EmptyReason(); got != tt.want && (tt.want == "" || !strings.HasPrefix(got, tt.want)) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCheckNames: options are held against the lab before anything is graded.
func TestCheckNames(t *testing.T) {
	t.Parallel()
	g := gradetest.Open(t, gradetest.Tutorial).Grader
	if err := g.Check(grade.Options{Tasks: []string{"allow-dns"}, Hints: []string{"allow-monitoring-pods/and-or"}}); err != nil {
		t.Error(err)
	}
	err := g.Check(grade.Options{Tasks: []string{"allow-dsn"}, Hints: []string{"allow-dns/none"}})
	for _, want := range []string{`no task "allow-dsn"; did you mean "allow-dns"?`, `no hint "allow-dns/none"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not say %s", err, want)
		}
	}
}
