package lsp

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// parsedFiles keeps the last version of each file that parsed, for completion while somebody is writing.
type parsedFiles map[string]*hcl.File

// labFiles returns the .hcl files of a directory, as far as they parse, and whether all of them do.
func (s *server) labFiles(dir string) (files map[string]*hcl.File, valid bool) {
	files, valid = map[string]*hcl.File{}, true
	fsys, err := newOverlay(dir, s.open())
	if err != nil {
		return files, false
	}
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return files, false
	}
	for _, e := range entries {
		if !e.Type().IsRegular() || filepath.Ext(e.Name()) != ".hcl" || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		path := filepath.Join(dir, e.Name())
		data, err := fs.ReadFile(fsys, e.Name())
		if err != nil {
			valid = false
			continue
		}
		f, diags := labs.ParseFile(data, path)
		valid = valid && !diags.HasErrors()
		if f != nil {
			files[path] = f
		}
		s.mu.Lock()
		if f != nil && !diags.HasErrors() {
			s.parsed[path] = f
		}
		s.mu.Unlock()
	}
	return files, valid
}

// lastParsed replaces files that do not parse by the last versions that did.
func (s *server) lastParsed(files map[string]*hcl.File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for path := range files {
		if f := s.parsed[path]; f != nil {
			files[path] = f
		}
	}
}

// isLab reports whether a directory is that of a lab: it has a lab.hcl, or a file with a lab block. Others write .hcl
// files too.
func (s *server) isLab(dir string) bool {
	s.mu.Lock()
	known := s.folders["lab "+dir] != nil
	s.mu.Unlock()
	if known {
		return true
	}
	if _, err := os.Lstat(filepath.Join(dir, "lab.hcl")); err == nil {
		return true
	}
	files, _ := s.labFiles(dir)
	for path, f := range files {
		if filepath.Base(path) == "lab.hcl" {
			return true
		}
		body, ok := f.Body.(*hclsyntax.Body)
		for i := 0; ok && i < len(body.Blocks); i++ {
			if body.Blocks[i].Type == "lab" {
				return true
			}
		}
	}
	return false
}

// labFacts is what code lenses need of a lab that loads.
type labFacts struct {
	*labs.Lab
	texts map[string]string // of a lens, by "TASK" or "TASK/OBJECTIVE", by labels
}

// analyseLab says of a lab what `labctl validate` says.
func (s *server) analyseLab(dir string) analyser {
	return func(ctx context.Context, docs map[string]*document) (*analysis, error) {
		fsys, err := newOverlay(dir, docs)
		if err != nil {
			return nil, err
		}
		lab, diags, err := s.labFlags.ReadFS(fsys, filepath.ToSlash(dir))
		if err != nil {
			return nil, err
		}
		found := &analysis{diags: map[string][]diagnostic{}}
		for path := range docs { // an open file without problems is told so too
			if filepath.Dir(path) == dir && filepath.Ext(path) == ".hcl" {
				found.diags[path] = []diagnostic{}
			}
		}
		if !diags.HasErrors() && ctx.Err() == nil {
			if found.lab, err = s.test(ctx, lab, diags); err != nil {
				diags.Add(&hcl.Diagnostic{Severity: hcl.DiagError, Summary: "Invalid lab", Detail: err.Error()})
			}
		}
		for _, d := range diags.Diagnostics {
			path, at := filepath.Join(dir, "lab.hcl"), span{}
			if d.Subject != nil {
				path = filepath.FromSlash(d.Subject.Filename)
				at = spanIn(fsys, dir, *d.Subject)
			}
			severity := severityError
			if d.Severity == hcl.DiagWarning {
				severity = severityWarning
			}
			found.diags[path] = append(found.diags[path], diagnostic{at, severity, "labctl", d.Summary + ": " + d.Detail})
		}
		return found, nil
	}
}

// test adds the warnings about a lab that loads, and returns what its objectives need.
func (s *server) test(ctx context.Context, lab *labs.Lab, diags *labs.Diagnostics) (*labFacts, error) {
	eng, err := s.engine.Open(lab)
	if err != nil {
		return nil, err
	}
	warnings, err := labtest.Lint(ctx, lab, eng)
	if err != nil {
		return nil, err
	}
	diags.Add(warnings...)
	grader, err := grade.NewGrader(lab)
	if err != nil {
		return nil, err
	}
	return &labFacts{lab, objectiveTexts(grader)}, nil
}

// spanIn is a range of a file as the editor has it.
func spanIn(fsys fs.FS, dir string, rng hcl.Range) span {
	name, ok := below(dir, filepath.FromSlash(rng.Filename))
	if !ok {
		return span{}
	}
	data, err := fs.ReadFile(fsys, name)
	if err != nil {
		return span{}
	}
	return newText(string(data)).span(rng.Start.Byte, rng.End.Byte)
}

// objectiveTexts says what each task and objective of a lab is made of, by their labels in the files.
func objectiveTexts(g *grade.Grader) map[string]string {
	type sum struct {
		instances, probes, other int
		points, bonus            float64
	}
	sums := map[string]*sum{}
	get := func(key string) *sum {
		if sums[key] == nil {
			sums[key] = &sum{}
		}
		return sums[key]
	}
	for i := range g.Lab().Tasks {
		t := &g.Lab().Tasks[i]
		probes := map[string]int{}
		for _, q := range g.Questions(i) {
			probes[q.Objective]++
		}
		for j := range t.Objectives {
			o := &t.Objectives[j]
			for _, key := range []string{rangeKey(t.Range), rangeKey(o.Range)} {
				n := get(key)
				n.instances++
				n.probes += probes[o.Name]
				for _, c := range o.Checks {
					if !grade.CheckKind(c.Type()).AboutConnections() {
						n.other++
					}
				}
				if o.Bonus {
					n.bonus += o.Points
				} else {
					n.points += o.Points
				}
			}
		}
	}
	texts := map[string]string{}
	for key, n := range sums {
		var parts []string
		if n.instances > 1 {
			parts = append(parts, wording.Count(n.instances, "objective"))
		}
		if n.probes > 0 {
			parts = append(parts, wording.Count(n.probes, "probe"))
		}
		if n.other > 0 {
			parts = append(parts, wording.Count(n.other, "other check"))
		}
		if n.points > 0 || n.bonus == 0 {
			parts = append(parts, report.Points(n.points))
		}
		if n.bonus > 0 {
			parts = append(parts, report.Points(n.bonus)+" bonus")
		}
		texts[key] = strings.Join(parts, " · ")
	}
	return texts
}

func rangeKey(rng hcl.Range) string {
	return fmt.Sprint(filepath.FromSlash(rng.Filename), ":", rng.Start.Byte)
}
