package grade_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/grade/mistake"
	"github.com/labctl/labctl/grade/offline"
)

// mistakeLab is the lab of the table below: its task "t" asks for what each case says; "first" comes before
// it and asks for nothing.
const mistakeLab = `
lab "mistakes" { title = "Mistakes" }
namespace "ops" {}
namespace "other" {}
app "api" { manifests = ["api.yaml"] }
app "web" {
  labels = { app = "web" }
  port "http" { port = 8080 }
  port "metrics" {
    port        = 9100
    target_port = 9090
  }
}
app "watch" {
  namespace = namespace.ops.name
  labels    = { app = "watch" }
}
app "log" {
  namespace = namespace.ops.name
  labels    = { app = "log" }
}
app "stranger" {
  namespace = namespace.other.name
  labels    = { app = "watch" }
}
external "internet" { host = "example.com" }
submission {
  may_label = ["ops", "kube-system"]
  kinds     = ["NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]
}
task "first" {
  objective "control" {
    points = 0
    expect "allowed" {
      from = app.web
      to   = app.web.port.http
      via  = "ip"
    }
  }
}
task "t" {
  objective "o" {
    points = 1
    CHECKS
  }
}
`

const apiManifests = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: default, labels: {name: api-server}}
spec:
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: c, image: i, ports: [{containerPort: 8080}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: default}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
`

// Checks that the cases ask for.
const (
	webReachesAPI = `
    expect "allowed" {
      from = app.web
      to   = app.api.port.http
    }`
	webReachesAPIByIP = `
    expect "allowed" {
      from = app.web
      to   = app.api.port.http
      via  = "ip"
    }`
	watchReachesAPI = `
    expect "allowed" {
      from = app.watch
      to   = app.api.port.http
    }`
	onlyWatchReachesAPI = `
    matrix {
      from  = [app.watch, app.log, app.stranger]
      to    = [app.api.port.http]
      allow = [[app.watch, app.api.port.http]]
    }`
	onlyPort8080 = `
    invariant "only-8080" {
      to           = app.api
      except_ports = [8080]
    }`
	onlyPort8080Out = `
    invariant "only-8080" {
      from         = app.web
      except_ports = [8080]
    }`
	nobodyReachesAPI = `
    expect "denied" {
      from = [app.web, app.watch]
      to   = app.api.port.http
    }`
	webReachesInternetByName = `
    expect "allowed" {
      from = app.web
      to   = external.internet
    }`
	webGetsAPI = `
    expect "allowed" {
      from = app.web
      to   = app.api.port.http
      http { path = "/hostname" }
    }`
	internetReachesAPI = `
    expect "allowed" {
      from = external.internet
      to   = app.api.port.http
    }`
	apiReachesWebHTTPOnly = `
    expect "allowed" {
      from = app.api
      to   = app.web.port.http
    }
    expect "denied" {
      from = app.api
      to   = app.web.port.metrics
    }
    expect "denied" {
      from = app.watch
      to   = app.web.port.http
    }`
	webIsClosed = `
    expect "denied" {
      from = app.api
      to   = app.web.port.http
    }`
	webReachesNobody = `
    expect "dropped" {
      from = app.web
      to   = [app.api.port.http, external.internet]
      via  = "ip"
    }`
	webReachesAPIOnly = webReachesAPIByIP + `
    expect "denied" {
      from = app.web
      to   = external.internet
      via  = "ip"
    }`
	apiReachesNobody = `
    expect "dropped" {
      from = app.api
      to   = [app.web.port.http, external.internet]
      via  = "ip"
    }`
	apiReachesInternet = `
    expect "allowed" {
      from = app.api
      to   = external.internet
      via  = "ip"
    }`
	only8080 = `
    invariant "port" {
      to           = [app.api]
      except_ports = [8080]
    }`
	nameFails = `
    expect "dns_failed" {
      from = app.web
      to   = app.api.port.http
    }`
	dnsOverUDP = `
    expect "allowed" {
      from = app.web
      to   = dns("example.com")
    }`
	dnsOverTCP = `
    expect "allowed" {
      from     = app.web
      to       = dns("example.com")
      protocol = "TCP"
    }`
)

// Checks about more than one connection.
const (
	everyPodReaches = `
    expect "allowed" {
      from = [app.web, app.api]
      to   = [app.web.port.http, app.api.port.http]
    }`
	webReachesNobodyElse = `
    expect "denied" {
      from = app.web
      to   = external.internet
      via  = "ip"
    }`
	nobodyElseReachesAPI = `
    expect "denied" {
      from = app.stranger
      to   = app.api.port.http
    }`
)

// Checks that are met only by policies of both tasks together.
const (
	webReachesInternet = `
    expect "allowed" {
      from = app.web
      to   = external.internet
      via  = "ip"
    }`
	apiReachesNoInternet = `
    expect "denied" {
      from = app.api
      to   = external.internet
      via  = "ip"
    }`
	apiLooksUp = `
    expect "allowed" {
      from = app.api
      to   = dns("example.com")
    }`
	apiReachesNoPod = `
    invariant "no-other-pod" {
      from              = [app.api]
      except_namespaces = ["kube-system"]
      except_external   = true
    }`
)

const (
	logReachesAPI = `
    expect "allowed" {
      from = app.log
      to   = app.api.port.http
    }`
	closeWatch  = `{podSelector: {matchLabels: {app: watch}}, policyTypes: [Egress]}`
	egressToAPI = `{podSelector: {}, policyTypes: [Egress], egress: [{to: [
		{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}, podSelector: {matchLabels: {app: api}}}], ports: [{port: 8080}]}]}`
)

// deletion is a manifest that deletes a NetworkPolicy of default.
func deletion(name string) string {
	return "# delete\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + ", namespace: default}\n"
}

// np is a NetworkPolicy named "p" in default with the spec.
func np(spec string) string { return policyIn("default", "p", spec) }

func policyIn(namespace, name, spec string) string {
	return "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " + name + ", namespace: " + namespace + "}\nspec: " + spec + "\n"
}

// cnp is a CiliumNetworkPolicy named "p" in default with the spec, and ccnp the same for the whole cluster.
func cnp(spec string) string {
	return "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p, namespace: default}\nspec: " + spec + "\n"
}

func ccnp(spec string) string {
	return "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: p}\nspec: " + spec + "\n"
}

func label(namespace, labels string) string {
	return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + namespace + ", labels: {" + labels + "}}\n"
}

const (
	closeAPI    = `{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress]}`
	closeWeb    = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress]}`
	webToAPI    = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: api}}}]}]}`
	apiFromWeb  = `{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`
	dnsForWeb   = `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]}`
	dnsForAll   = `{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}]}]}`
	opsLabelled = `purpose: ops`
)

// Every mistake has at least one submission that makes it and one that looks alike and does not.
func TestRecognize(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		checks string
		first  []string // manifests of the task before
		task   []string // manifests of the task
		want   []string // ids of findings, sorted
	}{
		{
			name:   "and-or-peers: two items where one was meant",
			checks: onlyWatchReachesAPI,
			task: []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {purpose: ops}}}, {podSelector: {matchLabels: {app: watch}}}]}]}`)},
			want: []string{"and-or-peers"},
		},
		{
			name:   "and-or-peers: one item where two were meant",
			checks: webReachesAPI + watchReachesAPI,
			task: []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: web}}}]}]}`)},
			want: []string{"and-or-peers"},
		},
		{
			name:   "and-or-peers, not: two items that are both too broad",
			checks: nobodyReachesAPI,
			task: []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: watch}}},
				{podSelector: {matchLabels: {app: web}}}]}]}`)},
			want: []string{"rules-only-allow"},
		},
		{
			name:   "selector-selects-nothing: typing error in a peer",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: wbe}}}]}]}`)},
			want:   []string{"selector-selects-nothing"},
		},
		{
			name:   "selector-selects-nothing: typing error in the subject",
			checks: nobodyReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: apii}}, policyTypes: [Ingress]}`)},
			want:   []string{"selector-selects-nothing"},
		},
		{
			name:   "selector-selects-nothing: the namespace has another value",
			checks: watchReachesAPI,
			task: []string{label("ops", `purpose: opps`), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			want: []string{"selector-selects-nothing"},
		},
		{
			name:   "selector-selects-nothing: typing error in the name of a namespace",
			checks: watchReachesAPI,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: osp}}, podSelector: {matchLabels: {app: watch}}}]}]}`)},
			want: []string{"selector-selects-nothing"},
		},
		{
			name:   "selector-selects-nothing: typing error in the name of the name server's namespace",
			checks: dnsOverUDP,
			task: []string{np(`{podSelector: {}, policyTypes: [Egress], egress: [{to: [
				{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-sytem}}}], ports: [{port: 53, protocol: UDP}]}]}`)},
			want: []string{"selector-selects-nothing"},
		},
		{
			name:   "selector-selects-nothing: typing error in an expression about namespaces",
			checks: watchReachesAPI,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchExpressions: [{key: kubernetes.io/metadata.name, operator: In, values: [osp]}]}}]}]}`)},
			want: []string{"selector-selects-nothing"},
		},
		{
			name:   "selector-selects-nothing, not: the name of the namespace alone would not help",
			checks: watchReachesAPI,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: osp}}, podSelector: {matchLabels: {app: log}}}]}]}`)},
			want: nil,
		},
		{
			name:   "selector-selects-nothing, not: there is such a namespace, another one",
			checks: onlyWatchReachesAPI,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]}]}`)},
			want: []string{"wrong-peer"},
		},
		{
			name:   "selector-selects-nothing, not: it selects somebody else",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}`)},
			want:   []string{"wrong-peer"},
		},
		{
			name:   "pod-label-vs-deployment-label",
			checks: nobodyReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {name: api-server}}, policyTypes: [Ingress]}`)},
			want:   []string{"pod-label-vs-deployment-label"},
		},
		{
			name:   "pod-label-vs-deployment-label: in a peer",
			checks: webReachesAPIByIP,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {name: api-server}}}]}]}`)},
			want:   []string{"pod-label-vs-deployment-label"},
		},
		{
			name:   "pod-label-vs-deployment-label, not: the Deployment has another value",
			checks: nobodyReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {name: api}}, policyTypes: [Ingress]}`)},
			want:   []string{"selector-selects-nothing"},
		},
		{
			name:   "namespace-label-missing",
			checks: watchReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			want:   []string{"namespace-label-missing"},
		},
		{
			name:   "namespace-label-missing, not: the label alone would not help",
			checks: watchReachesAPI,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}],
				ports: [{port: 9999}]}]}`)},
			want: nil,
		},
		{
			name:   "own-namespace-only",
			checks: watchReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: watch}}}]}]}`)},
			want:   []string{"own-namespace-only"},
		},
		{
			name:   "own-namespace-only: with the label of the namespace",
			checks: watchReachesAPI,
			task: []string{label("ops", opsLabelled),
				np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			want: []string{"own-namespace-only"},
		},
		{
			name: "empty-vs-missing: rules for every pod",
			checks: watchReachesAPI + `
    expect "denied" {
      from = app.watch
      to   = app.web.port.http
    }`,
			first: []string{label("ops", opsLabelled), policyIn("default", "all", `{podSelector: {}, policyTypes: [Ingress]}`)},
			task:  []string{np(`{podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			want:  []string{"empty-vs-missing"},
		},
		{
			name:   "wrong-namespace: it does not replace the one that it is to replace",
			checks: onlyWatchReachesAPI,
			first: []string{label("ops", opsLabelled),
				np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			task: []string{policyIn("ops", "p", `{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: watch}}}]}]}`)},
			want: []string{"wrong-namespace"},
		},
		{
			name:   "policy-types-excess: only the direction without rules",
			checks: apiReachesInternet,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress],
				ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`)},
			want: []string{"policy-types-excess", "rules-without-policy-type"},
		},
		{
			name:   "own-namespace-only, not: the rule is about a pod of its namespace",
			checks: watchReachesAPI,
			task:   []string{np(apiFromWeb)},
			want:   []string{"wrong-peer"},
		},
		{
			name:   "selector-selects-nothing, not: a peer for pods elsewhere beside a rule that is missing",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: watch}}}]}]}`)},
			want:   nil,
		},
		{
			name:   "wrong-namespace: the client's instead of the server's",
			checks: nobodyReachesAPI,
			task:   []string{policyIn("ops", "p", closeAPI)},
			want:   []string{"wrong-namespace"},
		},
		{
			name:   "wrong-namespace, not: the policy is about pods of its namespace",
			checks: nobodyReachesAPI,
			task:   []string{policyIn("ops", "p", `{podSelector: {matchLabels: {app: watch}}, policyTypes: [Ingress]}`)},
			want:   []string{"wrong-subject"},
		},
		{
			name:   "service-port-vs-target-port",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 80}]}]}`)},
			want:   []string{"service-port-vs-target-port"},
		},
		{
			name:   "service-port-vs-target-port, not: a port that is neither's",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8000}]}]}`)},
			want:   nil,
		},
		{
			name:   "service-ip-in-ipblock",
			checks: webReachesAPIByIP,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 10.96.0.17/32}}]}]}`)},
			want:   []string{"service-ip-in-ipblock"},
		},
		{
			name:   "service-ip-in-ipblock, not: a range for the internet beside a rule that is missing",
			checks: webReachesAPIByIP,
			task: []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [
				{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]}`)},
			want: nil,
		},
		{
			name:   "selector-for-external: every namespace for the internet",
			checks: apiReachesInternet,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [
				{to: [{namespaceSelector: {}}], ports: [{port: 443}]}]}`)},
			want: []string{"selector-for-external"},
		},
		{
			name:   "selector-for-external: every pod beside another peer, with an invariant that it breaks",
			checks: apiReachesInternet + apiReachesNoPod,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [
				{to: [{ipBlock: {cidr: 198.51.100.0/24}}, {namespaceSelector: {}, podSelector: {}}]}]}`)},
			want: []string{"selector-for-external"},
		},
		{
			name:   "selector-for-external: a label that the internet does not have",
			checks: apiReachesInternet,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [
				{to: [{podSelector: {matchLabels: {app: internet}}}]}]}`)},
			want: []string{"selector-for-external"},
		},
		{
			name:   "selector-for-external: ingress",
			checks: internetReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {}}]}]}`)},
			want:   []string{"selector-for-external"},
		},
		{
			name:   "selector-for-external, not: another port",
			checks: apiReachesInternet,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [
				{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]}`)},
			want: nil,
		},
		{
			name:   "selector-for-external, not: the rule is for a pod, and another is missing",
			checks: webReachesInternet,
			task:   []string{np(webToAPI)},
			want:   nil,
		},
		{
			name:   "selector-for-external, not: the task needs the rule for pods as well",
			checks: webReachesInternet + webReachesAPIByIP,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}]}]}`)},
			want:   nil,
		},
		{
			name:   "dns-forgotten",
			checks: webReachesAPI,
			task:   []string{np(webToAPI)},
			want:   []string{"dns-forgotten"},
		},
		{
			name:   "dns-forgotten, not: DNS is allowed, to the wrong pods",
			checks: webReachesAPI,
			task: []string{np(webToAPI), policyIn("default", "dns", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [
				{to: [{podSelector: {}}], ports: [{port: 53, protocol: UDP}]}]}`)},
			want: []string{"wrong-peer"},
		},
		{
			name:   "dns-only-tcp: protocol left out",
			checks: dnsOverUDP,
			task: []string{np(webToAPI), policyIn("default", "dns", `{podSelector: {}, policyTypes: [Egress], egress: [
				{to: [{namespaceSelector: {}}], ports: [{port: 53}]}]}`)},
			want: []string{"dns-only-tcp"},
		},
		{
			name:   "dns-only-udp",
			checks: dnsOverTCP,
			task: []string{np(`{podSelector: {}, policyTypes: [Egress], egress: [
				{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]}`)},
			want: []string{"dns-only-udp"},
		},
		{
			name:   "dns-only-udp, not: the rule is about other pods",
			checks: dnsOverTCP,
			task: []string{np(closeWeb), policyIn("default", "dns", `{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [
				{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]}`)},
			want: []string{"dns-forgotten"},
		},
		{
			name:   "policy-replaced",
			checks: dnsOverUDP + webReachesAPIByIP,
			first:  []string{policyIn("default", "dns", dnsForWeb)},
			task:   []string{policyIn("default", "dns", webToAPI)},
			want:   []string{"policy-replaced"},
		},
		{
			name:   "policy-replaced: a policy that closed something",
			checks: nobodyReachesAPI + webReachesNobodyElse,
			first:  []string{policyIn("default", "deny", closeAPI)},
			task: []string{policyIn("default", "deny", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [
				{to: [{podSelector: {matchLabels: {app: api}}}]}, {ports: [{port: 53, protocol: UDP}]}]}`)},
			want: []string{"policy-replaced"},
		},
		{
			name:   "policy-replaced, not: an update of the same pods' policy",
			checks: onlyWatchReachesAPI,
			first:  []string{policyIn("default", "api", closeAPI)},
			task: []string{policyIn("default", "api", `{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}]}]}`)},
			want: []string{"whole-namespace"},
		},
		{
			name:   "policy-replaced: of Cilium",
			checks: webReachesAPIByIP,
			first:  []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: api}}]}]}`)},
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: web}}]}]}`)},
			want:   []string{"policy-replaced"},
		},
		{
			name:   "policy-replaced, not: by the same",
			checks: dnsOverUDP,
			first:  []string{policyIn("default", "web", closeWeb)},
			task:   []string{policyIn("default", "web", closeWeb)},
			want:   []string{"no-rules"},
		},
		{
			name:   "policy-replaced, not: the one before did not help either",
			checks: dnsOverUDP,
			first:  []string{policyIn("default", "web", closeWeb)},
			task:   []string{policyIn("default", "web", webToAPI)},
			want:   []string{"dns-forgotten"},
		},
		{
			name:   "dns-wrong-port",
			checks: dnsOverUDP,
			task: []string{np(webToAPI), policyIn("default", "dns", `{podSelector: {}, policyTypes: [Egress], egress: [
				{to: [{namespaceSelector: {}}], ports: [{port: 5353, protocol: UDP}, {port: 5353, protocol: TCP}]}]}`)},
			want: []string{"dns-wrong-port"},
		},
		{
			name:   "dns-wrong-port, not: the rule is about other pods",
			checks: dnsOverUDP,
			task: []string{np(webToAPI), policyIn("default", "dns", `{podSelector: {}, policyTypes: [Egress], egress: [
				{to: [{podSelector: {}}], ports: [{port: 5353, protocol: UDP}]}]}`)},
			want: []string{"dns-forgotten"},
		},
		{
			name:   "egress-side-forgotten",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", closeWeb), policyIn("default", "in", closeAPI)},
			task:   []string{np(apiFromWeb)},
			want:   []string{"egress-side-forgotten"},
		},
		{
			name:   "egress-side-forgotten, not: there is a rule, with another port",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", `{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 1}]}]}`)},
			task:   []string{np(apiFromWeb)},
			want:   nil,
		},
		{
			name:   "ingress-side-forgotten",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", closeAPI), policyIn("default", "out", closeWeb)},
			task:   []string{np(webToAPI)},
			want:   []string{"ingress-side-forgotten"},
		},
		{
			name:   "ingress-side-forgotten, not: the server lets the client in, on another port",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", `{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 1}]}]}`)},
			task:   []string{np(webToAPI)},
			want:   nil,
		},
		{
			name:   "policy-types-excess",
			checks: apiReachesInternet,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress, Egress], ingress: [{from: [{podSelector: {}}]}]}`)},
			want:   []string{"policy-types-excess"},
		},
		{
			name:   "policy-types-excess, not: closing everything, with a rule missing",
			checks: apiReachesInternet,
			task:   []string{np(`{podSelector: {}, policyTypes: [Ingress, Egress], egress: [{to: [{ipBlock: {cidr: 203.0.114.0/24}}]}]}`)},
			want:   nil,
		},
		{
			name:   "policy-types-forgotten: empty egress section",
			checks: webReachesNobody,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, egress: []}`)},
			want:   []string{"policy-types-forgotten"},
		},
		{
			name:   "policy-types-forgotten: nothing but the selector",
			checks: webReachesNobody,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}}`)},
			want:   []string{"policy-types-forgotten"},
		},
		{
			name:   "policy-types-forgotten, not: there are egress rules, and they allow it",
			checks: webReachesNobody,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, egress: [{to: [{podSelector: {matchLabels: {app: api}}}]}]}`)},
			want:   []string{"rules-only-allow"},
		},
		{
			name:   "empty-vs-missing: an empty rule",
			checks: nobodyReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Ingress], ingress: [{}]}`)},
			want:   []string{"empty-vs-missing"},
		},
		{
			name:   "empty-vs-missing: an empty namespaceSelector",
			checks: onlyWatchReachesAPI,
			task: []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: watch}}}]},
				{from: [{namespaceSelector: {}}]}]}`)},
			want: []string{"empty-vs-missing"},
		},
		{
			name:   "empty-vs-missing: an empty podSelector closes too much",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {}, policyTypes: [Ingress]}`)},
			want:   []string{"empty-vs-missing"},
		},
		{
			name:   "empty-vs-missing, not: a rule that names its peer",
			checks: nobodyReachesAPI,
			task:   []string{np(apiFromWeb)},
			want:   []string{"rules-only-allow"},
		},
		{
			name:   "allows-everything",
			checks: nobodyReachesAPI,
			first:  []string{policyIn("default", "closed", closeAPI)},
			task:   []string{np(`{podSelector: {}, ingress: [{}]}`)},
			want:   []string{"allows-everything"},
		},
		{
			name:   "allows-everything, not: it opens the other direction",
			checks: nobodyReachesAPI,
			task:   []string{np(`{podSelector: {}, policyTypes: [Egress], egress: [{}]}`)},
			want:   nil,
		},
		{
			name:   "earlier-policy-still-in-force",
			checks: onlyWatchReachesAPI,
			first: []string{label("ops", opsLabelled), policyIn("default", "broad", `{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: watch}}}]}]}`)},
			want: []string{"earlier-policy-still-in-force"},
		},
		{
			name:   "earlier-policy-still-in-force, not: nothing was done in this task",
			checks: onlyWatchReachesAPI,
			first: []string{label("ops", opsLabelled), policyIn("default", "broad", `{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			want: nil,
		},
		{
			name: "earlier-policy-still-in-force: an assertion about objects",
			checks: `
    object "gone" {
      kind      = "NetworkPolicy"
      condition = "objects.all(p, p.metadata.name != 'old')"
    }`,
			first: []string{policyIn("default", "old", apiFromWeb)},
			task:  []string{np(`{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}`)},
			want:  []string{"earlier-policy-still-in-force"},
		},
		{
			name:   "earlier-policy-still-in-force, not: it is needed, and selects too many pods",
			checks: webReachesInternet + apiReachesNoInternet,
			first: []string{policyIn("default", "out",
				`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]}`)},
			task: []string{policyIn("default", "dns", dnsForAll)},
			want: []string{"empty-vs-missing"},
		},
		{
			name:   "earlier-policy-still-in-force, not: its own task did not ask for it, and it selects too many pods",
			checks: apiReachesNoInternet,
			first: []string{policyIn("default", "out",
				`{podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]}`)},
			task: []string{policyIn("default", "dns", dnsForAll)},
			want: []string{"empty-vs-missing"},
		},
		{
			name:   "earlier-policy-still-in-force, not: it is needed, and has a rule without peers",
			checks: apiLooksUp + apiReachesNoPod,
			first:  []string{policyIn("default", "dns", dnsForAll)},
			task: []string{policyIn("default", "out", `{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [
				{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]}`)},
			want: []string{"peers-missing"},
		},
		{
			name:   "earlier-policy-still-in-force, not: of Cilium, needed, and with a rule without peers",
			checks: apiLooksUp + apiReachesNoPod,
			first:  []string{cnp(`{endpointSelector: {}, egress: [{toPorts: [{ports: [{port: '53', protocol: ANY}]}]}]}`)},
			task: []string{policyIn("default", "out", `{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [
				{to: [{ipBlock: {cidr: 0.0.0.0/0}}], ports: [{port: 443}]}]}`)},
			want: []string{"peers-missing"},
		},
		{
			name:   "rule-split",
			checks: nobodyButWeb,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{podSelector: {matchLabels: {app: web}}}]}, {ports: [{port: 8080}]}]}`)},
			want: []string{"rule-split"},
		},
		{
			name:   "port-split",
			checks: onlyPort8080,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{protocol: TCP}, {port: 8080}]}]}`)},
			want: []string{"port-split"},
		},
		{
			name:   "port-split: egress, the other way round",
			checks: onlyPort8080Out,
			task: []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [
				{to: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 8080}, {protocol: TCP}]}]}`)},
			want: []string{"port-split"},
		},
		{
			name:   "port-split, not: both name their protocol",
			checks: onlyPort8080,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{protocol: TCP}, {protocol: TCP, port: 8080}]}]}`)},
		},
		{
			name:   "rule-split, not: peers and ports in both rules",
			checks: nobodyButWeb,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080}]},
				{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}, podSelector: {matchLabels: {app: watch}}}], ports: [{port: 8080}]}]}`)},
			want: []string{"rules-only-allow"},
		},
		{
			name:   "ports-missing",
			checks: only8080,
			task:   []string{np(apiFromWeb)},
			want:   []string{"ports-missing"},
		},
		{
			name:   "ports-missing, not: a port too many",
			checks: only8080,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 8080}, {port: 9090}]}]}`)},
			want:   nil,
		},
		{
			name:   "whole-namespace",
			checks: onlyWatchReachesAPI,
			task:   []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			want:   []string{"whole-namespace"},
		},
		{
			name:   "whole-namespace, not: the pods are named, and wrong",
			checks: nobodyReachesAPI,
			task: []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [
				{from: [{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: watch}}}]}]}`)},
			want: []string{"rules-only-allow"},
		},
		{
			name:   "peers-missing: egress",
			checks: webReachesAPIOnly,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 8080}, {port: 443}]}]}`)},
			want:   []string{"peers-missing"},
		},
		{
			name:   "peers-missing: ingress",
			checks: onlyWatchReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{ports: [{port: 8080}]}]}`)},
			want:   []string{"peers-missing"},
		},
		{
			name:   "peers-missing, not: everybody is meant, and the port is wrong",
			checks: only8080,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{ports: [{port: 8081}]}]}`)},
			want:   nil,
		},
		{
			name:   "subject-and-peer-swapped: ingress",
			checks: webReachesAPI + nobodyButWeb,
			first:  []string{policyIn("default", "closed", closeAPI)},
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 8080}]}]}`)},
			want:   []string{"subject-and-peer-swapped"},
		},
		{
			name:   "subject-and-peer-swapped: egress",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", closeWeb)},
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]}`)},
			want:   []string{"subject-and-peer-swapped"},
		},
		{
			name:   "subject-and-peer-swapped: in the client's namespace",
			checks: watchReachesAPI,
			first:  []string{policyIn("default", "closed", closeAPI)},
			task: []string{policyIn("ops", "p", `{podSelector: {matchLabels: {app: watch}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}, podSelector: {matchLabels: {app: api}}}]}]}`)},
			want: []string{"subject-and-peer-swapped"},
		},
		{
			name:   "subject-and-peer-swapped: nothing was closed before",
			checks: webReachesAPI + nobodyButWeb,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}`)},
			want:   []string{"subject-and-peer-swapped"},
		},
		{
			name:   "subject-and-peer-swapped, not: the port is wrong as well",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", closeWeb)},
			task:   []string{policyIn("default", "p", apiFromWeb), policyIn("default", "q", `{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 1}]}]}`)},
			want:   nil,
		},
		{
			name:   "wrong-subject: closes another pod",
			checks: webReachesNobody,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress]}`)},
			want:   []string{"wrong-subject"},
		},
		{
			name:   "wrong-subject: opens another pod",
			checks: webReachesAPI + nobodyButWeb,
			first:  []string{policyIn("default", "closed", `{podSelector: {}, policyTypes: [Ingress]}`)},
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`)},
			want:   []string{"wrong-subject"},
		},
		{
			name:   "wrong-subject: one pod where all were meant",
			checks: webReachesNobody + apiReachesNobody,
			task:   []string{np(closeWeb)},
			want:   []string{"wrong-subject"},
		},
		{
			name:   "wrong-subject, not: with the right one the objective would not be met either",
			checks: webReachesNobody + apiReachesInternet,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], egress: [{to: [{podSelector: {}}]}]}`)},
			want:   nil,
		},
		{
			name:   "wrong-peer: ingress",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 8080}]}]}`)},
			want:   []string{"wrong-peer"},
		},
		{
			name:   "wrong-peer: egress, where the server has a rule for the client",
			checks: webReachesAPIOnly,
			first:  []string{policyIn("default", "in", apiFromWeb)},
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: web}}}]}]}`)},
			want:   []string{"wrong-peer"},
		},
		{
			name: "wrong-peer: first the one that is let in",
			checks: `
    matrix {
      from  = [app.stranger, app.log, app.watch]
      to    = [app.api.port.http]
      allow = [[app.watch, app.api.port.http]]
    }`,
			task: []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [
				{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: other}}}]}]}`)},
			want: []string{"wrong-peer"},
		},
		{
			name:   "wrong-peer, not: the task needs it as well",
			checks: webReachesAPI + watchReachesAPI,
			task:   []string{np(apiFromWeb)},
			want:   nil,
		},
		{
			name:   "wrong-peer, not: another objective needs it",
			checks: watchReachesAPI + "\n  }\n  objective \"p\" {\n    points = 1" + webReachesAPI,
			task:   []string{np(apiFromWeb)},
			want:   nil,
		},
		{
			name:   "wrong-peer, not: the port is wrong as well",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 81}]}]}`)},
			want:   nil,
		},
		{
			name:   "wrong-peer, not: an earlier task's rule",
			checks: watchReachesAPI,
			first:  []string{np(apiFromWeb)},
			want:   nil,
		},
		{
			name:   "wrong-peer, not: the rule is for the pod, and the look-up is forgotten",
			checks: webReachesAPI,
			task:   []string{np(webToAPI)},
			want:   []string{"dns-forgotten"},
		},
		{
			name:   "ports-missing: of an app with two ports",
			checks: apiReachesWebHTTPOnly,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}`)},
			want:   []string{"ports-missing"},
		},
		{
			name:   "ports-missing: every pod may connect, to one of two ports",
			checks: apiReachesWebHTTPOnly,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {}}]}]}`)},
			want:   []string{"ports-missing"},
		},
		{
			name:   "ports-missing, not: the peer is too wide as well",
			checks: apiReachesWebHTTPOnly,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{namespaceSelector: {}}]}]}`)},
			want:   []string{"empty-vs-missing"},
		},
		{
			name:   "ports-missing, not: the rule names the other port as well",
			checks: apiReachesWebHTTPOnly,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}], ports: [{port: 8080}, {port: 9090}]}]}`)},
			want:   nil,
		},
		{
			name:   "wrong-direction: rules",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", closeWeb)},
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}`)},
			want:   []string{"wrong-direction"},
		},
		{
			name:   "wrong-direction: isolation",
			checks: webReachesNobody,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`)},
			want:   []string{"wrong-direction"},
		},
		{
			name:   "wrong-direction, not: a policy that isolates another direction on purpose",
			checks: apiReachesInternet,
			first:  []string{policyIn("default", "closed", `{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress]}`)},
			task:   []string{np(apiFromWeb)},
			want:   nil,
		},
		{
			name:   "rules-without-policy-type: egress",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", closeWeb)},
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress], egress: [{to: [{podSelector: {matchLabels: {app: api}}}]}]}`)},
			want:   []string{"rules-without-policy-type"},
		},
		{
			name:   "rules-without-policy-type: ingress",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], ingress: [{from: [{podSelector: {}}]}]}`)},
			want:   []string{"rules-without-policy-type"},
		},
		{
			name:   "rules-without-policy-type, not: an empty list is no rule",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, policyTypes: [Egress], ingress: []}`)},
			want:   nil,
		},
		{
			name:   "peers-missing, not: the name was not to resolve, and with a peer it still does",
			checks: nameFails,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}`)},
			want:   nil,
		},
		{
			name:   "whole-namespace, not: the name was not to resolve, and with the pods named it still does",
			checks: nameFails,
			task: []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [
				{to: [{podSelector: {matchLabels: {app: api}}}]},
				{to: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: kube-system}}}]}]}`)},
			want: []string{"rules-only-allow"},
		},
		{
			name:   "empty-vs-missing, not: the name was not to resolve, and with a narrower selector it still does",
			checks: nameFails,
			task:   []string{np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Egress], egress: [{to: [{namespaceSelector: {}}], ports: [{port: 53, protocol: UDP}]}]}`)},
			want:   nil,
		},
		{
			name:   "own-namespace-only: fromEndpoints",
			checks: watchReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: watch}}]}]}`)},
			want:   []string{"own-namespace-only"},
		},
		{
			name:   "own-namespace-only, not: fromEndpoints that name the namespace, on another port",
			checks: watchReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}], toPorts: [{ports: [{port: '81'}]}]}]}`)},
			want:   nil,
		},
		{
			name:   "selector-selects-nothing: toEndpoints",
			checks: webReachesAPIByIP,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: apii}}]}]}`)},
			want:   []string{"selector-selects-nothing"},
		},
		{
			name:   "selector-selects-nothing: endpointSelector",
			checks: nobodyReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: apii}}, ingress: [{}]}`)},
			want:   []string{"selector-selects-nothing"},
		},
		{
			name:   "service-port-vs-target-port: toPorts",
			checks: webReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}`)},
			want:   []string{"service-port-vs-target-port"},
		},
		{
			name:   "dns-only-tcp: toPorts",
			checks: dnsOverUDP,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEntities: [cluster], toPorts: [{ports: [{port: '53', protocol: TCP}]}]}]}`)},
			want:   []string{"dns-only-tcp"},
		},
		{
			name:   "dns-only-udp: toPorts",
			checks: dnsOverTCP,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEntities: [cluster], toPorts: [{ports: [{port: '53', protocol: UDP}]}]}]}`)},
			want:   []string{"dns-only-udp"},
		},
		{
			name:   "cidr-for-pods: toCIDR",
			checks: webReachesAPIByIP,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toCIDR: [10.0.0.0/8]}]}`)},
			want:   []string{"cidr-for-pods"},
		},
		{
			name:   "cidr-for-pods: fromCIDRSet",
			checks: webReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8}]}]}`)},
			want:   []string{"cidr-for-pods"},
		},
		{
			name:   "cidr-for-pods, not: a range for the internet, on another port",
			checks: apiReachesInternet,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toCIDR: [203.0.113.0/24], toPorts: [{ports: [{port: '80'}]}]}]}`)},
			want:   nil,
		},
		{
			name:   "fqdns-without-dns-rule",
			checks: webReachesInternetByName,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toFQDNs: [{matchName: example.com}]}, {toEntities: [cluster], toPorts: [{ports: [{port: '53', protocol: ANY}]}]}]}`)},
			want:   []string{"fqdns-without-dns-rule"},
		},
		{
			name:   "fqdns-without-dns-rule, not: another name",
			checks: webReachesInternetByName,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toFQDNs: [{matchName: example.org}]}, {toEntities: [cluster], toPorts: [{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchPattern: '*'}]}}]}]}`)},
			want:   nil,
		},
		{
			name:   "request-not-listed: http",
			checks: webGetsAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [cluster], toPorts: [{ports: [{port: '8080', protocol: TCP}], rules: {http: [{method: GET, path: /other}]}}]}]}`)},
			want:   []string{"request-not-listed"},
		},
		{
			name:   "request-not-listed: dns",
			checks: dnsOverUDP,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEntities: [cluster], toPorts: [{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchName: example.org}]}}]}]}`)},
			want:   []string{"request-not-listed"},
		},
		{
			name:   "request-not-listed, not: the port is another",
			checks: webGetsAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [cluster], toPorts: [{ports: [{port: '8081', protocol: TCP}], rules: {http: [{method: GET, path: /other}]}}]}]}`)},
			want:   nil,
		},
		{
			name:   "wrong-entity: world for a pod",
			checks: webReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [world]}]}`)},
			want:   []string{"wrong-entity"},
		},
		{
			name:   "wrong-entity: cluster for the internet",
			checks: apiReachesInternet,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, egress: [{toEntities: [cluster]}]}`)},
			want:   []string{"wrong-entity"},
		},
		{
			name:   "wrong-entity, not: the right one, on another port",
			checks: webReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [cluster], toPorts: [{ports: [{port: '81'}]}]}]}`)},
			want:   nil,
		},
		{
			name:   "entity-too-wide",
			checks: onlyWatchReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [cluster]}]}`)},
			want:   []string{"entity-too-wide"},
		},
		{
			name:   "entity-too-wide: beside the right peer",
			checks: onlyWatchReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}]}, {fromEntities: [all]}]}`)},
			want:   []string{"entity-too-wide"},
		},
		{
			name:   "entity-too-wide, not: two of them",
			checks: nobodyReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [cluster]}, {fromEntities: [all]}]}`)},
			want:   nil,
		},
		{
			name:   "empty-vs-missing: an empty selector in fromEndpoints",
			checks: nobodyReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{}]}]}`)},
			want:   []string{"empty-vs-missing"},
		},
		{
			name:   "empty-cilium-rule",
			checks: webReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{}]}`)},
			want:   []string{"empty-cilium-rule"},
		},
		{
			name:   "empty-cilium-rule, not: meant to close, and does",
			checks: nobodyReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [{}]}`)},
			want:   nil,
		},
		{
			name:   "default-deny-disabled",
			checks: onlyWatchReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, enableDefaultDeny: {ingress: false}, ingress: [{fromEndpoints: [{matchLabels: {app: watch, 'k8s:io.kubernetes.pod.namespace': ops}}]}]}`)},
			want:   []string{"default-deny-disabled"},
		},
		{
			name:   "default-deny-disabled, not: of the other direction",
			checks: nobodyReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: api}}, enableDefaultDeny: {egress: false}, egress: [{toEntities: [all]}]}`)},
			want:   nil,
		},
		{
			name:   "node-selector-for-pods: too open",
			checks: nobodyReachesAPI,
			task:   []string{ccnp(`{nodeSelector: {matchLabels: {app: api}}, ingress: [{}]}`)},
			want:   []string{"node-policy", "node-selector-for-pods"},
		},
		{
			name:   "node-selector-for-pods: too closed",
			checks: webReachesAPI,
			first:  []string{policyIn("default", "closed", closeAPI)},
			task:   []string{ccnp(`{nodeSelector: {matchLabels: {app: api}}, ingress: [{fromEntities: [cluster]}]}`)},
			want:   []string{"node-policy", "node-selector-for-pods"},
		},
		{
			name:   "node-selector-for-pods, not: labels of no pod",
			checks: nobodyReachesAPI,
			task:   []string{ccnp(`{nodeSelector: {matchLabels: {disk: ssd}}, ingress: [{}]}`)},
			want:   []string{"node-policy"},
		},
		{
			name:   "dns-forgotten: toEndpoints",
			checks: webReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEndpoints: [{matchLabels: {app: api}}]}]}`)},
			want:   []string{"dns-forgotten"},
		},
		{
			name:   "dns-forgotten, not: an entity that includes the name server, on another port",
			checks: webReachesAPI,
			task: []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toEntities: [cluster],
				toPorts: [{ports: [{port: domain, protocol: TCP}, {port: '8080', protocol: TCP}]}]}]}`)},
			want: nil,
		},
		{
			name:   "ingress-side-forgotten, not: there is a rule of Cilium's kind, with another port",
			checks: webReachesAPIByIP,
			first: []string{"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: closed}\n" +
				"spec: {endpointSelector: {matchLabels: {app: api}}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}], toPorts: [{ports: [{port: '1'}]}]}]}\n"},
			task: []string{np(webToAPI)},
			want: nil,
		},
		{
			name:   "policy-replaced, not: the task asks for it, and the labels are exchanged",
			checks: onlyWatchReachesAPI,
			first:  []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {app: watch}}, podSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			want:   []string{"selector-selects-nothing"},
		},
		{
			name:   "policy-replaced, not: the task asks for it, and another pod is let in",
			checks: onlyWatchReachesAPI,
			first:  []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: log}}}]}]}`)},
			want:   []string{"wrong-peer"},
		},
		{
			name:   "policy-replaced, not: a label is wrong",
			checks: watchReachesAPI,
			first:  []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: wacht}}}]}]}`)},
			want:   []string{"selector-selects-nothing"},
		},
		{
			name:   "policy-replaced: what the new one allows is needed as well",
			checks: dnsOverUDP + webReachesAPIByIP + webReachesNobodyElse,
			first:  []string{policyIn("default", "dns", `{podSelector: {}, policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]}`)},
			task:   []string{policyIn("default", "dns", webToAPI)},
			want:   []string{"policy-replaced"},
		},
		{
			name:   "selector-selects-nothing, not: exchanged labels that exist nowhere",
			checks: watchReachesAPI,
			first:  []string{label("ops", opsLabelled)},
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {app: wacht}}, podSelector: {matchLabels: {purpose: opps}}}]}]}`)},
			want:   nil,
		},
		{
			name:   "deleted-only: the task asks for a narrower policy",
			checks: onlyWatchReachesAPI,
			first: []string{policyIn("default", "closed", closeAPI), label("ops", opsLabelled),
				np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			task: []string{deletion("p")},
			want: []string{"deleted-only"},
		},
		{
			name:   "deleted-only: what it closed is open",
			checks: nobodyReachesAPI + webIsClosed,
			first:  []string{np(apiFromWeb)},
			task:   []string{deletion("p")},
			want:   []string{"deleted-only"},
		},
		{
			name:   "deleted-only, not: another policy is written",
			checks: onlyWatchReachesAPI,
			first: []string{policyIn("default", "closed", closeAPI), label("ops", opsLabelled),
				np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			task: []string{deletion("p"), policyIn("default", "q", `{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: watch}}}], ports: [{port: 81}]}]}`)},
			want: nil,
		},
		{
			name:   "deleted-only, not: what was deleted would not help",
			checks: watchReachesAPI,
			first:  []string{policyIn("default", "closed", closeAPI), np(apiFromWeb)},
			task:   []string{deletion("p")},
			want:   nil,
		},
		{
			name:   "policy-deleted",
			checks: watchReachesAPI,
			first:  []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`), policyIn("default", "closed", closeAPI)},
			task:   []string{deletion("p")},
			want:   []string{"policy-deleted"},
		},
		{
			name:   "policy-deleted: one that closed something",
			checks: nobodyReachesAPI,
			first:  []string{policyIn("default", "closed", closeAPI)},
			task:   []string{deletion("closed"), policyIn("ops", "other", `{podSelector: {matchLabels: {app: log}}}`)},
			want:   []string{"policy-deleted"},
		},
		{
			name:   "policy-deleted, not: with it the goal would not be reached",
			checks: onlyWatchReachesAPI,
			first:  []string{label("ops", opsLabelled), np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`), policyIn("default", "closed", closeAPI)},
			task:   []string{deletion("p")},
			want:   []string{"deleted-only"},
		},
		{
			name:   "no-rules: for every pod",
			checks: everyPodReaches,
			task:   []string{np(`{podSelector: {}, policyTypes: [Ingress]}`)},
			want:   []string{"no-rules"},
		},
		{
			name:   "no-rules: look-ups",
			checks: dnsOverUDP + webReachesNobody,
			task:   []string{np(`{podSelector: {}, policyTypes: [Egress]}`)},
			want:   []string{"no-rules"},
		},
		{
			name:   "no-rules, not: another policy of the task has rules",
			checks: everyPodReaches,
			task:   []string{np(`{podSelector: {}, policyTypes: [Ingress]}`), policyIn("default", "q", `{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: {matchLabels: {app: api}}}]}]}`)},
			want:   []string{"empty-vs-missing"},
		},
		{
			name:   "dns-forgotten, not: nothing is done in this task yet",
			checks: dnsOverUDP,
			first:  []string{policyIn("default", "closed", closeWeb)},
			task:   []string{label("ops", opsLabelled)},
			want:   nil,
		},
		{
			name:   "wrong-direction: egress of the client instead of ingress of the server, by name",
			checks: webReachesAPI,
			first:  []string{policyIn("default", "closed", closeAPI)},
			task:   []string{np(webToAPI)},
			want:   []string{"wrong-direction"},
		},
		{
			name:   "wrong-direction: ingress of the server instead of egress of the client",
			checks: webReachesAPIByIP,
			first:  []string{policyIn("default", "closed", closeWeb)},
			task:   []string{np(apiFromWeb)},
			want:   []string{"wrong-direction"},
		},
		{
			name:   "wrong-direction, not: the client's egress is closed, too",
			checks: webReachesAPI,
			first:  []string{policyIn("default", "closed", closeAPI), policyIn("default", "out", closeWeb)},
			task:   []string{np(webToAPI)},
			want:   []string{"ingress-side-forgotten"},
		},
		{
			name: "wrong-direction: egress of a whole namespace instead of ingress of the server, by name",
			checks: `
    expect "allowed" {
      from = [app.watch, app.log]
      to   = app.api.port.http
    }`,
			first: []string{policyIn("default", "closed", closeAPI)},
			task:  []string{policyIn("ops", "p", egressToAPI)},
			want:  []string{"wrong-direction"},
		},
		{
			name:   "dns-forgotten, not: the server is closed, and nothing speaks of the client there",
			checks: watchReachesAPI + logReachesAPI,
			first:  []string{policyIn("default", "closed", closeAPI), policyIn("ops", "out", closeWatch)},
			task:   []string{policyIn("ops", "p", egressToAPI)},
			want:   []string{"ingress-side-forgotten"},
		},
		{
			name:   "wrong-subject, not: a policy of the task that is about neither end",
			checks: nobodyReachesAPI,
			first:  []string{policyIn("default", "deny", closeAPI)},
			task:   []string{policyIn("default", "deny", closeWeb), policyIn("ops", "more", `{podSelector: {matchLabels: {app: log}}}`)},
			want:   nil,
		},
		{
			name:   "wrong-subject: the client, in its namespace",
			checks: watchReachesAPI + nobodyElseReachesAPI,
			first:  []string{label("ops", opsLabelled), policyIn("default", "closed", closeAPI)},
			task:   []string{policyIn("ops", "p", `{podSelector: {matchLabels: {app: watch}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}}]}]}`)},
			want:   []string{"wrong-subject"},
		},
		{
			name:   "wrong-protocol",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8080, protocol: UDP}]}]}`)},
			want:   []string{"wrong-protocol"},
		},
		{
			name:   "wrong-protocol, not: the port is wrong as well",
			checks: webReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}], ports: [{port: 8081, protocol: UDP}]}]}`)},
			want:   nil,
		},
		{
			name:   "rules-only-allow: ingress",
			checks: nobodyReachesAPI,
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]}`)},
			want:   []string{"rules-only-allow"},
		},
		{
			name:   "rules-only-allow: egress",
			checks: webReachesNobody,
			task:   []string{np(webToAPI)},
			want:   []string{"rules-only-allow"},
		},
		{
			name:   "rules-only-allow, not: some are to be let in",
			checks: onlyWatchReachesAPI,
			first:  []string{label("ops", opsLabelled)},
			task:   []string{np(`{podSelector: {matchLabels: {app: api}}, ingress: [{from: [{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {matchLabels: {app: log}}}]}]}`)},
			want:   []string{"wrong-peer"},
		},
		{
			name:   "request-not-listed: a pattern that is too narrow, beside toFQDNs",
			checks: webReachesInternetByName,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toFQDNs: [{matchName: example.com}]}, {toEntities: [cluster], toPorts: [{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchPattern: '*.example.org'}]}}]}]}`)},
			want:   []string{"request-not-listed"},
		},
		{
			name:   "request-not-listed: the same for a pod",
			checks: webReachesAPI,
			task:   []string{cnp(`{endpointSelector: {matchLabels: {app: web}}, egress: [{toFQDNs: [{matchName: example.com}]}, {toEndpoints: [{matchLabels: {app: api}}]}, {toEntities: [cluster], toPorts: [{ports: [{port: '53', protocol: ANY}], rules: {dns: [{matchPattern: '*.example.org'}]}}]}]}`)},
			want:   []string{"request-not-listed"},
		},
		{
			name:   "none: everything is right",
			checks: webReachesAPI + nobodyButWeb,
			task:   []string{np(apiFromWeb), policyIn("default", "out", webToAPI), policyIn("default", "dns", dnsForWeb)},
			want:   nil,
		},
		{
			name:   "none: nothing was handed in",
			checks: nobodyReachesAPI + only8080 + webReachesNobody,
			want:   nil,
		},
	}
	for _, m := range mistake.Catalogue() {
		named, about := 0, 0
		for _, tt := range tests {
			if slices.Contains(tt.want, m.ID) {
				named++
			}
			if strings.HasPrefix(tt.name, m.ID) {
				about++
			}
		}
		if m.ID != "too-many-rules" && (named == 0 || named+about < 2) { // that one has TestTooManyRules
			t.Errorf("%d cases name %s, and %d are about it", named, m.ID, about)
		}
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			checkMistakes(t, tt.checks, tt.first, tt.task, tt.want)
		})
	}
}

