package cli

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/labctl/labctl/grade/report"
)

// Headings of flags in help pages. A flag without a heading stands first, under "Flags".
const (
	FlagsOfResults = "Results"
	FlagsOfClass   = "Due dates and attempts"
	FlagsOfLab     = "Lab"
	FlagsOfRunning = "Running lab"
	FlagsOfSite    = "Site settings"
	FlagsOfLimits  = "Limits of each submission"
	FlagsOfFlows   = "Filters"
)

var flagHeadings = []string{"", FlagsOfResults, FlagsOfClass, FlagsOfLab, FlagsOfRunning, FlagsOfSite, FlagsOfLimits,
	FlagsOfFlows}

const headingKey = "labctl_heading"

// Under puts flags of a command under a heading of its help.
func Under(cmd *cobra.Command, heading string, flags ...string) {
	for _, name := range flags {
		// The only error is a flag that does not exist.
		_ = cmd.Flags().SetAnnotation(name, headingKey, []string{heading})
	}
}

// FlagGroup is what a help page lists under one heading.
type FlagGroup struct {
	Heading string // empty: the first group, which has none of its own
	Flags   *pflag.FlagSet
}

// FlagGroups returns a command's own flags by heading, without hidden ones.
func FlagGroups(cmd *cobra.Command) []FlagGroup {
	sets := map[string]*pflag.FlagSet{}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || cmd.HasParent() && cmd.Root().PersistentFlags().Lookup(f.Name) == f {
			return
		}
		heading := strings.Join(f.Annotations[headingKey], "")
		if sets[heading] == nil {
			sets[heading] = pflag.NewFlagSet("", pflag.ContinueOnError)
			sets[heading].SortFlags = cmd.Flags().SortFlags
		}
		sets[heading].AddFlag(f)
	})
	var groups []FlagGroup
	for _, heading := range flagHeadings {
		if sets[heading] != nil {
			groups = append(groups, FlagGroup{heading, sets[heading]})
		}
	}
	return groups
}

// proseWidth is how wide help gets on a wide terminal, and how wide it is written.
const proseWidth = 120

// SetHelp gives a command and those below it help pages that fit the terminal. Elsewhere lines are as they were written.
func (a *App) SetHelp(root *cobra.Command) {
	width := min(a.Terminal.Wrap(), proseWidth)
	root.SetUsageFunc(func(cmd *cobra.Command) error {
		_, err := fmt.Fprint(cmd.OutOrStderr(), usageOf(cmd, width))
		return err
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		if text := strings.TrimSpace(cmd.Long); text != "" {
			fmt.Fprintf(a.Out, "%s\n\n", Reflow(text, width))
		}
		fmt.Fprint(a.Out, usageOf(cmd, width))
	})
}

// usageOf is the part of a help page that follows the text.
func usageOf(cmd *cobra.Command, width int) string {
	var b strings.Builder
	b.WriteString("Usage:\n")
	if cmd.Runnable() {
		fmt.Fprintf(&b, "  %s\n", strings.Join(report.Wrap(cmd.UseLine(), less(width, 2)), "\n      "))
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprintf(&b, "  %s [command]\n", cmd.CommandPath())
	}
	if cmd.HasExample() {
		b.WriteString("\nExamples:\n" + foldCommands(cmd.Example, width) + "\n")
	}
	writeSubcommands(&b, cmd, width)
	for _, g := range FlagGroups(cmd) {
		heading := "Flags:"
		if g.Heading != "" {
			heading = g.Heading + ":"
		}
		fmt.Fprintf(&b, "\n%s\n%s", heading, flagLines(g.Flags, width))
	}
	if cmd.HasAvailableInheritedFlags() {
		b.WriteString("\nGlobal Flags:\n" + flagLines(cmd.InheritedFlags(), width))
	}
	if cmd.HasAvailableSubCommands() {
		more := fmt.Sprintf("Use %q for more information about a command.", cmd.CommandPath()+" [command] --help")
		b.WriteString("\n" + strings.Join(report.Wrap(more, width), "\n") + "\n")
	}
	return b.String()
}

// flagName is the part of a line about a flag before its description.
var flagName = regexp.MustCompile(`(?m)^ +(?:-\w, )?--\S+(?: \S+)? {3,}`)

