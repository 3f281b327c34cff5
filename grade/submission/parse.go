package submission

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
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/mistake"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// Submission is what a student handed in: read, checked against what the lab allows, and replayed into the state
// at each checkpoint. It belongs to the lab whose Rules read it.
type Submission struct {
	Layout labs.Layout // checkpoints or flat
	Digest string      // "sha256:…" over the names and contents of Files
	Files  []string    // relative to the submission, in name order
	// NotRead names files that are no manifests, fit to print; MoreNotRead counts those that are not named.
	NotRead     []string
	MoreNotRead int

	// Steps are what was done during each task of the lab, in its order; a flat submission has one step.
	Steps []Step

	upTo     *int              // of a running lab: the last task whose setup was done; nil: all
	states   []*engine.State   // one a step
	findings []mistake.Finding // steps without effect

	commented map[string]lines // the spec of a file that is commented out, see commentedOut
}

// Step is what was done during one task.
type Step struct {
	Task      string // "" in a flat submission
	Attempted bool   // it applies or deletes something
	Apply     []*manifest.Object
	Delete    []*manifest.Object // kind, namespace and name count
	Empty     []EmptyFile        // files without an object; those that the lab gave out so only beside others that have one
}

// EmptyFile is a file in the folder of a task that no object was read from.
type EmptyFile struct {
	File string // relative to the submission
	Why  string // "the file is empty", "every line is commented out"
	// Starter says that the lab gave it out so.
	Starter bool
}

// Objects returns everything the submission applies, in the order of its steps.
func (s *Submission) Objects() []*manifest.Object {
	var objs []*manifest.Object
	for i := range s.Steps {
		objs = append(objs, s.Steps[i].Apply...)
	}
	return objs
}

// Attempted reports whether the submission applies or deletes something in the task with this index; a flat one,
// whether it does so at all.
func (s *Submission) Attempted(task int) bool {
	if s.Layout == labs.LayoutFlat {
		return s.Steps[0].Attempted
	}
	return s.Steps[task].Attempted
}

// Findings are the steps without effect, such as a deletion of what was never applied.
func (s *Submission) Findings() []mistake.Finding { return s.findings }

// Running reports whether ReadRunning made the submission: it is what is in force in a running lab, and nothing was
// handed in.
func (s *Submission) Running() bool { return s.upTo != nil }

// Read reads the submission at a path: a directory, an archive of one (.zip, .tar, .tar.gz), or one file of
// manifests. If the lab does not allow something in it, the error is an *engine.Refused with every reason; any
// other error means that the path cannot be read.
func (r *Rules) Read(name string, lim manifest.Limits) (*Submission, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, fmt.Errorf("read the submission: %w", err)
	}
	if !info.IsDir() {
		// A file is what its directory holds under its name.
		return r.ReadFS(os.DirFS(filepath.Dir(name)), filepath.Base(name), lim)
	}
	// A root keeps symbolic links inside the directory.
	root, err := os.OpenRoot(name)
	if err != nil {
		return nil, fmt.Errorf("read the submission: %w", err)
	}
	defer root.Close()
	return r.ReadFS(root.FS(), ".", lim)
}

// ReadFS is Read for a directory or file of fsys, such as a sample of the lab.
func (r *Rules) ReadFS(fsys fs.FS, dir string, lim manifest.Limits) (*Submission, error) {
	tree, err := r.ReadTree(fsys, dir, "", lim)
	if err != nil {
		return nil, err
	}
	return r.Parse(tree, lim)
}

// ReadSample reads a submission that ships with the lab.
func (r *Rules) ReadSample(s *labs.Sample) (*Submission, error) {
	if s.Base == "" {
		return r.ReadFS(r.lab.FS, s.Path, manifest.Limits{})
	}
	own, err := r.ReadTree(r.lab.FS, s.Path, "", manifest.Limits{})
	if err != nil {
		return nil, err
	}
	base, err := r.ReadTree(r.lab.FS, s.Base, "", manifest.Limits{})
	if err != nil {
		return nil, err
	}
	return r.Parse(own.over(base), manifest.Limits{})
}

// over is a tree with the files of another one where it has none of their name.
func (t *Tree) over(base *Tree) *Tree {
	files := slices.Concat(t.Files, base.Files)
	byName := func(a, b manifest.File) int { return strings.Compare(a.Name, b.Name) }
	slices.SortStableFunc(files, byName) // of two with one name, its own is the first
	return &Tree{
		Files:   slices.CompactFunc(files, func(a, b manifest.File) bool { return a.Name == b.Name }),
		Folders: slices.Compact(slices.Sorted(slices.Values(slices.Concat(t.Folders, base.Folders)))),
		NotRead: t.NotRead, More: t.More,
	}
}

