package main

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/spf13/cobra"
)

func newRootCommand(app *app) *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "labctl",
		Short: "Kubernetes networking labs, graded by what gets through",
		Long: `labctl grades Kubernetes networking labs: not by reading the student's YAML, but by working out which
connections it lets through, with Cilium's own rule model, and says which rule decided each of them.`,
		Example: `  labctl labs                                          the labs that ship
  labctl show networkpolicy                            read a lab's tasks
  labctl grade networkpolicy --submission answers/ --offline`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) {
			if verbose {
				app.level = slog.LevelDebug
			}
		},
	}
	cmd.SetIn(app.in)
	cmd.SetOut(app.out)
	cmd.SetErr(app.err)
	cmd.PersistentFlags().BoolVarP(&verbose, "verbose", "v", false, "log what is being done, to standard error")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w\nSee %q", err, cmd.CommandPath()+" --help")
	})
	addGroup(cmd, "students", "For students:",
		newLabsCommand(app), newShowCommand(app), newStartCommand(app), newHintCommand(app),
		newGradeCommand(app), newNextCommand(app), newSolveCommand(app), newWatchCommand(app),
		newExplainCommand(app), newMatrixCommand(app), newDiffCommand(app))
	addGroup(cmd, "clusters", "Running labs:",
		newUpCommand(app), newPlanCommand(app), newStatusCommand(app), newObserveCommand(app), newResetCommand(app),
		newPauseCommand(app), newResumeCommand(app), newDownCommand(app), newListCommand(app), newKubeconfigCommand(app),
		newEnvCommand(app), newDoctorCommand(app), newLogsCommand(app), newConfigCommand(app), newGCCommand(app))
	addGroup(cmd, "authors", "For authors of labs:",
		newInitCommand(app), newFmtCommand(app), newValidateCommand(app), newTestCommand(app))
	addGroup(cmd, "platforms", "For course platforms:", newBatchCommand(app), newProbeCommand(app), newPackageCommand(app))
	cmd.AddCommand(newVersionCommand(app), newAutogradeCommand(app), newGKECredentialsCommand(app))
	return cmd
}

// addGroup adds commands under a heading of their own in the help.
func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, c := range commands {
		c.GroupID = id
	}
	root.AddCommand(commands...)
}

// goStyleFlags lets `labctl fmt` take its flags the way gofmt and terraform fmt do, with one dash.
func goStyleFlags(args []string) []string {
	at := slices.Index(args, "fmt")
	if at < 0 {
		return args
	}
	args = slices.Clone(args)
	for i, arg := range args[at:] {
		switch arg {
		case "--":
			return args
		case "-check", "-diff":
			args[at+i] = "-" + arg
		}
	}
	return args
}
