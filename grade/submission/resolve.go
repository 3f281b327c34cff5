package submission

import (
	"path"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/internal/wording"
)

// DeleteFolder is the folder, of a task or of a flat submission, that holds the manifests of what was deleted.
const DeleteFolder = "delete"

// NearDelete reports whether a folder is not called DeleteFolder but meant to be: what is in it would be applied again.
func NearDelete(folder string) bool {
	lower := strings.ToLower(strings.TrimSpace(folder))
	return folder != DeleteFolder && (wording.Nearest(lower, []string{DeleteFolder}) != "" || lower == "remove" || lower == "removed")
}

func (o *opener) isTask(folder string) bool { return o.IsTask != nil && o.IsTask(folder) }

func (o *opener) nearTask(folder string) bool { return o.NearTask != nil && o.NearTask(folder) }

// resolve makes of what was listed what was meant: it enters folders around it, and opens the archives that count.
func (o *opener) resolve(l *level) (*level, error) {
	l = l.enter(o.wrappers(l))
	if err := o.openTasks(l); err != nil {
		return nil, err
	}
	if len(l.files) == 0 && !slices.ContainsFunc(l.archives, func(a entry) bool { return o.inTask(a.name) }) {
		if inner, err := o.only(l, ""); inner != nil || err != nil {
			return inner, err
		}
	}
	return l, o.openInTasks(l)
}

// only opens the one archive in a folder that holds no manifests, and returns what is in it, with the names of what is beside it;
// nil if there is none. An archive that cannot be opened counts if there is no other.
func (o *opener) only(l *level, folder string) (*level, error) {
	below := func(name string) bool { return folder == "" || strings.HasPrefix(name, folder+"/") }
	var mine []entry
	for _, a := range l.archives {
		if below(a.name) {
			mine = append(mine, a)
		}
	}
	if readable := slices.DeleteFunc(slices.Clone(mine), func(a entry) bool { return kindByName(a.name) != "" }); len(readable) > 0 {
		mine = readable
	}
	switch len(mine) {
	case 0:
		return nil, nil
	case 1:
	default:
		e := &SeveralArchives{}
		for _, a := range mine {
			e.Names = append(e.Names, Printable(a.name))
		}
		return nil, e
	}
	inner, err := o.unpack(mine[0])
	if err != nil {
		return nil, err
	}
	for _, name := range l.others {
		if below(name) {
			inner.others = append(inner.others, strings.TrimPrefix(name, folder+"/"))
		}
	}
	for _, a := range l.archives {
		if below(a.name) && a.name != mine[0].name {
			inner.others = append(inner.others, strings.TrimPrefix(a.name, folder+"/"))
		}
	}
	return inner, nil
}

// inTask reports whether an archive lies in the folder of a task: it is the answer to that task alone.
func (o *opener) inTask(name string) bool {
	return slices.ContainsFunc(strings.Split(path.Dir(name), "/"), o.isTask)
}

// unpack opens an archive and resolves what is in it.
func (o *opener) unpack(a entry) (*level, error) {
	if o.nested++; o.nested > maxNested {
		return nil, problem(a.name, "hand in the folder, or one archive of it", "archives lie within archives more than %d deep", maxNested)
	}
	defer func() { o.nested-- }()
	l, err := o.archive(a)
	if err != nil {
		return nil, err
	}
	return o.resolve(l)
}

// openTasks opens archives that are named after tasks and lie at the top: each is the folder of its task, unless there is one.
// One that holds folders of tasks itself stands for these.
func (o *opener) openTasks(l *level) error {
	all := l.archives
	l.archives = nil
	for _, a := range all {
		folder := strings.TrimSuffix(a.name, archiveSuffix(a.name))
		if strings.Contains(folder, "/") || !o.isTask(folder) || l.holds(folder) {
			l.archives = append(l.archives, a)
			continue
		}
		inner, err := o.unpack(a)
		switch {
		case err != nil:
			return err
		case slices.ContainsFunc(inner.top(), o.isTask):
			l.put("", inner)
		default:
			l.put(folder, inner.unwrapped())
		}
	}
	return nil
}

