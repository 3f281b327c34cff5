package grade

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/schema"
)

// TestKindsAreGraded: every block that the lab language lets an objective be graded by is graded, and described in the
// contract of the report. The block of each kind passes with the policy, and misses without.
func TestKindsAreGraded(t *testing.T) {
	t.Parallel()
	blocks := map[CheckKind]string{
		"expect": `expect "denied" {
			from = app.client
			to   = app.server
			via  = "ip"
		}`,
		"matrix": `matrix {
			from = [app.client]
			to   = [app.server]
			via  = "ip"
		}`,
		"invariant": `invariant "closed" { to = app.server }`,
		"object":    `object "policy" { condition = "objects.size() == 1" }`,
	}
	var names []CheckKind
	for _, kind := range schema.CheckKinds() {
		names = append(names, CheckKind(kind))
	}
	slices.Sort(names)
	for what, got := range map[string][]CheckKind{
		"kinds (grade/kind.go)":                        slices.Sorted(maps.Keys(kinds)),
		"the blocks of this test":                      slices.Sorted(maps.Keys(blocks)),
		"docs/report.schema.json, the kind of a check": documentedKinds(t),
	} {
		if !slices.Equal(got, names) {
			t.Errorf("%s: %q; schema.CheckKinds has %q", what, got, names)
		}
	}
	text, err := os.ReadFile("../docs/report.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, kind := range schema.CheckKinds() {
		row := "| `kind` | "
		_, rest, _ := strings.Cut(string(text), row)
		if line, _, _ := strings.Cut(rest, "\n"); !strings.Contains(line, "`"+kind+"`") {
			t.Errorf("docs/report.md: the row %q lacks %s", row, kind)
		}
	}
	for kind, block := range blocks {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			gradesKind(t, kind, block)
		})
	}
}

// documentedKinds are the kinds of a check in the report's JSON schema.
func documentedKinds(t *testing.T) []CheckKind {
	t.Helper()
	text, err := os.ReadFile("../docs/report.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Defs struct {
			Check struct {
				Properties struct {
					Kind struct{ Enum []CheckKind }
				}
			}
		} `json:"$defs"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	return slices.Sorted(slices.Values(doc.Defs.Check.Properties.Kind.Enum))
}

// gradesKind grades a lab of one block, with a solution and without.
func gradesKind(t *testing.T, kind CheckKind, block string) {
	t.Helper()
	const solution = `
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: closed}
spec:
  podSelector: {matchLabels: {app: server}}
  policyTypes: [Ingress]
`
	files := fstest.MapFS{
		"lab.hcl": {Data: fmt.Appendf(nil, `lab "one-block" {}
app "server" {
  port "http" { port = 80 }
}
app "client" {}
submission {
  namespaces = ["default"]
}
task "t" {
  objective "o" {
    points = 1
    %s
  }
}
`, block)},
		"solution/t/a.yaml": {Data: []byte(solution)},
	}
	lab, diags := labs.Load(files, ".", labs.LoadOptions{})
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	g, err := NewGrader(lab)
	if err != nil {
		t.Fatal(err)
	}
	eng, err := offline.New(lab, policy.Config{})
	if err != nil {
		t.Fatal(err)
	}
	solved, err := g.Rules.ReadFS(files, "solution", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	for sub, want := range map[*submission.Submission]bool{solved: true, g.Rules.Empty(): false} {
		rep, err := g.Grade(t.Context(), sub, eng, Options{})
		if err != nil {
			t.Fatal(err)
		}
		checks := rep.Tasks[0].Objectives[0].Checks
		if len(checks) == 0 {
			t.Fatal("it has no check")
		}
		for _, c := range checks {
			if c.Kind != kind || c.Passed != want || c.Error != "" {
				t.Errorf("want passed %v: %+v", want, c)
			}
			if !want && c.Why == nil {
				t.Errorf("a miss without a reason: %+v", c)
			}
		}
	}
}
