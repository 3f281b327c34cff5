package grade

// SetMistakeWork is for tests.
func (g *Grader) SetMistakeWork(steps int64) { g.mistakes.Work = steps }
