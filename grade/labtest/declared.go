package labtest

import (
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/hashicorp/hcl/v2"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// tolerance is how far a score may be from what a sample declares: declarations are decimals, scores may be thirds.
const tolerance = 0.005

// differences says what of a sample's report is not as the sample declares. The total alone may be right for the wrong
// reason, so the objectives that are missed and the mistake can be declared, too.
func differences(s *labs.Sample, got *SampleResult) []Difference {
	list := []Difference{}
	add := func(attr, format string, args ...any) {
		list = append(list, differenceAt(s.Written(attr), format, args...))
	}
	if got.Report.Status == grade.Errored {
		add("", "%s", failedCheck(got.Report))
	}
	if s.Score != nil && !asDeclared(*s.Score, got.Got, got.Report.ExactPercent()) {
		add("score", "scores %s%%, but declares %s%%%s", decimal(got.Got), decimal(*s.Score), missing(s, got, got.Got < *s.Score))
	}
	if s.Points != nil && math.Abs(*s.Points-got.Points) > tolerance {
		add("points", "scores %s points, but declares %s%s", decimal(got.Points), decimal(*s.Points),
			missing(s, got, got.Points < *s.Points))
	}
	if s.Missed != nil {
		for _, message := range otherMissed(s.Missed, got) {
			add("missed", "%s", message)
		}
	}
	if s.Mistake == "" || slices.Equal(got.Mistakes, []string{s.Mistake}) {
		return list
	}
	named := "no mistake"
	if len(got.Mistakes) > 0 {
		named = wording.And(got.Mistakes)
	}
	add("mistake", "the report names %s, but the sample declares %s", named, s.Mistake)
	return list
}

// starterDifferences says what keeps a lab's starter from being one: it passes, or cannot be graded.
func starterDifferences(lab *labs.Lab, got *grade.Report) []Difference {
	switch got.Status {
	case grade.Failed:
		return []Difference{}
	case grade.Errored:
		return []Difference{differenceAt(lab.StarterRange, "%s", failedCheck(got))}
	}
	return []Difference{differenceAt(lab.StarterRange, "scores %s%%, but must stay below the pass mark of %s%%",
		decimal(got.Score.Percent), decimal(lab.PassMark))}
}

func differenceAt(at hcl.Range, format string, args ...any) Difference {
	return Difference{Message: fmt.Sprintf(format, args...), File: at.Filename, Line: at.Start.Line}
}

// missing names the objectives that a sample with a lower score than it declares misses, if it does not declare them.
func missing(s *labs.Sample, got *SampleResult, lower bool) string {
	if !lower || s.Missed != nil || len(got.Missed) == 0 {
		return ""
	}
	return "; it misses " + wording.And(got.Missed)
}

// otherMissed compares the objectives that are missed with those that a sample declares. A declared one may also be blocked:
// it is not met, and would not be missed by itself alone.
func otherMissed(declared []string, got *SampleResult) []string {
	var extra, lacking []string
	for _, name := range got.Missed {
		if !slices.Contains(declared, name) {
			extra = append(extra, name)
		}
	}
	met := make(map[string]bool)
	for _, t := range got.Report.Tasks {
		for _, o := range t.Objectives {
			met[t.Name+"/"+o.Name] = o.Status == grade.Met
		}
	}
	for _, name := range declared {
		if met[name] {
			lacking = append(lacking, name)
		}
	}
	var list []string
	if len(extra) > 0 {
		list = append(list, "misses "+wording.And(extra)+", which it does not declare")
	}
	if len(lacking) > 0 {
		list = append(list, "meets "+wording.And(lacking)+", which it declares to be missed")
	}
	return list
}

// failedCheck names the first check that could not be carried out.
func failedCheck(r *grade.Report) string {
	for _, t := range r.Tasks {
		for _, o := range t.Objectives {
			for _, c := range o.Checks {
				if c.Error != "" {
					return fmt.Sprintf("%s/%s could not be checked: %s", t.Name, o.Name, c.Error)
				}
			}
		}
	}
	return "some check could not be carried out"
}

// asDeclared compares what a sample declares with its percent, which counts as it is shown (cut off: 80.55) and as it is
// (80.555…, which an author may round to 80.56).
func asDeclared(declared, shown, exact float64) bool {
	return math.Abs(shown-declared) < 1e-9 || math.Abs(exact-declared) <= tolerance
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