// openInTasks opens the one archive in the folder of a task that holds no manifests.
func (o *opener) openInTasks(l *level) error {
	for _, folder := range l.top() {
		if !o.isTask(folder) || l.holds(folder) {
			continue
		}
		inner, err := o.only(l, folder)
		if err != nil {
			return err
		}
		if inner != nil {
			l.archives = slices.DeleteFunc(l.archives, func(a entry) bool { return strings.HasPrefix(a.name, folder+"/") })
			l.others = slices.DeleteFunc(l.others, func(name string) bool { return strings.HasPrefix(name, folder+"/") })
			l.put(folder, inner.unwrapped())
		}
	}
	return nil
}

// unwrapped is what is in the innermost folder that holds everything.
func (l *level) unwrapped() *level {
	return l.enter(l.only(func(folder string) bool { return folder == DeleteFolder }))
}

// put adds what another level holds below a folder; "" is the top.
func (l *level) put(folder string, inner *level) {
	if folder != "" {
		l.folders[folder] = true
	}
	for name := range inner.folders {
		l.folders[path.Join(folder, name)] = true
	}
	for _, f := range inner.files {
		l.files = append(l.files, manifest.File{Name: path.Join(folder, f.Name), Data: f.Data})
	}
	for _, a := range inner.archives {
		l.others = append(l.others, path.Join(folder, a.name))
	}
	for _, name := range inner.others {
		l.others = append(l.others, path.Join(folder, name))
	}
}

// holds reports whether a folder holds manifests, at any depth.
func (l *level) holds(folder string) bool {
	return slices.ContainsFunc(l.files, func(f manifest.File) bool { return strings.HasPrefix(f.Name, folder+"/") })
}

// top lists the folders at the top.
func (l *level) top() []string {
	var top []string
	for name := range l.folders {
		if !strings.Contains(name, "/") {
			top = append(top, name)
		}
	}
	slices.Sort(top)
	return top
}

// content are the names of all that can be graded.
func (l *level) content() []string {
	names := make([]string, 0, len(l.files)+len(l.archives))
	for _, f := range l.files {
		names = append(names, f.Name)
	}
	for _, a := range l.archives {
		names = append(names, a.name)
	}
	return names
}

// only is the path of the innermost folder that everything which can be graded is in; stop names folders that are not entered.
func (l *level) only(stop func(folder string) bool) string {
	dir := ""
	for {
		next := ""
		for i, name := range l.content() {
			rest := strings.TrimPrefix(name, dir)
			folder, _, in := strings.Cut(rest, "/")
			if !in || stop(folder) || i > 0 && folder != next {
				return strings.TrimSuffix(dir, "/")
			}
			next = folder
		}
		if next == "" {
			return strings.TrimSuffix(dir, "/")
		}
		dir += next + "/"
	}
}

// wrappers is the path of the folder that the tasks' folders are in, where that holds everything; "" if they are at the top, or
// nowhere: then names stay as the student knows them.
func (o *opener) wrappers(l *level) string {
	dir := l.only(func(folder string) bool { return folder == DeleteFolder || o.isTask(folder) })
	for ; dir != "" && dir != "."; dir = path.Dir(dir) {
		for name := range l.folders {
			base := path.Base(name)
			if path.Dir(name) == dir && (base == DeleteFolder || o.isTask(base) || o.nearTask(base)) {
				// What looks like a task's folder is entered only for the tasks in it.
				if !o.isTask(base) && o.nearTask(path.Base(dir)) {
					continue
				}
				return dir
			}
		}
		// So do archives that stand for the tasks' folders.
		if slices.ContainsFunc(l.archives, func(a entry) bool {
			return path.Dir(a.name) == dir && o.isTask(path.Base(strings.TrimSuffix(a.name, archiveSuffix(a.name))))
		}) {
			return dir
		}
	}
	return ""
}

// enter is what a folder holds; what lies beside it keeps its name among what is not read.
func (l *level) enter(dir string) *level {
	if dir == "" {
		return l
	}
	in := newLevel()
	cut := func(name string) (string, bool) { return strings.CutPrefix(name, dir+"/") }
	for _, f := range l.files {
		if rest, ok := cut(f.Name); ok {
			in.files = append(in.files, manifest.File{Name: rest, Data: f.Data})
		}
	}
	for _, a := range l.archives {
		if rest, ok := cut(a.name); ok {
			in.archives = append(in.archives, entry{rest, a.open})
		}
	}
	for _, name := range l.others {
		rest, _ := cut(name)
		in.others = append(in.others, rest)
	}
	for name := range l.folders {
		if rest, ok := cut(name); ok {
			in.folders[rest] = true
		}
	}
	return in
}