// ReadTree reads the files of a submission without parsing the manifests. Messages call a single file shown, or by
// its name if that is "". If the lab does not allow something in it, the error is an *engine.Refused.
func (r *Rules) ReadTree(fsys fs.FS, dir, shown string, lim manifest.Limits) (*Tree, error) {
	reader := Reader{Limits: lim}
	if r.lab.Layout != labs.LayoutFlat {
		reader.IsTask = func(folder string) bool { return r.lab.FindTask(folder) >= 0 }
		reader.NearTask = func(folder string) bool { return r.nearTask(folder) != "" }
	}
	tree, err := reader.Read(fsys, dir, shown)
	var problems manifest.Problems
	switch {
	case errors.As(err, &problems):
		return nil, &engine.Refused{Problems: problems}
	case err != nil:
		return nil, fmt.Errorf("read the submission: %w", err)
	}
	return tree, nil
}

// Parse parses the manifests of a tree and replays them. If the lab does not allow something in it, the error is
// an *engine.Refused.
func (r *Rules) Parse(tree *Tree, lim manifest.Limits) (*Submission, error) {
	sub, err := r.ofTree(tree, Limits(lim))
	if err != nil {
		return nil, err
	}
	sub.NotRead, sub.MoreNotRead = tree.NotRead, tree.More
	if len(sub.Files) > 0 { // else they are all that was handed in
		// What the lab gave out itself is no news to anybody.
		sub.NotRead = slices.DeleteFunc(slices.Clone(sub.NotRead), r.inStarter)
	}
	return sub, nil
}

// inStarter reports whether the starter files of the lab include one of this name.
func (r *Rules) inStarter(name string) bool {
	if r.lab.Starter == "" || !fs.ValidPath(name) {
		return false
	}
	_, err := fs.Stat(r.lab.FS, path.Join(r.lab.Starter, name))
	return err == nil
}

func (r *Rules) ofTree(tree *Tree, lim manifest.Limits) (*Submission, error) {
	if r.lab.Layout != labs.LayoutFlat {
		if err := r.tooHigh(tree); err != nil {
			return nil, err
		}
	}
	switch {
	case tree.Single, r.lab.Layout == labs.LayoutFlat:
		return r.flat(tree.Files, lim)
	case r.lab.Layout == labs.LayoutEither:
		if !slices.ContainsFunc(tree.Folders, func(f string) bool { return r.lab.FindTask(f) >= 0 || r.nearTask(f) != "" }) {
			return r.flat(tree.Files, lim)
		}
	}
	return r.checkpoints(tree.Folders, tree.Files, lim)
}

// ReadStream reads manifests from in, which are a flat submission; messages call them name.
func (r *Rules) ReadStream(name string, in io.Reader, lim manifest.Limits) (*Submission, error) {
	lim = Limits(lim)
	files, err := manifest.ReadStream(name, in, lim)
	if err != nil {
		return nil, unreadable(name, err)
	}
	return r.flat(files, lim)
}

// unreadable makes an error of reading into a refusal, unless the machine is to blame: what is too large,
// too deep or leads outside is the submission's fault.
func unreadable(name string, err error) error {
	var machine *fs.PathError
	if errors.As(err, &machine) && !errors.Is(err, fs.ErrInvalid) { // which is a name
		return fmt.Errorf("read the submission: %w", err)
	}
	return &engine.Refused{Problems: manifest.Problems{{File: name, Message: strings.TrimPrefix(err.Error(), name+": ")}}}
}

// checkpoints reads a submission of one folder per task.
func (r *Rules) checkpoints(folders []string, files []manifest.File, lim manifest.Limits) (*Submission, error) {
	sub := &Submission{Layout: labs.LayoutCheckpoints, Steps: make([]Step, len(r.lab.Tasks))}
	for i := range r.lab.Tasks {
		sub.Steps[i].Task = r.lab.Tasks[i].Name
	}
	var problems manifest.Problems
	folderOf := make([]string, len(r.lab.Tasks))
	taskOf := make(map[string]int, len(folders))
	for _, folder := range folders {
		i := r.lab.FindTask(folder)
		switch {
		case i < 0 && r.nearTask(folder) == "" && !holdsManifests(files, folder): // screenshots
		case i < 0:
			problems = append(problems, r.unknownFolder(folder))
		case i > r.last: // begun, but not asked for
		case folderOf[i] != "":
			problems = append(problems, manifest.Problem{
				File:    folder,
				Message: fmt.Sprintf("a second folder for the task %q: %s is one already", r.lab.Tasks[i].Name, folderOf[i]),
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
				Hint:    "move it into the folder of the task that it was applied in: " + r.taskNames(),
			})
			continue
		}
		if i, ok := taskOf[folder]; ok {
			in = append(in, input{file: f, step: i, inStep: rest})
		}
	}
	return r.finish(sub, in, files, problems, lim)
}

