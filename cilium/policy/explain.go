package policy

// Explain is Judge with the near misses of every default deny.
func (e *Engine) Explain(p Probe) (Result, error) {
	return e.judge(p, true)
}

func (e *Engine) explain(side *Side, s subject, ingress bool, other *end, f *flow, at *point) {
}
