package grade

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/labctl/labctl/labs"
)

// Disagreement is a connection on which two engines came to different verdicts. One of them is wrong, or the
// cluster is not what the lab says; the student is not to blame.
type Disagreement struct {
	Task     string       `json:"task"`
	From     string       `json:"from"`
	To       string       `json:"to"`
	Expected labs.Verdict `json:"expected,omitempty"`
	Verdicts []Opinion    `json:"verdicts"` // one an engine
}

// Opinion is one engine's verdict and how it came about.
type Opinion struct {
	Engine  string       `json:"engine"`
	Verdict labs.Verdict `json:"verdict"`
	Why     *Why         `json:"why"`
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

// Both is an engine that asks two: the first one's verdicts count, and where the second one's differ, the
// report says so.
func Both(first, second Engine) Engine { return &both{first: first, second: second} }

type both struct {
	first, second Engine
	differ        []Disagreement
}

func (b *both) Name() string { return "both" }

// Probers are those of the first engine.
func (b *both) Probers() []ProberReport { return ProbersOf(b.first) }

// At puts the state in force in both.
func (b *both) At(ctx context.Context, state *State) (Prober, error) {
	second, err := b.second.At(ctx, state)
	if err != nil {
		return nil, err
	}
	first, err := b.first.At(ctx, state)
	if err != nil {
		return nil, err
	}
	return &bothProbers{both: b, task: state.Task, first: first, second: second}, nil
}

type bothProbers struct {
	both          *both
	task          string
	first, second Prober
}

func (p *bothProbers) Probe(ctx context.Context, probes []Probe) ([]Outcome, error) {
	found, err := p.first.Probe(ctx, probes)
	if err != nil {
		return nil, err
	}
	other, err := p.second.Probe(ctx, probes)
	if err != nil {
		return nil, err
	}
	var differ []int
	for i := range found {
		// A probe that could not be run has no opinion; the report shows it as an error.
		if found[i].Verdict != other[i].Verdict && found[i].Verdict != labs.ProbeError {
			differ = append(differ, i)
		}
	}
	for _, i := range differ {
		p.differ(ctx, &found[i], &other[i])
	}
	return found, nil
}

// differ notes a disagreement with both accounts.
func (p *bothProbers) differ(ctx context.Context, found, other *Outcome) {
	if e, ok := p.second.(Explainer); ok {
		if explained, err := e.Explain(ctx, []Probe{other.Probe}); err == nil {
			other = &explained[0]
		}
	}
	p.both.differ = append(p.both.differ, Disagreement{
		Task: p.task, From: found.Probe.From.String(), To: TargetName(found.Probe.To), Expected: found.Probe.Want,
		Verdicts: []Opinion{
			{Engine: p.both.first.Name(), Verdict: found.Verdict, Why: why(found)},
			{Engine: p.both.second.Name(), Verdict: other.Verdict, Why: why(other)},
		},
	})
}

// Prove asks the first engine, which has the rule model prove what cannot be probed.
func (p *bothProbers) Prove(ctx context.Context, inv labs.Invariant) (*Outcome, error) {
	broken, err := p.first.Prove(ctx, inv)
	if err != nil || broken == nil || broken.Verdict == labs.ProbeError {
		return broken, err
	}
	modelled, err := p.second.Prove(ctx, inv)
	if err == nil && modelled == nil {
		p.both.differ = append(p.both.differ, Disagreement{
			Task: p.task, From: broken.Probe.From.String(), To: TargetName(broken.Probe.To), Expected: labs.Denied,
			Verdicts: []Opinion{
				{Engine: p.both.first.Name(), Verdict: broken.Verdict, Why: why(broken)},
				{Engine: p.both.second.Name(), Verdict: labs.Denied, Why: &Why{Text: []string{"No connection that the invariant " + inv.Name + " forbids gets through."}}},
			},
		})
	}
	return broken, err
}

// byTask sorts disagreements into the lab's order of tasks, and keeps each once.
func byTask(list []Disagreement, index map[string]int) []Disagreement {
	slices.SortStableFunc(list, func(a, b Disagreement) int { return index[a.Task] - index[b.Task] })
	seen := map[string]bool{}
	out := []Disagreement{}
	for _, d := range list {
		key := fmt.Sprint(d.Task, "|", d.From, "|", d.To, "|", d.Verdicts[0].Verdict, "|", d.Verdicts[1].Verdict)
		if !seen[key] {
			seen[key] = true
			out = append(out, d)
		}
	}
	return out
}
