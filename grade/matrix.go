package grade

import (
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// CheckMatrix is one cell of a matrix block.
const CheckMatrix CheckKind = "matrix"

func planMatrix(p *taskPlan, m *labs.Matrix) []plannedCheck {
	var checks []plannedCheck
	for _, cell := range matrixCells(m) {
		checks = append(checks, p.connection(cell, ""))
	}
	return checks
}

// matrixCells returns the cells of a truth table. An app's connection to itself is a cell only where the
// table allows it: a pod always reaches itself, whatever policies say.
func matrixCells(m *labs.Matrix) []engine.Probe {
	allowed := make(map[string]bool, len(m.Allow))
	for _, p := range m.Allow {
		allowed[engine.ProbeKey(engine.Probe{From: p.From, To: p.To})] = true
	}
	var cells []engine.Probe
	for _, from := range m.From {
		for _, to := range m.To {
			p := engine.Probe{From: from, To: to}
			switch {
			case allowed[engine.ProbeKey(p)]:
				p.Want = verdict.Allowed
			case from.App != "" && from.App == to.App:
				continue
			default:
				p.Want = m.Otherwise
			}
			cells = append(cells, p)
		}
	}
	return cells
}
