package cluster

import (
	"errors"
	"fmt"
	"testing"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

// TestInfraWordsFlags: an error that an option avoids gets the name of its flag.
func TestInfraWordsFlags(t *testing.T) {
	t.Parallel()
	name := provision.NameError("the name %q is taken; use another name", "shop")
	adopt := &provision.OptionError{Option: provision.OptionAdopt, Err: errors.New("it is there; allow changes to it")}
	for _, tc := range []struct {
		err   error
		want  string
		infra bool
	}{
		{name, `the name "shop" is taken; use another name with --instance`, true},
		{&provision.UsageError{Err: name}, `the name "shop" is taken; use another name with --instance`, false},
		{fmt.Errorf("apps: %w", adopt), "apps: it is there; allow changes to it with --adopt", true},
		{errors.New("gone"), "gone", true},
	} {
		err := infra(t.Context(), tc.err)
		if err.Error() != tc.want || cli.IsInfra(err) != tc.infra {
			t.Errorf("%v (infra: %v), want %s", err, cli.IsInfra(err), tc.want)
		}
	}
	if err := infra(t.Context(), nil); err != nil {
		t.Error(err)
	}
}
