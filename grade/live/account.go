package live

import "github.com/labctl/labctl/grade/engine"

// sent notes what was sent from a source. It is safe for concurrent use.
func (p *prober) sent(from source, probes, retries int) {
	e := p.engine
	e.mu.Lock()
	e.stats.Retries += retries
	e.mu.Unlock()
	report := engine.ProberReport{From: from.name, Prober: e.methods.methodOf(from), Probes: probes, Retries: retries}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.with = engine.MergeProbers(p.with, []engine.ProberReport{report})
}

// Notes say what probes were sent with at this checkpoint, by the names of their sources.
func (p *prober) Notes() engine.Notes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return engine.Notes{Probers: p.with}
}
