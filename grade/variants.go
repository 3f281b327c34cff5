package grade

import (
	"fmt"
	"path"

	"sigs.k8s.io/yaml"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// Variant is a submission as files: the solution with one mistake in it.
type Variant struct {
	Mutant
	Files map[string][]byte // by name, relative to the submission
}

// Variants makes the mistakes that a mutation test of a lab tries, each in a submission of its own. A lab of checkpoints has
// them in the folders of its tasks. What the API server would not take is among them only where the mistake makes it so.
func (g *Grader) Variants(solution *Submission) ([]Variant, error) {
	var all []Variant
	for step := range solution.Steps {
		for _, m := range g.mutants(solution, step) {
			files, err := m.apply(solution).AsFiles()
			if err != nil {
				return nil, fmt.Errorf("%s: %w", m.Message, err)
			}
			all = append(all, Variant{m.Mutant, files})
		}
	}
	return all, nil
}

// AsFiles writes a submission: one file an object, by name.
func (s *Submission) AsFiles() (map[string][]byte, error) {
	files := map[string][]byte{}
	for i := range s.Steps {
		step := &s.Steps[i]
		for folder, objects := range map[string][]*manifest.Object{"": step.Apply, deleteFolder: step.Delete} {
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
