package labtest_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/labtest"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// inline loads a lab from the text of its lab.hcl and its other files, as a txtar archive.
func inline(t *testing.T, hcl, files string) (*labs.Lab, *offline.Engine) {
	t.Helper()
	fsys := fstest.MapFS{"lab.hcl": {Data: []byte(hcl)}}
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
	}{
		{`score = 50`, nil},
		{`points = 1`, nil},
		{`missed = ["allow/table"]`, nil},
		{"score = 50\n points = 1\n missed = [\"allow/table\"]\n mistake = \"service-port-vs-target-port\"", nil},
		{`points = 2`, []string{"scores 1 points, but declares 2; it misses allow/table"}},
		{`score = 49`, []string{"scores 50%, but declares 49%"}},
		{"score = 50\n missed = [\"deny/closed\"]", []string{
			"misses allow/table, which it does not declare", "meets deny/closed, which it declares to be missed",
		}},
		{"score = 50\n missed = []", []string{"misses allow/table, which it does not declare"}},
		{"score = 50\n mistake = \"dns-forgotten\"", []string{
			"the report names service-port-vs-target-port, but the sample declares dns-forgotten",
		}},
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
			if got := r.Samples[1]; !slices.Equal(got.Differences, tt.want) || got.Passed != (tt.want == nil) {
				t.Errorf("passed %v, differences %q, want %q", got.Passed, got.Differences, tt.want)
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
			t.Errorf("missed = [%s]: %q", missed, r.Samples[1].Differences)
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
		if s.Flow.Before == s.Flow.After || s.Flow.Task == "" || s.Flow.From == "" || s.Flow.To == "" || s.Message == "" {
			t.Errorf("a survivor without what it changes: %+v", s)
		}
	}
	want := []string{
		"allow drop-object allow/allow.yaml:1", // the deny is deleted in the same task, so all is open
		"allow empty-rule allow/allow.yaml:10",
		"allow and-to-or allow/allow.yaml:10",
		"allow drop-selector allow/allow.yaml:17", // the stranger gets in
		"allow widen-selector allow/allow.yaml:11",
		"allow widen-selector allow/allow.yaml:17",
		"allow drop-port allow/allow.yaml:21",
		"allow other-label allow/allow.yaml:8", // selects nobody: all is open
		"allow add-allow-all :0",
	}
	slices.Sort(want)
	slices.Sort(survivors)
	if !slices.Equal(slices.Compact(survivors), want) {
		t.Errorf("survivors\n%s\nwant\n%s", strings.Join(survivors, "\n"), strings.Join(want, "\n"))
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
`, solved, []string{"30: Vacuous objective", "32: Condition fails"}},
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
`, solved, []string{"32: Unreachable expectation"}},
		{"a hint costs more than the task gives", tight + `
  hint "dear" {
    text = "Look."
    cost = 100
  }
`, solved, []string{"1: Dear hint"}},
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
`, []string{"36: Sample refused"}},
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
`, solved, []string{"4: Unreachable expectation"}},
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
`, solved, []string{"2: Vacuous objective"}},
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
`, solved, []string{"32: Unreachable expectation", "30: Vacuous objective"}},
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
`, solved, []string{"4: Unreachable expectation", "12: Unreachable expectation", "19: Unreachable expectation"}},
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