// checkMistakes grades manifests of the two tasks of mistakeLab, and compares the ids of the findings.
func checkMistakes(t *testing.T, checks string, first, task, want []string) {
	t.Helper()
	lab := gradetest.Load(t, fstest.MapFS{
		"lab.hcl":  {Data: []byte(strings.Replace(mistakeLab, "CHECKS", checks, 1))},
		"api.yaml": {Data: []byte(apiManifests)},
	})
	files := fstest.MapFS{"answers": {Mode: os.ModeDir}}
	add := func(name string, manifests []string) {
		if len(manifests) > 0 {
			files["answers/"+name] = &fstest.MapFile{Data: []byte(strings.Join(manifests, "---\n"))}
		}
	}
	add("first/a.yaml", first)
	gone := func(m string) bool { return strings.HasPrefix(m, "# delete") }
	add("t/delete/a.yaml", slices.DeleteFunc(slices.Clone(task), func(m string) bool { return !gone(m) }))
	add("t/a.yaml", slices.DeleteFunc(slices.Clone(task), gone))
	report := gradeFS(t, lab, files, "answers")
	if got := findingIDs(report); !slices.Equal(got, want) {
		t.Errorf("findings are %q, want %q", got, want)
		for _, f := range report.Findings {
			t.Logf("%s: %s", f.ID, f.Message)
		}
		for _, c := range report.Tasks[1].Objectives[0].Checks {
			t.Logf("%s %s → %s: expected %s, got %s %s", c.Kind, c.From, c.To, c.Expected, c.Verdict, c.Error)
		}
	}
	for _, c := range missed(report) {
		if strings.Contains(c.Hint, "broke down") {
			t.Errorf("%s → %s: %s", c.From, c.To, c.Hint)
		}
	}
	for _, f := range report.Findings {
		if f.File == "" || f.Line == 0 || f.Policy == "" || f.Hint == "" || f.Title == "" {
			t.Errorf("the finding does not say what it is about: %+v", f)
		}
	}
}

