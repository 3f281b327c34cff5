package report

import (
	"fmt"
	"strings"

	"github.com/labctl/labctl/grade/engine"
)

// probers says in a line what was probed with; empty: nothing was.
func probers(list []engine.ProberReport) string {
	if len(list) == 0 {
		return ""
	}
	probes, retries := 0, 0
	by := map[engine.ProbeMethod][]string{}
	for _, p := range list {
		probes += p.Probes
		retries += p.Retries
		by[p.Prober] = append(by[p.Prober], p.From)
	}
	var parts []string
	for _, rung := range []struct {
		rung  engine.ProbeMethod
		words string
	}{
		{engine.OwnImage, "with the tools of their own images"},
		{engine.EphemeralContainer, "by an ephemeral container"},
		{engine.HelperPod, "by a helper pod"},
		{engine.NodeHelper, "by a pod in its network"},
	} {
		if from := by[rung.rung]; len(from) > 0 {
			parts = append(parts, "from "+strings.Join(from, ", ")+" "+rung.words)
		}
	}
	text := fmt.Sprintf("%d connections were probed %s", probes, strings.Join(parts, "; "))
	if retries > 0 {
		return fmt.Sprintf("%s; repeated to be certain: %d", text, retries)
	}
	return text
}
