package gradetest

import (
	"fmt"
	"path"

	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// Variant is a submission as files: the solution with one mistake in it.
type Variant struct {
	labtest.Mutant
	Files map[string][]byte // by name, relative to the submission
}

// Variants makes the mistakes that a mutation test of a lab tries, each in a submission of its own. A lab of checkpoints has
// them in the folders of its tasks.
func Variants(lab *labs.Lab, solution *submission.Submission) ([]Variant, error) {
	var all []Variant
	for step := range solution.Steps {
		for _, m := range labtest.Mutations(lab, solution, step) {
			files, err := Manifests(m.Apply(solution))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Message, err)
			}
			all = append(all, Variant{m.Mutant, files})
		}
	}
	return all, nil
}

// Manifests writes a submission: one file per object, by name.
func Manifests(s *submission.Submission) (map[string][]byte, error) {
	files := map[string][]byte{}
	for i := range s.Steps {
		step := &s.Steps[i]
		for folder, objects := range map[string][]*manifest.Object{"": step.Apply, submission.DeleteFolder: step.Delete} {
			for j, o := range objects {
				text, err := yaml.JSONToYAML(o.JSON)
				if err != nil {
					return nil, err
				}
				files[path.Join(step.Task, folder, fmt.Sprintf("%d.yaml", j+1))] = text
			}
		}
	}
	return files, nil
}
