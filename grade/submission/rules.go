package submission

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs"
)

// Rules are what a lab allows in a submission: folders for its tasks, and the kinds, namespaces and labels that may be
// changed. Rules read submissions and replay them on what the lab sets up itself. One value serves all submissions of a
// lab and is safe for concurrent use.
type Rules struct {
	// Memory caches parsed objects; nil: none. Set it before the first use.
	Memory *manifest.Memory

	lab        *labs.Lab
	namespaces map[string]map[string]string // of the lab, with their initial labels
	setups     [][]setupAction              // one per task
	last       int                          // index of the last task whose folder is read
	starters   map[string]bool              // the contents of the lab's starter manifests; see startText
}

// setupAction is a setup block with its manifests read.
type setupAction struct {
	apply  []*manifest.Object
	remove []*manifest.Object
	labels map[string]map[string]string
}

// NewRules prepares the rules of a lab. An error is the lab's: a setup manifest that does not parse.
func NewRules(lab *labs.Lab) (*Rules, error) {
	r := &Rules{
		last:       len(lab.Tasks) - 1,
		lab:        lab,
		namespaces: namespacesOf(lab),
		setups:     make([][]setupAction, len(lab.Tasks)),
	}
	if lab.Starter != "" {
		files, err := manifest.ReadFS(lab.FS, lab.Starter, manifest.Limits{})
		if err != nil {
			return nil, fmt.Errorf("lab %q, starter: %w", lab.Name, err)
		}
		r.starters = make(map[string]bool, len(files))
		for _, f := range files {
			r.starters[startText(f.Data)] = true
		}
	}
	for i := range lab.Tasks {
		t := &lab.Tasks[i]
		for j := range t.Setup {
			a, err := readSetup(lab, &t.Setup[j])
			if err != nil {
				return nil, fmt.Errorf("lab %q, setup of task %q: %w", lab.Name, t.Name, err)
			}
			r.setups[i] = append(r.setups[i], a)
		}
	}
	return r, nil
}

func readSetup(lab *labs.Lab, s *labs.Setup) (setupAction, error) {
	var a setupAction
	if s.Action == "label" {
		a.labels = map[string]map[string]string{s.Namespace: s.Labels}
		return a, nil
	}
	for _, name := range s.Manifests {
		files, err := manifest.ReadFS(lab.FS, name, manifest.Limits{})
		if err != nil {
			return a, err
		}
		var objs []*manifest.Object
		var problems manifest.Problems
		if s.Action == "delete" {
			objs, problems = manifest.ParseRefs(files, manifest.Limits{})
			a.remove = append(a.remove, objs...)
		} else {
			objs, problems = manifest.Parse(files, manifest.Limits{})
			a.apply = append(a.apply, objs...)
		}
		if err := problems.Err(); err != nil {
			return a, err
		}
	}
	return a, nil
}

// namespacesOf returns the namespaces that exist in the lab before any submission, with their labels.
func namespacesOf(lab *labs.Lab) map[string]map[string]string {
	all := make(map[string]map[string]string)
	add := func(name string, labels map[string]string) {
		if all[name] == nil {
			all[name] = map[string]string{corev1.LabelMetadataName: name}
		}
		maps.Copy(all[name], labels)
	}
	for _, name := range labs.SystemNamespaces() {
		add(name, nil)
	}
	for _, ns := range lab.Namespaces {
		add(ns.Name, ns.Labels)
	}
	for _, app := range lab.Apps {
		add(app.Namespace, nil)
	}
	return all
}

// Change is one thing that a task's setup does to the lab when the task begins.
type Change struct {
	Action string           // as the attribute or block of setup: apply, delete, label
	Object *manifest.Object // that it applies or deletes; nil for a label
	// Of a label: the namespace, and what is put on it.
	Namespace string
	Labels    map[string]string
}

// Setup returns what the setup of a task changes, in order, by the task's index.
func (r *Rules) Setup(task int) []Change {
	var all []Change
	for _, a := range r.setups[task] {
		for _, o := range a.apply {
			all = append(all, Change{Action: "apply", Object: o})
		}
		for _, o := range a.remove {
			all = append(all, Change{Action: "delete", Object: o})
		}
		for _, ns := range slices.Sorted(maps.Keys(a.labels)) {
			all = append(all, Change{Action: "label", Namespace: ns, Labels: a.labels[ns]})
		}
	}
	return all
}

