package labtest_test

import (
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/hashicorp/hcl/v2"
	"github.com/rogpeppe/go-internal/txtar"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// inline loads a lab from the text of its lab.hcl and its other files, as a txtar archive.
func inline(t *testing.T, source, files string) (*labs.Lab, *offline.Engine) {
	t.Helper()
	fsys := fstest.MapFS{"lab.hcl": {Data: []byte(source)}}
	for _, f := range txtar.Parse([]byte(files)).Files {
		fsys[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	lab := gradetest.Load(t, fsys)
	return lab.Lab, lab.Engine
}

// guarded is a lab around one objective, with files of its samples.
func guarded(objectives, samples string) string {
	return `
lab "guarded" {
  pass_mark = 50
}
namespace "other" {
  labels = { team = "other" }
}
app "server" {
  port "http" {
    port        = 80
    target_port = 8080
  }
  port "admin" { port = 9090 }
}
app "client" {}
app "bystander" {}
app "stranger" {
  namespace = namespace.other.name
}
app "guest" {
  namespace = namespace.other.name
}
submission {
  namespaces = ["default"]
  may_label  = ["other"]
}
task "deny" {
  objective "closed" {
    points = 1
    matrix {
      from = [app.client, app.bystander, app.stranger, app.guest]
      to   = [app.server.port.http, app.server.port.admin]
      via  = "ip"
    }
  }
}
task "allow" {` + objectives + `}
` + samples
}

const sampleFiles = `
-- solution/deny/deny.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: deny
spec:
  podSelector:
    matchLabels:
      app: server
  policyTypes: [Ingress]
-- solution/allow/allow.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
spec:
  podSelector:
    matchLabels:
      app: server
  ingress:
    - from:
        - podSelector:
            matchLabels:
              app: client
        - namespaceSelector:
            matchLabels:
              team: other
          podSelector:
            matchLabels:
              app: guest
      ports:
        - port: 8080
-- solution/allow/delete/deny.yaml --
kind: NetworkPolicy
metadata:
  name: deny
-- refused/deny/x.yaml --
apiVersion: v1
kind: ConfigMap
metadata:
  name: x
-- nothing/README.md --
Nothing.
`

const (
	tight = `
  objective "table" {
    points     = 1
    depends_on = ["deny/closed"]
    matrix {
      from  = [app.client, app.bystander, app.stranger, app.guest]
      to    = [app.server.port.http, app.server.port.admin]
      allow = [[[app.client, app.guest], app.server.port.http]]
    }
    expect "allowed" {
      from = app.server
      to   = dns("kubernetes.default.svc.cluster.local")
    }
    expect "allowed" {
      from     = app.server
      to       = dns("kubernetes.default.svc.cluster.local")
      protocol = "TCP"
    }
    expect "allowed" {
      from     = [app.client, app.bystander]
      to       = dns("kubernetes.default.svc.cluster.local")
    }
    expect "allowed" {
      from     = [app.client, app.bystander]
      to       = dns("kubernetes.default.svc.cluster.local")
      protocol = "TCP"
    }
  }
`
	loose = `
  objective "works" {
    points     = 1
    depends_on = ["deny/closed"]
    expect "allowed" {
      from = [app.client, app.guest]
      to   = app.server.port.http
    }
  }
`
	solved = `
sample "solution" {
  path  = "solution"
  score = 100
}
`
)

func TestTestLab(t *testing.T) {
	t.Parallel()
	lab, eng := inline(t, guarded(tight, solved+`
sample "nothing" {
  path  = "nothing"
  score = 0
}
sample "generous" {
  path  = "nothing"
  score = 1
}
sample "refused" {
  path  = "refused"
  score = 0
}
`), sampleFiles)
	r, err := labtest.Test(t.Context(), lab, eng)
	if err != nil {
		t.Fatal(err)
	}
	if r.Passed {
		t.Error("a lab with wrong samples passes")
	}
	if !r.Starter.Passed || r.Starter.Got != 0 {
		t.Errorf("starter: %+v", r.Starter)
	}
	for _, s := range r.Samples {
		if want := s.Name == "solution" || s.Name == "nothing"; s.Passed != want {
			t.Errorf("sample %s: want passed %v: %+v", s.Name, want, s)
		}
		if (s.Error != "") != (s.Name == "refused") {
			t.Errorf("sample %s: error %q", s.Name, s.Error)
		}
		if line := lineOf(t, lab, "path", s.Name); s.File != "lab.hcl" || s.Line != line {
			t.Errorf("sample %s is at %s:%d, want line %d", s.Name, s.File, s.Line, line)
		}
	}
	m := r.Mutation
	if len(m.Survivors) > 0 || m.Killed < 15 || m.Mutants != m.Killed+m.Equivalent+m.Invalid+len(m.Survivors) {
		t.Errorf("mutants of a lab that notices everything: %+v", m)
	}
}

// TestDeclared holds what a sample declares against its report: a total may be right for the wrong reason.
func TestDeclared(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		declares string
		want     []string
		at       []string // the attributes
	}{
		{`score = 50`, nil, nil},
		{`points = 1`, nil, nil},
		{`missed = ["allow/table"]`, nil, nil},
		{"score = 50\n points = 1\n missed = [\"allow/table\"]\n mistake = \"service-port-vs-target-port\"", nil, nil},
		{`points = 2`, []string{"scores 1 points, but declares 2; it misses allow/table"}, []string{"points"}},
		{`score = 49`, []string{"scores 50%, but declares 49%"}, []string{"score"}},
		{"score = 50\n missed = [\"deny/closed\"]", []string{
			"misses allow/table, which it does not declare", "meets deny/closed, which it declares to be missed",
		}, []string{"missed", "missed"}},
		{"score = 50\n missed = []", []string{"misses allow/table, which it does not declare"}, []string{"missed"}},
		{"score = 50\n mistake = \"dns-forgotten\"", []string{
			"the report names service-port-vs-target-port, but the sample declares dns-forgotten",
		}, []string{"mistake"}},
	} {
		t.Run(tt.declares, func(t *testing.T) {
			t.Parallel()
			wrong, _, _ := strings.Cut(sampleFiles, "-- refused")
			wrong = strings.ReplaceAll(strings.ReplaceAll(wrong, "-- solution", "-- port"), "8080", "80")
			files := sampleFiles + wrong
			lab, eng := inline(t, guarded(tight, solved+"sample \"port\" {\n path = \"port\"\n "+tt.declares+"\n}\n"), files)
			r, err := labtest.Test(t.Context(), lab, eng)
			if err != nil {
				t.Fatal(err)
			}
			got := r.Samples[1]
			var messages []string
			for i, d := range got.Differences {
				messages = append(messages, d.Message)
				if line := lineOf(t, lab, tt.at[i], "port"); d.File != "lab.hcl" || d.Line != line {
					t.Errorf("%q is at %s:%d, want line %d", d.Message, d.File, d.Line, line)
				}
			}
			if !slices.Equal(messages, tt.want) || got.Passed != (tt.want == nil) {
				t.Errorf("passed %v, differences %q, want %q", got.Passed, messages, tt.want)
			}
		})
	}
}

// lineOf is the line of an attribute in the block of a sample.
func lineOf(t *testing.T, lab *labs.Lab, attr, sample string) int {
	t.Helper()
	text, err := fs.ReadFile(lab.FS, "lab.hcl")
	if err != nil {
		t.Fatal(err)
	}
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		inside = inside && line != "}" || line == fmt.Sprintf("sample %q {", sample)
		if inside && strings.HasPrefix(strings.TrimSpace(line), attr) {
			return i + 1
		}
	}
	t.Fatalf("sample %q has no %s", sample, attr)
	return 0
}

// TestStarterPasses: a starter that passes, or cannot be read, is reported where it is written.
func TestStarterPasses(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, files, message, err string
	}{
		{"it passes", strings.ReplaceAll(sampleFiles, "-- solution/", "-- start/"), "scores 100%, but must stay below the pass mark of 50%", ""},
		{"it is refused", "-- start/deny/x.yaml --\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n", "", "ConfigMap"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			source := guarded(tight, solved+"starter {\n path = \"start\"\n}\n")
			lab, eng := inline(t, source, sampleFiles+tt.files)
			r, err := labtest.Test(t.Context(), lab, eng)
			if err != nil {
				t.Fatal(err)
			}
			line := 1 + strings.Count(source[:strings.Index(source, `path = "start"`)], "\n")
			s := r.Starter
			if s.Passed || s.File != "lab.hcl" || s.Line != line || !strings.Contains(s.Error, tt.err) {
				t.Errorf("want line %d and the error %q: %+v", line, tt.err, s)
			}
			if tt.message != "" && (len(s.Differences) != 1 || s.Differences[0] != labtest.Difference{Message: tt.message, File: "lab.hcl", Line: line}) {
				t.Errorf("the differences are %+v, want %q on line %d", s.Differences, tt.message, line)
			}
			if tt.err == "" {
				return
			}
			diags, err := labtest.Lint(t.Context(), lab, eng)
			if err != nil {
				t.Fatal(err)
			}
			if i := slices.IndexFunc(diags, func(d *hcl.Diagnostic) bool { return d.Summary == "Starter refused" }); i < 0 || diags[i].Subject.Start.Line != line {
				t.Errorf("no error on line %d in %v", line, diags)
			}
		})
	}
}

