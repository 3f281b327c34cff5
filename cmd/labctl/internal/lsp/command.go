package lsp

import (
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
)

func NewCommand(app *cli.App) *cobra.Command {
	var (
		labFlags cli.LabFlags
		engine   cli.EngineFlags
		lab      string
	)
	cmd := &cobra.Command{
		Use:   "lsp",
		Short: "Run a language server for editors",
		Long: `Run a language server on standard input and output. An editor starts it; see docs/editors.md.

In the files of a lab it reports what "labctl validate" reports, completes and explains attributes and blocks, finds
and renames apps, tasks, objectives and the like, and formats. In your answers it reports what "labctl grade" would
reject, and shows above each policy what it does in the lab. The lab is the one that "labctl checkout" created the
folder for, or --lab.`,
		Example: `  labctl lsp
  labctl lsp --lab networkpolicy`,
		Args: cli.Args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := labFlags.Options(); err != nil {
				return err
			}
			if _, err := engine.Config(); err != nil {
				return err
			}
			return newServer(app, labFlags, engine, lab).run(cmd.Context(), app.In, app.Out)
		},
	}
	labFlags.Register(cmd)
	engine.RegisterSemantics(cmd)
	cmd.Flags().StringVar(&lab, "lab", "", "`LAB` of answers in folders that labctl checkout did not create")
	cmd.Flags().Bool("stdio", true, "use standard input and output, which labctl always does; editors pass it")
	_ = cmd.Flags().MarkHidden("stdio") // the only error is a flag that does not exist
	return cmd
}
