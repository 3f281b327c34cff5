package labs_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/policy/manifest/manifesttest"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/schema"
)

// A lab may take submissions of every kind of policy that labctl knows, and the documentation names them all. It
// takes no others, and has none in its manifests, where they would decide live and not offline.
func TestPolicyKinds(t *testing.T) {
	t.Parallel()
	const pod = "{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {containers: [{name: c, image: nginx}]}}"
	load := func(kind, more string) string {
		t.Helper()
		_, diags := labs.Load(fstest.MapFS{"web.yaml": {Data: []byte(pod + more)}, "lab.hcl": {Data: []byte(`
lab "x" { title = "x" }
app "web" { manifests = ["web.yaml"] }
submission { kinds = ["` + kind + `"] }
task "t" {
  title        = "t"
  instructions = "t"
  objective "o" {
    points = 1
    expect "allowed" {
      from = app.web
      to   = app.web.ip
      port = 80
    }
  }
}
`)}}, ".", labs.LoadOptions{})
		if err := diags.Err(); err != nil {
			return err.Error()
		}
		return ""
	}
	doc := schema.Lab().Block("submission").Attribute("kinds").Doc
	for _, kind := range manifest.PolicyKinds() {
		if got := load(kind.Name, ""); strings.Contains(got, "Unknown kind") {
			t.Errorf("%s: %s", kind.Name, got)
		}
		if !strings.Contains(doc, "`"+kind.Name+"`") {
			t.Errorf("the documentation of submission.kinds does not name %s", kind.Name)
		}
	}
	for _, text := range manifesttest.UnknownPolicies() {
		objs, _ := manifest.Parse([]manifest.File{{Name: "a.yaml", Data: []byte(text)}}, manifest.Limits{})
		if got := load(objs[0].Kind, ""); !strings.Contains(got, "Unknown kind") {
			t.Errorf("submissions of %s: %s", objs[0].Kind, got)
		}
		if got := load("NetworkPolicy", "\n---\n"+text); !strings.Contains(got, "is not modelled") {
			t.Errorf("a manifest of %s: %s", objs[0].Kind, got)
		}
	}
}
