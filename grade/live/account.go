package live

import (
	"cmp"
	"slices"

	"github.com/labctl/labctl/grade"
)

// account notes what was sent from a source. It is safe for concurrent use.
func (e *Engine) account(from source, probes, retries int) {
	rung := e.ladder.rungOf(from)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.stats.Retries += retries
	i := slices.IndexFunc(e.probers, func(p grade.ProberReport) bool { return p.From == from.name && p.Prober == rung })
	if i < 0 {
		i = len(e.probers)
		e.probers = append(e.probers, grade.ProberReport{From: from.name, Prober: rung})
	}
	e.probers[i].Probes += probes
	e.probers[i].Retries += retries
}

// Probers says what probes were sent with since it was last asked, by the names of their sources.
func (e *Engine) Probers() []grade.ProberReport {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := e.probers
	e.probers = nil
	slices.SortFunc(all, func(a, b grade.ProberReport) int {
		return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.Prober, b.Prober))
	})
	return all
}
