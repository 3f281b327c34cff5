package grade

import (
	"math/big"
	"slices"
	"strings"

	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// scored is the outcome of one objective before it is decided what of it is shown.
type scored struct {
	status    ObjectiveStatus
	points    *big.Rat // shared: not to be changed
	rounded   float64  // the same, as it is shown
	blockedBy []string // "task/objective" or "task"
}

// scorer works out every objective's status, those that others depend on first.
type scorer struct {
	g        *Grader
	outcomes []*taskResult
	done     map[[2]int]*scored
	zero     big.Rat
}

// objective scores an objective; the indices are those of the lab.
func (s *scorer) objective(task, objective int) *scored {
	key := [2]int{task, objective}
	if r := s.done[key]; r != nil {
		return r
	}
	// Entered before its dependencies are looked at: a cycle, which the lab language refuses, ends here.
	r := &scored{status: Blocked, points: &s.zero}
	s.done[key] = r

	op := &s.g.plans[task].objectives[objective]
	met, failed := 0, false
	for _, c := range s.outcomes[task].checks[objective] {
		switch {
		case c.Error != "":
			failed = true
		case c.Passed:
			met++
		}
	}
	r.blockedBy = s.blockers(task, op.Objective)
	switch total := len(op.checks); {
	case failed:
		r.status = Error
	case len(r.blockedBy) > 0:
		r.status = Blocked
	case total > 0 && met == total:
		r.status, r.points, r.rounded = Met, op.points, op.rounded
	case met > 0 && op.Partial == labs.PartialProportional:
		r.status = Partly
		r.points = new(big.Rat).Mul(op.points, big.NewRat(int64(met), int64(total)))
		r.rounded = rounded(r.points)
	default:
		r.status = Missed
	}
	return r
}

// blockers names what an objective depends on and is not met.
func (s *scorer) blockers(task int, o *labs.Objective) []string {
	var by []string
	for _, dep := range s.g.lab.Tasks[task].DependsOn {
		if i, err := s.g.Rules.Task(dep); err == nil && !s.taskMet(i) {
			by = append(by, dep)
		}
	}
	for _, dep := range o.DependsOn {
		in, name := task, dep
		if t, n, other := strings.Cut(dep, "/"); other {
			i, err := s.g.Rules.Task(t)
			if err != nil {
				continue
			}
			in, name = i, n
		}
		j := slices.IndexFunc(s.g.lab.Tasks[in].Objectives, func(x labs.Objective) bool { return x.Name == name })
		if j >= 0 && s.objective(in, j).status != Met {
			by = append(by, s.g.lab.Tasks[in].Name+"/"+name)
		}
	}
	return by
}

// taskMet reports whether every objective of a task is met, bonus ones aside.
func (s *scorer) taskMet(task int) bool {
	for j := range s.g.lab.Tasks[task].Objectives {
		if !s.g.lab.Tasks[task].Objectives[j].Bonus && s.objective(task, j).status != Met {
			return false
		}
	}
	return true
}

// report puts the outcomes together.
func (g *Grader) report(sub *submission.Submission, engine string, outcomes []*taskResult, selected []bool, hints map[int][]HintTaken, opts Options) *Report {
	r := &Report{
		FormatVersion: FormatVersion,
		Lab:           LabReport{Name: g.lab.Name, Title: g.lab.Title, Digest: g.lab.Digest},
		Engine:        engine,
		Status:        Failed,
		Selected:      []string{},
		Submission: SubmissionReport{
			Layout: sub.Layout, Digest: sub.Digest, Files: append([]string{}, sub.Files...), NotRead: sub.NotRead, MoreNotRead: sub.MoreNotRead,
		},
		Tasks:    []TaskReport{},
		Findings: []Finding{},
		lab:      g.lab,
		running:  sub.Running(),
	}
	s := scorer{g: g, outcomes: outcomes, done: make(map[[2]int]*scored)}
	points, most := new(big.Rat), new(big.Rat)
	failed, missed := false, false
	var findings []Finding
	for i := range g.lab.Tasks {
		if !selected[i] {
			continue
		}
		t := &g.lab.Tasks[i]
		if len(opts.Tasks) > 0 {
			r.Selected = append(r.Selected, t.Name)
		}
		tr := TaskReport{
			Name: t.Name, Title: t.Title, Attempted: sub.Attempted(i),
			Hints: append([]HintTaken{}, hints[i]...), Objectives: make([]ObjectiveReport, len(t.Objectives)),
		}
		taskPoints, cost := new(big.Rat), new(big.Rat)
		for _, f := range sub.Findings() {
			if f.Task == t.Name {
				findings = append(findings, f)
			}
		}
		for j := range t.Objectives {
			o, got := &t.Objectives[j], s.objective(i, j)
			taskPoints.Add(taskPoints, got.points)
			if !o.Bonus {
				missed = missed || got.status != Met
			}
			failed = failed || got.status == Error
			tr.Objectives[j] = g.objectiveReport(i, j, got, outcomes[i].checks[j], opts)
			if tr.Objectives[j].Status != Hidden {
				findings = append(findings, outcomes[i].findings[j]...)
			}
		}
		if sub.Layout == labs.LayoutCheckpoints {
			tr.EmptyFiles = emptyFiles(&tr, sub.Steps[i].Empty)
		}
		some, priced := hintsLeft(t, hints[i])
		tr.HintsLeft = some
		if priced {
			tr.HintsWithheld = withholdHints(&tr, findings)
		}
		for _, h := range hints[i] {
			cost.Add(cost, exact(h.Cost))
		}
		if taskPoints.Sub(taskPoints, cost); taskPoints.Sign() < 0 {
			taskPoints.SetInt64(0)
		}
		tr.Score = TaskScore{Points: rounded(taskPoints), Max: g.plans[i].rounded, HintCost: rounded(cost)}
		points.Add(points, taskPoints)
		most.Add(most, g.plans[i].exact)
		r.Tasks = append(r.Tasks, tr)
	}
	if sub.Layout == labs.LayoutFlat {
		findings = append(slices.Clone(sub.Findings()), findings...)
	}
	r.Findings = distinct(findings)
	r.bound()

	percent := percentage(points, most, missed)
	r.Score = Score{
		Points: rounded(points), Max: rounded(most), Percent: floor(percent), PassMark: g.lab.PassMark,
		Passed: !failed && percent.Cmp(exact(g.lab.PassMark)) >= 0,
	}
	r.percent, _ = percent.Float64()
	switch {
	case failed:
		r.Status = Errored
	case r.Score.Passed:
		r.Status = Passed
	}
	return r
}

// MaxPoints is what the selected tasks are worth, bonus objectives aside; all tasks if the options name none.
func (g *Grader) MaxPoints(opts Options) float64 { return MaxPoints(g.lab, opts.Tasks) }

// MaxPoints is what the named tasks of a lab are worth, bonus objectives aside; all of them if none is named. It is what every
// report, format and platform receives.
func MaxPoints(lab *labs.Lab, tasks []string) float64 {
	most := new(big.Rat)
	for i := range lab.Tasks {
		if len(tasks) > 0 && !slices.Contains(tasks, lab.Tasks[i].Name) {
			continue
		}
		for _, o := range lab.Tasks[i].Objectives {
			if !o.Bonus {
				most.Add(most, exact(o.Points))
			}
		}
	}
	return rounded(most)
}

// objectiveReport tells of an objective what the options and its visibility let.
func (g *Grader) objectiveReport(task, objective int, got *scored, checks []Check, opts Options) ObjectiveReport {
	o := &g.lab.Tasks[task].Objectives[objective]
	r := ObjectiveReport{Name: o.Name, Max: o.Points, Bonus: o.Bonus, BlockedBy: []string{}, Checks: []Check{}}
	if hides(g.visibility(task, objective), opts) {
		r.Status = Hidden
		return r
	}
	r.Title, r.Points, r.Status = o.Title, &got.rounded, got.status
	if got.status == Blocked {
		for _, by := range got.blockedBy {
			if !g.hidden(by, opts) {
				r.BlockedBy = append(r.BlockedBy, by)
			}
		}
	}
	if len(checks) > 0 {
		r.Checks = slices.Clip(checks)
	}
	return r
}

// visibility of an objective; what it does not say itself is its task's.
func (g *Grader) visibility(task, objective int) labs.Visibility {
	t := &g.lab.Tasks[task]
	if v := t.Objectives[objective].Visibility; v != "" {
		return v
	}
	return t.Visibility
}

// hidden reports whether the objective called "task/objective" is not shown.
func (g *Grader) hidden(name string, opts Options) bool {
	task, objective, one := strings.Cut(name, "/")
	i, err := g.Rules.Task(task)
	if !one || err != nil {
		return false
	}
	j := slices.IndexFunc(g.lab.Tasks[i].Objectives, func(o labs.Objective) bool { return o.Name == objective })
	return j >= 0 && hides(g.visibility(i, j), opts)
}

func hides(v labs.Visibility, opts Options) bool {
	switch v {
	case labs.Hidden:
		return !opts.Reveal
	case labs.AfterDue:
		return !opts.AfterDue && !opts.Reveal
	}
	return false
}

// distinct keeps the first of findings that say the same of the same place.
func distinct(findings []Finding) []Finding {
	type place struct {
		id, file, policy, message string
		line                      int
	}
	seen := make(map[place]bool, len(findings))
	out := make([]Finding, 0, len(findings))
	for _, f := range findings {
		p := place{id: f.ID, file: f.File, line: f.Line, policy: f.Policy}
		if f.File == "" {
			p.message = f.Message
		}
		if !seen[p] {
			seen[p] = true
			out = append(out, f)
		}
	}
	return out
}

// percentage is the share of the most, at most 100. Where there is nothing to earn, all of it is earned
// unless something is missed.
func percentage(points, most *big.Rat, missed bool) *big.Rat {
	hundred := big.NewRat(100, 1)
	if most.Sign() == 0 {
		if missed {
			return new(big.Rat)
		}
		return hundred
	}
	p := new(big.Rat).Quo(points, most)
	if p.Mul(p, hundred).Cmp(hundred) > 0 {
		return hundred
	}
	return p
}

// floor rounds down to two decimals.
func floor(r *big.Rat) float64 {
	scaled := new(big.Rat).Mul(r, big.NewRat(100, 1))
	whole := new(big.Int).Quo(scaled.Num(), scaled.Denom())
	f, _ := new(big.Rat).SetFrac(whole, big.NewInt(100)).Float64()
	return f
}

// rounded rounds points to four decimals.
func rounded(r *big.Rat) float64 {
	if r.IsInt() && r.Num().IsInt64() {
		return float64(r.Num().Int64())
	}
	f, _ := new(big.Rat).SetFrac(roundInt(new(big.Rat).Mul(r, big.NewRat(10000, 1))), big.NewInt(10000)).Float64()
	return f
}

// roundInt rounds a number that is not negative half up.
func roundInt(r *big.Rat) *big.Int {
	twice := new(big.Int).Add(new(big.Int).Lsh(r.Num(), 1), r.Denom())
	return twice.Quo(twice, new(big.Int).Lsh(r.Denom(), 1))
}
