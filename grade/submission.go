package grade

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// Submission is what a student handed in: read, checked against what the lab takes, and replayed into the
// state at each checkpoint. It belongs to the lab it was read for.
type Submission struct {
	Layout labs.Layout // checkpoints or flat
	Digest string      // "sha256:…" over the names and contents of Files
	Files  []string    // relative to the submission, in name order

	// Steps are what was done during each task of the lab, in its order; a flat submission has one step.
	Steps []Step

	upTo     *int      // of a running lab: the last task whose setup was done; nil: all
	states   []*State  // one a step
	findings []Finding // steps without effect
}

// Step is what was done during one task.
type Step struct {
	Task      string // "" in a flat submission
	Attempted bool   // it applies or deletes something
	Apply     []*manifest.Object
	Delete    []*manifest.Object // kind, namespace and name count
}

// deleteFolder is the folder of a task that holds the manifests of what was deleted.
const deleteFolder = "delete"

// ReadSubmission reads the submission at a path: a directory, an archive of one (.zip, .tar, .tar.gz), or one
// file of manifests. What the lab does
// not take is a *Refused with every reason; a path that cannot be read is any other error.
func ReadSubmission(name string, lab *labs.Lab, lim manifest.Limits) (*Submission, error) {
	g, err := NewGrader(lab)
	if err != nil {
		return nil, err
	}
	return g.ReadSubmission(name, lim)
}

// ReadSubmissionFS is ReadSubmission for a directory or file of fsys, such as a sample of the lab.
func ReadSubmissionFS(fsys fs.FS, dir string, lab *labs.Lab, lim manifest.Limits) (*Submission, error) {
	g, err := NewGrader(lab)
	if err != nil {
		return nil, err
	}
	return g.ReadSubmissionFS(fsys, dir, lim)
}

// ReadSubmissionStream is ReadSubmission for manifests read from r, which are a flat submission; messages
// call them name.
func ReadSubmissionStream(name string, r io.Reader, lab *labs.Lab, lim manifest.Limits) (*Submission, error) {
	g, err := NewGrader(lab)
	if err != nil {
		return nil, err
	}
	return g.ReadSubmissionStream(name, r, lim)
}

// ReadSubmission is the function of the same name, for the grader's lab.
func (g *Grader) ReadSubmission(name string, lim manifest.Limits) (*Submission, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read the submission: %w", err)
	}
	if !info.IsDir() {
		// A file is what its directory holds under its name.
		return g.readFile(os.DirFS(filepath.Dir(name)), filepath.Base(name), lim)
	}
	// A root keeps symbolic links inside the directory.
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("read the submission: %w", err)
	}
	defer root.Close()
	return g.ReadSubmissionFS(root.FS(), ".", lim)
}

// ReadSubmissionFS is the function of the same name, for the grader's lab.
func (g *Grader) ReadSubmissionFS(fsys fs.FS, dir string, lim manifest.Limits) (*Submission, error) {
	dir = path.Clean(dir)
	info, err := fs.Stat(fsys, dir)
	if err != nil {
		return nil, fmt.Errorf("read the submission: %w", err)
	}
	if !info.IsDir() {
		return g.readFile(fsys, dir, lim)
	}
	if fsys, err = fs.Sub(fsys, dir); err != nil {
		return nil, fmt.Errorf("read the submission: %w", err)
	}
	folders, err := topFolders(fsys)
	if err != nil {
		return nil, fmt.Errorf("read the submission: %w", err)
	}
	if inner := g.wrapper(fsys, folders); inner != "" {
		return g.ReadSubmissionFS(fsys, inner, lim)
	}
	files, err := manifest.ReadFS(fsys, ".", lim)
	if err != nil {
		return nil, unreadable("", err) // it names what is in the directory
	}
	// What macOS adds to an archive is no part of it.
	files = slices.DeleteFunc(files, func(f manifest.File) bool { return strings.HasPrefix(f.Name, macFolder+"/") })

	switch g.lab.Layout {
	case labs.LayoutFlat:
		return g.flat(files, lim)
	case labs.LayoutEither:
		if !slices.ContainsFunc(folders, func(f string) bool { return g.taskOf(f) >= 0 || g.nearTask(f) != "" }) {
			return g.flat(files, lim)
		}
	}
	return g.checkpoints(folders, files, lim)
}

