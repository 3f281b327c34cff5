package lsp

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// answers is a folder with a submission to a lab.
type answers struct {
	root string
	lab  string // a directory, or the name of a lab that ships
}

// manifestFolders returns what to analyse if a manifest changes: the answers that it belongs to, or the file alone; and
// the lab whose directory it is in.
func (s *server) manifestFolders(path string) []*folder {
	var list []*folder
	labDir := s.labAround(path)
	if labDir != "" {
		list = append(list, s.folder("lab "+labDir, labDir, s.analyseLab(labDir)))
	}
	if a, ok := s.answersOf(path, labDir); ok {
		return append(list, s.folder("answers "+a.root, a.root, s.analyseAnswers(a)))
	}
	if labDir == "" {
		list = append(list, s.folder("file "+path, path, s.analyseFile(path)))
	}
	return list
}

// labAround returns the directory of the lab that a file is in; "" if it is in none.
func (s *server) labAround(path string) string {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, "lab.hcl")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			return ""
		}
	}
}

// answersOf finds the answers that a manifest belongs to: those of a folder that `labctl checkout` created, a sample or
// the starter of the lab around it, or a folder of answers to the lab that the editor names.
func (s *server) answersOf(path, labDir string) (answers, bool) {
	for dir := filepath.Dir(path); ; dir = filepath.Dir(dir) {
		if lab, ok := cli.CheckedOut(dir); ok {
			return answers{dir, lab}, true
		}
		if dir == filepath.Dir(dir) {
			break
		}
	}
	if labDir != "" {
		lab := s.load(labDir, s.open())
		if lab == nil {
			return answers{}, false
		}
		paths := []string{lab.Starter}
		for i := range lab.Samples {
			paths = append(paths, lab.Samples[i].Path)
		}
		for _, p := range paths {
			root := filepath.Join(labDir, filepath.FromSlash(p))
			if _, ok := below(root, path); ok && p != "" {
				return answers{root, labDir}, true
			}
		}
		return answers{}, false
	}
	if s.lab == "" {
		return answers{}, false
	}
	lab := s.load(s.lab, s.open())
	if lab == nil {
		return answers{}, false
	}
	for dir := filepath.Dir(path); dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if lab.FindTask(filepath.Base(dir)) >= 0 {
			return answers{filepath.Dir(dir), s.lab}, true
		}
	}
	return answers{filepath.Dir(path), s.lab}, lab.Layout != labs.LayoutCheckpoints
}

// load loads a lab: a directory as the editor has it, or one that ships. It returns nil for one with errors.
func (s *server) load(nameOrDir string, docs map[string]*document) *labs.Lab {
	var lab *labs.Lab
	var diags *labs.Diagnostics
	fsys, err := newOverlay(nameOrDir, docs)
	if err == nil {
		lab, diags, err = s.labFlags.ReadFS(fsys, filepath.ToSlash(nameOrDir))
	} else {
		lab, diags, err = s.labFlags.Read(nameOrDir)
	}
	if err != nil || diags.HasErrors() {
		return nil
	}
	return lab
}

// kindOf matches the kind of an object.
var kindOf = regexp.MustCompile(`(?m)^\s*"?kind"?\s*:\s*"?([A-Za-z]+)`)

// analyseFile says what is wrong with a file of policies that belongs to no lab that is known.
func (s *server) analyseFile(path string) analyser {
	return func(_ context.Context, docs map[string]*document) (*analysis, error) {
		found := &analysis{diags: map[string][]diagnostic{}}
		doc := docs[path]
		if doc == nil || !slices.ContainsFunc(kindOf.FindAllStringSubmatch(doc.s, -1), func(m []string) bool {
			return manifest.IsPolicy(m[1])
		}) {
			return found, nil
		}
		name := filepath.Base(path)
		_, problems := manifest.Parse([]manifest.File{{Name: name, Data: []byte(doc.s)}}, manifest.SubmissionLimits())
		found.diags[path] = problemsOf(doc, name, problems)
		return found, nil
	}
}

