package cluster

import (
	"errors"
	"strings"
	"testing"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/provision"
)

// A pool asks once, for all of its labs.
func TestPoolAgreement(t *testing.T) {
	t.Parallel()
	var asked []string
	no := errors.New("no")
	spend := once(3, func(what string, c provision.Cost) error { asked = append(asked, what+": "+c.String()); return no })
	for _, name := range []string{"shop-pool-1", "shop-pool-2"} {
		if err := spend(name, provision.Cost{Known: true, Hourly: 0.5, Source: "a list"}); !errors.Is(err, no) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if want := "shop-pool-1 and 2 more like it: about 1.50 USD an hour (a list)"; len(asked) != 1 || asked[0] != want {
		t.Errorf("asked %q, want %q", asked, want)
	}
}

// Money is spent only after somebody has said so.
func TestAgreement(t *testing.T) {
	t.Parallel()
	cost := provision.Cost{Known: true, Hourly: 0.17, Source: "a list of January"}
	for _, tc := range []struct {
		name          string
		yes, terminal bool
		answer        string
		refused       string // the error; empty: agreed
		shown         string
	}{
		{"yes", false, true, "yes\n", "", "about 0.17 USD an hour (a list of January)"},
		{"no", false, true, "no\n", "did not agree", "Type yes"},
		{"only y", false, true, "y\n", "did not agree", ""},
		{"nothing", false, true, "", "did not agree", ""},
		{"in advance", true, false, "", "", "0.17 USD"},
		{"nobody to ask", false, false, "yes\n", "about 0.17 USD an hour (a list of January)); agree", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var out, errs strings.Builder
			app := &cli.App{In: strings.NewReader(tc.answer), Out: &out, Err: &errs}
			err := agreement(app, tc.yes, tc.terminal)("gke cluster labctl-shop", cost)
			var usage *provision.UsageError
			if (err == nil) != (tc.refused == "") || err != nil && (!errors.As(err, &usage) || !strings.Contains(err.Error(), tc.refused)) {
				t.Errorf("got %v, want %q", err, tc.refused)
			}
			if out.Len() > 0 || !strings.Contains(errs.String(), tc.shown) {
				t.Errorf("printed %q and %q", out.String(), errs.String())
			}
		})
	}
	err := withFlag(agreement(&cli.App{}, false, false)("gke cluster labctl-shop", provision.Cost{Source: "the price list"}))
	if err == nil || !strings.Contains(err.Error(), "not known here: see the price list") || !strings.HasSuffix(err.Error(), "agree with --yes") {
		t.Errorf("without a price: %v", err)
	}
}
