package author

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/diff"
	"github.com/spf13/cobra"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/labs"
)

// formatting is what `labctl fmt` did; its JSON is a contract (docs/cli.md).
type formatting struct {
	FormatVersion int      `json:"format_version"`
	Changed       []string `json:"changed"` // files that were, or with --check would be, rewritten
}

func NewFmtCommand(app *cli.App) *cobra.Command {
	var (
		check, showDiff bool
		output          cli.OutputFlag
	)
	cmd := &cobra.Command{
		Use:   "fmt [PATH]",
		Short: "Rewrite lab files in the standard format",
		Long: `Rewrite lab files in the standard format, and print the names of the files that changed. PATH is a file, a directory
(with all *.hcl files below it), or - to format standard input to standard output. The default is the current
directory.

Exit code: 0 all files are formatted now; 1 with --check, some file is not formatted; 2 a file is not valid HCL.`,
		Example: `  labctl fmt
  labctl fmt --check --diff mylab/
  labctl fmt - <lab.hcl`,
		Args: cli.Args(0, 1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return formatStream(app, check)
			}
			paths, err := labFiles(cli.LabArg(args))
			if err != nil {
				return err
			}
			result := formatting{FormatVersion: 1, Changed: []string{}}
			var failed error
			for _, path := range paths {
				before, after, err := formatFile(path)
				if err != nil {
					failed = errors.Join(failed, err)
					continue
				}
				if bytes.Equal(before, after) {
					continue
				}
				result.Changed = append(result.Changed, path)
				if !output.Json() {
					fmt.Fprintln(app.Out, path)
					if showDiff {
						app.Out.Write(diff.Diff(path, before, path+" (formatted)", after))
					}
				}
				if !check {
					failed = errors.Join(failed, overwrite(path, after))
				}
			}
			if output.Json() {
				if err := app.WriteJSON(result); err != nil {
					return err
				}
			}
			if failed != nil {
				return failed
			}
			if check && len(result.Changed) > 0 {
				return cli.Reported{Err: cli.ErrBelowMark}
			}
			return nil
		},
	}
	// The flag parser reads -check as -c with the value "heck".
	for _, flag := range []*oneDash{{"check", &check}, {"diff", &showDiff}} {
		cmd.Flags().VarP(flag, flag.name+"-with-one-dash", flag.name[:1], "")
		_ = cmd.Flags().MarkHidden(flag.name + "-with-one-dash") // the only error is a flag that does not exist
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; exit with code 1 if some file is not formatted")
	cmd.Flags().BoolVar(&showDiff, "diff", false, "print the changes in each file")
	output.Register(cmd)
	return cmd
}

// oneDash is a flag that gofmt and terraform fmt take with one dash: -check.
type oneDash struct {
	name string
	set  *bool
}

func (d *oneDash) String() string { return "" }
func (d *oneDash) Type() string   { return "bool" }

func (d *oneDash) Set(rest string) error {
	if rest != d.name[1:] {
		return fmt.Errorf("unknown flag -%s%s; did you mean --%s?", d.name[:1], rest, d.name)
	}
	*d.set = true
	return nil
}

func formatStream(a *cli.App, check bool) error {
	src, err := io.ReadAll(a.In)
	if err != nil {
		return err
	}
	formatted, err := format(src, "-")
	if err != nil {
		return err
	}
	if check {
		if !bytes.Equal(src, formatted) {
			return cli.Reported{Err: cli.ErrBelowMark}
		}
		return nil
	}
	_, err = a.Out.Write(formatted)
	return err
}

func formatFile(path string) (before, after []byte, err error) {
	if before, err = os.ReadFile(path); err != nil {
		return nil, nil, err
	}
	after, err = format(before, path)
	return before, after, err
}

func format(src []byte, name string) ([]byte, error) {
	formatted, diags := labs.Format(src, name)
	if !diags.HasErrors() {
		return formatted, nil
	}
	var b strings.Builder
	w := hcl.NewDiagnosticTextWriter(&b, map[string]*hcl.File{name: {Bytes: src}}, cli.PipeWidth, false)
	if err := w.WriteDiagnostics(diags); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%s is not valid HCL\n%s", name, strings.TrimRight(b.String(), "\n"))
}

// overwrite replaces a file's content and keeps its permissions.
func overwrite(path string, data []byte) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, info.Mode().Perm())
}

// labFiles lists the *.hcl files at and below path, in name order.
func labFiles(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	err = filepath.WalkDir(path, func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name != path && strings.HasPrefix(entry.Name(), "."):
			return fs.SkipDir
		case entry.Type().IsRegular() && strings.HasSuffix(entry.Name(), ".hcl"):
			files = append(files, name)
		}
		return nil
	})
	return files, err
}
