package batch_test

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// A class is a directory with a submission per student. Results go to a directory, which a later run continues.
func ExampleRun() {
	fsys, name, err := labs.Open("networkpolicy")
	if err != nil {
		fmt.Println(err)
		return
	}
	lab, diags := labs.Load(fsys, name, labs.LoadOptions{})
	if diags.HasErrors() {
		fmt.Println(diags.Err())
		return
	}
	dir, err := os.MkdirTemp("", "labctl-example-")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for student, sample := range map[string]string{"ada": "samples/solution", "bob": "samples/forgot-dns"} {
		files, err := fs.Sub(fsys, sample)
		if err == nil {
			err = os.CopyFS(filepath.Join(dir, "class", student), files)
		}
		if err != nil {
			fmt.Println(err)
			return
		}
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		fmt.Println(err)
		return
	}
	eng, err := offline.New(lab, policy.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	class, err := intake.Find(filepath.Join(dir, "class"))
	if err != nil {
		fmt.Println(err)
		return
	}
	summary, err := batch.Run(context.Background(), batch.Config{
		Grader: grader, Engine: eng, Out: filepath.Join(dir, "graded"), Limits: batch.DefaultLimits(),
		Report: func(p batch.Progress) {
			if r := p.Result; r != nil {
				fmt.Printf("%s: %v of %v points\n", r.ID, r.Score.Points, r.Score.Max)
			}
		},
	}, class.Entries)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(summary.Submissions, "submissions,", summary.Errors, "errors")
	// Unordered output:
	// ada: 100 of 100 points
	// bob: 79 of 100 points
	// 2 submissions, 0 errors
}