// An objective that another one blocks may be declared as missed, and need not be.
func TestDeclaredBlocked(t *testing.T) {
	t.Parallel()
	for _, missed := range []string{`"deny/closed", "allow/table"`, `"deny/closed"`} {
		lab, eng := inline(t, guarded(tight, solved+`
sample "nothing" {
  path   = "nothing"
  missed = [`+missed+`]
}
`), sampleFiles)
		r, err := labtest.Test(t.Context(), lab, eng)
		if err != nil {
			t.Fatal(err)
		}
		if !r.Samples[1].Passed {
			t.Errorf("missed = [%s]: %+v", missed, r.Samples[1].Differences)
		}
	}
}

// A sample with a base is that one with some files replaced.
func TestBase(t *testing.T) {
	t.Parallel()
	const files = sampleFiles + `
-- port/allow/allow.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow
spec:
  podSelector:
    matchLabels:
      app: server
  ingress:
    - ports:
        - port: 80
-- more/deny/other.yaml --
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: other
spec:
  podSelector:
    matchLabels:
      app: nobody
`
	lab, eng := inline(t, guarded(tight, solved+`
sample "port" {
  path   = "port"
  base   = "solution"
  missed = ["allow/table"]
}
sample "more" {
  path  = "more"
  base  = "solution"
  score = 100
}
`), files)
	r, err := labtest.Test(t.Context(), lab, eng)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range r.Samples {
		if !s.Passed {
			t.Errorf("%s: %v %s", s.Name, s.Differences, s.Error)
		}
	}
}

