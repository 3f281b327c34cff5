package main

import (
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/labs"
)

// completer proposes words for one place on the command line, knowing the arguments before it.
type completer func(before []string) ([]string, cobra.ShellCompDirective)

// completeArgs proposes words for the positional arguments, one completer each.
func completeArgs(places ...completer) cobra.CompletionFunc {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) >= len(places) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return places[len(args)](args)
	}
}

// completeLab proposes the labs that ship, and directories.
func completeLab([]string) ([]string, cobra.ShellCompDirective) {
	return labs.Shipped(), cobra.ShellCompDirectiveFilterDirs
}

func completeTask(before []string) ([]string, cobra.ShellCompDirective) {
	return taskNames(before[0]), cobra.ShellCompDirectiveNoFileComp
}

func completeObjective(before []string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if lab := quietLoad(before[0]); lab != nil {
		if task, err := findTask(lab, before[1]); err == nil {
			for _, o := range viewTask(task).Objectives {
				names = append(names, cobra.CompletionWithDesc(o.Name, o.Title))
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeHint(before []string) ([]string, cobra.ShellCompDirective) {
	var names []string
	if lab := quietLoad(before[0]); lab != nil {
		if task, err := findTask(lab, before[1]); err == nil {
			for _, h := range hintsOf(task) {
				names = append(names, h.name)
			}
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

func completeEndpoint(before []string) ([]string, cobra.ShellCompDirective) {
	lab := quietLoad(before[0])
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

func completeDir([]string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

func taskNames(nameOrDir string) []string {
	lab := quietLoad(nameOrDir)
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

// hintNames are the lab's hints as `grade --hint` takes them.
func hintNames(nameOrDir string) []string {
	lab := quietLoad(nameOrDir)
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

// quietLoad reads a lab for completion, where an error is no proposal rather than a message.
func quietLoad(nameOrDir string) *labs.Lab {
	var flags labFlags
	lab, err := flags.load(nameOrDir)
	if err != nil {
		return nil
	}
	return lab
}
