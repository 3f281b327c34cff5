package report

import (
	"fmt"
	"io"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/internal/wording"
)

// Test writes the outcome of testing a lab, for its author.
func Test(w io.Writer, r *labtest.Report, style Style) error {
	p := &page{Style: style}
	p.test(r)
	p.blank()
	if r.Passed {
		p.line("", p.green("The lab grades as it declares."))
	} else {
		p.line("", p.red("The lab does not grade as it declares."))
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

// TestBrief writes what is known of a test, which may still be running, in few lines: samples that are graded
// as they declare are only counted.
func TestBrief(w io.Writer, r *labtest.Report, style Style) error {
	p := &page{Style: style}
	passed := 0
	if !r.Starter.Passed {
		p.starter(&r.Starter)
	}
	for i := range r.Samples {
		if r.Samples[i].Passed {
			passed++
		} else {
			p.sample(&r.Samples[i])
		}
	}
	if passed > 0 {
		p.line("  "+p.green("✓")+" ", wording.Count(passed, "sample")+" graded as declared")
	}
	if r.Mutation.Mutants > 0 || r.Mutation.Skipped != "" {
		p.mutation(&r.Mutation)
	}
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *page) test(r *labtest.Report) {
	p.line("", p.bold(r.Lab.Title)+p.dim(fmt.Sprintf(" · %s · %s engine", r.Lab.Name, r.Engine)))
	p.blank()
	p.line("", p.bold("Samples"))
	p.starter(&r.Starter)
	for i := range r.Samples {
		p.sample(&r.Samples[i])
	}
	p.blank()
	p.mutation(&r.Mutation)
}

func (p *page) starter(s *labtest.SampleResult) {
	text := number(s.Got) + "%"
	if s.Want != nil && s.Passed {
		text += fmt.Sprintf(", must stay below the pass mark of %s%%", number(*s.Want))
	}
	p.sampleResult(s, text)
}

func (p *page) sample(s *labtest.SampleResult) { p.sampleResult(s, number(s.Got)+"%") }

func (p *page) sampleResult(s *labtest.SampleResult, text string) {
	mark := p.green("✓")
	if !s.Passed {
		mark = p.red("✗")
	}
	if s.Error != "" {
		text = grade.Place(s.File, s.Line) + ": " + s.Error
	}
	p.line("  "+mark+" ", fmt.Sprintf("%-28s %s", s.Name, text))
	for _, d := range s.Differences {
		p.line("      ", grade.Place(d.File, d.Line)+": "+d.Message)
	}
}

func (p *page) mutation(m *labtest.MutationResult) {
	p.line("", p.bold("Mutants of the solution"))
	if m.Skipped != "" {
		p.line("  "+p.red("✗")+" ", "none were made: "+m.Skipped)
		return
	}
	p.line("  ", fmt.Sprintf("%d made: %d noticed, %d change no connection of the lab, %d not valid, %d survive",
		m.Mutants, m.Killed, m.Equivalent, m.Invalid, len(m.Survivors)))
	for i := range m.Survivors {
		s := &m.Survivors[i]
		p.line("  "+p.red("✗")+" ", s.String())
		p.line("      ", fmt.Sprintf("at the end of %s, %s → %s was %s and is now %s: no objective notices",
			s.Flow.Task, s.Flow.From, s.Flow.To, word(s.Flow.Before), word(s.Flow.After)))
	}
}
