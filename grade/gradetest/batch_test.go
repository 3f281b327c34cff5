package gradetest_test

import (
	"fmt"
	"maps"
	"testing"

	"github.com/labctl/labctl/grade/gradetest"
)

// failures notes what a test complains of.
type failures struct {
	testing.TB
	n int
}

func (f *failures) Helper()               {}
func (f *failures) Errorf(string, ...any) { f.n++ }

func TestSame(t *testing.T) {
	t.Parallel()
	files := map[string]string{}
	for i := range 10 {
		files[fmt.Sprint(i)] = "text"
	}
	for name, c := range map[string]struct {
		change   func(map[string]string)
		complain bool
	}{
		"equal":        {func(map[string]string) {}, false},
		"one differs":  {func(m map[string]string) { m["3"] = "tex" }, true},
		"one is gone":  {func(m map[string]string) { delete(m, "3") }, true},
		"one is empty": {func(m map[string]string) { m["3"] = "" }, true},
		"one more":     {func(m map[string]string) { m["more"] = "" }, true},
	} {
		got := maps.Clone(files)
		c.change(got)
		var f failures
		gradetest.Same(&f, got, files)
		if (f.n > 0) != c.complain {
			t.Errorf("%s: %d complaints", name, f.n)
		}
	}
	var f failures
	if gradetest.Same(&f, nil, nil); f.n == 0 {
		t.Error("nothing is the same as nothing, and that shows nothing")
	}
}
