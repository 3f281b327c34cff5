package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

const (
	flagsBegin = "<!-- The rest is written by `go test ./cmd/labctl -run TestCommandsAreDocumented -update`. -->\n"
	flagsWidth = 110
)

// firstColumn finds the commands that a row of the table in docs/cli.md names.
var (
	firstColumn = regexp.MustCompile("(?m)^\\| (`[^|]*(?:\\\\\\|[^|]*)*) \\|")
	inBackticks = regexp.MustCompile("`([^`]+)`")
)

// TestCommandsAreDocumented compares docs/cli.md with the commands: the table has each command and no others, and the flags are
// those that the commands have.
func TestCommandsAreDocumented(t *testing.T) {
	t.Parallel()
	file := filepath.Join("..", "..", "docs", "cli.md")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, flags, ok := strings.Cut(string(data), flagsBegin)
	if !ok {
		t.Fatalf("docs/cli.md has no line %q", flagsBegin)
	}
	rows := map[string]bool{}
	for _, row := range firstColumn.FindAllStringSubmatch(doc, -1) {
		for _, command := range inBackticks.FindAllStringSubmatch(row[1], -1) {
			rows[commandOf(command[1])] = true
		}
	}
	var reference strings.Builder
	for _, cmd := range ourCommands(t) {
		path := strings.TrimPrefix(strings.TrimPrefix(cmd.CommandPath(), "labctl"), " ")
		if hidden(cmd) || path == "" {
			continue
		}
		if cmd.HasSubCommands() && cmd.Args == nil {
			continue // it only groups others
		}
		if !rows[path] {
			t.Errorf("docs/cli.md: the table has no row for `%s`", path)
		}
		delete(rows, path)
		writeFlags(&reference, cmd)
	}
	delete(rows, "completion")
	for path := range rows {
		t.Errorf("docs/cli.md: the table has a row for `%s`, which does not exist", path)
	}
	if flags == reference.String() {
		return
	}
	if !*update {
		t.Error("docs/cli.md: the flags are not those of the commands; run this test with -update")
		return
	}
	if err := os.WriteFile(file, []byte(doc+flagsBegin+reference.String()), 0o644); err != nil {
		t.Fatal(err)
	}
}

// commandOf is the command that a row such as "batch status JOB" names: the words before the first that is no name.
func commandOf(usage string) string {
	var names []string
	for _, word := range strings.Fields(usage) {
		if strings.HasPrefix(word, "-") || strings.Trim(word, "abcdefghijklmnopqrstuvwxyz-") != "" {
			break
		}
		names = append(names, word)
	}
	return strings.Join(names, " ")
}

func hidden(cmd *cobra.Command) bool {
	return cmd.Hidden || cmd.HasParent() && hidden(cmd.Parent())
}

func writeFlags(w *strings.Builder, cmd *cobra.Command) {
	fmt.Fprintf(w, "\n### %s\n\n```text\n%s\n", cmd.CommandPath(), strings.TrimSuffix(cmd.UseLine(), " [flags]"))
	for _, g := range cli.FlagGroups(cmd) {
		visible := pflag.NewFlagSet("", pflag.ContinueOnError)
		visible.SortFlags = g.Flags.SortFlags
		g.Flags.VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" {
				visible.AddFlag(f)
			}
		})
		if !visible.HasAvailableFlags() {
			continue
		}
		w.WriteByte('\n')
		if g.Heading != "" {
			fmt.Fprintf(w, "%s:\n", g.Heading)
		}
		w.WriteString(visible.FlagUsagesWrapped(flagsWidth))
	}
	w.WriteString("```\n")
}
