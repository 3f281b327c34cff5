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
		"service.yaml": {Data: []byte("apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80}]}\n")},
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
		{"the name of a file for its text", []string{`  title = "One"`, `  title = "One"
  instructions = "tasks/01.md"`}, []string{`15: A path as text`, `write file("tasks/01.md")`}},
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

		{"an objective outside of a task", []string{"task \"two\" {\n  depends_on = [\"one\"]\n", "", "    depends_on = [\"one/first\"]\n", "", "  }\n}\nsample", "  }\nsample"}, []string{`23: Unknown block`, `It belongs in a task block.`}},
		{"only objectives outside of a task", []string{"task \"one\" {\n  title = \"One\"\n", "", "  }\n}\ntask \"two\" {\n  depends_on = [\"one\"]\n  objective \"second\" {\n    points     = 1\n    depends_on = [\"one/first\"]\n", "", "  missed = [\"one/first\"]\n", "score = 0\n", "    matrix {", "    matrix {", "  }\n}\nsample", "  }\nsample"}, []string{`13: Unknown block`, `It belongs in a task block.`}},
		{"an expectation outside of an objective", []string{"  objective \"first\" {\n    points = 1\n", "", "    }\n  }\n}\ntask \"two\" {", "    }\n}\ntask \"two\" {", `["one/first"]`, "[]"}, []string{`15: Unknown block`, `It belongs in an objective block.`}},
		{"points of a task", []string{`title = "One"`, `points = 1`}, []string{`14: Unknown attribute`, `points is an attribute of its objective blocks.`}},
		{"ports as a list", []string{`app "cli" {}`, `app "cli" { ports = [80] }`}, []string{`8: Unknown attribute`, `Did you mean the block port "NAME" { … }?`}},
		{"an address as a host", []string{`"kubernetes.io"`, `"192.0.2.1"`}, []string{`9: Invalid name`, `it is an address. For an address, write cidr = "192.0.2.1/32" instead.`}},
		{"a web page as a host", []string{`"kubernetes.io"`, `"https://kubernetes.io/docs"`}, []string{`9: Invalid name`, `Did you mean "kubernetes.io"?`}},
		{"an address as a range", []string{`host = "kubernetes.io"`, `cidr = "2001:db8::1"`}, []string{`9: Invalid address range`, `write "2001:db8::1/128"`}},
		{"a web page as a target", []string{"to   = app.web", `to   = "http://web:8080/"`}, []string{`19: Not a target`, `Did you mean app.web.port.NAME, without quotes?`}},
		{"a Service's name as a target", []string{"to   = app.web", `to   = app.web.host`}, []string{`19: Not a target`, `Did you mean app.web, without quotes?`}},
		{"a port without port", []string{"to   = app.web", `to   = app.web.http`}, []string{`19: Unknown attribute`, `Did you mean app.web.port.http?`}},
		{"a port by its number", []string{"to   = app.web", `to   = app.web.port[8080]`}, []string{`19: Unknown port`, `Did you mean "http"?`}},
		{"a dash instead of a dot", []string{"to   = app.web", `to   = app-web`}, []string{`19: Unknown reference`, `Did you mean app.web?`}},
		{"an app that there is not", []string{"to   = app.web", `to   = app.database`}, []string{`19: Unknown app`, `It has "web" and "cli".`}},
		{"a pair the wrong way round", []string{"[[app.cli, app.web]]", `[[external.net, app.cli]]`}, []string{`31: Outside the table`, `external net is not among the sources`}},
		{"two problems of a node port", []string{`port "http" { port = 8080 }`, "port \"http\" {\nport = 8080\nnode_port = 80\n}"}, []string{`8: Out of range`}},
		{"a default of another type", []string{`lab "l" {}`, "lab \"l\" {}\nvariable \"v\" {\ntype = number\ndefault = \"x\"\n}"}, []string{`4: Wrong type`, `must have the type number; this is the string "x".`}},
		{"a cutoff before the grace", []string{`lab "l" {}`, "lab \"l\" {}\nlate {\ngrace = \"2d\"\ncutoff = \"1d\"\n}"}, []string{`4: Invalid cutoff`, `The cutoff (1d) comes before the end of the grace (2d).`}},
		{"manifests without a workload", []string{`app "cli" {}`, "app \"cli\" { manifests = \"service.yaml\" }"}, []string{`8: No workload`, `such as a Deployment or a Pod`}},
		{"a function's argument of another type", []string{`"One"`, `upper(["a"])`}, []string{`14: Invalid function argument`, `upper takes a string as its argument str, not a list.`}},
		{"a file that there is not", []string{`"One"`, `file("no.md")`}, []string{`14: Invalid function argument: "no.md" cannot be read`}},
		{"JSON that ends too early", []string{`"One"`, `jsondecode("{")`}, []string{`14: Error in function call: jsondecode: the text ends too early.`}},
		{"an open ${", []string{`"One"`, `"costs ${5"`}, []string{`14: No end of ${`, `write $${`}},
		{"a %{ that is text", []string{`"One"`, `"50%{ of"`}, []string{`14: Invalid %{`, `write %%{`}},
		{"a backslash", []string{`"One"`, `"a \d"`}, []string{`14: Invalid escape sequence`, `For a backslash itself, write \\.`}},
		{"two attributes on one line", []string{`lab "l" {}`, `lab "l" { title = "L" pass_mark = 5 }`}, []string{`1: Several attributes on one line`}},
		{"a quotation mark within text", []string{`"One"`, `"say "x""`}, []string{`14: Missing newline after attribute`, `write \".`}},
		{"a heredoc with a space", []string{`"One"`, "<<- EOT\nx\nEOT"}, []string{`14: Invalid expression`, `without a space in it`}},
		{"a list without commas", []string{"from  = [app.cli, app.web]", "from  = [app.cli app.web]"}, []string{`29: Missing item separator`, `there is a comma`}},
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