// Until returns rules that read the folders of a submission up to that of a task, by its index, and ignore later ones:
// they do not change the checkpoints before them.
func (r *Rules) Until(task int) *Rules {
	until := *r
	until.last = task
	return &until
}

// Task returns the index of the task with a name, or an error that names the nearest one.
func (r *Rules) Task(name string) (int, error) {
	if i := r.lab.TaskIndex(name); i >= 0 {
		return i, nil
	}
	hint := "its tasks are " + r.taskNames()
	if near := wording.Nearest(name, r.names()); near != "" {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return -1, fmt.Errorf("lab %q has no task %q; %s", r.lab.Name, name, hint)
}

// Namespaces returns the namespaces that exist in the lab before any submission, with their labels. Do not change it.
func (r *Rules) Namespaces() map[string]map[string]string { return r.namespaces }

// NamesTask reports whether a folder of that name, in a submission, holds what was done during a task.
func (r *Rules) NamesTask(folder string) bool { return r.lab.FindTask(folder) >= 0 }

// numbered is a folder's name with the number of a task in it: "2-deny", "02_deny", "task2".
var numbered = regexp.MustCompile(`^([A-Za-z]*)[-_. ]*0*([1-9]\d?)(?:[-_. ]+(.*))?$`)

// nearTask returns the name of the task that a folder's name looks like, or "".
func (r *Rules) nearTask(folder string) string {
	if near := wording.Nearest(strings.TrimLeft(folder, "0123456789-_. "), r.names()); near != "" {
		return near
	}
	i := r.numberedTask(folder)
	if i < 0 {
		return ""
	}
	m := numbered.FindStringSubmatch(folder)
	words := strings.FieldsFunc(m[3], func(c rune) bool { return strings.ContainsRune("-_. ", c) })
	inName := func(w string) bool {
		return slices.Contains(strings.Split(r.lab.Tasks[i].Name, "-"), strings.ToLower(w))
	}
	// A number alone may be anything, such as that of a group, unless it is written like those of the tasks.
	if strings.EqualFold(m[1], "task") || m[1] == "" && m[3] == "" && folder[0] == '0' || m[1] == "" && slices.ContainsFunc(words, inName) {
		return r.folderOf(i)
	}
	return ""
}

// numberedTask returns the index of the task whose number is in a folder's name, or -1.
func (r *Rules) numberedTask(folder string) int {
	m := numbered.FindStringSubmatch(folder)
	if m == nil {
		return -1
	}
	if n, err := strconv.Atoi(m[2]); err == nil && n <= len(r.lab.Tasks) {
		return n - 1
	}
	return -1
}

// folderOf is what the folder of a task is called by custom.
func (r *Rules) folderOf(task int) string {
	return fmt.Sprintf("%02d-%s", task+1, r.lab.Tasks[task].Name)
}

func (r *Rules) names() []string {
	names := make([]string, len(r.lab.Tasks))
	for i := range r.lab.Tasks {
		names[i] = r.lab.Tasks[i].Name
	}
	return names
}

func (r *Rules) taskNames() string { return strings.Join(r.names(), ", ") }

// mayApply says whether the lab takes an object, and if not why.
func (r *Rules) mayApply(o *manifest.Object) (manifest.Problem, bool) {
	p := manifest.Problem{File: o.File, Line: o.Line, Object: o.Ref().String()}
	take := &r.lab.Submission
	if !slices.Contains(r.lab.Submission.Kinds, o.Kind) {
		return r.kindNotTaken(p, o.Kind), false
	}
	if o.Namespace != "" && !slices.Contains(take.Namespaces, o.Namespace) {
		p.Line, p.Field = o.LineOf("metadata.namespace"), "metadata.namespace"
		p.Message = fmt.Sprintf("the lab %q takes nothing in the namespace %q", r.lab.Name, o.Namespace)
		p.Hint = "it takes policies in " + wording.And(take.Namespaces)
		if !namesNamespace(o) {
			p.Field, p.Message = "metadata", fmt.Sprintf("the object names no namespace, which means %q, and the lab %q takes nothing there",
				o.Namespace, r.lab.Name)
		} else if near := wording.Nearest(o.Namespace, take.Namespaces); near != "" {
			p.Hint = fmt.Sprintf("did you mean %q?", near)
		}
		return p, false
	}
	return p, true
}

// namesNamespace reports whether a manifest says which namespace its object is in.
func namesNamespace(o *manifest.Object) bool {
	var written struct {
		Metadata struct{ Namespace *string }
	}
	return json.Unmarshal(o.JSON, &written) != nil || written.Metadata.Namespace != nil
}

func (r *Rules) kindNotTaken(p manifest.Problem, kind string) manifest.Problem {
	p.Message = fmt.Sprintf("the lab %q does not take objects of the kind %s", r.lab.Name, kind)
	p.Hint = r.taken()
	return p
}

// mayDelete says whether a student may delete an object, and if not why.
func (r *Rules) mayDelete(o *manifest.Object) (manifest.Problem, bool) {
	if o.Kind == "Namespace" {
		return manifest.Problem{
			File: o.File, Line: o.Line, Object: o.Ref().String(),
			Message: "a namespace cannot be deleted, nor can labels be taken off one",
			Hint:    "a Namespace manifest in the task's folder adds or changes labels",
		}, false
	}
	return r.mayApply(o)
}

// mayLabel returns what is wrong with a Namespace manifest: it may carry labels, and change those of the
// namespaces that the lab names. had are the labels that earlier steps left.
func (r *Rules) mayLabel(o *manifest.Object, ns *corev1.Namespace, had map[string]string) manifest.Problems {
	var problems manifest.Problems
	refuse := func(field, message, hint string) {
		problems = append(problems, manifest.Problem{
			File: o.File, Line: o.LineOf(field), Object: o.Ref().String(), Field: field, Message: message, Hint: hint,
		})
	}
	base, exists := r.namespaces[ns.Name]
	if !exists {
		known := slices.Sorted(maps.Keys(r.namespaces))
		hint := "its namespaces are " + wording.And(known)
		if near := wording.Nearest(ns.Name, known); near != "" {
			hint = fmt.Sprintf("did you mean %q?", near)
		}
		refuse("metadata.name", fmt.Sprintf("the lab %q has no namespace %q, and a submission cannot create one", r.lab.Name, ns.Name), hint)
		return problems
	}
	allowed := slices.Contains(r.lab.Submission.MayLabel, ns.Name)
	for _, k := range slices.Sorted(maps.Keys(ns.Labels)) {
		now, has := had[k]
		if !has {
			now, has = base[k]
		}
		if has && now == ns.Labels[k] {
			continue
		}
		field := fmt.Sprintf("metadata.labels[%s]", k)
		switch {
		case k == corev1.LabelMetadataName:
			refuse(field, fmt.Sprintf("the label %s always is the namespace's name", k), "leave it out")
		case !allowed && len(r.lab.Submission.MayLabel) == 0:
			refuse(field, fmt.Sprintf("the lab %q does not let labels of namespaces be changed", r.lab.Name), "")
		case !allowed:
			refuse(field, fmt.Sprintf("the labels of the namespace %s may not be changed", ns.Name),
				"they may be of "+wording.And(r.lab.Submission.MayLabel))
		}
	}
	// What the API server and kubectl add by themselves changes nothing; all else would be more than labels.
	for _, k := range slices.Sorted(maps.Keys(ns.Annotations)) {
		if k != corev1.LastAppliedConfigAnnotation {
			refuse("metadata.annotations", fmt.Sprintf("a Namespace manifest may carry labels only, and this one has the annotation %s", k), "leave the annotations out")
		}
	}
	if f := ns.Spec.Finalizers; len(f) > 0 && !slices.Equal(f, []corev1.FinalizerName{corev1.FinalizerKubernetes}) {
		refuse("spec", "a Namespace manifest may carry labels only", "leave the spec out")
	}
	return problems
}

// taken says in words what the lab takes.
func (r *Rules) taken() string {
	s := "it takes " + wording.And(r.lab.Submission.Kinds)
	if may := r.lab.Submission.MayLabel; len(may) > 0 {
		s += ", and Namespace with labels for " + wording.And(may)
	}
	return s
}
