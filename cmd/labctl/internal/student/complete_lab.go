package student

import (
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

func completeObjective(before []string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if lab := cli.QuietLoad(before[0]); lab != nil {
		if task, err := cli.FindTask(lab, before[1]); err == nil {
			for _, o := range viewTask(task).Objectives {
				names = append(names, cobra.CompletionWithDesc(o.Name, o.Title))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeHint(before []string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if lab := cli.QuietLoad(before[0]); lab != nil {
		if task, err := cli.FindTask(lab, before[1]); err == nil {
			for _, h := range hintsOf(task) {
				names = append(names, h.name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeEndpoint(before []string) ([]string, cobra.ShellCompDirective) {
	lab := cli.QuietLoad(before[0])
	if lab == nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	var names []string
	for i := range lab.Apps {
		names = append(names, lab.Apps[i].Name)
	}
	for i := range lab.Externals {
		names = append(names, lab.Externals[i].Name)
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// hintNames are the lab's hints as `grade --hint` takes them.
func hintNames(nameOrDir string) []string {
	lab := cli.QuietLoad(nameOrDir)
	if lab == nil {
		return nil
	}
	var names []string
	for i := range lab.Tasks {
		for _, h := range hintsOf(&lab.Tasks[i]) {
			names = append(names, lab.Tasks[i].Name+"/"+h.name)
		}
	}
	return names
}
