package report

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/labctl/labctl/grade"
)

// markdownOne writes a result in GitHub's Markdown.
func markdownOne(w io.Writer, a *Assignment, o *Result) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "# %s\n\n", markdown(a.name()))
	switch o.Status {
	case grade.Errored:
		fmt.Fprintf(b, "**%s**\n\n", markdown(o.Message))
	case grade.Refused:
		b.WriteString("**The submission was refused**, so nothing of it was graded: 0 points.\n\n")
	default:
		fmt.Fprintf(b, "%s **%s**: %s points, %s %%. The pass mark is %s %%.\n\n", statusSign(o.Status), o.Status,
			points(o.Score.Points, o.Score.Max), number(o.Score.Percent), number(o.Score.PassMark))
		for _, note := range o.notes() {
			fmt.Fprintf(b, "%s\n\n", markdown(note))
		}
	}
	if o.Status == grade.Refused {
		for _, reason := range o.problems() {
			fmt.Fprintf(b, "- %s\n", markdown(reason))
		}
		b.WriteString("\n")
		if o.Advice != "" {
			fmt.Fprintf(b, "%s.\n\n", markdown(o.Advice))
		}
	}
	if o.Report == nil {
		return b.Flush()
	}
	b.WriteString("| | Task | Objective | Points |\n|---|---|---|--:|\n")
	for i := range o.Report.Tasks {
		t := &o.Report.Tasks[i]
		for _, obj := range shown(t) {
			fmt.Fprintf(b, "| %s | %s | %s | %s |\n", StatusMark(obj.Status, Style{}), markdown(cmp.Or(t.Title, t.Name)),
				markdown(cmp.Or(obj.Title, obj.Name)), points(*obj.Points, obj.Max))
		}
		if hides(t) {
			fmt.Fprintf(b, "| | %s | %s | |\n", markdown(cmp.Or(t.Title, t.Name)), hiddenNote)
		}
	}
	for _, obj := range o.objectives() {
		if text := o.explained(&obj); text != "" {
			fmt.Fprintf(b, "\n### %s\n\n%s\n", markdown(obj.title()), fenced(text))
		}
	}
	if rest := remarks(o.Report); len(rest) > 0 {
		b.WriteString("\n### Also noticed\n\n")
		for _, f := range rest {
			fmt.Fprintf(b, "- **%s**: %s", markdown(f.Title), markdown(f.Message))
			if at := grade.Place(f.File, f.Line); at != "" {
				fmt.Fprintf(b, " (%s)", markdown(at))
			}
			b.WriteString("\n")
		}
	}
	return b.Flush()
}

// markdownWriter writes a table with a row a student.
type markdownWriter struct {
	out    *bufio.Writer
	counts map[grade.Status]int
}

func markdownClass(w io.Writer, a *Assignment) ClassWriter {
	m := &markdownWriter{bufio.NewWriter(w), map[grade.Status]int{}}
	fmt.Fprintf(m.out, "# %s\n\n| | Student | Name | Points | | Remark |\n|---|---|---|--:|--:|---|\n", markdown(a.name()))
	return m
}

func (m *markdownWriter) Add(o *Result) error {
	m.counts[o.Status]++
	earned, percent, remark := "no grade", "", ""
	if o.Score != nil {
		earned, percent = points(o.Score.Points, o.Score.Max), number(o.Score.Percent)+" %"
	}
	if o.Status == grade.Errored || o.Status == grade.Refused {
		remark = string(o.Status) + ": " + o.problems()[0]
	}
	_, err := fmt.Fprintf(m.out, "| %s | %s | %s | %s | %s | %s |\n", statusSign(o.Status), markdown(o.ID),
		markdown(o.Name), earned, percent, markdown(remark))
	return err
}

func (m *markdownWriter) Close() error {
	fmt.Fprintf(m.out, "\n%d passed, %d failed, %d refused, %d could not be graded.\n", m.counts[grade.Passed],
		m.counts[grade.Failed], m.counts[grade.Refused], m.counts[grade.Errored])
	return m.out.Flush()
}

func statusSign(s grade.Status) string {
	switch s {
	case grade.Passed:
		return "✓"
	case grade.Failed, grade.Refused:
		return "✗"
	}
	return "!"
}

// markdown makes text say just what it says: nothing in it is markup, a link, or the end of a table's cell.
func markdown(s string) string {
	s = strings.NewReplacer(
		`\`, `\\`, "`", "\\`", "*", `\*`, "_", `\_`, "{", `\{`, "}", `\}`, "[", `\[`, "]", `\]`, "<", "&lt;", ">",
		"&gt;", "#", `\#`,
		"|", `\|`, "~", `\~`, "$", `\$`, "&", "&amp;", "@", "&#64;", "://", "&#58;//", "www.", "www&#46;",
	).Replace(xmlClean(oneLine(s)))
	// A line that would begin a list.
	if s != "" && strings.ContainsRune("-+", rune(s[0])) {
		s = `\` + s
	}
	return s
}

// fenced puts text between fences that do not occur in it.
func fenced(text string) string {
	fence := "```"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	return fence + "text\n" + xmlClean(text) + "\n" + fence
}