// problemsOf are the problems of a file, for the editor. A problem of a folder is one of each file in it.
func problemsOf(doc *document, name string, problems manifest.Problems) []diagnostic {
	diags := []diagnostic{}
	for _, p := range problems {
		// A submission in a folder of its own has names that begin there.
		if p.File != name && !strings.HasSuffix(name, "/"+p.File) && !strings.HasPrefix(name, p.File+"/") {
			continue
		}
		message := p.Message
		if p.Field != "" {
			message = p.Field + ": " + message
		}
		if p.Hint != "" {
			message += " (" + p.Hint + ")"
		}
		diags = append(diags, diagnostic{doc.lineSpan(p.Line - 1), severityError, "labctl", message})
	}
	return diags
}

// analyseAnswers says of the open files of a submission what `labctl grade` would reject, and what each policy does.
func (s *server) analyseAnswers(a answers) analyser {
	return func(ctx context.Context, docs map[string]*document) (*analysis, error) {
		lab := s.load(a.lab, docs)
		if lab == nil {
			return &analysis{}, nil // the lab's own diagnostics say why
		}
		grader, err := grade.NewGrader(lab)
		if err != nil {
			return nil, err
		}
		eng, err := s.engine.Open(lab)
		if err != nil {
			return nil, err
		}
		fsys, err := newOverlay(a.root, docs)
		if err != nil {
			return nil, err
		}
		problems, err := problemsIn(grader.Rules, eng, fsys)
		if err != nil {
			return nil, err
		}
		found := &analysis{diags: map[string][]diagnostic{}, lenses: map[string][]codeLens{}}
		for _, path := range slices.Sorted(maps.Keys(docs)) {
			name, ok := below(a.root, path)
			if !ok || !manifest.IsManifestName(name) {
				continue
			}
			found.diags[path] = problemsOf(docs[path], name, problems)
			if len(found.diags[path]) == 0 && ctx.Err() == nil {
				found.lenses[path] = effects(ctx, grader, eng, fsys, docs[path], name)
			}
		}
		return found, nil
	}
}

// problemsIn returns why a submission would be refused.
func problemsIn(rules *submission.Rules, eng engine.Engine, fsys fs.FS) (manifest.Problems, error) {
	sub, err := rules.ReadFS(fsys, ".", manifest.SubmissionLimits())
	var refused *engine.Refused
	switch {
	case errors.As(err, &refused):
		return refused.Problems, nil
	case err != nil:
		return nil, err
	}
	if model, ok := eng.(engine.Simulator); ok {
		return model.Check(sub.Objects()), nil
	}
	return nil, nil
}

// effects says above each policy of a file what it does in the lab.
func effects(ctx context.Context, g *grade.Grader, eng engine.Engine, fsys fs.FS, doc *document, name string) []codeLens {
	if slices.Contains(strings.Split(path.Dir(name), "/"), submission.DeleteFolder) {
		return nil // they are not in force
	}
	objects, problems := manifest.Parse([]manifest.File{{Name: name, Data: []byte(doc.s)}}, manifest.SubmissionLimits())
	if len(problems) > 0 {
		return nil
	}
	state := stateOf(g, fsys, name)
	if state == nil {
		return nil
	}
	var lenses []codeLens
	for _, o := range objects {
		if !manifest.IsPolicy(o.Kind) || ctx.Err() != nil {
			continue
		}
		if text, err := effect(ctx, g.Lab(), eng, state, o); err == nil {
			lenses = append(lenses, codeLens{doc.lineSpan(o.Line - 1), command{Title: text}})
		}
	}
	return lenses
}

// stateOf is the state at the end of the task that a file belongs to. Other files may still be unfinished; then it is
// that of an empty submission.
func stateOf(g *grade.Grader, fsys fs.FS, name string) *engine.State {
	lab, task := g.Lab(), -1
	for _, part := range strings.Split(path.Dir(name), "/") {
		if task = lab.FindTask(part); task >= 0 {
			break
		}
	}
	if task < 0 {
		task = len(lab.Tasks) - 1
	}
	sub, err := g.Rules.Until(task).ReadFS(fsys, ".", manifest.SubmissionLimits())
	if err != nil {
		sub = nil
	}
	states, err := g.Rules.Checkpoints(sub)
	if err != nil || task >= len(states) {
		return nil
	}
	return states[task]
}