// What no objective watches is found, with the mutation, its place, and the connection.
func TestSurvivors(t *testing.T) {
	t.Parallel()
	lab, eng := inline(t, guarded(loose, solved), sampleFiles)
	r, err := labtest.Test(t.Context(), lab, eng)
	if err != nil {
		t.Fatal(err)
	}
	if r.Passed {
		t.Error("a lab with survivors passes")
	}
	survivors := make([]string, len(r.Mutation.Survivors))
	for i, s := range r.Mutation.Survivors {
		survivors[i] = fmt.Sprintf("%s %s %s:%d", s.Task, s.Mutation, s.File, s.Line)
		if text := s.String(); strings.Contains(text, "()") || strings.Contains(text, "  ") || strings.Count(text, s.Object) > 1 {
			t.Errorf("a gap or a repetition in %q", text)
		}
		if s.Flow.Before == s.Flow.After || s.Flow.Task == "" || s.Flow.From == "" || s.Flow.To == "" || s.Message == "" {
			t.Errorf("a survivor without what it changes: %+v", s)
		}
	}
	want := []string{
		"allow drop-object solution/allow/allow.yaml:1", // the deny is deleted in the same task, so all is open
		"allow empty-rule solution/allow/allow.yaml:10",
		"allow and-to-or solution/allow/allow.yaml:10",
		"allow drop-selector solution/allow/allow.yaml:17", // the stranger gets in
		"allow widen-selector solution/allow/allow.yaml:11",
		"allow widen-selector solution/allow/allow.yaml:17",
		"allow drop-port solution/allow/allow.yaml:21",
		"allow other-label solution/allow/allow.yaml:8", // selects nobody: all is open
		"allow add-allow-all :0",
	}
	slices.Sort(want)
	slices.Sort(survivors)
	if !slices.Equal(slices.Compact(survivors), want) {
		t.Errorf("survivors\n%s\nwant\n%s", strings.Join(survivors, "\n"), strings.Join(want, "\n"))
	}
}