// ReadSubmissionStream is the function of the same name, for the grader's lab.
func (g *Grader) ReadSubmissionStream(name string, r io.Reader, lim manifest.Limits) (*Submission, error) {
	files, err := manifest.ReadStream(name, r, lim)
	if err != nil {
		return nil, unreadable(name, err)
	}
	return g.flat(files, lim)
}

// readFile reads one file: an archive of a submission, or manifests.
func (g *Grader) readFile(fsys fs.FS, name string, lim manifest.Limits) (*Submission, error) {
	files, err := manifest.ReadFS(fsys, name, lim)
	if err != nil {
		return nil, unreadable(path.Base(name), err)
	}
	for i := range files {
		files[i].Name = path.Base(files[i].Name)
	}
	if len(files) != 1 || !IsArchive(name) {
		return g.flat(files, lim)
	}
	unpacked, err := Unpack(name, bytes.NewReader(files[0].Data), int64(len(files[0].Data)), lim)
	if err != nil {
		return nil, &Refused{Problems: manifest.Problems{{File: files[0].Name, Message: err.Error()}}}
	}
	return g.ReadSubmissionFS(unpacked, ".", lim)
}

// unreadable makes an error of reading into a refusal, unless the machine is to blame: what is too large,
// too deep or leads outside is the submission's fault.
func unreadable(name string, err error) error {
	var machine *fs.PathError
	if errors.As(err, &machine) && !errors.Is(err, fs.ErrInvalid) { // which is a name
		return fmt.Errorf("read the submission: %w", err)
	}
	return &Refused{Problems: manifest.Problems{{File: name, Message: strings.TrimPrefix(err.Error(), name+": ")}}}
}

const macFolder = "__MACOSX"

// topFolders lists the directories at the top of a submission, in name order.
func topFolders(fsys fs.FS) ([]string, error) {
	entries, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, err
	}
	var folders []string
	for _, e := range entries {
		if e.IsDir() && !strings.HasPrefix(e.Name(), ".") && e.Name() != macFolder {
			folders = append(folders, e.Name())
		}
	}
	return folders, nil
}

// wrapper returns the one folder at the top if the tasks' folders are in it, which is how many an archive
// comes; otherwise "".
func (g *Grader) wrapper(fsys fs.FS, folders []string) string {
	if len(folders) != 1 || g.taskOf(folders[0]) >= 0 || g.lab.Layout == labs.LayoutFlat {
		return ""
	}
	sub, err := fs.Sub(fsys, folders[0])
	if err != nil {
		return ""
	}
	inner, err := topFolders(sub)
	if err != nil || !slices.ContainsFunc(inner, func(f string) bool { return g.taskOf(f) >= 0 }) {
		return ""
	}
	return folders[0]
}

// checkpoints reads a submission of one folder a task.
func (g *Grader) checkpoints(folders []string, files []manifest.File, lim manifest.Limits) (*Submission, error) {
	sub := &Submission{Layout: labs.LayoutCheckpoints, Steps: make([]Step, len(g.lab.Tasks))}
	for i := range g.lab.Tasks {
		sub.Steps[i].Task = g.lab.Tasks[i].Name
	}
	var problems manifest.Problems
	folderOf := make([]string, len(g.lab.Tasks))
	taskOf := make(map[string]int, len(folders))
	for _, folder := range folders {
		i := g.taskOf(folder)
		switch {
		case i < 0:
			problems = append(problems, g.unknownFolder(folder))
		case folderOf[i] != "":
			problems = append(problems, manifest.Problem{
				File:    folder,
				Message: fmt.Sprintf("a second folder for the task %q: %s is one already", g.lab.Tasks[i].Name, folderOf[i]),
				Hint:    "put what was done during a task into one folder",
			})
		default:
			folderOf[i], taskOf[folder] = folder, i
		}
	}
	in := make([]input, 0, len(files))
	for _, f := range files {
		folder, rest, inFolder := strings.Cut(f.Name, "/")
		if !inFolder {
			problems = append(problems, manifest.Problem{
				File:    f.Name,
				Message: "stands beside the tasks' folders, so it belongs to no task",
				Hint:    "move it into the folder of the task that it was applied in: " + g.taskNames(),
			})
			continue
		}
		if i, ok := taskOf[folder]; ok {
			in = append(in, input{file: f, step: i, inStep: rest})
		}
	}
	return g.finish(sub, in, files, problems, lim)
}

