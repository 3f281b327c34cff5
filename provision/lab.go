package provision

import (
	"fmt"

	"github.com/labctl/labctl/labs"
)

// Load reads the lab again, from the same source with the same variables. The lab may have changed since the
// instance was created, which its Digest shows.
func (r LabRef) Load(tool string) (*labs.Lab, error) {
	fsys, dir, err := labs.Open(r.Source)
	if err != nil {
		return nil, &UsageError{fmt.Errorf("read the lab of this instance: %w", err)}
	}
	lab, diags := labs.Load(fsys, dir, labs.LoadOptions{Vars: r.Vars, VarFiles: r.VarFiles, ToolVersion: tool})
	if err := diags.Err(); err != nil {
		return nil, &UsageError{fmt.Errorf("read the lab of this instance: %w", err)}
	}
	return lab, nil
}

// namespaces are the lab's namespaces, with the labels that it sets: those of its apps, those it declares, and
// those whose labels are part of an answer.
func namespaces(lab *labs.Lab) map[string]map[string]string {
	all := map[string]map[string]string{}
	for _, app := range lab.Apps {
		all[app.Namespace] = nil
	}
	for _, name := range lab.Submission.MayLabel {
		all[name] = nil
	}
	for _, ns := range lab.Namespaces {
		all[ns.Name] = ns.Labels
	}
	return all
}
