package labs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/labctl/labctl/internal/wording"
)

// checkTasks checks what needs all tasks: that there are some, and whom they depend on.
func (s *scope) checkTasks(lab *Lab) {
	if !s.written["task"] {
		s.diags.add(errorDiag(s.startOfFile(), "No task",
			`The lab has no task. Add one: task "NAME" { objective "NAME" { … } }.`))
	}
	names := make([]string, len(lab.Tasks))
	for i, t := range lab.Tasks {
		names[i] = t.Name
	}
	graph := map[string][]string{}
	for i, t := range lab.Tasks {
		n := s.taskNodes[i]
		for j, dep := range t.DependsOn {
			at := n.elementRange("depends_on", j)
			switch {
			case s.misspelt[dep]:
			case !slices.Contains(names, dep):
				s.errorf(at, "Unknown task", "The lab has no task %q.%s", dep, wording.DidYouMean(dep, names))
			case slices.Contains(t.DependsOn[:j], dep):
				s.errorf(at, "Task repeated", "%q is already in the list.", dep)
			default:
				graph[t.Name] = append(graph[t.Name], dep)
			}
		}
	}
	circular := map[string]bool{} // in a circle that has been reported
	for i, t := range lab.Tasks {
		if circular[t.Name] {
			continue
		}
		if cycle := findCycle(graph, t.Name); cycle != nil {
			mark(circular, cycle)
			s.errorf(s.taskNodes[i].rng("depends_on"), "Circular dependency", "The task %q depends on itself: %s.",
				t.Name, strings.Join(cycle, " → "))
			continue
		}
		for j, dep := range t.DependsOn {
			if k := slices.Index(names, dep); k > i {
				s.errorf(s.taskNodes[i].elementRange("depends_on", j), "Later task", "The task %q comes after %q in the lab; tasks are done in order, so one depends on earlier ones only.", dep, t.Name)
			}
		}
	}
	s.checkObjectives(lab)
}

// checkObjectives checks depends_on of objectives: "name" in the same task, "task/name" in an earlier one.
func (s *scope) checkObjectives(lab *Lab) {
	var all []string // "task/objective" of this task and those before it
	known := map[string]bool{}
	graph := map[string][]string{}
	total := 0.0
	for _, t := range lab.Tasks {
		own := make([]string, len(t.Objectives))
		for i, o := range t.Objectives {
			own[i] = o.Name
		}
		earlier := all
		for _, name := range own {
			all = append(all, t.Name+"/"+name)
			known[t.Name+"/"+name] = true
		}
		for _, o := range t.Objectives {
			if !o.Bonus {
				total += o.Points
			}
			n := s.objectiveNodes[o.Range.String()+o.Name]
			for j, dep := range o.DependsOn {
				full := dep
				if !strings.Contains(dep, "/") {
					full = t.Name + "/" + dep
				}
				if known[full] {
					graph[t.Name+"/"+o.Name] = append(graph[t.Name+"/"+o.Name], full)
					continue
				}
				if !s.misspeltObjective(dep) {
					s.errorf(n.elementRange("depends_on", j), "Unknown objective", "%s",
						unknownObjective(dep, t.Name, own, all, earlier))
				}
			}
		}
		circular := map[string]bool{}
		for i, o := range t.Objectives {
			repeated := slices.Contains(own[i+1:], o.Name) || slices.Contains(own[:i], o.Name) // which has been reported
			if repeated || len(o.DependsOn) == 0 || circular[t.Name+"/"+o.Name] {
				continue
			}
			if cycle := findCycle(graph, t.Name+"/"+o.Name); cycle != nil {
				mark(circular, cycle)
				s.errorf(s.objectiveNodes[o.Range.String()+o.Name].rng("depends_on"), "Circular dependency",
					"The objective %q depends on itself: %s.", o.Name, strings.Join(cycle, " → "))
			}
		}
	}
	if len(lab.Tasks) > 0 && total == 0 && !s.diags.HasErrors() {
		s.errorf(lab.Tasks[0].Range, "No points",
			"No objective of the lab has points (bonus does not count), so there is no score to reach.")
	}
}

// unknownObjective reports an unknown objective and suggests similar names: own are those of the task, earlier
// those of the tasks before it ("task/objective"), all both.
func unknownObjective(name, task string, own, all, earlier []string) string {
	if strings.Contains(name, "/") {
		return fmt.Sprintf("Neither this task nor an earlier one has the objective %q.%s",
			name, wording.DidYouMean(name, all))
	}
	detail := fmt.Sprintf("The task %q has no objective %q.%s", task, name, wording.DidYouMean(name, own))
	if i := slices.IndexFunc(earlier, func(e string) bool { return strings.HasSuffix(e, "/"+name) }); i >= 0 {
		detail += fmt.Sprintf(" There is %q.", earlier[i])
	}
	return detail
}

func mark(set map[string]bool, names []string) {
	for _, name := range names {
		set[name] = true
	}
}

// findCycle returns the way from a name back to itself, or nil.
func findCycle(graph map[string][]string, start string) []string {
	seen := map[string]bool{}
	var walk func(name string, way []string) []string
	walk = func(name string, way []string) []string {
		way = append(way, name)
		for _, next := range graph[name] {
			if next == start {
				return append(way, start)
			}
			if seen[next] {
				continue
			}
			seen[next] = true
			if found := walk(next, way); found != nil {
				return found
			}
		}
		return nil
	}
	return walk(start, nil)
}
