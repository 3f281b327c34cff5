package offline_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/rogpeppe/go-internal/txtar"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/offline"
	"github.com/labctl/labctl/grade/submission"
	"github.com/labctl/labctl/labs"
)

// world is a lab with everything that a probe can start from or go to. The service web stands before two
// workloads; late comes with the setup of the second task, which removes gone.
const world = `
-- lab.hcl --
lab "world" {}
cluster "kind" {
  workers = 2
}
namespace "other" {
  labels = { team = "other" }
}
app "api" {
  port "http" {
    port        = 80
    target_port = 8080
  }
  port "dns" {
    port     = 5353
    protocol = "UDP"
  }
}
app "client" {
  replicas = 3
}
app "stranger" {
  namespace = namespace.other.name
}
app "web" {
  manifests = ["web.yaml"]
}
app "late" {}
app "gone" {
  port "http" { port = 80 }
}
external "site" {
  host      = "example.org"
  addresses = ["192.0.2.7", "192.0.2.8"]
}
external "lan" {
  cidr = "198.51.100.0/24"
  port = 25
}
submission {
  kinds     = ["NetworkPolicy", "CiliumNetworkPolicy"]
  layout    = "either"
  may_label = ["other"]
}
task "first" {
  objective "x" {
    points = 1
    expect "allowed" {
      from = app.client
      to   = app.api.port.http
    }
  }
}
task "second" {
  setup {
    apply  = ["extra.yaml"]
    delete = ["gone.yaml"]
  }
  objective "y" {
    points = 1
    expect "allowed" {
      from = app.client
      to   = app.api.port.http
    }
  }
}
-- web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  selector: {matchLabels: {app: web, version: v1}}
  template:
    metadata: {labels: {app: web, version: v1}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 8080, name: http}]}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-canary}
spec:
  selector: {matchLabels: {app: web, version: v2}}
  template:
    metadata: {labels: {app: web, version: v2}}
    spec: {containers: [{name: web, image: web, ports: [{containerPort: 8080, name: http}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  clusterIP: 10.96.77.7
  selector: {app: web}
  ports: [{port: 80, targetPort: http}]
-- extra.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: client}
spec:
  selector: {matchLabels: {app: client}}
  template:
    metadata: {labels: {app: client, moved: "yes"}}
    spec: {containers: [{name: client, image: client}]}
-- gone.yaml --
kind: Deployment
metadata: {name: gone}
`

