package labs_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/labs"
)

// faultless is the lab that faults are put into.
const faultless = `lab "l" {}
namespace "team" {
  labels = { team = "a" }
}
app "web" {
  port "http" { port = 8080 }
}
app "cli" {}
external "net" { host = "kubernetes.io" }
submission {
  kinds = ["NetworkPolicy"]
}
task "one" {
  title = "One"
  objective "first" {
    points = 1
    expect "denied" {
      from = app.cli
      to   = app.web
    }
  }
}
task "two" {
  depends_on = ["one"]
  objective "second" {
    points     = 1
    depends_on = ["one/first"]
    matrix {
      from  = [app.cli, app.web]
      to    = [app.web]
      allow = [[app.cli, app.web]]
    }
  }
}
sample "wrong" {
  path   = "wrong"
  missed = ["one/first"]
}
`

// errorsOf are the diagnostics of faultless with some of its text replaced, as "line: Summary: Detail".
func errorsOf(t *testing.T, replace ...string) []string {
	t.Helper()
	text := strings.NewReplacer(replace...).Replace(faultless)
	if text == faultless && len(replace) > 0 {
		t.Fatalf("nothing was changed by %q", replace)
	}
	_, diags := labs.Load(fstest.MapFS{
		"lab.hcl":      {Data: []byte(text)},
		"wrong/p.yaml": {Data: []byte("# nothing\n")},
		"pod.yaml":     {Data: []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: cli}\nspec: {containers: [{name: c, image: i}]}\n")},
	}, ".", labs.LoadOptions{})
	var all []string
	for _, d := range diags.List() {
		all = append(all, fmt.Sprintf("%d: %s: %s", d.Line, d.Summary, d.Detail))
	}
	return all
}

// TestOneErrorForOneFault: what is wrong is reported once, at its place, with what to write instead.
func TestOneErrorForOneFault(t *testing.T) {
	t.Parallel()
	if got := errorsOf(t); len(got) > 0 {
		t.Fatalf("without a fault: %q", got)
	}
	type faults []struct {
		name    string
		replace []string
		want    []string // parts of the only error; none: there is no error
	}
	for _, tt := range append(faults{
		{"an app's name, as it is referred to", []string{`app "cli"`, `app "Cli_1"`, "app.cli", "app.Cli_1"}, []string{`8: Invalid name`, `Did you mean "cli-1"?`}},
		{"an app's name, as it should be referred to", []string{`app "cli"`, `app "cli_1"`, "app.cli", "app.cli-1"}, []string{`8: Invalid name`, `Did you mean "cli-1"?`}},
		{"a namespace's name", []string{`namespace "team"`, `namespace "Team_1"`, `app "cli" {}`, `app "cli" { namespace = namespace.Team_1.name }`}, []string{`2: Invalid name`, `Did you mean "team-1"?`}},
		{"a namespace's name, in quotes", []string{`namespace "team"`, `namespace "Team_1"`, `app "cli" {}`, `app "cli" { namespace = "Team_1" }`}, []string{`2: Invalid name`}},
		{"a port's name", []string{`port "http"`, `port "HTTP_1"`, "to   = app.web", "to   = app.web.port.http-1"}, []string{`6: Invalid name`, `Did you mean "http-1"?`}},
		{"a port's name, of a health check", []string{`port "http" { port = 8080 }`, "port \"HTTP_1\" { port = 8080 }\nreadiness { port = \"http_1\" }"}, []string{`6: Invalid name`}},
		{"a task's name", []string{`task "one"`, `task "one_1"`, `"one"]`, `"one-1"]`, `"one/first"`, `"one-1/first"`}, []string{`13: Invalid name`, `Did you mean "one-1"?`}},
		{"an objective's name", []string{`objective "first"`, `objective "First_1"`, `"one/first"`, `"one/first_1"`}, []string{`15: Invalid name`, `Did you mean "first-1"?`}},
		{"the lab's name", []string{`lab "l"`, `lab "My Lab"`}, []string{`1: Invalid name`, `Did you mean "my-lab"?`}},
		{"a name that is like no valid one", []string{`sample "wrong"`, `sample "__"`}, []string{`35: Invalid name`, `end with a letter or digit.`}},

		{"a flat list of names", []string{"[[app.cli, app.web]]", `["cli", "web"]`}, []string{`31: Invalid allow`, `[[FROM, TO]]`, `the string "cli"`}},
		{"a flat list of apps", []string{"[[app.cli, app.web]]", `[app.cli, app.web]`}, []string{`31: Invalid allow`, `[[FROM, TO]]`, `an app (cli)`}},
		{"a cell of three", []string{"[[app.cli, app.web]]", `[[app.cli, app.web, app.web]]`}, []string{`31: Invalid allow`, `a list with 3 elements`}},
		{"a cell with other names", []string{"[[app.cli, app.web]]", `[{ src = app.cli, dst = app.web }]`}, []string{`31: Invalid allow`, `a map with dst and src`}},
		{"one cell instead of a list", []string{"[[app.cli, app.web]]", `{ from = app.cli, to = app.web }`}, nil},

		{"an objective of a later task", []string{"points = 1\n    expect", "points = 1\n    depends_on = [\"two/second\"]\n    expect"}, []string{`17: Later objective`, `"second" (lab.hcl line 26) is in the task "two", which comes after "one"`}},
		{"an objective of a later task, without the task", []string{"points = 1\n    expect", "points = 1\n    depends_on = \"second\"\n    expect"}, []string{`17: Later objective`, `"second" (lab.hcl line 26)`}},
		{"a later task", []string{`title = "One"`, `depends_on = "two"`, `depends_on = ["one"]`, ``}, []string{`14: Later task`, `"two" (lab.hcl line 23) comes after "one"`}},
		{"a task instead of an objective", []string{`["one/first"]` + "\n    matrix", `"one"` + "\n    matrix"}, []string{`27: Unknown objective`, `"one" is a task; an objective of it is written "one/OBJECTIVE"`}},
		{"an objective instead of a task", []string{`["one"]`, `["one/first"]`}, []string{`24: Unknown task`, `Write "one"`}},
	}, onesAndLists()...) {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := errorsOf(t, tt.replace...)
			if len(got) > 1 || len(got) != min(len(tt.want), 1) {
				t.Fatalf("the errors are\n%s", strings.Join(got, "\n"))
			}
			for _, part := range tt.want {
				if !strings.Contains(got[0], part) {
					t.Errorf("%q is not in %s", part, got[0])
				}
			}
		})
	}
}