func holdsManifests(files []manifest.File, folder string) bool {
	return slices.ContainsFunc(files, func(f manifest.File) bool { return strings.HasPrefix(f.Name, folder+"/") })
}

// flat reads a submission in which everything is in force at once.
func (r *Rules) flat(files []manifest.File, lim manifest.Limits) (*Submission, error) {
	if r.lab.Layout == labs.LayoutCheckpoints {
		p := manifest.Problem{
			Message: fmt.Sprintf("the lab %q takes a directory with one folder per task, and this is a single file", r.lab.Name),
			Hint:    "the folders are named after the tasks: " + r.taskNames(),
		}
		if len(files) > 0 {
			p.File = files[0].Name
		}
		return nil, &engine.Refused{Problems: manifest.Problems{p}}
	}
	sub := &Submission{Layout: labs.LayoutFlat, Steps: make([]Step, 1)}
	in := make([]input, len(files))
	for i, f := range files {
		in[i] = input{file: f, inStep: f.Name}
	}
	return r.finish(sub, in, files, nil, lim)
}

// input is a file and the step it belongs to.
type input struct {
	file   manifest.File
	step   int
	inStep string // its name in the step's folder
}

// finish parses the files, replays the steps and refuses what the lab does not take.
func (r *Rules) finish(sub *Submission, in []input, files []manifest.File, problems manifest.Problems, lim manifest.Limits) (*Submission, error) {
	var apply, remove []manifest.File
	stepOf := make(map[string]int, len(in))
	for _, f := range in {
		stepOf[f.file.Name] = f.step
		dir, rest, _ := strings.Cut(f.inStep, "/")
		switch {
		case rest != "" && dir == DeleteFolder:
			remove = append(remove, f.file)
		case slices.Contains(strings.Split(path.Dir(f.inStep), "/"), DeleteFolder):
			problems = append(problems, manifest.Problem{
				File:    f.file.Name,
				Message: "a folder named delete holds what was deleted, and stands directly in the folder of a task, not deeper",
				Hint:    "move it up, or give it another name",
			})
		case slices.ContainsFunc(strings.Split(path.Dir(f.inStep), "/"), NearDelete):
			problems = append(problems, manifest.Problem{
				File:    f.file.Name,
				Message: "manifests of what was deleted belong into a folder named delete; in this one they would be applied",
				Hint:    "rename the folder to delete, or to something else if they were applied",
			})
		default:
			apply = append(apply, f.file)
		}
	}
	parser := r.Memory.Parser(lim) // one for both: the limits are those of the whole submission
	applied, bad := parser.Parse(apply)
	problems = append(problems, r.notTaken(bad)...)
	removed, bad := parser.ParseRefs(remove)
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
	r.addEmpty(sub, slices.Concat(apply, remove), stepOf)
	sub.commented = map[string]lines{}
	for _, f := range apply {
		if at, ok := commentedOut(f.Data); ok {
			sub.commented[f.Name] = at
		}
	}

	bad = r.replay(sub)
	problems = append(problems, bad...)
	if len(problems) > 0 {
		slices.SortStableFunc(problems, func(a, b manifest.Problem) int {
			return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
		})
		return nil, &engine.Refused{Problems: problems.Trim()}
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

// addEmpty notes the files of each step that no object was read from. Starter files as they were count in steps where
// others were worked on.
func (r *Rules) addEmpty(sub *Submission, files []manifest.File, stepOf map[string]int) {
	for _, f := range files {
		why, s := withoutObjects(f.Data), &sub.Steps[stepOf[f.Name]]
		starter := why != "" && r.starters[startText(f.Data)]
		if why != "" && (s.Attempted || !starter) {
			s.Empty = append(s.Empty, EmptyFile{File: f.Name, Why: why, Starter: starter})
		}
	}
}

// withoutObjects says why there can be no object in a text; "" if there may be one.
func withoutObjects(text []byte) string {
	why := "the file is empty"
	for line := range bytes.Lines(text) {
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0, bytes.Equal(line, []byte("---")):
		case line[0] == '#':
			why = "every line is commented out"
		default:
			return ""
		}
	}
	return why
}

// lines are those of a file from the first to the last, from 1.
type lines struct{ first, last int }

// commentedOut finds the comments at the end of a file, if a spec is in them.
func commentedOut(text []byte) (at lines, found bool) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		line = bytes.TrimSpace(line)
		switch {
		case len(line) == 0:
		case line[0] != '#':
			at, found = lines{}, false
		default:
			if at.first == 0 {
				at.first = n
			}
			at.last = n
			found = found || bytes.HasPrefix(bytes.TrimLeft(line, "# "), []byte("spec:"))
		}
	}
	return at, found
}

