package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/gradescope"
)

func newPackageCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "package",
		Short: "Make an autograder for a course platform",
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newPackageGradescopeCommand(app))
	return cmd
}

func newPackageGradescopeCommand(app *app) *cobra.Command {
	var (
		lab    labFlags
		pack   gradescope.Package
		out    string
		reveal bool
		after  bool
		late   bool
		tries  bool
	)
	cmd := &cobra.Command{
		Use:   "gradescope LAB --out FILE.zip",
		Short: "Make the zip archive that Gradescope takes as autograder",
		Long: `Make the zip archive that Gradescope takes as the autograder of a programming assignment. It holds the lab, labctl
itself for linux/amd64, and the two scripts that Gradescope runs. Nothing is fetched: submissions are graded offline.

The assignment's points should be those of the lab. A submission that could not be graded for reasons of the machine
leaves no results: Gradescope says that the autograder failed, and gives no score.

With --late what the lab says of lateness is taken off, by the dates in Gradescope, extensions included. With --attempts the
lab says which submission counts: one beyond the limit is not graded, and the score stays that of an earlier one.
--after-due hands over the objectives that the lab shows after the due date, and --reveal the hidden ones too: Gradescope
hides them until then, or from students altogether, and as long as it hides one it shows students no total.`,
		Example: `  labctl package gradescope networkpolicy --out autograder.zip
  labctl package gradescope mylab/ --out autograder.zip --late --after-due`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: completeArgs(completeLab),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if out == "" {
				return errors.New("--out is missing: name the archive to write")
			}
			if pack.Lab, err = lab.load(args[0]); err != nil {
				return err
			}
			if pack.Binary == "" {
				if pack.Binary, err = os.Executable(); err != nil {
					return infraError{fmt.Errorf("find labctl itself: %w (name it with --labctl)", err)}
				}
			}
			for _, v := range lab.vars {
				pack.Options = append(pack.Options, "--var="+v)
			}
			if len(lab.varFiles) > 0 {
				return errors.New("--var-file is not in the archive: set the variables with --var")
			}
			for _, option := range []struct {
				name string
				set  bool
			}{{"--reveal", reveal}, {"--after-due", after}, {"--late", late}, {"--attempts", tries}} {
				if option.set {
					pack.Options = append(pack.Options, option.name)
				}
			}
			if err := writeWhole(out, pack.Write); err != nil {
				return err
			}
			_, err = fmt.Fprintf(app.out, "%s is ready: upload it as the autograder of an assignment that is worth the lab's points.\n", out)
			return err
		},
	}
	lab.register(cmd)
	f := cmd.Flags()
	f.StringVar(&out, "out", "", "the archive to write, a `FILE`")
	f.StringVar(&pack.Binary, "labctl", "", "labctl for linux/amd64, a `FILE` (default: this one)")
	f.BoolVar(&reveal, "reveal", false, "hand over hidden objectives too, for staff to see")
	f.BoolVar(&after, "after-due", false, "hand over objectives that are shown after the due date")
	f.BoolVar(&late, "late", false, "take off what the lab says that lateness costs")
	f.BoolVar(&tries, "attempts", false, "let the lab say how many submissions count, and whether the latest or the best")
	return cmd
}

// writeWhole writes a file so that it is there as a whole, or as it was before.
func writeWhole(name string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return infraError{err}
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := errors.Join(f.Chmod(0o644), f.Close()); err != nil {
		return infraError{err}
	}
	if err := os.Rename(f.Name(), name); err != nil {
		return infraError{err}
	}
	return nil
}

// newAutogradeCommand is what the scripts of packages run.
func newAutogradeCommand(app *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:    "autograde",
		Short:  "Grade one submission inside an autograder that labctl package made",
		Hidden: true,
		RunE:   func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAutogradeGradescopeCommand(app))
	return cmd
}

func newAutogradeGradescopeCommand(app *app) *cobra.Command {
	var (
		labFlags labFlags
		engine   engineFlags
		cfg      batch.Config
		dir      string
		late     bool
		tries    bool
	)
	cmd := &cobra.Command{
		Use:   "gradescope LAB",
		Short: "Grade what Gradescope has put into its folder",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			lab, err := loadGrading(&cfg, &labFlags, &engine, args[0])
			if err != nil {
				return err
			}
			if late {
				cfg.Late = lab.Late
			}
			if tries {
				cfg.Attempts = lab.Attempts
			}
			cfg.Tool, cfg.Log = toolVersion(), app.log()
			if err := gradescope.Run(cmd.Context(), dir, cfg, app.out); err != nil {
				return infraError{err}
			}
			return nil
		},
	}
	labFlags.register(cmd)
	engine.registerSemantics(cmd)
	f := cmd.Flags()
	f.StringVar(&dir, "dir", "/autograder", "Gradescope's `DIR`ectory")
	f.BoolVar(&cfg.Options.Reveal, "after-due", false, "tell the objectives that are shown after the due date, for Gradescope to hide until then")
	f.BoolVar(&cfg.Options.RevealHidden, "reveal", false, "tell hidden objectives, for Gradescope to hide from students")
	f.BoolVar(&late, "late", false, "take off what the lab says that lateness costs")
	f.BoolVar(&tries, "attempts", false, "let the lab say how many submissions count, and whether the latest or the best")
	return cmd
}
