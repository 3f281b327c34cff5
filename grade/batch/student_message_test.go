package batch_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
)

// TestWhatStudentsAreToldOfErrors: the reason if what they handed in is to blame, and otherwise only that it is not.
func TestWhatStudentsAreToldOfErrors(t *testing.T) {
	t.Parallel()
	dir := gradetest.Folder(t, map[string]string{"ada/a.yaml": "", "bob/a.zip": "", "bob/b.zip": ""})
	cfg := gradetest.Config(t, gradetest.Tutorial)
	if err := os.Symlink("nowhere", filepath.Join(dir, "kim")); err != nil {
		t.Fatal(err)
	}
	gradetest.Run(t, cfg, dir)
	files := gradetest.Files(t, cfg.Out)
	for id, want := range map[string]struct{ message, page string }{
		"bob": {"several archives", "could not be graded: there are several archives, and nobody can know which one counts: a.zip, b.zip."},
		"kim": {"it is a link", "because of a fault that is not yours"},
	} {
		text := files["students/"+id+"/feedback.html"]
		if !strings.Contains(text, want.page) || strings.Contains(text, dir) {
			t.Errorf("%s's page does not say %q, or tells where the class lies:\n%s", id, want.page, text)
		}
		for _, r := range gradetest.Results(t, cfg.Out) {
			if r.ID == id && (r.Status != grade.Errored || !strings.Contains(r.Message, want.message)) {
				t.Errorf("the staff is not told of %s: %s, %s", id, r.Status, r.Message)
			}
		}
		for _, name := range []string{"grades.csv", "summary.json", "index.html"} {
			if !strings.Contains(files[name], want.message) {
				t.Errorf("%s does not say what happened to %s", name, id)
			}
		}
	}
}