// startText is a text in the form in which it is compared with a starter file: editors change line ends.
func startText(text []byte) string {
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\r\n", "\n"))
}

// notTaken says of objects of a kind that the lab does not take only that, whatever else is wrong with them.
func (r *Rules) notTaken(problems manifest.Problems) manifest.Problems {
	misspelt := map[string]bool{} // the objects whose kind is another than they say
	for _, p := range problems {
		if p.Field == "kind" {
			misspelt[p.File+" "+p.Object] = true
		}
	}
	kept := make(manifest.Problems, 0, len(problems))
	said := map[string]bool{}
	for _, p := range problems {
		kind, _, _ := strings.Cut(p.Object, " ")
		object := p.File + " " + p.Object
		if kind == "Namespace" || !manifest.Known(kind) || slices.Contains(r.lab.Submission.Kinds, kind) || misspelt[object] {
			kept = append(kept, p)
			continue
		}
		if !said[object] {
			said[object] = true
			kept = append(kept, r.kindNotTaken(manifest.Problem{File: p.File, Line: p.Line, Object: p.Object}, kind))
		}
	}
	return kept
}

func (r *Rules) unknownFolder(folder string) manifest.Problem {
	p := manifest.Problem{
		File:    folder,
		Message: fmt.Sprintf("the lab %q has no task of this name", r.lab.Name),
		Hint:    "its tasks are " + r.taskNames(),
	}
	near := r.nearTask(folder)
	if i := r.numberedTask(folder); near == "" && i >= 0 {
		near = r.folderOf(i)
	}
	switch {
	case folder == DeleteFolder || NearDelete(folder):
		p.Message = "what was deleted goes into the folder of the task that it was deleted in, not beside it"
		p.Hint = "move it into the folder of that task, and call it " + DeleteFolder
	case near != "":
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	return p
}

// tooHigh refuses a tree of folders that hold the folders of tasks themselves; nil: it is none.
func (r *Rules) tooHigh(tree *Tree) error {
	if slices.ContainsFunc(tree.Folders, r.NamesTask) {
		return nil
	}
	var answers []string
	for _, f := range tree.Files {
		elems := strings.Split(path.Dir(f.Name), "/")
		if i := slices.IndexFunc(elems, r.NamesTask); i > 0 {
			if dir := strings.Join(elems[:i], "/"); !slices.Contains(answers, dir) {
				answers = append(answers, dir)
			}
		}
	}
	p := manifest.Problem{Hint: "hand in this folder alone"}
	switch len(answers) {
	case 0:
		return nil
	case 1:
		p.File, p.Message = answers[0], "the folders of the tasks are in here, and other manifests lie beside it"
	default:
		p.Message = "these are several submissions, and only one can be graded: the folders of the tasks are in " + wording.And(answers)
		p.Hint = "hand in one of them"
	}
	return &engine.Refused{Problems: manifest.Problems{p}}
}

// ReadRunning makes a submission of what is in force in a running lab: its policies, and namespaces with the
// labels that the lab did not give them. task is the student's current one: its setup and that of all tasks before
// it has been applied. It is checked like any other submission, except for its layout.
func (r *Rules) ReadRunning(files []manifest.File, task string, lim manifest.Limits) (*Submission, error) {
	at, err := r.Task(task)
	if err != nil {
		return nil, err
	}
	sub := &Submission{Layout: labs.LayoutFlat, Steps: make([]Step, 1), upTo: &at}
	in := make([]input, len(files))
	for i, f := range files {
		in[i] = input{file: f, inStep: f.Name}
	}
	return r.finish(sub, in, files, nil, lim)
}
