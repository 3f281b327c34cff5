package labs_test

import (
	"fmt"
	"os"
	"testing/fstest"

	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/schema"
)

// A lab that ships is found by its name, any other by its directory.
func ExampleOpen() {
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
	fmt.Println(lab.Title)
	fmt.Println("submissions may contain:", lab.Submission.Kinds)
	fmt.Println("first task:", lab.Tasks[0].Name)
	// Output:
	// Kubernetes NetworkPolicy fundamentals
	// submissions may contain: [NetworkPolicy]
	// first task: baseline
}

// A loaded lab is complete: references are resolved, and what the author left out has its default.
func ExampleLoad() {
	fsys := fstest.MapFS{"lab.hcl": {Data: []byte(`
lab "protect-backend" {}

app "backend" {
  port "http" { port = 80 }
}
app "frontend" {}

task "protect" {
  objective "closed" {
    points = 10
    expect "denied" {
      from = app.frontend
      to   = app.backend
    }
  }
}
`)}}
	lab, diags := labs.Load(fsys, ".", labs.LoadOptions{})
	if diags.HasErrors() {
		fmt.Println(diags.Err())
		return
	}
	backend, expect := lab.Apps[0], lab.Tasks[0].Objectives[0].Checks[0].(*labs.Expectation)
	fmt.Println("pass mark:", lab.PassMark)
	fmt.Println("backend:", backend.Namespace, backend.Labels, backend.Replicas, backend.Service)
	fmt.Println(expect.From[0], "to", expect.To[0], "must be", expect.Verdict)
	// Output:
	// pass mark: 70
	// backend: default map[app:backend] 1 backend
	// frontend to backend:http must be denied
}

// All problems are reported at once, each with its place and, where one is near, the name that was meant.
func ExampleDiagnostics_WriteText() {
	fsys := fstest.MapFS{"lab.hcl": {Data: []byte(`lab "x" {
  pass_mark = 120
}
app "backend" {}
task "t" {
  objective "o" {
    points = 1
    invariant "closed" { to = app.bakend }
  }
}
`)}}
	_, diags := labs.Load(fsys, ".", labs.LoadOptions{})
	if err := diags.WriteText(os.Stdout, 100, false); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Error: Out of range
	//
	//   on lab.hcl line 2, in lab "x":
	//    2:   pass_mark = 120
	//
	// pass_mark must be from 0 to 100, not 120.
	//
	// Error: Unknown app
	//
	//   on lab.hcl line 8, in task "t":
	//    8:     invariant "closed" { to = app.bakend }
	//
	// The lab has no app "bakend". Did you mean "backend"?
}

func ExampleFormat() {
	out, diags := labs.Format([]byte("lab \"x\" {\ntitle=\"X\"\npass_mark=70\n}\n"), "lab.hcl")
	if diags.HasErrors() {
		fmt.Println(diags)
	}
	fmt.Print(string(out))
	// Output:
	// lab "x" {
	//   title     = "X"
	//   pass_mark = 70
	// }
}

// The schema says what an editor needs to complete and to explain.
func ExampleSchema() {
	attribute := labs.Schema().Block("app").Attribute("replicas")
	fmt.Println(attribute.Type, "default:", attribute.DefaultText(), "meaning:", attribute.Meaning())
	fmt.Println(schema.Providers())
	// Output:
	// whole number default: 1 meaning: number of pods of a Deployment or StatefulSet (1 to 100)
	// [kind gke minikube existing]
}
