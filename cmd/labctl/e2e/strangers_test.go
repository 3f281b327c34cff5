//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/grade"
)

// strangersLab is a lab whose submissions may have policies for the whole cluster, and label a namespace of everybody's; its
// verbs are its name, the kubeconfig, the context and the namespace.
const strangersLab = `
lab %q {
  title = "A lab in a cluster that others use"
}
cluster "existing" {
  kubeconfig = %q
  context    = %q
}
namespace %[4]q {
  labels = { of = "the-lab" }
}
app "web" {
  namespace = %[4]q
  labels    = { app = "web" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "client" {
  namespace = %[4]q
  labels    = { app = "client" }
}
submission {
  kinds     = ["NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "CiliumCIDRGroup"]
  may_label = ["kube-system"]
  layout    = "either"
}
task "close" {
  title        = "Close"
  instructions = "Close it."
  objective "closed" {
    points = 1
    expect "denied" {
      from = app.client
      to   = app.web.port.http
    }
  }
}
`

// strangersPolicies are somebody else's; NAME is part of every name, NS the namespace that is theirs.
const strangersPolicies = `
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: NAME, namespace: NS}, spec: {podSelector: {}}}
---
{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: NAME, namespace: NS}, spec: {endpointSelector: {}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: NAME}, spec: {endpointSelector: {matchLabels: {"k8s:io.kubernetes.pod.namespace": NS}}, ingress: [{}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: NAME}, spec: {externalCIDRs: [192.0.2.0/24]}}
---
{apiVersion: v1, kind: Secret, metadata: {name: NAME, namespace: NS}, stringData: {a: b}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: NS-NAME, labels: {a: b}}}
`

// strangersSubmissions are what is graded beside somebody else's policies; NS is the lab's namespace.
var strangersSubmissions = map[string]string{
	"solution": `{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: close, namespace: NS}, spec: {podSelector: {matchLabels: {app: web}}}}`,
	"clusterwide": `{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: close}, spec: {endpointSelector: {matchLabels: {app: web, "k8s:io.kubernetes.pod.namespace": NS}}, ingress: [{fromCIDRSet: [{cidrGroupRef: mine}]}]}}
---
{apiVersion: cilium.io/v2, kind: CiliumCIDRGroup, metadata: {name: mine}, spec: {externalCIDRs: [198.51.100.0/24]}}
`,
	"label": `{apiVersion: v1, kind: Namespace, metadata: {name: kube-system, labels: {e2e-graded: "yes"}}}`,
	"wrong": `{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: open, namespace: NS}, spec: {endpointSelector: {}, ingress: [{fromEntities: [all]}]}}`,
}

