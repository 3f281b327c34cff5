package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/labctl/labctl/grade"
)

// github writes workflow commands of GitHub Actions, which become annotations of a pull request's files: first what has
// a place in a file, since GitHub shows ten errors a step. A summary in Markdown is the format "markdown"; labctl adds
// that to the job's summary by itself.
func github(w io.Writer, a *Assignment, o *Result) error {
	b := bufio.NewWriter(w)
	switch o.Status {
	case grade.Errored:
		annotate(b, "error", "Not graded", "", 0, o.Message)
		return b.Flush()
	case grade.Refused:
		for _, p := range o.Problems {
			place := p
			place.File, place.Line = "", 0
			annotate(b, "error", "Submission refused", o.file(p.File), p.Line, strings.TrimPrefix(place.String(), ": "))
		}
		if len(o.Problems) == 0 {
			annotate(b, "error", "Submission refused", "", 0, o.Message)
		}
		return b.Flush()
	}
	explained := o.annotateFindings(b)
	for _, obj := range o.objectives() {
		if obj.Status == grade.Met || obj.Status == grade.Blocked || explained[obj.task.Name+"/"+obj.Name] {
			continue // a blocked objective is missed because of another one
		}
		annotate(b, "error", obj.title(), "", 0, cmp.Or(reasonLines(o.reasons(&obj)), "not met"))
	}
	for _, note := range o.notes() {
		annotate(b, "warning", a.name(), "", 0, note)
	}
	annotate(b, "notice", a.name(), "", 0, o.summary())
	return b.Flush()
}

// annotateFindings annotates the places of findings, with the reason that names them if there is one. It returns the
// objectives ("task/objective") that have such an annotation.
func (o *Result) annotateFindings(b *bufio.Writer) map[string]bool {
	texts := map[*grade.Finding]string{}
	for _, obj := range o.objectives() {
		for _, x := range o.reasons(&obj) {
			if f := x.Mistake; f != nil && f.Task == obj.task.Name && f.Objective == obj.Name && texts[f] == "" {
				texts[f] = reasonLines([]reason{x})
			}
		}
	}
	explained := map[string]bool{}
	for i := range o.Report.Findings {
		f := &o.Report.Findings[i]
		if f.File == "" {
			continue
		}
		explained[f.Task+"/"+f.Objective] = true
		text := texts[f]
		if text == "" {
			text = f.Message
			if f.Hint != "" {
				text += "\nHint: " + f.Hint
			}
		}
		annotate(b, "error", f.Title, o.file(f.File), f.Line, text)
	}
	return explained
}

func reasonLines(reasons []reason) string {
	var lines []string
	for i := range reasons {
		lines = append(lines, reasons[i].lines()...)
	}
	return strings.Join(lines, "\n")
}

// file is the path of a submission's file from where the workflow runs.
func (o *Result) file(name string) string {
	if o.Root == "" || name == "" {
		return name
	}
	return path.Join(o.Root, name)
}

// annotate writes a workflow command.
func annotate(b *bufio.Writer, level, title, file string, line int, message string) {
	fmt.Fprintf(b, "::%s ", level)
	if file != "" {
		fmt.Fprintf(b, "file=%s,", githubProperty(file))
		if line > 0 {
			fmt.Fprintf(b, "line=%d,", line)
		}
	}
	fmt.Fprintf(b, "title=%s::%s\n", githubProperty(title), githubData(message))
}

// githubData escapes a command's message as the runner unescapes it; other control characters have no use in a log.
func githubData(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return '\uFFFD'
		}
		return r
	}, strings.ReplaceAll(s, "\r\n", "\n"))
	return strings.NewReplacer("%", "%25", "\n", "%0A").Replace(s)
}

// githubProperty escapes a property's value, in which colon and comma have a meaning.
func githubProperty(s string) string {
	return strings.NewReplacer(":", "%3A", ",", "%2C").Replace(githubData(s))
}

// githubWriter tells of a class only what somebody has to look after: one annotation a submission without a grade.
type githubWriter struct {
	out    *bufio.Writer
	a      *Assignment
	counts map[grade.Status]int
}

func githubClass(w io.Writer, a *Assignment) ClassWriter {
	return &githubWriter{bufio.NewWriter(w), a, map[grade.Status]int{}}
}

func (g *githubWriter) Add(o *Result) error {
	g.counts[o.Status]++
	switch o.Status {
	case grade.Errored:
		annotate(g.out, "error", "Not graded: "+o.who(), "", 0, strings.Join(o.problems(), "\n"))
	case grade.Refused:
		annotate(g.out, "warning", "Refused: "+o.who(), "", 0, strings.Join(o.problems(), "\n"))
	}
	return nil
}

func (g *githubWriter) Close() error {
	annotate(g.out, "notice", g.a.name(), "", 0, fmt.Sprintf("%d passed, %d failed, %d refused, %d could not be graded",
		g.counts[grade.Passed], g.counts[grade.Failed], g.counts[grade.Refused], g.counts[grade.Errored]))
	return g.out.Flush()
}