// flat reads a submission in which everything is in force at once.
func (g *Grader) flat(files []manifest.File, lim manifest.Limits) (*Submission, error) {
	if g.lab.Layout == labs.LayoutCheckpoints {
		p := manifest.Problem{
			Message: fmt.Sprintf("the lab %q takes a directory with one folder a task, and this is a single file", g.lab.Name),
			Hint:    "the folders are named after the tasks: " + g.taskNames(),
		}
		if len(files) > 0 {
			p.File = files[0].Name
		}
		return nil, &Refused{Problems: manifest.Problems{p}}
	}
	sub := &Submission{Layout: labs.LayoutFlat, Steps: make([]Step, 1)}
	in := make([]input, len(files))
	for i, f := range files {
		in[i] = input{file: f, inStep: f.Name}
	}
	return g.finish(sub, in, files, nil, lim)
}

// input is a file and the step it belongs to.
type input struct {
	file   manifest.File
	step   int
	inStep string // its name in the step's folder
}

// finish parses the files, replays the steps and refuses what the lab does not take.
func (g *Grader) finish(sub *Submission, in []input, files []manifest.File, problems manifest.Problems, lim manifest.Limits) (*Submission, error) {
	var apply, remove []manifest.File
	stepOf := make(map[string]int, len(in))
	for _, f := range in {
		stepOf[f.file.Name] = f.step
		dir, rest, _ := strings.Cut(f.inStep, "/")
		switch {
		case rest != "" && dir == deleteFolder:
			remove = append(remove, f.file)
		case slices.Contains(strings.Split(path.Dir(f.inStep), "/"), deleteFolder):
			problems = append(problems, manifest.Problem{
				File:    f.file.Name,
				Message: "a folder named delete holds what was deleted, and stands directly in the folder of a task, not deeper",
				Hint:    "move it up, or give it another name",
			})
		default:
			apply = append(apply, f.file)
		}
	}
	applied, bad := g.memory().Parse(apply, lim)
	problems = append(problems, bad...)
	removed, bad := manifest.ParseRefs(remove, lim)
	problems = append(problems, bad...)
	for _, o := range applied {
		s := &sub.Steps[stepOf[o.File]]
		s.Apply = append(s.Apply, o)
	}
	for _, o := range removed {
		s := &sub.Steps[stepOf[o.File]]
		s.Delete = append(s.Delete, o)
	}
	for i := range sub.Steps {
		s := &sub.Steps[i]
		s.Attempted = len(s.Apply)+len(s.Delete) > 0
	}

	bad = g.replay(sub)
	problems = append(problems, bad...)
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b manifest.Problem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
		return nil, &Refused{Problems: problems}
	}
	sub.Files = make([]string, len(files))
	h := sha256.New()
	for i, f := range files {
		sub.Files[i] = f.Name
		fmt.Fprintf(h, "%d %s\n%d\n", len(f.Name), f.Name, len(f.Data))
		h.Write(f.Data)
	}
	sub.Digest = fmt.Sprintf("sha256:%x", h.Sum(nil))
	return sub, nil
}

// taskOf returns the index of the task that a folder is named after, with or without a number before it
// ("backend-deny", "01-backend-deny"), or -1.
func (g *Grader) taskOf(folder string) int {
	if i, ok := g.taskIndex[folder]; ok {
		return i
	}
	rest := strings.TrimLeft(folder, "0123456789")
	if rest == folder || len(rest) < 2 || !strings.ContainsRune("-_.", rune(rest[0])) {
		return -1
	}
	if i, ok := g.taskIndex[rest[1:]]; ok {
		return i
	}
	return -1
}

// nearTask returns the name of the task that a folder's name looks like, or "".
func (g *Grader) nearTask(folder string) string {
	return nearest(strings.TrimLeft(folder, "0123456789-_. "), g.names())
}

func (g *Grader) unknownFolder(folder string) manifest.Problem {
	p := manifest.Problem{
		File:    folder,
		Message: fmt.Sprintf("the lab %q has no task of this name", g.lab.Name),
		Hint:    "its tasks are " + g.taskNames(),
	}
	if near := g.nearTask(folder); near != "" {
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

func (g *Grader) names() []string {
	names := make([]string, len(g.lab.Tasks))
	for i := range g.lab.Tasks {
		names[i] = g.lab.Tasks[i].Name
	}
	return names
}

func (g *Grader) taskNames() string { return strings.Join(g.names(), ", ") }
