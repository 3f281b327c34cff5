package gradetest

import (
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
)

// Config grades a class of a lab without a cluster, into a directory of the test's.
func Config(tb testing.TB, lab string) batch.Config {
	tb.Helper()
	cfg, err := NewConfig(lab, filepath.Join(tb.TempDir(), "out"))
	if err != nil {
		tb.Fatal(err)
	}
	return cfg
}

// NewConfig is Config for a process that a test starts.
func NewConfig(lab, out string) (batch.Config, error) {
	l, err := open(lab)
	if err != nil {
		return batch.Config{}, err
	}
	return batch.Config{Grader: l.Grader, Engine: l.Engine, Out: out, Tool: "test"}, nil
}

// Run grades the class in a directory or list.
func Run(tb testing.TB, cfg batch.Config, class string) *batch.Summary {
	tb.Helper()
	found, err := intake.Find(class)
	if err != nil {
		tb.Fatal(err)
	}
	defer found.Close()
	sum, err := batch.Run(tb.Context(), cfg, found.Entries)
	if err != nil {
		tb.Fatal(err)
	}
	return sum
}

// Results are the results of a run in an output directory, in their order.
func Results(tb testing.TB, out string) []batch.Result {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(out, batch.ResultsFile))
	if err != nil {
		tb.Fatal(err)
	}
	var list []batch.Result
	for line := range strings.Lines(string(data)) {
		var r batch.Result
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			tb.Fatal(err)
		}
		list = append(list, r)
	}
	return list
}

// Files are the files of a directory by their paths, but the journal, whose order is that of the work, its lock, and the page
// that says how long the work took.
func Files(tb testing.TB, dir string) map[string]string {
	tb.Helper()
	files, err := read(os.DirFS(dir))
	if err != nil {
		tb.Fatal(err)
	}
	for name := range files {
		if base := path.Base(name); slices.Contains([]string{"journal.jsonl", "lock", "slowest.html"}, base) {
			delete(files, name)
		}
	}
	return files
}

func read(tree fs.FS) (map[string]string, error) {
	files := map[string]string{}
	err := fs.WalkDir(tree, ".", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		data, err := fs.ReadFile(tree, name)
		files[name] = string(data)
		return err
	})
	return files, err
}

// Same holds the files of a graded class, or of a class, against those that must come out. A handful would show nothing.
func Same(tb testing.TB, got, want map[string]string) {
	tb.Helper()
	for name, data := range want {
		switch other, ok := got[name]; {
		case !ok:
			tb.Errorf("%s is missing", name)
		case other != data:
			tb.Errorf("%s differs:\n%s\nwant\n%s", name, excerpt(other, data), excerpt(data, other))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			tb.Errorf("%s is one too many", name)
		}
	}
	if len(want) < 10 {
		tb.Errorf("only %d files were compared", len(want))
	}
}

// excerpt is where a text differs from another.
func excerpt(text, other string) string {
	const around = 200 // bytes
	at := 0
	for at < min(len(text), len(other)) && text[at] == other[at] {
		at++
	}
	return text[max(0, at-around):min(len(text), at+around)]
}
