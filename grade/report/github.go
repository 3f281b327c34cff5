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
func github(w io.Writer, a *Assignment, o *Outcome) error {
	b := bufio.NewWriter(w)
	switch o = o.toStudent(); o.Status {
	case Errored:
		annotate(b, "error", "Not graded", "", 0, o.Message)
		return b.Flush()
	case Refused:
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
	told := map[string]bool{}
	for _, f := range o.Report.Findings {
		if f.File == "" {
			continue
		}
		told[f.Task+"/"+f.Objective] = true
		message := f.Message
		if f.Hint != "" {
			message += "\nHint: " + f.Hint
		}
		annotate(b, "error", f.Title, o.file(f.File), f.Line, message)
	}
	for _, obj := range o.objectives() {
		if obj.Status == grade.Met || obj.Status == grade.Blocked || told[obj.task.Name+"/"+obj.Name] {
			continue // a blocked objective misses for another's sake
		}
		annotate(b, "error", obj.title(), "", 0, cmp.Or(o.explainedIn(&obj, 0), "not met"))
	}
	for _, note := range o.notes() {
		annotate(b, "warning", a.name(), "", 0, note)
	}
	annotate(b, "notice", a.name(), "", 0, o.summary())
	return b.Flush()
}

// file is the path of a submission's file from where the workflow runs.
func (o *Outcome) file(name string) string {
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
	counts map[Status]int
}

func githubClass(w io.Writer, a *Assignment) ClassWriter {
	return &githubWriter{bufio.NewWriter(w), a, map[Status]int{}}
}

func (g *githubWriter) Add(o *Outcome) error {
	g.counts[o.Status]++
	switch o.Status {
	case Errored:
		annotate(g.out, "error", "Not graded: "+o.who(), "", 0, strings.Join(o.reasons(), "\n"))
	case Refused:
		annotate(g.out, "warning", "Refused: "+o.who(), "", 0, strings.Join(o.reasons(), "\n"))
	}
	return nil
}

func (g *githubWriter) Close() error {
	annotate(g.out, "notice", g.a.name(), "", 0, fmt.Sprintf("%d passed, %d failed, %d refused, %d could not be graded",
		g.counts[Passed], g.counts[Failed], g.counts[Refused], g.counts[Errored]))
	return g.out.Flush()
}
