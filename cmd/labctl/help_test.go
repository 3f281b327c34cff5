package main

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

// ourCommands are all commands but those that cobra adds.
func ourCommands(t *testing.T) []*cobra.Command {
	t.Helper()
	var all []*cobra.Command
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		all = append(all, cmd)
		for _, c := range cmd.Commands() {
			walk(c)
		}
	}
	walk(newRootCommand(cli.NewApp(t.Context())))
	if len(all) < 40 {
		t.Fatalf("only %d commands", len(all))
	}
	return all
}

// proseWidth is how wide lines of help may be.
const proseWidth = 120

func TestHelp(t *testing.T) {
	t.Parallel()
	for _, cmd := range ourCommands(t) {
		t.Run(cmd.CommandPath(), func(t *testing.T) {
			t.Parallel()
			checkDescriptions(t, cmd)
			checkExamples(t, cmd)
			cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
				if !f.Hidden && f.Name != "help" {
					checkFlag(t, f)
				}
			})
		})
	}
}

// TestArguments shows that a wrong number of arguments is answered with what the command takes and where its help is.
func TestArguments(t *testing.T) {
	t.Parallel()
	for _, cmd := range ourCommands(t) {
		if !cmd.Runnable() || cmd.HasSubCommands() {
			continue
		}
		if cmd.Args == nil {
			t.Errorf("%s takes any arguments", cmd.CommandPath())
			continue
		}
		for _, n := range []int{0, 50} {
			err := cmd.Args(cmd, make([]string, n))
			if err == nil {
				continue
			}
			want := []string{cmd.CommandPath() + " takes ", ", but got ", cmd.CommandPath() + " --help"}
			if _, names, ok := strings.Cut(cmd.Use, " "); ok {
				want = append(want, names)
			}
			for _, w := range want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%s with %d arguments: no %q in %q", cmd.CommandPath(), n, w, err)
				}
			}
		}
	}
}

func checkDescriptions(t *testing.T, cmd *cobra.Command) {
	t.Helper()
	first, _ := utf8.DecodeRuneInString(cmd.Short)
	if !unicode.IsUpper(first) || strings.HasSuffix(cmd.Short, ".") || strings.Contains(cmd.Short, "\n") || len(cmd.Short) > 100 {
		t.Errorf("Short is to be one line of up to 100 letters, to begin with a capital and to end without a full stop: %q", cmd.Short)
	}
	if cmd.Long == "" || !strings.HasSuffix(cmd.Long, ".") {
		t.Errorf("Long is to be whole sentences: %q", cmd.Long)
	}
	for line := range strings.Lines(cmd.Long + "\n" + cmd.Example) {
		if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > proseWidth && !strings.HasPrefix(line, "  labctl") {
			t.Errorf("a line of %d columns: %q", n, line)
		}
	}
}

// checkExamples holds that there are examples, and that they are commands with flags that exist.
func checkExamples(t *testing.T, cmd *cobra.Command) {
	t.Helper()
	if !strings.Contains(cmd.Example, "labctl ") {
		t.Errorf("there is no example: %q", cmd.Example)
	}
	root := cmd.Root()
	for _, args := range commandLines(strings.ReplaceAll(cmd.Example, "\\\n", " ")) {
		found, rest, err := root.Find(args)
		if err != nil || found == root && len(args) > 0 {
			t.Errorf("the example %q is no command: %v", args, err)
			continue
		}
		for _, arg := range rest {
			if name, ok := strings.CutPrefix(arg, "--"); ok {
				name, _, _ = strings.Cut(name, "=")
				if f := found.Flags().Lookup(name); f == nil && found.InheritedFlags().Lookup(name) == nil || f != nil && f.Hidden {
					t.Errorf("the example %q has a flag that there is not, or that is hidden: --%s", args, name)
				}
			}
		}
	}
}

// invocation finds calls of labctl in a line of shell.
var invocation = regexp.MustCompile(`\blabctl((?: +[^|&;>)\s"']\S*| +"[^"]*"| +'[^']*')*)`)

// commandLines are the arguments of each labctl in a text of shell commands.
func commandLines(text string) [][]string {
	var all [][]string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "  #")
		for _, m := range invocation.FindAllStringSubmatch(line, -1) {
			args := strings.Fields(m[1])
			for i := range args {
				args[i] = strings.Trim(args[i], `"'()`)
			}
			if len(args) > 0 {
				all = append(all, args)
			}
		}
	}
	return all
}

// names are what flags' descriptions may begin with although it is in upper case.
var names = regexp.MustCompile(`^([A-Z]{2}|JSON|HCL|Google|Cilium|Hubble|Gradescope)`)

func checkFlag(t *testing.T, f *pflag.Flag) {
	t.Helper()
	usage := strings.TrimPrefix(f.Usage, "`")
	first, _ := utf8.DecodeRuneInString(usage)
	if usage == "" || strings.HasSuffix(usage, ".") || unicode.IsUpper(first) && !names.MatchString(usage) {
		t.Errorf("--%s is to be described, in lower case and without a full stop: %q", f.Name, f.Usage)
	}
}
