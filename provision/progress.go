package provision

import (
	"path/filepath"
	"time"
)

// Progress is how far the student got with one task.
type Progress struct {
	Done   bool      `json:"done"` // every objective was met once
	Points float64   `json:"points"`
	Max    float64   `json:"max"`
	Graded time.Time `json:"graded"` // the last time
	Report string    `json:"report"` // name of the file in the instance's folder with the evidence
}

// CurrentTask is the task that the student is at.
func (st *State) CurrentTask(tasks []string) string {
	if st.Task != "" {
		return st.Task
	}
	for _, name := range tasks {
		if !st.Progress[name].Done {
			return name
		}
	}
	if len(tasks) == 0 {
		return ""
	}
	return tasks[len(tasks)-1]
}

// SaveReport keeps the report of a task's grading beside the state.
func (i *Instance) SaveReport(task string, report []byte) (string, error) {
	name := "report-" + task + ".json"
	return name, writeAtomic(filepath.Join(i.Dir, name), report, 0o600)
}
