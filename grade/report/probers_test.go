package report

import (
	"testing"

	"github.com/labctl/labctl/grade/engine"
)

func TestProbers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		list []engine.ProberReport
		want string
	}{
		{"nothing was probed", nil, ""},
		{"as it should be", []engine.ProberReport{{From: "a", Prober: engine.OwnImage, Probes: 2}, {From: "b", Prober: engine.OwnImage, Probes: 3}},
			"5 connections were probed from a, b with the tools of their own images"},
		{"every rung", []engine.ProberReport{
			{From: "a", Prober: engine.EphemeralContainer, Probes: 1, Retries: 1}, {From: "b", Prober: engine.HelperPod, Probes: 1, Retries: 2},
			{From: "c", Prober: engine.OwnImage, Probes: 1}, {From: "node worker", Prober: engine.NodeHelper, Probes: 1},
		}, "4 connections were probed from c with the tools of their own images; from a by an ephemeral container; from b by a helper pod; " +
			"from node worker by a pod in its network; repeated to be certain: 3"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := probers(tc.list); got != tc.want {
				t.Errorf("got  %q\nwant %q", got, tc.want)
			}
		})
	}
}
