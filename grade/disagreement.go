package grade

import (
	"fmt"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
)

// Disagreement is a connection on which two engines came to different verdicts. One of them is wrong, or the
// cluster is not what the lab says; the student is not to blame.
type Disagreement struct {
	Task     string          `json:"task"`
	From     string          `json:"from"`
	To       string          `json:"to"`
	Expected verdict.Verdict `json:"expected,omitempty"`
	Verdicts []Opinion       `json:"verdicts"` // one an engine
}

// Opinion is one engine's verdict and how it came about.
type Opinion struct {
	Engine  string          `json:"engine"`
	Verdict verdict.Verdict `json:"verdict"`
	Why     *Why            `json:"why"`
}

func (d Disagreement) String() string {
	parts := make([]string, len(d.Verdicts))
	for i, o := range d.Verdicts {
		parts[i] = fmt.Sprintf("%s says %s", o.Engine, o.Verdict)
		if len(o.Why.Text) > 0 {
			parts[i] += " (" + strings.Join(o.Why.Text, " ") + ")"
		}
	}
	return fmt.Sprintf("%s: %s → %s: %s", d.Task, d.From, d.To, strings.Join(parts, "; "))
}

// disagreements puts those of two engines into the lab's order of tasks, each once, and accounts for both sides.
func (g *Grader) disagreements(found []engine.Disagreement) []Disagreement {
	found = slices.Clone(found)
	place := func(d engine.Disagreement) int { return g.lab.TaskIndex(d.Task) }
	slices.SortStableFunc(found, func(a, b engine.Disagreement) int { return place(a) - place(b) })
	seen := map[string]bool{}
	all := []Disagreement{}
	for _, f := range found {
		d := Disagreement{Task: f.Task, From: f.Probe.From.String(), To: engine.TargetName(f.Probe.To), Expected: f.Probe.Want}
		for _, o := range f.Opinions {
			d.Verdicts = append(d.Verdicts, opinion(o))
		}
		key := fmt.Sprint(d.Task, "|", d.From, "|", d.To, "|", d.Verdicts[0].Verdict, "|", d.Verdicts[1].Verdict)
		if !seen[key] {
			seen[key] = true
			all = append(all, d)
		}
	}
	return all
}

func opinion(o engine.Opinion) Opinion {
	if o.Observation == nil {
		text := "No connection that the invariant " + o.Invariant + " forbids gets through."
		return Opinion{Engine: o.Engine, Verdict: verdict.Denied, Why: &Why{Text: []string{text}}}
	}
	return Opinion{Engine: o.Engine, Verdict: o.Observation.Verdict, Why: why(o.Observation)}
}
