package grade_test

import (
	"bytes"
	"context"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/offline"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// shop is the lab in testdata/lab, with its engine.
func shop(tb testing.TB) (*grade.Grader, *offline.Engine) {
	tb.Helper()
	lab := gradetest.Load(tb, os.DirFS("testdata/lab"))
	return lab.Grader, lab.Engine
}

// archiveFS is the files of an archive below a directory.
func archiveFS(a *txtar.Archive, dir string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, f := range a.Files {
		if name, ok := strings.CutPrefix(f.Name, dir); ok {
			fsys[name] = &fstest.MapFile{Data: f.Data}
		}
	}
	return fsys
}

// schema is docs/report.schema.json, which every report must satisfy.
var schema = sync.OnceValue(func() *jsonschema.Schema {
	return jsonschema.NewCompiler().MustCompile("../docs/report.schema.json")
})

// reportJSON returns a report as JSON, after holding it against the schema.
func reportJSON(t *testing.T, r *grade.Report) []byte {
	t.Helper()
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := schema().Validate(v); err != nil {
		t.Errorf("the report does not satisfy docs/report.schema.json: %v\n%s", err, text)
	}
	return text
}

// TestSubmissions grades the submissions in testdata/submissions: txtar archives with the files below
// submission/ and the golden outcome, report.json or refused. The archive's comment may hold options, a line
// each: "tasks: a b", "hints: a/b", "reveal".
func TestSubmissions(t *testing.T) {
	t.Parallel()
	cases, err := filepath.Glob("testdata/submissions/*.txtar")
	if err != nil || len(cases) == 0 {
		t.Fatal("no submissions", err)
	}
	for _, file := range cases {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var opts grade.Options
			for line := range strings.Lines(string(a.Comment)) {
				switch key, value, _ := strings.Cut(strings.TrimSpace(line), ":"); key {
				case "tasks":
					opts.Tasks = strings.Fields(value)
				case "hints":
					opts.Hints = strings.Fields(value)
				case "reveal":
					opts.AfterDue = true
				}
			}
			name, got := outcome(t, archiveFS(a, "submission/"), opts)
			var want []byte
			rest := a.Files[:0:0]
			for _, f := range a.Files {
				switch f.Name {
				case name:
					want = f.Data
				case "report.json", "refused":
				default:
					rest = append(rest, f)
				}
			}
			if *update {
				a.Files = append(rest, txtar.File{Name: name, Data: got})
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if diff := cmp.Diff(string(want), string(got)); diff != "" {
				t.Errorf("%s differs (-want +got); -update accepts it:\n%s", name, diff)
			}
		})
	}
}

// outcome grades a submission of the shop twice and returns the name and text of what came of it.
func outcome(t *testing.T, fsys fs.FS, opts grade.Options) (name string, text []byte) {
	t.Helper()
	g, eng := shop(t)
	once := func() (string, []byte) {
		sub, err := g.Rules.ReadFS(fsys, ".", manifest.Limits{})
		if err == nil {
			var r *grade.Report
			if r, err = g.Grade(context.Background(), sub, eng, opts); err == nil {
				return "report.json", reportJSON(t, r)
			}
		}
		if _, ok := err.(*engine.Refused); !ok {
			t.Fatal(err)
		}
		return "refused", []byte(err.Error() + "\n")
	}
	name, text = once()
	if _, again := once(); !bytes.Equal(text, again) {
		t.Errorf("the second time the outcome is another:\n%s", cmp.Diff(string(text), string(again)))
	}
	return name, text
}
