package batch_test

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/submission"
)

// What a grader remembers changes no report by a byte, whatever came before: neither what all of a class got
// right, nor a mistake that stands on another line this time.
func TestRememberingChangesNothing(t *testing.T) {
	t.Parallel()
	cfg := gradetest.Config(t, gradetest.Tutorial)
	lab := cfg.Grader.Lab()
	again := cfg.Grader.Remembering(cfg.Engine)
	report := func(g *grade.Grader, fsys fs.FS) []byte {
		sub, err := g.Rules.ReadFS(fsys, ".", manifest.Limits{})
		if err != nil {
			return []byte(err.Error())
		}
		rep, err := g.Grade(t.Context(), sub, cfg.Engine, grade.Options{})
		if err != nil {
			return []byte(err.Error())
		}
		data, err := rep.JSON()
		if err != nil {
			t.Error(err)
		}
		return data
	}
	for _, above := range []string{"", "# mine\n", "# his\n", "\n\n"} {
		for i := range lab.Samples {
			path := lab.Samples[i].Path
			commented := below(t, lab.FS, path, above)
			if want, got := report(cfg.Grader, commented), report(again, commented); !bytes.Equal(got, want) {
				t.Errorf("%s below %q is graded otherwise", path, above)
			}
		}
	}
}

// below is a directory of fsys with a text above that of every file.
func below(t *testing.T, fsys fs.FS, dir, text string) fs.FS {
	t.Helper()
	files := fstest.MapFS{}
	err := fs.WalkDir(fsys, dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		files[strings.TrimPrefix(name, dir+"/")] = &fstest.MapFile{Data: append([]byte(text), data...)}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// An engine that was asked for one submission is not asked for one that says the same: right or, in the same
// places, wrong.
func TestRememberingSpares(t *testing.T) {
	cfg := gradetest.Config(t, gradetest.Tutorial)
	again := cfg.Grader.Remembering(cfg.Engine)
	for _, sample := range []string{"samples/solution", "samples/and-or-peers"} {
		var texts []*submission.Submission
		for _, above := range []string{"# mine\n", "# his\n"} {
			sub, err := again.Rules.ReadFS(below(t, again.Lab().FS, sample, above), ".", manifest.Limits{})
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, sub)
		}
		grading := func(g *grade.Grader) float64 {
			if _, err := g.Grade(t.Context(), texts[0], cfg.Engine, grade.Options{}); err != nil {
				t.Error(err)
			}
			return testing.AllocsPerRun(3, func() {
				if _, err := g.Grade(t.Context(), texts[1], cfg.Engine, grade.Options{}); err != nil {
					t.Error(err)
				}
			})
		}
		if anew, remembered := grading(cfg.Grader), grading(again); remembered > anew/2 {
			t.Errorf("%s: %.0f allocations with what is remembered, %.0f without", sample, remembered, anew)
		}
	}
}
