package class

import (
	"strings"
	"testing"

	"github.com/labctl/labctl/grade/batch"
)

func TestSummaryCommandsNoTerminal(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	err := writeSummary(&out, &batch.Summary{Errors: 1, Failures: []batch.Failure{{ID: "a\x1b]0;b\x07", Message: "the student ID holds\x9b a control character\n"}}}, "graded")
	if err != nil {
		t.Fatal(err)
	}
	if want := "  error: a\uFFFD]0;b\uFFFD: the student ID holds\uFFFD a control character\uFFFD\n"; !strings.Contains(out.String(), want) {
		t.Errorf("got %q, want %q in it", out.String(), want)
	}
}
