package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// TestLibrariesNameNoFlags holds that only the commands word flags: the packages below them return errors that say what
// would help, and do not know what sets it on a command line. The arguments of other programs do not count.
func TestLibrariesNameNoFlags(t *testing.T) {
	t.Parallel()
	ours := map[string]bool{}
	for _, cmd := range ourCommands(t) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) { ours[f.Name] = true })
	}
	flag := regexp.MustCompile(`--([a-z][a-z-]*)`)
	files := 0
	for _, dir := range []string{"labs", "cilium", "provision", "grade/engine", "grade/live", "grade/offline"} {
		err := filepath.WalkDir(filepath.Join("../..", dir), func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return err
			case d.IsDir() && d.Name() == "oracle": // a program of its own
				return fs.SkipDir
			case !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go"):
				return nil
			}
			files++
			set := token.NewFileSet()
			file, err := parser.ParseFile(set, path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING {
					return true
				}
				text, err := strconv.Unquote(lit.Value)
				if err != nil || strings.HasPrefix(strings.TrimSpace(text), "--") || strings.Contains(text, "ctr ") ||
					strings.HasPrefix(text, "hubble ") {
					return true
				}
				for _, m := range flag.FindAllStringSubmatch(text, -1) {
					if ours[m[1]] {
						t.Errorf("%s: %q names --%s", set.Position(lit.Pos()), text, m[1])
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 150 {
		t.Errorf("only %d files", files)
	}
}
