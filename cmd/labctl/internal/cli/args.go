package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/internal/wording"
)

// Unlimited is the most of Args for commands that take any number of arguments.
const Unlimited = -1

// Args checks that a command has from least to most arguments. Its error names the arguments as the command's Use
// does.
func Args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
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
