package cli

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"al.essio.dev/pkg/shellescape"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// Unlimited is the most of Args for commands that take any number of arguments.
const Unlimited = -1

// Args checks that a command has from least to most arguments. Its error names the arguments as the command's Use
// does.
func Args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := labFirst(cmd, args); err != nil {
			return err
		}
		if len(args) >= least && (most == Unlimited || len(args) <= most) {
			return nil
		}
		takes := "no arguments"
		if _, names, ok := strings.Cut(cmd.Use, " "); ok {
			takes = names
		}
		got := "none"
		if len(args) > 0 {
			got = wording.Count(len(args), "argument")
		}
		return fmt.Errorf("%s takes %s, but got %s\nSee %q",
			cmd.CommandPath(), takes, got, cmd.CommandPath()+" --help")
	}
}

// labFirst tells who named the lab behind another argument where it belongs.
func labFirst(cmd *cobra.Command, args []string) error {
	_, names, _ := strings.Cut(cmd.Use, " ")
	if first, _, _ := strings.Cut(names, " "); strings.Trim(first, "[]") != "LAB" || len(args) < 2 {
		return nil
	}
	if files, _ := filepath.Glob(filepath.Join(args[0], "*.hcl")); len(files) > 0 || slices.Contains(labs.Shipped(), args[0]) {
		return nil
	}
	for i, arg := range args[1:] {
		if slices.Contains(labs.Shipped(), arg) {
			rest := slices.Delete(slices.Clone(args), i+1, i+2)
			return fmt.Errorf("the lab comes first: %s %s %s", cmd.CommandPath(), arg, shellescape.QuoteCommand(rest))
		}
	}
	return nil
}
