package provision

import (
	"path/filepath"
	"time"
)

// Progress is the student's progress in one task.
type Progress struct {
	Done   bool      `json:"done"` // every objective was met once
	Points float64   `json:"points"`
	Max    float64   `json:"max"`
	Graded time.Time `json:"graded"` // the last time
	Report string    `json:"report"` // name of the report's file in the instance's folder
}

// CurrentTask is the student's current task: the one that was chosen, or the first that is not done.
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

// SaveReport saves the report of a graded task in the instance's folder.
func (i *Instance) SaveReport(task string, report []byte) (string, error) {
	name := "report-" + task + ".json"
	return name, writePrivate(filepath.Join(i.Dir, name), report)
}
