package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/labctl/labctl/labs"
)

// NotOneTask refuses the folder of a single task, or a file in it: everything in it would be taken for the answer to
// every task.
func NotOneTask(lab *labs.Lab, path string) error {
	if path == "-" || lab.Layout == labs.LayoutFlat {
		return nil
	}
	folder, err := filepath.Abs(path)
	if err != nil {
		return nil // reading it says so
	}
	above := filepath.Join(path, "..")
	if info, err := os.Stat(folder); err == nil && !info.IsDir() {
		folder, above = filepath.Dir(folder), filepath.Join(above, "..")
	}
	name := filepath.Base(folder)
	task := lab.FindTask(name)
	if task < 0 || holdsTask(lab, folder, "") {
		return nil
	}
	// A folder that has a task's plain name is one only among others.
	if lab.TaskIndex(name) >= 0 && !holdsTask(lab, filepath.Dir(folder), name) {
		return nil
	}
	return fmt.Errorf("%s is the folder of task %d, and a submission has one folder per task: use --submission %s --task %d",
		name, task+1, above, task+1)
}

// holdsTask reports whether a directory holds the folder of a task, other than the one with this name.
func holdsTask(lab *labs.Lab, dir, other string) bool {
	entries, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(entries, func(e fs.DirEntry) bool {
		return e.IsDir() && e.Name() != other && lab.FindTask(e.Name()) >= 0
	})
}

// lost adds to an error about a submission that does not exist what helps somebody who is in the folder of answers.
func lost(err error) error {
	if _, here := CheckedOut("."); here && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%w; this directory holds answers: use \"--submission .\"", err)
	}
	return err
}