// A mistake explains every check that its repair mends, those too whose ends are no apps of the lab.
func TestOneMistakeForAllChecks(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, checks, policy, want string }{
		{"typing error", nobodyReachesAPI + `
    invariant "closed" {
      to                = app.api
      except_namespaces = ["default", namespace.ops]
    }`, np(`{podSelector: {matchLabels: {app: apii}}, policyTypes: [Ingress]}`), "selector-selects-nothing"},
		{"other direction", webReachesNobody + `
    invariant "closed" { from = app.web }`, np(`{podSelector: {matchLabels: {app: web}}, policyTypes: [Ingress]}`), "wrong-direction"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			lab := gradetest.Load(t, fstest.MapFS{
				"lab.hcl":  {Data: []byte(strings.Replace(mistakeLab, "CHECKS", tt.checks, 1))},
				"api.yaml": {Data: []byte(apiManifests)},
			})
			report := gradeFS(t, lab, fstest.MapFS{"answers/t/a.yaml": {Data: []byte(tt.policy)}}, "answers")
			for _, c := range report.Tasks[1].Objectives[0].Checks {
				if c.Passed || c.Mistake != tt.want {
					t.Errorf("%s %s → %s passed: %t, mistake %q", c.Kind, c.From, c.To, c.Passed, c.Mistake)
				}
			}
		})
	}
}

