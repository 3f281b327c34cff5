package class

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/gradescope"
)

func NewPackageCommand(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "package",
		Short:   "Create an autograder for a course platform",
		Long:    `Create an autograder for a course platform, with the lab and labctl in it.`,
		Example: `  labctl package gradescope networkpolicy --out autograder.zip`,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPackageGradescopeCommand(app))
	return cmd
}

func newPackageGradescopeCommand(app *cli.App) *cobra.Command {
	var (
		lab    cli.LabFlags
		pack   gradescope.Package
		out    string
		reveal bool
		after  bool
		late   bool
		tries  bool
	)
	cmd := &cobra.Command{
		Use:   "gradescope LAB --out FILE.zip",
		Short: "Create an autograder archive for Gradescope",
		Long: `Create the zip archive that a Gradescope programming assignment uses as its autograder. It contains the lab, labctl
for linux/amd64, and the two scripts that Gradescope runs. It downloads nothing and grades offline.

Set the assignment's points to those of the lab. If a submission cannot be graded because of the machine, labctl
writes no results: Gradescope reports that the autograder failed, and gives no score.

With --late, labctl deducts the lab's late penalty, by the dates in Gradescope, including extensions. With --attempts,
the lab's limit on attempts applies: labctl does not grade a submission beyond the limit and keeps the earlier score.

--after-due includes the objectives that the lab shows after the due date, and --reveal the hidden ones. Gradescope
hides the former until that date and the latter always. While it hides one, it shows students no total.`,
		Example: `  labctl package gradescope networkpolicy --out autograder.zip
  labctl package gradescope mylab/ --out autograder.zip --late --after-due`,
		Args:              cli.Args(1, 1),
		ValidArgsFunction: cli.CompleteArgs(cli.CompleteLab),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if out == "" {
				return errors.New("--out is missing; name the archive to write")
			}
			if pack.Lab, err = lab.Load(args[0]); err != nil {
				return err
			}
			if pack.Binary == "" {
				if pack.Binary, err = os.Executable(); err != nil {
					return cli.InfraError{Err: fmt.Errorf("find the labctl program: %w; name it with --labctl", err)}
				}
			}
			for _, v := range lab.Vars {
				pack.Options = append(pack.Options, "--var="+v)
			}
			if len(lab.VarFiles) > 0 {
				return errors.New("--var-file does not work in an autograder; set the variables with --var")
			}
			for _, option := range []struct {
				name string
				set  bool
			}{{"--reveal", reveal}, {"--after-due", after}, {"--late", late}, {"--attempts", tries}} {
				if option.set {
					pack.Options = append(pack.Options, option.name)
				}
			}
			err = writeWhole(out, pack.Write)
			var binary *gradescope.BinaryError
			if errors.As(err, &binary) {
				return fmt.Errorf(
					"%w; build labctl with CGO_ENABLED=0 GOOS=linux GOARCH=amd64, and name it with --labctl", err)
			}
			if err != nil {
				return err
			}
			_, err = fmt.Fprintf(app.Out,
				"Created %s. Upload it as the autograder of an assignment with the lab's points.\n", out)
			return err
		},
	}
	lab.Register(cmd)
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "`FILE` to write")
	f.StringVar(&pack.Binary, "labctl", "", "`FILE` with labctl for linux/amd64 (default: this program)")
	f.BoolVar(&reveal, "reveal", false, "include hidden objectives, which only staff see")
	f.BoolVar(&after, "after-due", false, "include objectives that students see after the due date")
	f.BoolVar(&late, "late", false, "deduct the lab's late penalty")
	f.BoolVar(&tries, "attempts", false,
		"apply the lab's rules on attempts: how many are allowed, and which one counts")
	return cmd
}

// writeWhole replaces a file once it is complete.
func writeWhole(name string, write func(io.Writer) error) error {
	f, err := renameio.NewPendingFile(name, renameio.WithTempDir(filepath.Dir(name)),
		renameio.WithStaticPermissions(0o644))
	if err != nil {
		return cli.InfraError{Err: err}
	}
	defer f.Cleanup()
	if err := write(f); err != nil {
		return err
	}
	if err := f.CloseAtomicallyReplace(); err != nil {
		return cli.InfraError{Err: err}
	}
	return nil
}

// NewAutogradeCommand is what the scripts of packages run.
func NewAutogradeCommand(app *cli.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "autograde",
		Short:   "Grade one submission in an autograder",
		Long:    `Grade one submission in an autograder. The scripts that "labctl package" writes call this command.`,
		Example: `  labctl autograde gradescope lab/`,
		Hidden:  true,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAutogradeGradescopeCommand(app))
	return cmd
}

func newAutogradeGradescopeCommand(app *cli.App) *cobra.Command {
	var (
		labFlags cli.LabFlags
		engine   cli.EngineFlags
		cfg      batch.Config
		dir      string
		late     bool
		tries    bool
	)
	cmd := &cobra.Command{
		Use:   "gradescope LAB",
		Short: "Grade the submission in Gradescope's folder",
		Long: `Grade the submission in Gradescope's folder and write results.json there. The scripts that "labctl package gradescope"
writes call this command.`,
		Example: `  labctl autograde gradescope lab/ --late`,
		Args:    cli.Args(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := LoadGrading(&cfg, &labFlags, &engine, args[0])
			if err != nil {
				return err
			}
			if late {
				cfg.Late = lab.Late
			}
			if tries {
				cfg.Attempts = lab.Attempts
			}
			cfg.Tool, cfg.Log = cli.ToolVersion(), app.Log()
			if err := gradescope.Run(cmd.Context(), dir, cfg, app.Out); err != nil {
				return cli.InfraError{Err: err}
			}
			return nil
		},
	}
	labFlags.Register(cmd)
	engine.RegisterSemantics(cmd)
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "/autograder", "Gradescope's `DIR`")
	f.BoolVar(&cfg.Options.AfterDue, "after-due", false, "include objectives that students see after the due date")
	f.BoolVar(&cfg.Options.Reveal, "reveal", false, "include hidden objectives, which only staff see")
	f.BoolVar(&late, "late", false, "deduct the lab's late penalty")
	f.BoolVar(&tries, "attempts", false,
		"apply the lab's rules on attempts: how many are allowed, and which one counts")
	return cmd
}
