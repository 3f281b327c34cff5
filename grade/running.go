package grade

import (
	"fmt"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// ReadRunning makes a submission of what is in force in a running lab: its policies, and namespaces with the
// labels that the lab did not give them. task is the one that the student is at, whose setup and that of those
// before it was done. It is checked as any submission is, but for its layout: what the lab does not take is *Refused.
func (g *Grader) ReadRunning(files []manifest.File, task string, lim manifest.Limits) (*Submission, error) {
	at, ok := g.taskIndex[task]
	if !ok {
		return nil, fmt.Errorf("lab %q has no task %q; its tasks are %s", g.lab.Name, task, g.taskNames())
	}
	sub := &Submission{Layout: labs.LayoutFlat, Steps: make([]Step, 1), upTo: &at}
	in := make([]input, len(files))
	for i, f := range files {
		in[i] = input{file: f, inStep: f.Name}
	}
	return g.finish(sub, in, files, nil, lim)
}
