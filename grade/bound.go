package grade

import (
	"fmt"
	"slices"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/internal/wording"
)

// Bounds of what a report says, in bytes of its JSON, roughly. A report of dozens of checks that miss has some tens of thousands; what a student
// writes may make each account as long as they like.
const (
	fullDetail  = 24 << 10 // of Why.Detail with all that it lists
	briefDetail = 34 << 10 // of Why.Detail, from where it lists one of each; beyond there is none
	fullText    = 20 << 10 // of Why.Text; beyond each account is cut
	fullNames   = 8 << 10  // of names of files
	fullRemarks = 16 << 10 // of findings; beyond their messages are cut
	cutText     = 240      // of an account that is cut

	mostFindings   = 100
	mostProblems   = 100      // of a refusal
	fullProblems   = 12 << 10 // of all of them
	longestMessage = 1000     // of a message; what a student wrote may be quoted in it
	longestName    = 300      // of a file, object or field
)

// bound shortens a report that is longer than anybody reads, in the order of its checks: the first ones are kept in full.
func (r *Report) bound() {
	var detail, text int
	for i := range r.Tasks {
		for j := range r.Tasks[i].Objectives {
			o := &r.Tasks[i].Objectives[j]
			own := false // the checks may be those of other reports, too
			for k := range o.Checks {
				if c := &o.Checks[k]; len(c.Error) > longestMessage {
					if !own {
						o.Checks, own = slices.Clone(o.Checks), true
					}
					o.Checks[k].Error = wording.Shorten(o.Checks[k].Error, longestMessage)
				}
				why := o.Checks[k].Why
				if why == nil {
					continue
				}
				shorter := *why
				shorter.Detail = boundDetail(why.Detail, &detail)
				shorter.Text = boundText(why.Text, &text)
				if shorter.Detail == why.Detail && len(shorter.Text) == len(why.Text) && (len(why.Text) == 0 || &shorter.Text[0] == &why.Text[0]) {
					continue
				}
				if !own {
					o.Checks, own = slices.Clone(o.Checks), true
				}
				o.Checks[k].Why = &shorter
			}
		}
	}
	r.boundFindings()
	if len(r.Tampering) > 0 {
		r.Tampering = BoundProblems(r.Tampering)
	}
	r.Submission.Files, r.Submission.MoreFiles = boundNames(r.Submission.Files)
}

func boundDetail(d *policy.Result, total *int) *policy.Result {
	if d == nil {
		return nil
	}
	*total += sizeOf(d)
	if *total <= fullDetail {
		return d
	}
	*total -= sizeOf(d)
	brief := brief(d)
	*total += sizeOf(brief)
	if *total <= briefDetail {
		return brief
	}
	return nil
}

// brief returns a result that lists one of each.
func brief(d *policy.Result) *policy.Result {
	c := *d
	side := func(s *policy.Side) *policy.Side {
		if s == nil {
			return nil
		}
		c := *s
		c.Isolating, c.MoreIsolating = first(s.Isolating, s.MoreIsolating)
		c.Near, c.MoreNear = first(s.Near, s.MoreNear)
		return &c
	}
	c.Egress, c.Ingress = side(d.Egress), side(d.Ingress)
	c.Backends = nil
	if d.DNS != nil {
		c.DNS = brief(d.DNS)
	}
	return &c
}

// first returns the first of a list, and how many more there are.
func first[T any](list []T, more int) ([]T, int) {
	if len(list) <= 1 {
		return list, more
	}
	return list[:1], more + len(list) - 1
}

// sizeOf is about how many bytes of JSON a result takes.
func sizeOf(d *policy.Result) int {
	if d == nil {
		return 0
	}
	ref := func(r *policy.RuleRef) int {
		if r == nil {
			return 0
		}
		return 110 + len(r.Policy.Kind) + len(r.Policy.Namespace) + len(r.Policy.Name) + len(r.Rule) + len(r.File)
	}
	size := 160 + len(d.From) + len(d.To) + len(d.Reason) + sizeOf(d.DNS)
	for _, s := range []*policy.Side{d.Egress, d.Ingress} {
		if s == nil {
			continue
		}
		size += 80 + len(s.Endpoint) + ref(s.Rule)
		for i := range s.Isolating {
			size += ref(&s.Isolating[i])
		}
		for i := range s.Near {
			n := &s.Near[i]
			size += 60 + ref(&n.RuleRef) + len(n.Why) + len(n.Wants) + len(n.Has)
		}
	}
	for i := range d.Backends {
		size += sizeOf(&d.Backends[i])
	}
	return size
}

func boundText(text []string, total *int) []string {
	size := 0
	for _, s := range text {
		size += len(s)
	}
	if *total += size; *total <= fullText || size <= cutText {
		return text
	}
	*total += cutText - size
	return []string{wording.Shorten(text[0], cutText)}
}

func (r *Report) boundFindings() {
	r.Findings = r.Findings[:min(len(r.Findings), mostFindings)]
	total := 0
	for i := range r.Findings {
		f := &r.Findings[i]
		f.File = wording.Shorten(f.File, longestName)
		if total += 100 + len(f.Title) + len(f.Message) + len(f.Hint) + len(f.File) + len(f.Policy); total > fullRemarks {
			f.Message, f.Policy = wording.Shorten(f.Message, cutText), wording.Shorten(f.Policy, cutText)
		}
	}
}

// boundNames returns the first names, and how many more there are.
func boundNames(names []string) ([]string, int) {
	total := 0
	for i, name := range names {
		if total += len(name) + 3; total > fullNames {
			return names[:i], len(names) - i
		}
	}
	return names, 0
}

// BoundProblems cuts the reasons of a refusal down to what a reader can use: the first ones, each of a bounded length, and how many
// more there are.
func BoundProblems(problems manifest.Problems) manifest.Problems {
	var bounded manifest.Problems
	size := 0
	for i, p := range problems {
		p.File, p.Object, p.Field = wording.Shorten(p.File, longestName), wording.Shorten(p.Object, longestName), wording.Shorten(p.Field, longestName)
		p.Message, p.Hint = wording.Shorten(p.Message, longestMessage), wording.Shorten(p.Hint, longestName)
		size += len(p.File) + len(p.Object) + len(p.Field) + len(p.Message) + len(p.Hint)
		if i > 0 && size > fullProblems || i == mostProblems {
			return append(bounded, manifest.Problem{Message: fmt.Sprintf("… and %d more", len(problems)-i)})
		}
		bounded = append(bounded, p)
	}
	return bounded
}

// emptyFiles are the files of a task that nothing was read from. Where nothing is missed, nobody misses a starter file.
func emptyFiles(t *TaskReport, files []submission.EmptyFile) []EmptyFile {
	if !slices.ContainsFunc(t.Objectives, func(o ObjectiveReport) bool { return o.Status == Missed || o.Status == Partly }) {
		files = slices.DeleteFunc(slices.Clone(files), func(f submission.EmptyFile) bool { return f.Starter })
	}
	return boundEmptyFiles(files)
}

// boundEmptyFiles keeps the first files and says how many more there are.
func boundEmptyFiles(files []submission.EmptyFile) []EmptyFile {
	const most = 3
	var bounded []EmptyFile
	for i, f := range files {
		if i == most {
			return append(bounded, EmptyFile{Why: fmt.Sprintf("… and %d more", len(files)-most)})
		}
		bounded = append(bounded, EmptyFile{File: wording.Shorten(f.File, longestName), Why: f.Why})
	}
	return bounded
}