// flagLines lists flags. pflag's own wrapping leaves long words at the end of full lines. Where names take up half of a
// line, descriptions stand below them.
func flagLines(flags *pflag.FlagSet, width int) string {
	const below = 10
	text := flags.FlagUsages()
	if width == 0 {
		return text
	}
	var b strings.Builder
	for line := range strings.Lines(text) {
		name := flagName.FindString(line)
		usage := strings.TrimSpace(line[len(name):])
		if len(name)*2 > width {
			fmt.Fprintf(&b, "%s\n%*s%s\n", strings.TrimRight(name, " "), below, "", hanging(usage, below, width))
		} else {
			b.WriteString(name + hanging(usage, len(name), width) + "\n")
		}
	}
	return b.String()
}

// writeSubcommands lists the commands below a command, by group.
func writeSubcommands(b *strings.Builder, cmd *cobra.Command, width int) {
	if !cmd.HasAvailableSubCommands() {
		return
	}
	groups := slices.Clone(cmd.Groups())
	groups = append(groups, &cobra.Group{Title: "Additional Commands:"})
	if len(groups) == 1 {
		groups[0].Title = "Available Commands:"
	}
	for _, g := range groups {
		var lines strings.Builder
		for _, c := range cmd.Commands() {
			if c.GroupID == g.ID && (c.IsAvailableCommand() || c.Name() == "help") {
				name := fmt.Sprintf("  %-*s ", cmd.Commands()[0].NamePadding(), c.Name())
				fmt.Fprintf(&lines, "%s%s\n", name, hanging(c.Short, len(name), width))
			}
		}
		if lines.Len() > 0 {
			fmt.Fprintf(b, "\n%s\n%s", g.Title, lines.String())
		}
	}
}

// hanging wraps what follows a prefix; further lines begin below its first word.
func hanging(text string, prefix, width int) string {
	return strings.Join(report.Wrap(text, less(width, prefix)), "\n"+strings.Repeat(" ", prefix))
}

// less is the width that is left beside n columns; no width stays none.
func less(width, n int) int {
	const least = 20
	if width == 0 {
		return 0
	}
	return max(width-n, least)
}

// item begins an item of a list in help.
var item = regexp.MustCompile(`^( *- )(\S.*)$`)

// Reflow wraps a help text anew: paragraphs, and lists with a dash. Other indented lines, such as commands, stay as they
// are. Width 0 changes nothing.
func Reflow(text string, width int) string {
	if width == 0 {
		return text
	}
	var out []string
	prefix, block := "", ""
	flush := func() {
		if block != "" {
			out = append(out, prefix+hanging(block, len(prefix), width))
		}
		prefix, block = "", ""
	}
	for line := range strings.SplitSeq(text, "\n") {
		words := strings.TrimLeft(line, " \t")
		lead := len(line) - len(words)
		m := item.FindStringSubmatch(line)
		switch {
		case m != nil:
			flush()
			prefix, block = m[1], m[2]
		case block != "" && words != "" && lead == len(prefix):
			block += " " + words
		case words != "" && lead == 0:
			flush()
			block = words
		default:
			flush()
			out = append(out, line)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

// foldCommands breaks commands that are too wide before a flag or a pipe, as a shell reads them.
func foldCommands(text string, width int) string {
	if width == 0 {
		return text
	}
	var out []string
	for line := range strings.SplitSeq(text, "\n") {
		out = append(out, foldCommand(line, width)...)
	}
	return strings.Join(out, "\n")
}

func foldCommand(line string, width int) []string {
	const end = ` \`
	var lines []string
	indent := line[:len(line)-len(strings.TrimLeft(line, " "))]
	for len(line) > width {
		at := breakAt(line, len(indent)+len("labctl "), width-len(end))
		if at < 0 {
			break
		}
		lines = append(lines, line[:at]+end)
		line = indent + "    " + line[at+1:]
	}
	return append(lines, line)
}

// breakAt finds the last space outside quotes, between two columns, behind which a flag or an operator begins. If there is
// none it is the last other space there, or the first behind them; -1 if there is not even that.
func breakAt(line string, from, to int) int {
	best, other := -1, -1
	var quote rune
	for i, r := range line {
		switch {
		case i > to && max(best, other) >= 0:
			return cmp.Or(max(best, 0), other)
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '"' || r == '\'':
			quote = r
		case r == ' ' && i >= from && i+1 < len(line):
			other = i
			if strings.ContainsRune("-|<>&", rune(line[i+1])) && !strings.HasPrefix(line[i+1:], "- ") {
				best = i
			}
		}
	}
	return cmp.Or(max(best, 0), other)
}
