package grade_test

import (
	"context"
	"fmt"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// A submission is graded without a cluster: here one of the wrong answers that come with the tutorial lab.
func ExampleGrader() {
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
	sub, err := grader.Rules.ReadFS(fsys, "samples/and-or-peers", manifest.Limits{})
	if err != nil { // a *engine.Refused lists the reasons, with file and line
		fmt.Println(err)
		return
	}
	report, err := grader.Grade(context.Background(), sub, eng, grade.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, %v of %v points\n", report.Status, report.Score.Points, report.Score.Max)
	for _, f := range report.Findings {
		fmt.Printf("%s:%d: %s\n", f.File, f.Line, f.Title)
	}
	// Output:
	// passed, 85 of 100 points
	// 06-allow-monitoring-pods/policy.yaml:17: One list item or two: AND or OR of peers
}
