package main

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

	"github.com/labctl/labctl/labs"
)

// formatting is what `labctl fmt` did; its JSON is a contract (docs/cli.md).
type formatting struct {
	FormatVersion int      `json:"format_version"`
	Changed       []string `json:"changed"` // files that were, or with --check would be, rewritten
}

func newFmtCommand(app *app) *cobra.Command {
	var (
		check, showDiff bool
		output          outputFlag
	)
	cmd := &cobra.Command{
		Use:   "fmt [PATH]",
		Short: "Rewrite lab files in the one format that all labs have",
		Long: `Rewrite lab files in the one format that all labs have, and print the names of those that changed. PATH is
a file, a directory (all *.hcl files in it and below), or - to format standard input to standard output;
default the current directory. Flags may be given with one dash, as other formatters take them.

Exit code: 0 done, or nothing to do; 1 with --check, some file is not formatted; 2 a file is not valid HCL.`,
		Example: `  labctl fmt
  labctl fmt -check -diff mylab/
  labctl fmt - <lab.hcl`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 1 && args[0] == "-" {
				return app.formatStream(check)
			}
			paths, err := labFiles(labArg(args))
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
				if !output.json() {
					fmt.Fprintln(app.out, path)
					if showDiff {
						app.out.Write(diff.Diff(path, before, path+" (formatted)", after))
					}
				}
				if !check {
					failed = errors.Join(failed, overwrite(path, after))
				}
			}
			if output.json() {
				if err := app.writeJSON(result); err != nil {
					return err
				}
			}
			if failed != nil {
				return failed
			}
			if check && len(result.Changed) > 0 {
				return statusError(exitBelowMark)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "write nothing; exit with 1 if some file is not formatted")
	cmd.Flags().BoolVar(&showDiff, "diff", false, "print what changes in each file")
	output.register(cmd)
	return cmd
}

func (a *app) formatStream(check bool) error {
	src, err := io.ReadAll(a.in)
	if err != nil {
		return err
	}
	formatted, err := format(src, "-")
	if err != nil {
		return err
	}
	if check {
		if !bytes.Equal(src, formatted) {
			return statusError(exitBelowMark)
		}
		return nil
	}
	_, err = a.out.Write(formatted)
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
	w := hcl.NewDiagnosticTextWriter(&b, map[string]*hcl.File{name: {Bytes: src}}, pipeWidth, false)
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