// TestMutantsAreDescribed: each is named in one way, with its object and place, and says what it changes.
func TestMutantsAreDescribed(t *testing.T) {
	t.Parallel()
	lab, _ := inline(t, guarded(tight, solved), sampleFiles)
	g, err := grade.NewGrader(lab)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := g.Rules.ReadFS(lab.FS, "solution", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for step := range sub.Steps {
		for _, m := range labtest.Mutations(lab, sub, step) {
			got[m.String()] = true
		}
	}
	for _, want := range []string{
		"leave out NetworkPolicy default/allow (allow/allow.yaml:1)",
		"do not delete NetworkPolicy default/deny (allow/delete/deny.yaml:1)",
		"leave out the rule spec.ingress[0], in NetworkPolicy default/allow (allow/allow.yaml:10)",
		"change the label app of spec.podSelector.matchLabels from server to server-other, in NetworkPolicy default/deny (deny/deny.yaml:8)",
		"add a policy that allows all ingress in the namespace default, in the folder of deny",
	} {
		if !got[want] {
			t.Errorf("no mutant is described as %q", want)
		}
	}
	if t.Failed() {
		t.Log(strings.Join(slices.Sorted(maps.Keys(got)), "\n"))
	}
}

func TestNoSolution(t *testing.T) {
	t.Parallel()
	lab, eng := inline(t, guarded(tight, `
sample "solution" {
  path  = "nothing"
  score = 0
}
`), sampleFiles)
	r, err := labtest.Test(t.Context(), lab, eng)
	if err != nil || r.Passed || r.Mutation.Skipped == "" {
		t.Errorf("a solution without full marks: %+v, %v", r, err)
	}
	lab.Samples = nil
	r, err = labtest.Test(t.Context(), lab, eng)
	if err != nil || r.Passed || r.Mutation.Skipped == "" {
		t.Errorf("no solution: %+v, %v", r, err)
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name       string
		objectives string
		samples    string
		want       []string // "line: summary"; lines are those of the objective, from 1
	}{
		{"nothing to say", tight, solved, nil},
		{"no solution", tight, "", []string{"No solution"}},
		{"a condition that fails on the solution", `
  mistake "named" {
    when    = "objects.exists(p, p.spec.egress == [])"
    message = "So."
  }
` + tight, solved, []string{"3: Condition fails"}},
		{"a condition that fails on an empty submission", tight + `
  objective "first" {
    points = 1
    object "first" { condition = "objects[0].kind == 'NetworkPolicy'" }
  }
`, solved, []string{"32: Condition fails"}},
		{"a condition that fails on a policy without rules", tight + `
  objective "first" {
    points = 1
    object "first" { condition = "objects.all(p, p.metadata.name != 'bare' || p.spec.ingress.size() > 0)" }
  }
`, solved, []string{"30: Objective already met", "32: Condition fails"}},
		{"a mistake with the name of a classic one", `
  mistake "dns-forgotten" {
    when    = "false"
    message = "So."
  }
` + tight, solved, []string{"2: Duplicate mistake"}},
		{"a pod is to be kept from itself", tight + `
  objective "itself" {
    points = 1
    expect "denied" {
      from = app.server
      to   = app.server.port.admin
      via  = "ip"
    }
  }
`, solved, []string{"32: Impossible expectation"}},
		{"a hint costs more than the task gives", tight + `
  hint "dear" {
    text = "Look."
    cost = 100
  }
`, solved, []string{"1: Hint costs too much"}},
		{"from outside the cluster", `
  objective "outside" {
    points     = 1
    depends_on = ["deny/closed"]
    expect "denied" {
      from = external.office
      to   = app.server.port.admin
      via  = "ip"
    }
  }
` + tight, solved + `
external "office" { cidr = "192.0.2.0/24" }
`, []string{"5: Cannot be checked live"}},
		{"a sample that is refused", tight, solved + `
sample "refused" {
  path  = "refused"
  score = 0
}
`, []string{"37: Sample refused"}},
		{"unknown mistake", tight, solved + `
sample "wrong" {
  path    = "nothing"
  score   = 0
  mistake = "service-port-vs-targetport"
}
`, []string{"39: Unknown mistake"}},
		{"vacuous", `
  objective "free" {
    points = 1
    expect "allowed" {
      from = app.server
      to   = app.client
      port = 80
      via  = "ip"
    }
  }
  objective "baseline" {
    points = 0
    expect "allowed" {
      from = app.server
      to   = "8.8.8.8"
      port = 53
    }
  }
`, solved, []string{"4: Impossible expectation"}},
		{"free points", `
  objective "free" {
    points = 1
    expect "allowed" {
      from = app.server
      to   = "8.8.8.8"
      port = 53
    }
  }
  objective "earned" {
    points     = 1
    depends_on = ["deny/closed"]
    expect "allowed" {
      from = app.server
      to   = "8.8.8.8"
      port = 54
    }
  }
  objective "baseline" {
    points = 0
    expect "allowed" {
      from = app.server
      to   = "8.8.8.8"
      port = 55
    }
  }
`, solved, []string{"2: Objective already met"}},
		{"twice", tight + `
  objective "again" {
    points     = 1
    depends_on = ["table"]
    expect "denied" {
      from = app.bystander
      to   = app.server.port.admin
    }
    expect "denied" {
      from = app.bystander
      to   = app.server.port.admin
    }
  }
`, solved, []string{"37: Duplicate expectation"}},
		{"contradiction", tight + `
  objective "impossible" {
    points = 1
    expect "allowed" {
      from = app.bystander
      to   = app.server.port.admin
    }
  }
`, solved, []string{"32: Impossible expectation", "30: Objective already met"}},
		{"never", `
  objective "dns" {
    points = 1
    expect "dns_failed" {
      from = app.client
      to   = app.server.port.http
      via  = "ip"
    }
  }
  objective "reset" {
    points = 1
    expect "rejected" {
      from = app.client
      to   = app.server.port.http
    }
  }
  objective "request" {
    points = 1
    expect "app_error" {
      from = app.client
      to   = app.server.port.admin
    }
  }
`, solved, []string{"4: Impossible expectation", "12: Impossible expectation", "19: Impossible expectation"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := guarded(c.objectives, c.samples)
			first := strings.Count(text[:strings.Index(text, c.objectives)], "\n")
			lab, eng := inline(t, text, sampleFiles)
			diags, err := labtest.Lint(t.Context(), lab, eng)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range diags {
				if d.Subject == nil {
					got = append(got, d.Summary)
					continue
				}
				got = append(got, fmt.Sprintf("%d: %s", d.Subject.Start.Line-first, d.Summary))
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q\n%v", got, c.want, diags)
			}
		})
	}
}