// The service that a message names is the one whose pods the policy is about, not the first with that port.
func TestServiceOfMistake(t *testing.T) {
	t.Parallel()
	const lab = `
lab "services" { title = "Services" }
app "first" {
  labels = { app = "first" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}
app "second" {
  labels = { app = "second" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}
task "t" {
  objective "o" {
    points = 1
    CHECK
  }
}
`
	for name, tt := range map[string]struct{ check, spec string }{
		"ingress": {
			`invariant "i" {
      to           = [app.second]
      except_ports = [8080]
    }`,
			`{podSelector: {matchLabels: {app: second}}, ingress: [{from: [{podSelector: {}}], ports: [{port: 80}]}]}`,
		},
		"egress": {
			`invariant "i" {
      from         = [app.first]
      except_ports = [8080]
    }`,
			`{podSelector: {matchLabels: {app: first}}, policyTypes: [Egress], egress: [{to: [{podSelector: {matchLabels: {app: second}}}], ports: [{port: 80}]}]}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			lab := gradetest.Load(t, fstest.MapFS{"lab.hcl": {Data: []byte(strings.Replace(lab, "CHECK", tt.check, 1))}})
			report := gradeFS(t, lab, fstest.MapFS{"answers/t/a.yaml": {Data: []byte(np(tt.spec))}}, "answers")
			if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Message, "of the Service second;") {
				t.Errorf("findings are %+v, want one that names the Service second", report.Findings)
			}
		})
	}
}

const nobodyButWeb = `
    expect "denied" {
      from = [app.watch, app.stranger]
      to   = app.api.port.http
    }`

// tutorialMistakes are the tutorial's samples, each with the mistake in it; "" for none.
var tutorialMistakes = map[string]string{
	"solution":                   "",
	"https-to-everybody":         "peers-missing",
	"another-way":                "",
	"all-at-once":                "",
	"nothing-handed-in":          "",
	"empty-rule-instead-of-none": "empty-vs-missing",
	"selects-all-pods":           "empty-vs-missing",
	"both-policy-types":          "policy-types-excess",
	"deployment-label":           "pod-label-vs-deployment-label",
	"service-port":               "service-port-vs-target-port",
	"label-typo":                 "selector-selects-nothing",
	"no-ports":                   "ports-missing",
	"allow-all":                  "allows-everything",
	"delete-forgotten":           "earlier-policy-still-in-force",
	"namespace-label-missing":    "namespace-label-missing",
	"wrong-namespace":            "wrong-namespace",
	"and-or-peers":               "and-or-peers",
	"narrowed-by-another-policy": "earlier-policy-still-in-force",
	"any-namespace":              "empty-vs-missing",
	"pod-selector-only":          "own-namespace-only",
	"policy-types-forgotten":     "policy-types-forgotten",
	"ingress-instead-of-egress":  "wrong-direction",
	"service-ip":                 "service-ip-in-ipblock",
	"forgot-dns":                 "dns-forgotten",
	"dns-label-missing":          "namespace-label-missing",
	"dns-udp-only":               "dns-only-udp",
	"dns-tcp-only":               "dns-only-tcp",
	"egress-closed-too":          "policy-types-excess",
	"egress-selects-all-pods":    "empty-vs-missing",
}

// Each wrong submission of the tutorial is recognised by the mistake that it is named after, and by no other.
func TestRecognizeTutorial(t *testing.T) {
	t.Parallel()
	lab := gradetest.Open(t, gradetest.Tutorial)
	for i := range lab.Samples {
		sample := &lab.Samples[i]
		t.Run(sample.Name, func(t *testing.T) {
			t.Parallel()
			id, listed := tutorialMistakes[sample.Name]
			if !listed {
				t.Fatalf("say in tutorialMistakes by which mistake the sample is to be recognised")
			}
			got := slices.Compact(findingIDs(gradeFS(t, lab, lab.FS, sample.Path)))
			if id == "" && len(got) > 0 || id != "" && !slices.Equal(got, []string{id}) {
				t.Errorf("findings are %q, want %q", got, id)
			}
		})
	}
}

// With several mistakes at once some may go unnamed, but none is named that was not made, and something is
// named where points were lost. The submissions are the tutorial's samples, mixed task by task.
func TestRecognizeMixtures(t *testing.T) {
	t.Parallel()
	lab := gradetest.Open(t, gradetest.Tutorial)
	tasks := map[string]map[string]fstest.MapFS{} // by sample and folder
	var wrong []string
	for _, sample := range lab.Samples {
		if id := tutorialMistakes[sample.Name]; id == "" && sample.Name != "solution" {
			continue
		} else if id != "" {
			wrong = append(wrong, sample.Name)
		}
		tasks[sample.Name] = foldersOf(t, lab.FS, sample.Path)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		files, made := fstest.MapFS{"answers": {Mode: fs.ModeDir}}, map[string]bool{}
		var recipe []string
		mix := []string{wrong[random.IntN(len(wrong))], wrong[random.IntN(len(wrong))], wrong[random.IntN(len(wrong))]}
		for _, folder := range slices.Sorted(maps.Keys(tasks["solution"])) {
			right := tasks["solution"][folder]
			from := "solution"
			for _, name := range mix {
				if !sameFiles(tasks[name][folder], right) && random.IntN(3) > 0 {
					from = name
				}
			}
			if from != "solution" {
				made[tutorialMistakes[from]] = true
				recipe = append(recipe, folder+" of "+from)
			}
			for name, file := range tasks[from][folder] {
				files["answers/"+name] = file
			}
		}
		report := gradeFS(t, lab, files, "answers")
		for _, f := range report.Findings {
			if !made[f.ID] {
				t.Errorf("%q: falsely named %s: %s", recipe, f.ID, f.Message)
			}
		}
		if report.Score.Points < report.Score.Max && len(report.Findings) == 0 {
			t.Errorf("%q: scores %v%% and no mistake is named", recipe, report.Score.Percent)
		}
	}
}

// Whatever policy a student hands in, looking for mistakes in it does not fail.
func FuzzRecognize(f *testing.F) {
	lab := gradetest.Load(f, fstest.MapFS{
		"lab.hcl":  {Data: []byte(strings.Replace(mistakeLab, "CHECKS", webReachesAPI+onlyWatchReachesAPI+dnsOverTCP+only8080, 1))},
		"api.yaml": {Data: []byte(apiManifests)},
	})
	for _, spec := range []string{closeAPI, closeWeb, webToAPI, apiFromWeb, dnsForWeb,
		`{podSelector: {}, ingress: [{}, {from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: http}]}]}`,
		`{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}, policyTypes: [Ingress, Egress],
		egress: [{to: [{namespaceSelector: {matchLabels: {purpose: ops}}, podSelector: {}}], ports: [{port: 80, endPort: 90}]}]}`,
	} {
		f.Add([]byte(np(spec)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		files := fstest.MapFS{"answers/t/p.yaml": {Data: data}}
		submission, err := lab.Grader.Rules.ReadFS(files, "answers", manifest.Limits{})
		if err != nil {
			return
		}
		report, err := lab.Grader.Grade(t.Context(), submission, lab.Engine, grade.Options{})
		if err != nil {
			return
		}
		for _, finding := range report.Findings {
			if finding.ID == "" || finding.Line < 1 {
				t.Errorf("the finding does not say where it stands: %+v", finding)
			}
		}
		for _, c := range missed(report) {
			if strings.Contains(c.Hint, "broke down") {
				t.Error(c.Hint)
			}
		}
	})
}

// breaksOnRepairs is an engine that breaks down on what is changed to find out which mistake was made.
type breaksOnRepairs struct{ *offline.Engine }

func (e breaksOnRepairs) At(ctx context.Context, state *engine.State) (engine.Prober, error) {
	p, err := e.Engine.At(ctx, state)
	if err != nil {
		return nil, err
	}
	return breaksOnChanges{p, p.(engine.Selector)}, nil
}

type breaksOnChanges struct {
	engine.Prober
	engine.Selector
}

func (breaksOnChanges) Changed(*policy.Budget, engine.Change) (engine.Prober, error) { panic("a bug") }

// A breakdown while the mistake is looked for costs the hint, which says so, and nothing else.
func TestBreakdownCostsTheHintOnly(t *testing.T) {
	t.Parallel()
	lab := gradetest.Open(t, gradetest.Tutorial)
	submission, err := lab.Grader.Rules.ReadFS(lab.FS, "samples/service-port", manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	report := func(eng engine.Engine) (*grade.Report, []grade.Check) {
		r, err := lab.Grader.Grade(t.Context(), submission, eng, grade.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return r, missed(r)
	}
	want, checks := report(lab.Engine)
	got, broken := report(breaksOnRepairs{lab.Engine})
	if got.Score != want.Score || got.Status != want.Status || len(broken) != len(checks) {
		t.Fatalf("the score is %+v with a breakdown and %+v without", got.Score, want.Score)
	}
	if len(want.Findings) == 0 || len(got.Findings) != 0 {
		t.Errorf("%d findings without a breakdown, %d with one", len(want.Findings), len(got.Findings))
	}
	told := 0
	for i, c := range broken {
		if strings.Contains(c.Hint, "looking for the mistake broke down: a bug") && c.Mistake == "" {
			told++
		}
		c.Hint, c.Mistake = checks[i].Hint, checks[i].Mistake
		if diff := cmp.Diff(checks[i], c); diff != "" {
			t.Errorf("a check differs in more than its hint:\n%s", diff)
		}
	}
	if told == 0 {
		t.Error("no check says that there was a breakdown")
	}
}

// Where looking for the mistake would take too much work, that is said instead of a mistake, and every verdict stays what it is.
func TestTooManyRules(t *testing.T) {
	t.Parallel()
	lab := gradetest.Open(t, gradetest.Tutorial)
	want := gradeFS(t, lab, lab.FS, "samples/service-port")
	lab.Grader.SetMistakeWork(100)
	got := gradeFS(t, lab, lab.FS, "samples/service-port")
	if ids := findingIDs(got); len(want.Findings) == 0 || !slices.Contains(ids, "too-many-rules") || slices.Contains(ids, "service-port-vs-target-port") {
		t.Errorf("findings are %q", ids)
	}
	if got.Score != want.Score {
		t.Errorf("the score is %+v, want %+v", got.Score, want.Score)
	}
	checks := missed(want)
	for i, c := range missed(got) {
		if c.Mistake != "too-many-rules" {
			t.Errorf("%s to %s: the mistake is %q", c.From, c.To, c.Mistake)
		}
		c.Mistake, c.Hint = checks[i].Mistake, checks[i].Hint
		if diff := cmp.Diff(checks[i], c); diff != "" {
			t.Errorf("a check differs in more than its hint:\n%s", diff)
		}
	}
}

// A policy of Cilium's kinds is compiled anew for each repair, which counts as work.
func TestTooManyCiliumRules(t *testing.T) {
	t.Parallel()
	lab := gradetest.Load(t, fstest.MapFS{
		"lab.hcl":  {Data: []byte(strings.Replace(mistakeLab, "CHECKS", webGetsAPI, 1))},
		"api.yaml": {Data: []byte(apiManifests)},
	})
	rule := `{fromEntities: [world], toPorts: [{ports: [{port: '8080', protocol: TCP}], rules: {http: [{path: /a}]}}]},`
	policy := cnp(`{endpointSelector: {matchLabels: {app: api}}, ingress: [` + strings.Repeat(rule, 500) + `]}`)
	report := gradeFS(t, lab, fstest.MapFS{"answers/t/a.yaml": {Data: []byte(policy)}}, "answers")
	if ids := findingIDs(report); !slices.Equal(ids, []string{"too-many-rules"}) {
		t.Errorf("findings are %q", ids)
	}
}

// missed are the checks of a report that did not pass.
func missed(r *grade.Report) []grade.Check {
	var list []grade.Check
	for i := range r.Tasks {
		for _, o := range r.Tasks[i].Objectives {
			list = append(list, slices.DeleteFunc(slices.Clone(o.Checks), func(c grade.Check) bool { return c.Passed })...)
		}
	}
	return list
}

// foldersOf returns the files of a submission by the folder at its top.
func foldersOf(t *testing.T, fsys fs.FS, dir string) map[string]fstest.MapFS {
	t.Helper()
	folders := map[string]fstest.MapFS{}
	err := fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(fsys, name)
		name = strings.TrimPrefix(name, dir+"/")
		folder, _, _ := strings.Cut(name, "/")
		if folders[folder] == nil {
			folders[folder] = fstest.MapFS{}
		}
		folders[folder][name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return folders
}

func sameFiles(a, b fstest.MapFS) bool {
	return maps.EqualFunc(a, b, func(x, y *fstest.MapFile) bool { return bytes.Equal(x.Data, y.Data) })
}

// Every mistake of the catalogue has a section in docs/mistakes.md, and every section a mistake.
func TestMistakesAreDocumented(t *testing.T) {
	t.Parallel()
	var inCatalogue, inDocs []string
	for _, m := range mistake.Catalogue() {
		if m.Title == "" || m.Hint == "" {
			t.Errorf("%s has no title or no hint", m.ID)
		}
		inCatalogue = append(inCatalogue, m.ID)
	}
	for _, m := range regexp.MustCompile(`(?m)^### (.+)$`).FindAllStringSubmatch(read(t, "../docs/mistakes.md"), -1) {
		inDocs = append(inDocs, m[1])
	}
	slices.Sort(inCatalogue)
	slices.Sort(inDocs)
	if len(inCatalogue) < 15 || !slices.Equal(inCatalogue, inDocs) {
		t.Errorf("the catalogue has %q, docs/mistakes.md describes %q", inCatalogue, inDocs)
	}
}