func load(t testing.TB, archive string) (*labs.Lab, *offline.Engine) {
	t.Helper()
	fsys := fstest.MapFS{}
	for _, f := range txtar.Parse([]byte(archive)).Files {
		fsys[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	lab := gradetest.Load(t, fsys)
	return lab.Lab, lab.Engine
}

// state is the checkpoint of a task with manifests in force.
func state(t testing.TB, lab *labs.Lab, task int, manifests string) *engine.State {
	t.Helper()
	rules, err := submission.NewRules(lab)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := rules.ReadStream("policies.yaml", strings.NewReader(manifests), manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	states, err := rules.Checkpoints(sub)
	if err != nil {
		t.Fatal(err)
	}
	s := *states[task]
	if task == 0 { // a flat submission has the setup of every task behind it
		s.Applied, s.Deleted = nil, nil
	}
	return &s
}

func policyOn(selector, rest string) string {
	return fmt.Sprintf("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p}\nspec: {podSelector: %s, %s}\n", selector, rest)
}

func TestVerdicts(t *testing.T) {
	t.Parallel()
	lab, eng := load(t, world)
	app := func(name string) labs.Source { return labs.Source{App: name} }
	api := labs.Target{App: "api", Port: 80}
	const (
		denyEgress  = "policyTypes: [Egress]"
		denyIngress = "policyTypes: [Ingress]"
	)
	http := `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: l7}
spec:
  endpointSelector: {matchLabels: {app: api}}
  ingress:
    - fromEndpoints: [{}]
      toPorts: [{ports: [{port: "8080", protocol: TCP}], rules: {http: [{method: GET, path: /public}]}}]
`
	lookUps := `apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: names}
spec:
  endpointSelector: {matchLabels: {app: client}}
  egress:
    - toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}]
      toPorts: [{ports: [{port: "53", protocol: UDP}], rules: {dns: [{matchPattern: "*.org"}]}}]
`
	for _, c := range []struct {
		name     string
		task     int
		policies string
		from     labs.Source
		to       labs.Target
		want     verdict.Verdict // what is expected, to choose among replicas
		found    verdict.Verdict
	}{
		{"a service by name", 0, "", app("client"), api, verdict.Allowed, verdict.Allowed},
		{"a service by name, without DNS", 0, policyOn("{matchLabels: {app: client}}", denyEgress), app("client"), api, verdict.Dropped, verdict.DNSFailed},
		{"by cluster address no name is needed", 0, policyOn("{matchLabels: {app: client}}", denyEgress), app("client"), labs.Target{App: "api", Port: 80, Via: labs.ViaCluster}, verdict.DNSFailed, verdict.Dropped},
		{"by pod address neither", 0, policyOn("{matchLabels: {app: client}}", denyEgress), app("client"), labs.Target{App: "api", Port: 8080, Via: labs.ViaIP}, verdict.DNSFailed, verdict.Dropped},
		{"a port where nothing listens", 0, "", app("client"), labs.Target{App: "api", Port: 81, Via: labs.ViaIP}, verdict.Allowed, verdict.Rejected},
		{"which nobody sees while it is dropped", 0, policyOn("{matchLabels: {app: api}}", denyIngress), app("client"), labs.Target{App: "api", Port: 81, Via: labs.ViaIP}, verdict.Allowed, verdict.Dropped},
		{"UDP", 0, policyOn("{matchLabels: {app: api}}", "ingress: [{ports: [{protocol: UDP, port: 5353}]}]"), app("client"), labs.Target{App: "api", Port: 5353, Protocol: "UDP"}, verdict.Allowed, verdict.Allowed},
		{"TCP beside it", 0, policyOn("{matchLabels: {app: api}}", "ingress: [{ports: [{protocol: UDP, port: 5353}]}]"), app("client"), api, verdict.Allowed, verdict.Dropped},
		{"a host by name", 0, "", app("client"), labs.Target{External: "site", Port: 443}, verdict.Allowed, verdict.Allowed},
		{"a host by name, without DNS", 0, policyOn("{matchLabels: {app: client}}", "egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]"), app("client"), labs.Target{External: "site", Port: 443}, verdict.Allowed, verdict.DNSFailed},
		{"a host by address", 0, policyOn("{matchLabels: {app: client}}", "egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]"), app("client"), labs.Target{External: "site", Port: 443, Via: labs.ViaIP}, verdict.Allowed, verdict.Allowed},
		{"a host of two addresses, one of them closed", 0, policyOn("{matchLabels: {app: client}}", "egress: [{to: [{ipBlock: {cidr: 192.0.2.7/32}}]}, {ports: [{port: 53, protocol: UDP}]}]"), app("client"), labs.Target{External: "site", Port: 443}, verdict.Allowed, verdict.Dropped},
		{"the same, if it must be closed", 0, policyOn("{matchLabels: {app: client}}", "egress: [{to: [{ipBlock: {cidr: 192.0.2.7/32}}]}, {ports: [{port: 53, protocol: UDP}]}]"), app("client"), labs.Target{External: "site", Port: 443}, verdict.Dropped, verdict.Allowed},
		{"a range", 0, policyOn("{matchLabels: {app: client}}", "egress: [{to: [{ipBlock: {cidr: 198.51.100.0/24}}]}]"), app("client"), labs.Target{External: "lan", Port: 25}, verdict.Allowed, verdict.Allowed},
		{"an address in a range", 0, policyOn("{matchLabels: {app: client}}", "egress: [{to: [{ipBlock: {cidr: 198.51.100.0/24, except: [198.51.100.9/32]}}]}]"), app("client"), labs.Target{External: "lan", IP: "198.51.100.9", Port: 25}, verdict.Allowed, verdict.Dropped},
		{"an address", 0, "", app("client"), labs.Target{IP: "8.8.8.8", Port: 25}, verdict.Allowed, verdict.Allowed},
		{"a look-up", 0, "", app("client"), labs.Target{DNS: "example.org"}, verdict.Allowed, verdict.Allowed},
		{"a look-up that is dropped fails for its client", 0, policyOn("{}", denyEgress), app("client"), labs.Target{DNS: "example.org"}, verdict.Allowed, verdict.DNSFailed},
		{"a look-up over TCP", 0, policyOn("{}", "egress: [{ports: [{port: 53, protocol: UDP}]}]"), app("client"), labs.Target{DNS: "example.org", Protocol: "TCP"}, verdict.Allowed, verdict.DNSFailed},
		{"a look-up over TCP, where only that is open", 0, policyOn("{}", "egress: [{ports: [{port: 53, protocol: TCP}]}]"), app("client"), labs.Target{DNS: "example.org", Protocol: "TCP"}, verdict.Allowed, verdict.Allowed},
		{"DNS over TCP resolves no name of a service", 0, policyOn("{}", "egress: [{ports: [{port: 53, protocol: TCP}]}]"), app("client"), api, verdict.Allowed, verdict.DNSFailed},
		{"a look-up that a DNS rule lists", 0, lookUps, app("client"), labs.Target{DNS: "example.org"}, verdict.Allowed, verdict.Allowed},
		{"a look-up that it does not", 0, lookUps, app("client"), labs.Target{DNS: "example.com"}, verdict.Allowed, verdict.DNSFailed},
		{"from outside", 0, policyOn("{matchLabels: {app: api}}", "ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]"), labs.Source{External: "lan"}, labs.Target{App: "api", Port: 8080, Via: labs.ViaIP}, verdict.Allowed, verdict.Allowed},
		{"from another outside", 0, policyOn("{matchLabels: {app: api}}", "ingress: [{from: [{ipBlock: {cidr: 198.51.100.0/24}}]}]"), labs.Source{External: "site"}, labs.Target{App: "api", Port: 8080, Via: labs.ViaIP}, verdict.Allowed, verdict.Dropped},
		{"from the control plane", 0, policyOn("{matchLabels: {app: api}}", denyIngress), labs.Source{Node: "control-plane"}, labs.Target{App: "api", Port: 8080, Via: labs.ViaIP}, verdict.Allowed, verdict.Dropped},
		{"ping", 0, policyOn("{matchLabels: {app: api}}", "ingress: [{ports: [{port: 8080}]}]"), app("client"), labs.Target{App: "api", Protocol: "ICMP", Via: labs.ViaIP}, verdict.Allowed, verdict.Dropped},
		{"one of two backends is closed", 0, policyOn("{matchLabels: {version: v1}}", denyIngress), app("client"), labs.Target{App: "web", Port: 80}, verdict.Allowed, verdict.Dropped},
		{"and the other is open", 0, policyOn("{matchLabels: {version: v1}}", denyIngress), app("client"), labs.Target{App: "web", Port: 80}, verdict.Dropped, verdict.Allowed},
		{"an app of manifests is the workload of its name", 0, policyOn("{matchLabels: {version: v2}}", denyIngress), app("client"), labs.Target{App: "web", Port: 8080, Via: labs.ViaIP}, verdict.Dropped, verdict.Allowed},
		{"its service by address", 0, policyOn("{matchLabels: {app: web}}", denyIngress), app("client"), labs.Target{App: "web", Port: 80, Via: labs.ViaCluster}, verdict.Dropped, verdict.Dropped},
		{"a label of a namespace", 0, policyOn("{matchLabels: {app: api}}", "ingress: [{from: [{namespaceSelector: {matchLabels: {team: other}}}]}]"), app("stranger"), api, verdict.Allowed, verdict.Allowed},
		{"a label that the submission changes", 0, policyOn("{matchLabels: {app: api}}", "ingress: [{from: [{namespaceSelector: {matchLabels: {team: other}}}]}]") + "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: mine}}\n", app("stranger"), api, verdict.Allowed, verdict.Dropped},
		{"a request that is let through", 0, http, app("client"), labs.Target{App: "api", Port: 80, HTTP: &labs.HTTP{Path: "/public", Status: 200}}, verdict.Allowed, verdict.Allowed},
		{"a request that is refused", 0, http, app("client"), labs.Target{App: "api", Port: 80, HTTP: &labs.HTTP{Path: "/private"}}, verdict.Allowed, verdict.AppError},
		{"a refusal that is asked for", 0, http, app("client"), labs.Target{App: "api", Port: 80, HTTP: &labs.HTTP{Path: "/private", Status: 403}}, verdict.Allowed, verdict.Allowed},
		{"a refusal that does not come", 0, http, app("client"), labs.Target{App: "api", Port: 80, HTTP: &labs.HTTP{Path: "/public", Status: 403}}, verdict.Allowed, verdict.AppError},
		{"an app that setup changed", 1, policyOn("{matchLabels: {app: api}}", "ingress: [{from: [{podSelector: {matchLabels: {moved: 'yes'}}}]}]"), app("client"), api, verdict.Allowed, verdict.Allowed},
		{"an app that setup removed", 1, "", app("client"), labs.Target{App: "gone", Port: 80, Via: labs.ViaIP}, verdict.Allowed, verdict.ProbeError},
		{"an app that setup will remove", 0, "", app("client"), labs.Target{App: "gone", Port: 80, Via: labs.ViaIP}, verdict.Allowed, verdict.Allowed},
		{"an app that does not exist", 0, "", app("nobody"), api, verdict.Allowed, verdict.ProbeError},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			prober, err := eng.At(t.Context(), state(t, lab, c.task, c.policies))
			if err != nil {
				t.Fatal(err)
			}
			out, err := prober.Probe(t.Context(), []engine.Probe{{From: c.from, To: c.to, Want: c.want}})
			if err != nil {
				t.Fatal(err)
			}
			if out[0].Verdict != c.found {
				t.Errorf("found %s (%s), want %s\n%v", out[0].Verdict, out[0].Error, c.found, out[0].Detail)
			}
			if (out[0].Error != "") != (c.found == verdict.ProbeError) {
				t.Errorf("error %q", out[0].Error)
			}
			if missed := c.found != verdict.ProbeError && !c.found.Meets(c.want); missed != (out[0].Detail != nil) {
				t.Errorf("an account of what is missed, and only of that: %v", out[0].Detail)
			}
		})
	}
}

func TestExplain(t *testing.T) {
	t.Parallel()
	lab, eng := load(t, world)
	prober, err := eng.Prober(state(t, lab, 0, policyOn("{matchLabels: {app: api}}", "policyTypes: [Ingress]")))
	if err != nil {
		t.Fatal(err)
	}
	out, err := prober.Explain(t.Context(), []engine.Probe{
		{From: labs.Source{App: "client"}, To: labs.Target{App: "api", Port: 80}},
		{From: labs.Source{App: "client"}, To: labs.Target{App: "gone", Port: 80}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if d := out[0].Detail; d == nil || d.Ingress == nil || len(d.Ingress.Isolating) != 1 || d.Ingress.Isolating[0].File != "policies.yaml" {
		t.Errorf("what is dropped is accounted for with its file: %+v", d)
	}
	if d := out[1].Detail; d == nil || d.Verdict != verdict.Allowed {
		t.Errorf("what is allowed is accounted for, too: %+v", d)
	}
}

func TestProve(t *testing.T) {
	t.Parallel()
	lab, eng := load(t, world)
	only := policyOn("{matchLabels: {app: api}}", "ingress: [{from: [{podSelector: {matchLabels: {app: client}}}], ports: [{port: 8080}]}]")
	for _, c := range []struct {
		name     string
		policies string
		inv      labs.Invariant
		holds    bool
	}{
		{"nothing is in force", "", labs.Invariant{To: []string{"api"}}, false},
		{"the client is let in", only, labs.Invariant{To: []string{"api"}}, false},
		{"but nobody else", only, labs.Invariant{To: []string{"api"}, ExceptApps: []string{"client"}}, true},
		{"and on no other port", only, labs.Invariant{To: []string{"api"}, ExceptPorts: []int{8080}}, true},
		{"nobody else in the cluster", only, labs.Invariant{To: []string{"api"}, ExceptExternal: true}, false},
		{"nor out", only, labs.Invariant{From: []string{"api"}}, false},
		{"all of both", only, labs.Invariant{To: []string{"api"}, From: []string{"client"}, ExceptApps: []string{"client"}}, false},
	} {
		prober, err := eng.At(t.Context(), state(t, lab, 0, c.policies))
		if err != nil {
			t.Fatal(err)
		}
		out, err := prober.Prove(t.Context(), c.inv)
		if err != nil {
			t.Fatal(err)
		}
		if (out == nil) != c.holds {
			t.Errorf("%s: %+v, want it to hold: %v", c.name, out, c.holds)
		}
		if out != nil && (out.Detail == nil || out.Verdict != verdict.Allowed) {
			t.Errorf("%s: a counterexample says what connects: %+v", c.name, out)
		}
	}
	prober, _ := eng.At(t.Context(), state(t, lab, 0, ""))
	if _, err := prober.Prove(t.Context(), labs.Invariant{To: []string{"nobody"}}); err == nil {
		t.Error("an invariant of an app that does not exist must be an error")
	}
}

// bare is a lab with a pod without labels, which its app names otherwise, and with policies for nodes.
const bare = `
-- lab.hcl --
lab "bare" {}
app "tool" {
  manifests = ["tool.yaml"]
}
app "api" {
  port "http" { port = 80 }
}
submission {
  kinds  = ["CiliumClusterwideNetworkPolicy"]
  layout = "flat"
}
task "first" {
  objective "x" {
    points = 1
    expect "allowed" {
      from = app.tool
      to   = app.api.port.http
    }
  }
}
-- tool.yaml --
apiVersion: v1
kind: Pod
metadata: {name: bare-pod}
spec: {containers: [{name: c, image: x}]}
`

const nodePolicy = `apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: nodes}
spec:
  nodeSelector: {}
  ingress: [{fromEntities: [cluster]}]
`

// A pod that has no labels is its app's all the same, and a policy for nodes is said to have no effect unless the
// lab's Cilium has its host firewall on.
func TestPodWithoutLabelsAndPolicyForNodes(t *testing.T) {
	t.Parallel()
	for _, firewall := range []bool{false, true} {
		text := bare
		if firewall {
			text = strings.Replace(bare, "-- tool.yaml --", "cilium {\n  values = { hostFirewall = { enabled = true } }\n}\n-- tool.yaml --", 1)
		}
		lab, eng := load(t, text)
		grader, err := grade.NewGrader(lab)
		if err != nil {
			t.Fatal(err)
		}
		sub, err := grader.Rules.ReadStream("policies.yaml", strings.NewReader(nodePolicy), manifest.Limits{})
		if err != nil {
			t.Fatal(err)
		}
		report, err := grader.Grade(t.Context(), sub, eng, grade.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if report.Score.Points != 1 {
			t.Errorf("%v points: the pod without labels is not found", report.Score.Points)
		}
		found := len(report.Findings) == 1 && report.Findings[0].ID == "node-policy" && report.Findings[0].Line == 1
		if found == firewall || firewall && len(report.Findings) > 0 {
			t.Errorf("host firewall %v: findings %+v", firewall, report.Findings)
		}
	}
}

// A policy that the rule model does not take is refused, wherever in the submission it stands.
func TestNotModelled(t *testing.T) {
	t.Parallel()
	lab, eng := load(t, world)
	files := fstest.MapFS{}
	for _, task := range []string{"first", "second"} {
		files[task+"/groups.yaml"] = &fstest.MapFile{Data: []byte(`apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: ` + task + `}
spec:
  endpointSelector: {}
  egress:
    - toGroups: [{aws: {securityGroupsIds: [sg-1]}}]
`)}
	}
	grader, err := grade.NewGrader(lab)
	if err != nil {
		t.Fatal(err)
	}
	sub, err := grader.Rules.ReadFS(files, ".", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = grader.Grade(t.Context(), sub, eng, grade.Options{})
	refused := (*engine.Refused)(nil)
	if !errors.As(err, &refused) || len(refused.Problems) != 2 {
		t.Fatalf("error %v, want a refusal of both policies", err)
	}
	for _, p := range refused.Problems {
		if p.Line == 0 || !strings.HasSuffix(p.File, "groups.yaml") {
			t.Errorf("a problem without its place: %v", p)
		}
	}
	if _, err := eng.At(t.Context(), &engine.State{Policies: sub.Steps[0].Apply}); !errors.As(err, new(manifest.Problems)) {
		t.Errorf("At: error %v", err)
	}
}

// One engine and one grader serve many goroutines, each with the same outcome.
func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	lab, eng := load(t, world)
	g, err := grade.NewGrader(lab)
	if err != nil {
		t.Fatal(err)
	}
	texts := make([]string, 16)
	var wg sync.WaitGroup
	for i := range texts {
		wg.Go(func() {
			files := fstest.MapFS{
				"second/p.yaml":  {Data: []byte(policyOn("{matchLabels: {app: api}}", "ingress: [{from: [{namespaceSelector: {matchLabels: {team: mine}}}]}]"))},
				"second/ns.yaml": {Data: []byte("apiVersion: v1\nkind: Namespace\nmetadata: {name: other, labels: {team: mine}}\n")},
			}
			sub, err := g.Rules.ReadFS(files, ".", manifest.Limits{})
			if err != nil {
				t.Error(err)
				return
			}
			r, err := g.Grade(t.Context(), sub, eng, grade.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			text, err := r.JSON()
			if err != nil {
				t.Error(err)
			}
			texts[i] = string(text)
		})
	}
	wg.Wait()
	for i := range texts {
		if texts[i] != texts[0] {
			t.Fatalf("report %d differs:\n%s\n%s", i, texts[i], texts[0])
		}
	}
	if !strings.Contains(texts[0], `"percent": 50`) {
		t.Error(texts[0])
	}
}