// onesAndLists are attributes that take several strings, and are given one, or lists in a list.
func onesAndLists() (all []struct {
	name    string
	replace []string
	want    []string
}) {
	add := func(name, old, by string, want ...string) {
		all = append(all, struct {
			name    string
			replace []string
			want    []string
		}{name, []string{old, by}, want})
	}
	add("one kind", `["NetworkPolicy"]`, `"NetworkPolicy"`)
	add("lists of kinds", `["NetworkPolicy"]`, `[["NetworkPolicy"], ["CiliumNetworkPolicy"]]`)
	add("one namespace", `kinds = `, "namespaces = \"team\"\nmay_label = \"team\"\nkinds = ")
	add("one task", `depends_on = ["one"]`, `depends_on = "one"`)
	add("one objective", `depends_on = ["one/first"]`, `depends_on = "one/first"`)
	add("one objective of a sample", `missed = ["one/first"]`, `missed = "one/first"`)
	add("one word of a command", `app "cli" {}`, "app \"cli\" {\ncommand = \"sleep\"\nargs = 5\n}")
	add("one manifest", `app "cli" {}`, "app \"cli\" {\nmanifests = \"pod.yaml\"\n}")
	add("one address", `host = "kubernetes.io"`, "\nhost = \"kubernetes.io\"\naddresses = \"192.0.2.1\"\n")
	add("one manifest of a setup", `title = "One"`, "setup {\napply = \"pod.yaml\"\ndelete = \"pod.yaml\"\n}")
	add("one range", `app "cli" {}`, "app \"cli\" {}\ncluster \"gke\" {\nproject = \"p\"\nlocation = \"l\"\nauthorized_networks = \"192.0.2.0/24\"\n}")
	add("a second kind that is wrong", `["NetworkPolicy"]`, "[\"NetworkPolicy\",\n[\"Networkpolicy\"]]", `12: Unknown kind`, `Did you mean "NetworkPolicy"?`)
	add("an app instead of a kind", `["NetworkPolicy"]`, `app.web`, `11: Wrong type`, `kinds takes strings; this is an app (web). Add .name for its name.`)
	add("a map instead of a kind", `["NetworkPolicy"]`, `{ a = "NetworkPolicy" }`, `11: Wrong type`, `kinds takes strings; this is a map.`)
	return all
}