func gradeFS(t *testing.T, lab *gradetest.Lab, fsys fs.FS, dir string) *grade.Report {
	t.Helper()
	submission, err := lab.Grader.Rules.ReadFS(fsys, dir, manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	report, err := lab.Grader.Grade(t.Context(), submission, lab.Engine, grade.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func findingIDs(report *grade.Report) []string {
	var ids []string
	for _, f := range report.Findings {
		ids = append(ids, f.ID)
	}
	slices.Sort(ids)
	return ids
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// A NetworkPolicy without a spec is to conditions what the API server makes of it, and the student learns where a deletion belongs.
func TestPolicyWithoutSpec(t *testing.T) {
	t.Parallel()
	lab := gradetest.Load(t, fstest.MapFS{
		"lab.hcl": {Data: []byte(strings.Replace(mistakeLab, "CHECKS", `
    object "open" { condition = "objects.all(p, 'Ingress' in p.spec.policyTypes && size(p.spec.podSelector) == 0)" }`, 1))},
		"api.yaml": {Data: []byte(apiManifests)},
	})
	report := gradeFS(t, lab, fstest.MapFS{"answers/t/old.yaml": {Data: []byte(deletion("old"))}}, "answers")
	if c := report.Tasks[1].Objectives[0].Checks[0]; !c.Passed || c.Error != "" {
		t.Errorf("the condition fails: %+v", c)
	}
	if ids := findingIDs(report); !slices.Equal(ids, []string{"no-spec"}) || !strings.Contains(report.Findings[0].Hint, "t/delete/") {
		t.Errorf("findings are %+v", report.Findings)
	}
	half := deletion("old") + "# spec:\n#   podSelector: {}\n\n"
	report = gradeFS(t, lab, fstest.MapFS{"answers/t/old.yaml": {Data: []byte(half)}}, "answers")
	first := strings.Count(deletion("old"), "\n") + 1
	if want := fmt.Sprintf("Lines %d to %d of the file are still commented out.", first, first+1); report.Findings[0].Hint != want {
		t.Errorf("a spec that is commented out: findings are %+v, want %q", report.Findings, want)
	}
}

// What empty and missing mean depends on the field: messages say which it is.
func TestEmptyAndMissingInMessages(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ checks, spec, want string }{
		{webReachesAPI, `{policyTypes: [Ingress]}`, "has no podSelector, which selects every pod"},
		{webReachesAPI, `{podSelector: {}, policyTypes: [Ingress]}`, "has an empty podSelector"},
		{nobodyReachesAPI, `{podSelector: {matchLabels: {app: api}}, ingress: [{from: []}]}`, "an empty `from`, which means everybody"},
		{nobodyReachesAPI, `{podSelector: {matchLabels: {app: api}}, ingress: [{}]}`, "has an empty ingress rule"},
		{onlyWatchReachesAPI, `{podSelector: {matchLabels: {app: api}}, ingress: [{from: [], ports: [{port: 8080}]}]}`, "with ports and an empty `from`"},
	} {
		lab := gradetest.Load(t, fstest.MapFS{
			"lab.hcl":  {Data: []byte(strings.Replace(mistakeLab, "CHECKS", tt.checks, 1))},
			"api.yaml": {Data: []byte(apiManifests)},
		})
		report := gradeFS(t, lab, fstest.MapFS{"answers/t/a.yaml": {Data: []byte(np(tt.spec))}}, "answers")
		if len(report.Findings) != 1 || !strings.Contains(report.Findings[0].Message, tt.want) {
			t.Errorf("%s: findings are %+v, want %q", tt.spec, report.Findings, tt.want)
		}
	}
}