// strangers grades, resets and takes down a lab in a cluster that others use: what is theirs stays what it was, to the
// byte.
func (s *suite) strangers(t *testing.T) {
	s.lab(t)
	name, namespace, theirs := s.name+"-strangers", "e2e-strangers", "e2e-theirs"
	dir := t.TempDir()
	text := fmt.Sprintf(strangersLab, name, s.kubeconfig(), "kind-labctl-"+s.name, namespace)
	if err := os.WriteFile(filepath.Join(dir, "lab.hcl"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	apply := func(manifests string) {
		t.Helper()
		file := filepath.Join(t.TempDir(), "objects.yaml")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(manifests, "NS", theirs)), 0o644); err != nil {
			t.Fatal(err)
		}
		s.kubectl(t, "apply", "-f", file)
	}
	s.kubectl(t, "create", "namespace", theirs)
	defer func() {
		s.kubectl(t, "delete", "namespace", theirs, theirs+"-before", theirs+"-later", "--ignore-not-found")
		s.kubectl(t, "delete", "ccnp,ciliumcidrgroups", "before", "later", "for-all", "--ignore-not-found")
	}()
	apply(strings.ReplaceAll(strangersPolicies, "NAME", "before"))
	s.run(t, 0, "up", dir, "--name", name, "--adopt").has(t, `1 of 1 connection`)
	down := false
	defer func() {
		if !down {
			s.start(t, "down", name).wait(t, 2*time.Minute)
		}
	}()
	apply(strings.ReplaceAll(strangersPolicies, "NAME", "later"))
	labels := s.kubectl(t, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.labels}")
	was := s.strangersObjects(t, theirs)
	untouched := func(after string) {
		t.Helper()
		now := s.strangersObjects(t, theirs)
		for _, ref := range slices.Sorted(maps.Keys(was)) {
			if now[ref] != was[ref] {
				t.Errorf("after %s, %s was\n%s\nand is\n%s", after, ref, was[ref], now[ref])
			}
		}
		if got := s.kubectl(t, "get", "namespace", "kube-system", "-o", "jsonpath={.metadata.labels}"); got != labels {
			t.Errorf("after %s, kube-system has the labels %s, it had %s", after, got, labels)
		}
	}

	for _, sample := range slices.Sorted(maps.Keys(strangersSubmissions)) {
		path := filepath.Join(t.TempDir(), "answer.yaml")
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(strangersSubmissions[sample], "NS", namespace)), 0o644); err != nil {
			t.Fatal(err)
		}
		want, got := new(grade.Report), new(grade.Report)
		s.start(t, "grade", dir, "--submission", path, "--offline", "-o", "json").wait(t, time.Minute).json(t, want)
		s.start(t, "grade", dir, "--submission", path, "--engine", "live", "--name", name, "-o", "json").wait(t, 5*time.Minute).json(t, got)
		if got.Score != want.Score || got.Score.Max != 1 {
			t.Errorf("%s: score %+v, offline %+v", sample, got.Score, want.Score)
		}
		untouched("grading " + sample)
	}
	class := t.TempDir()
	if err := os.WriteFile(filepath.Join(class, "ada.yaml"), []byte(strings.ReplaceAll(strangersSubmissions["clusterwide"], "NS", namespace)), 0o644); err != nil {
		t.Fatal(err)
	}
	s.run(t, 0, "batch", dir, class, "--out", filepath.Join(t.TempDir(), "out"), "--engine", "live", "--name", name).has(t, "1 passed")
	untouched("a class")

	// What the student did goes, what may be anybody's is named and stays.
	s.kubectl(t, "-n", namespace, "create", "-f", s.file(t, strings.ReplaceAll(strangersSubmissions["solution"], "NS", namespace)))
	s.run(t, 0, "grade", name).has(t, "Score 1 of 1")
	s.run(t, 0, "reset", name).has(t, "deleted   NetworkPolicy "+namespace+"/close")
	untouched("reset")
	apply(`{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: for-all}, spec: {endpointSelector: {}, ingress: [{fromEntities: [all]}], egress: [{toEntities: [all]}]}}`)
	forAll := s.settled(t, "ccnp", "for-all")
	s.run(t, 3, "grade", dir, "--submission", s.file(t, strings.ReplaceAll(strangersSubmissions["solution"], "NS", namespace)), "--engine", "live", "--name", name).
		has(t, "CiliumClusterwideNetworkPolicy for-all", "would falsify the grade")
	s.run(t, 3, "grade", name).has(t, "CiliumClusterwideNetworkPolicy for-all")
	s.run(t, 0, "reset", name).has(t, "kept      CiliumClusterwideNetworkPolicy for-all")
	if now := s.settled(t, "ccnp", "for-all"); now != forAll {
		t.Errorf("the policy for all was\n%s\nand is\n%s", forAll, now)
	}
	untouched("what was refused")
	s.kubectl(t, "delete", "ccnp", "for-all")

	s.run(t, 0, "down", name)
	down = true
	untouched("down")
	if left := s.kubectl(t, "get", "namespaces", "-o", "name"); strings.Contains(left, namespace) {
		t.Errorf("down left its namespace: %s", left)
	}
	s.gone(t, name)
}

func (s *suite) file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// strangersObjects are somebody else's objects as JSON, by name, once Cilium has written its word on them.
func (s *suite) strangersObjects(t *testing.T, theirs string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, name := range []string{"before", "later"} {
		all["NetworkPolicy "+name] = s.settled(t, "-n", theirs, "networkpolicy", name)
		all["CiliumNetworkPolicy "+name] = s.settled(t, "-n", theirs, "cnp", name)
		all["CiliumClusterwideNetworkPolicy "+name] = s.settled(t, "ccnp", name)
		all["CiliumCIDRGroup "+name] = s.settled(t, "ciliumcidrgroup", name)
		all["Secret "+name] = s.settled(t, "-n", theirs, "secret", name)
		all["Namespace "+name] = s.settled(t, "namespace", theirs+"-"+name)
	}
	return all
}

// settled is an object as JSON; one of a policy of Cilium's has the operator's word in its status.
func (s *suite) settled(t *testing.T, args ...string) string {
	t.Helper()
	var data string
	eventually(t, 30*time.Second, 100*time.Millisecond, func() error {
		data = s.kubectl(t, append([]string{"get", "-o", "json"}, args...)...)
		var obj struct {
			Kind   string         `json:"kind"`
			Status map[string]any `json:"status"`
		}
		if err := json.Unmarshal([]byte(data), &obj); err != nil {
			t.Fatal(err)
		}
		if (obj.Kind == "CiliumNetworkPolicy" || obj.Kind == "CiliumClusterwideNetworkPolicy") && obj.Status["conditions"] == nil {
			return fmt.Errorf("the operator has not looked at %v", args)
		}
		return nil
	})
	return data
}
