package main

import (
	"errors"
	"fmt"
	"log/slog"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/labctl/labctl/cmd/labctl/internal/author"
	"github.com/labctl/labctl/cmd/labctl/internal/class"
	"github.com/labctl/labctl/cmd/labctl/internal/class/batchjob"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/cmd/labctl/internal/cluster"
	"github.com/labctl/labctl/cmd/labctl/internal/lsp"
	"github.com/labctl/labctl/cmd/labctl/internal/student"
	"github.com/labctl/labctl/internal/wording"
)

func newRootCommand(app *cli.App) *cobra.Command {
	var verbose bool
	cmd := &cobra.Command{
		Use:   "labctl",
		Short: "Build and grade Kubernetes networking labs",
		Long: `labctl builds and grades hands-on labs about Kubernetes networking. It works out which connections a student's policies
allow, with Cilium's own rule model, and names the rule that decided each one.`,
		Example: `  labctl labs
  labctl show networkpolicy
  labctl grade networkpolicy --submission answers/ --offline`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRun: func(*cobra.Command, []string) {
			if verbose {
				app.Level = slog.LevelDebug
			}
		},
	}
	cmd.SetIn(app.In)
	cmd.SetOut(app.Out)
	cmd.SetErr(app.Err)
	app.SetHelp(cmd)
	cmd.PersistentFlags().BoolVarP(&verbose, "verbose", "v", false, "log what labctl does, to standard error")
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		meant := ""
		if unknown := (*pflag.NotExistError)(nil); errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "" {
			meant = wording.DidYouMean("--"+unknown.GetSpecifiedName(), flagNames(cmd))
		}
		return fmt.Errorf("%w%s\nSee %q", err, meant, cmd.CommandPath()+" --help")
	})
	addGroup(cmd, "students", "For students:",
		student.NewLabsCommand(app), student.NewShowCommand(app), student.NewCheckoutCommand(app),
		student.NewHintCommand(app),
		student.NewGradeCommand(app), student.NewNextCommand(app), student.NewSolveCommand(app),
		student.NewWatchCommand(app),
		student.NewExplainCommand(app), student.NewMatrixCommand(app), student.NewDiffCommand(app))
	addGroup(cmd, "clusters", "Running labs:",
		cluster.NewUpCommand(app), cluster.NewPlanCommand(app), cluster.NewStatusCommand(app),
		cluster.NewObserveCommand(app), cluster.NewHubbleCommand(app), cluster.NewResetCommand(app),
		cluster.NewPauseCommand(app), cluster.NewResumeCommand(app), cluster.NewDownCommand(app),
		cluster.NewListCommand(app), cluster.NewKubeconfigCommand(app),
		cluster.NewEnvCommand(app), cluster.NewDoctorCommand(app), cluster.NewLogsCommand(app),
		cluster.NewConfigCommand(app), cluster.NewGCCommand(app))
	addGroup(cmd, "authors", "For lab authors:",
		author.NewInitCommand(app), author.NewFmtCommand(app), author.NewValidateCommand(app),
		author.NewTestCommand(app), author.NewDevCommand(app), lsp.NewCommand(app))
	addGroup(cmd, "platforms", "For course platforms:", class.NewBatchCommand(app, batchjob.FindSubmissions,
		batchjob.Commands(app, exitFinal)...), class.NewProbeCommand(app), class.NewPackageCommand(app))
	cmd.AddCommand(cli.NewVersionCommand(app), student.NewStartCommand(app), class.NewAutogradeCommand(app),
		cluster.NewGKECredentialsCommand(app))
	cmd.SetHelpCommand(helpCommand(cmd))
	return cmd
}

// helpCommand is cobra's "help", for which an unknown command is wrong use.
func helpCommand(root *cobra.Command) *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]...",
		Short: "Show the help page of a command",
		Args:  cobra.ArbitraryArgs,
		ValidArgsFunction: func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			at, _, err := root.Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			var names []string
			for _, c := range at.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name()+"\t"+c.Short)
				}
			}
			return names, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			at, rest, err := root.Find(args)
			if err != nil {
				return err
			}
			if len(rest) > 0 {
				return fmt.Errorf("unknown command %q for %q", rest[0], at.CommandPath())
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}

// flagNames lists the flags of a command as they are written.
func flagNames(cmd *cobra.Command) []string {
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, "--"+f.Name)
		}
	})
	return names
}

// addGroup adds commands under a heading of their own in the help.
func addGroup(root *cobra.Command, id, title string, commands ...*cobra.Command) {
	root.AddGroup(&cobra.Group{ID: id, Title: title})
	for _, c := range commands {
		c.GroupID = id
	}
	root.AddCommand(commands...)
}
