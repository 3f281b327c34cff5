package labs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

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
			case s.refused(dep):
			case !slices.Contains(names, dep):
				s.errorf(at, "Unknown task", "%s", s.unknownTask(dep, names))
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
				s.errorf(s.taskNodes[i].elementRange("depends_on", j), "Later task",
					"The task %q (%s) comes after %q in the lab. Tasks are done in order, so a task can depend on earlier ones only.",
					dep, place(lab.Tasks[k].Range), t.Name)
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
	for i, t := range lab.Tasks {
		own := make([]string, len(t.Objectives))
		for j, o := range t.Objectives {
			own[j] = o.Name
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
				at := n.elementRange("depends_on", j)
				switch later := laterObjective(lab, i, full, dep); {
				case s.misspeltObjective(dep):
				case later != "":
					s.errorf(at, "Later objective", "%s", later)
				default:
					s.errorf(at, "Unknown objective", "%s", s.unknownObjective(lab, dep, t.Name, own, all, earlier))
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
func (s *scope) unknownObjective(lab *Lab, name, task string, own, all, earlier []string) string {
	if strings.Contains(name, "/") {
		return fmt.Sprintf("Neither this task nor an earlier one has the objective %q.%s",
			name, wording.DidYouMean(name, s.valid(all)))
	}
	detail := fmt.Sprintf("The task %q has no objective %q.%s", task, name, wording.DidYouMean(name, s.valid(own)))
	if lab.TaskIndex(name) >= 0 {
		detail += fmt.Sprintf(" %q is a task; an objective of it is written \"%s/OBJECTIVE\".", name, name)
	}
	if i := slices.IndexFunc(earlier, func(e string) bool { return strings.HasSuffix(e, "/"+name) }); i >= 0 {
		detail += fmt.Sprintf(" There is %q.", earlier[i])
	}
	return detail
}

// laterObjective says that an objective is in a task after the i-th, which cannot depend on it; empty: it is not. full is
// "task/objective"; dep is what is written, perhaps without the task.
func laterObjective(lab *Lab, i int, full, dep string) string {
	for k := i + 1; k < len(lab.Tasks); k++ {
		later := &lab.Tasks[k]
		for j := range later.Objectives {
			o := &later.Objectives[j]
			if name := later.Name + "/" + o.Name; name != full && o.Name != dep {
				continue
			}
			return fmt.Sprintf("The objective %q (%s) is in the task %q, which comes after %q in the lab. Tasks are done in order, so an objective can depend only on those of its own task and of earlier ones.",
				o.Name, place(o.Range), later.Name, lab.Tasks[i].Name)
		}
	}
	return ""
}

// unknownTask says that a task, which another one depends on, does not exist.
func (s *scope) unknownTask(name string, names []string) string {
	task, objective, ok := strings.Cut(name, "/")
	if ok && slices.Contains(names, task) {
		return fmt.Sprintf("A task depends on tasks, and %q is an objective. Write %q, or let an objective depend on %q.",
			objective, task, name)
	}
	return fmt.Sprintf("The lab has no task %q.%s", name, wording.DidYouMean(name, s.valid(names)))
}

func place(rng hcl.Range) string { return fmt.Sprintf("%s line %d", rng.Filename, rng.Start.Line) }

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
