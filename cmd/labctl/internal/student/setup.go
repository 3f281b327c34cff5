package student

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/cmd/labctl/internal/cli"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// setupView is a change that a task's setup makes to the lab.
type setupView struct {
	Action string `json:"action"` // apply, delete or label
	Object string `json:"object"` // "NetworkPolicy shop/legacy"
	// File has the object's manifest, in the lab's directory; empty for a label.
	File   string            `json:"file,omitempty"`
	Line   int               `json:"line,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// viewSetup lists what changes in the lab when a task begins.
func viewSetup(rules *submission.Rules, task int) []setupView {
	views := []setupView{}
	for _, c := range rules.Setup(task) {
		v := setupView{Action: c.Action, Object: "Namespace " + c.Namespace, Labels: c.Labels}
		if c.Object != nil {
			v.Object, v.File, v.Line = c.Object.Ref().String(), c.Object.File, c.Object.Line
		}
		views = append(views, v)
	}
	return views
}

// showSetup tells a student what else is in the cluster, which the instructions may not.
func showSetup(a *cli.App, lab *labs.Lab, t *taskView) {
	if len(t.Setup) == 0 {
		return
	}
	fmt.Fprintln(a.Out, "When the task begins, the lab:")
	done := map[string]string{"apply": "applies", "delete": "deletes", "label": "labels"}
	width := 0
	for _, v := range t.Setup {
		width = max(width, len(v.Object))
	}
	for _, v := range t.Setup {
		where := labels.Set(v.Labels).String()
		if v.File != "" {
			where = fmt.Sprintf("%s:%d", v.File, v.Line)
		}
		fmt.Fprintf(a.Out, "  %-7s  %-*s  %s\n", done[v.Action], width, v.Object, where)
	}
	if slices.ContainsFunc(t.Setup, func(v setupView) bool { return v.Action == "apply" }) {
		fmt.Fprintf(a.Out, "Read the manifests: labctl show %s %s --setup\n", lab.Name, t.Name)
	}
	fmt.Fprintln(a.Out)
}

// printSetup prints the manifests that a task's setup applies, as one stream of documents.
func printSetup(a *cli.App, lab *labs.Lab, t *taskView) error {
	var files []string
	for _, v := range t.Setup {
		if v.Action == "apply" && !slices.Contains(files, v.File) {
			files = append(files, v.File)
		}
	}
	if len(files) == 0 {
		return fmt.Errorf("the task %s applies no manifests when it begins", t.Name)
	}
	for i, name := range files {
		data, err := fs.ReadFile(lab.FS, name)
		if err != nil {
			return fmt.Errorf("read %s of the lab %s: %w", name, lab.Name, err)
		}
		if i > 0 {
			fmt.Fprintln(a.Out, "---")
		}
		fmt.Fprintf(a.Out, "# %s\n%s\n", name, strings.TrimSpace(string(data)))
	}
	return nil
}
