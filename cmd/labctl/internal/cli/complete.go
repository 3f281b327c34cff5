package cli

import (
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
)

// completer proposes words for one place on the command line, knowing the arguments before it.
type completer func(before []string) ([]string, cobra.ShellCompDirective)

// CompleteArgs proposes words for the positional arguments, one completer each.
func CompleteArgs(places ...completer) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(places) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return places[len(args)](args)
	}
}

// CompleteLab proposes the labs that ship, and directories.
func CompleteLab([]string) ([]string, cobra.ShellCompDirective) {
	return labs.Shipped(), cobra.ShellCompDirectiveFilterDirs
}

func CompleteTask(before []string) ([]string, cobra.ShellCompDirective) {
	return taskNames(before[0]), cobra.ShellCompDirectiveNoFileComp
}

func CompleteDir([]string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func taskNames(nameOrDir string) []string {
	lab := QuietLoad(nameOrDir)
	if lab == nil {
		return nil
	}
	names := make([]string, len(lab.Tasks))
	for i := range lab.Tasks {
		names[i] = lab.Tasks[i].Name
		if title := lab.Tasks[i].Title; title != "" {
			names[i] = cobra.CompletionWithDesc(names[i], title)
		}
	}
	return names
}

// QuietLoad reads a lab for completion, where an error is no proposal rather than a message.
func QuietLoad(nameOrDir string) *labs.Lab {
	var flags LabFlags
	lab, err := flags.Load(nameOrDir)
	if err != nil {
		return nil
	}
	return lab
}

// Complete offers fixed values for a flag.
func Complete(cmd *cobra.Command, flag string, values ...string) {
	// The only error is a flag that does not exist.
	_ = cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
}
