package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade/engine"
)

// TestLiveErrorOffersOffline: if others are in the way of live grading, offline grading is offered, once.
func TestLiveErrorOffersOffline(t *testing.T) {
	t.Parallel()
	conflict := &engine.ConflictError{Err: errors.New("policy p is in the way; delete it")}
	for _, tc := range []struct {
		err  error
		want string
	}{
		{conflict, "policy p is in the way; delete it, or grade with --offline"},
		{fmt.Errorf("canary: %w", conflict), "canary: policy p is in the way; delete it, or grade with --offline"},
		{errors.New("gone"), "gone"},
	} {
		err := LiveError(t.Context(), LiveError(t.Context(), tc.err))
		if err.Error() != tc.want || !IsInfra(err) {
			t.Errorf("%v (infra: %v), want %s", err, IsInfra(err), tc.want)
		}
	}
}

// TestUnsetVariable: a variable without a value is reported with the flags that set it.
func TestUnsetVariable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	text := "lab \"x\" {}\nvariable \"project\" { type = string }\n"
	if err := os.WriteFile(filepath.Join(dir, "lab.hcl"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	_, diags, err := (&LabFlags{}).Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	const want = "no value was given. Set it: --var project=VALUE, or --var-file FILE with a line project = VALUE."
	var out strings.Builder
	if err := diags.WriteText(&out, 200, false); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), want) {
		t.Errorf("%s\ndoes not contain %q", out.String(), want)
	}
}
