package offline_test

import (
	"context"
	"fmt"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/labs"
)

// The engine judges the connections of an objective under the policies of a state.
func Example() {
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
	objects, problems := manifest.Parse([]manifest.File{{Name: "policy.yaml", Data: []byte(`apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: default}
spec:
  podSelector: {matchLabels: {app: backend}}
  policyTypes: [Ingress]
`)}}, manifest.Limits{})
	if len(problems) > 0 {
		fmt.Println(problems)
		return
	}
	eng, err := offline.New(lab, policy.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	expect := lab.Tasks[0].Objectives[0].Checks[0].(*labs.Expectation)
	for _, state := range []*engine.State{{}, {Policies: objects}} {
		prober, err := eng.At(context.Background(), state)
		if err != nil {
			fmt.Println(err)
			return
		}
		observations, err := prober.Probe(context.Background(), []engine.Probe{{From: expect.From[0], To: expect.To[0], Want: expect.Verdict}})
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Printf("%d policies: %s\n", len(state.Policies), observations[0].Verdict)
	}
	// Output:
	// 0 policies: allowed
	// 1 policies: dropped
}
