package offline_test

import (
	"testing"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// ends is a lab with connections to and from what is no app.
const ends = `
-- lab.hcl --
lab "ends" {}
cluster "kind" {
  workers = 2
}
cilium {
  values = { hostFirewall = { enabled = true } }
}
app "client" {
  node = "worker"
}
app "api" {
  node = "worker"
  port "http" {
    port        = 80
    target_port = 8080
  }
}
external "partner" {
  hosts     = ["api.example.com", "*.cdn.example.com", "**.example.net"]
  addresses = ["198.51.100.7", "198.51.100.8"]
}
external "office" {
  cidr      = "203.0.113.0/24"
  addresses = ["203.0.113.7", "203.0.113.250"]
}
submission {
  kinds  = ["CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy"]
  layout = "either"
}
task "t" {
  objective "x" {
    points = 1
    expect "allowed" {
      from = app.client
      to   = app.api
    }
  }
}
`

// policy is one for the client's egress or the api's ingress.
func endsPolicy(app, rules string) string {
	return "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec:\n  endpointSelector: {matchLabels: {app: " + app + "}}\n" + rules
}

// Every address, name and node that an end stands for has to have the verdict, and the one that has not is named.
func TestEnds(t *testing.T) {
	t.Parallel()
	lab, eng := load(t, ends)
	client := labs.Source{App: "client"}
	entity := func(e labs.Entity, port int) labs.Target { return labs.Target{Entity: e, Port: port, Via: labs.ViaIP} }
	api := labs.Target{App: "api", Port: 8080, Via: labs.ViaIP}
	service := labs.Target{Entity: labs.EntityAPIServer, Port: 443, Via: labs.ViaService}
	clusterIP := labs.Target{Entity: labs.EntityAPIServer, Port: 443, Via: labs.ViaCluster}
	server := labs.Target{Entity: labs.EntityAPIServer, Via: labs.ViaIP}
	names := labs.Target{External: "partner", Port: 443}
	addresses := labs.Target{External: "partner", Port: 443, Via: labs.ViaIP}
	office := labs.Target{External: "office", Port: 443, Via: labs.ViaIP}
	const dns = "    - toEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: kube-system, k8s-app: kube-dns}}]\n" +
		"      toPorts: [{ports: [{port: \"53\", protocol: UDP}], rules: {dns: [{matchPattern: \"**.example.com\"}, {matchPattern: \"*.example.net\"}, {matchPattern: \"**.cluster.local\"}]}}]\n"
	egress := func(rules string) string { return endsPolicy("client", "  egress:\n"+rules) }
	to := func(entity string) string { return egress("    - toEntities: [" + entity + "]\n") }
	from := func(entity string) string { return endsPolicy("api", "  ingress:\n    - fromEntities: ["+entity+"]\n") }
	hosts := "apiVersion: cilium.io/v2\nkind: CiliumClusterwideNetworkPolicy\nmetadata: {name: hosts}\nspec:\n  nodeSelector: {matchLabels: {kubernetes.io/hostname: worker2}}\n  ingress:\n    - toPorts: [{ports: [{port: \"10250\"}]}]\n"

	for _, c := range []struct {
		name     string
		policies string
		from     labs.Source
		to       labs.Target
		want     verdict.Verdict
		found    verdict.Verdict
		at       string
	}{
		{"own node", to("host"), client, entity(labs.EntityHost, 10250), verdict.Allowed, verdict.Allowed, ""},
		{"own node, with another entity", to("remote-node"), client, entity(labs.EntityHost, 10250), verdict.Denied, verdict.Dropped, ""},
		{"other nodes", to("remote-node"), client, entity(labs.EntityRemoteNode, 10250), verdict.Allowed, verdict.Allowed, ""},
		{"other nodes, one of them", to("kube-apiserver"), client, entity(labs.EntityRemoteNode, 10250), verdict.Allowed, verdict.Dropped, "node worker2"},
		{"other nodes, none of them", to("kube-apiserver"), client, entity(labs.EntityRemoteNode, 10250), verdict.Denied, verdict.Allowed, "node control-plane"},
		{"a policy of one node", hosts, client, entity(labs.EntityRemoteNode, 9100), verdict.Allowed, verdict.Dropped, "node worker2"},
		{"what it lets in", hosts, client, entity(labs.EntityRemoteNode, 10250), verdict.Allowed, verdict.Allowed, ""},
		{"ping of other nodes", to("host"), client, labs.Target{Entity: labs.EntityRemoteNode, Protocol: "ICMP", Via: labs.ViaIP}, verdict.Denied, verdict.Dropped, ""},

		{"API server", to("kube-apiserver"), client, server, verdict.Allowed, verdict.Allowed, ""},
		{"API server, with the port of its Service", egress("    - toEntities: [kube-apiserver]\n      toPorts: [{ports: [{port: \"443\"}]}]\n"), client, server, verdict.Allowed, verdict.Dropped, ""},
		{"API server, its kubelet", egress("    - toEntities: [kube-apiserver]\n      toPorts: [{ports: [{port: \"6443\"}]}]\n"), client, entity(labs.EntityAPIServer, 10250), verdict.Denied, verdict.Dropped, ""},
		{"Service by address", to("kube-apiserver"), client, clusterIP, verdict.Allowed, verdict.Allowed, ""},
		{"Service by address, by its own port", egress("    - toEntities: [kube-apiserver]\n      toPorts: [{ports: [{port: \"6443\"}]}]\n"), client, clusterIP, verdict.Allowed, verdict.Allowed, ""},
		{"Service by address, as a range", egress("    - toCIDR: [10.96.0.1/32]\n"), client, clusterIP, verdict.Allowed, verdict.Dropped, ""},
		{"Service by name, without DNS", to("kube-apiserver"), client, service, verdict.Allowed, verdict.DNSFailed, ""},
		{"Service by name", egress(dns + "    - toEntities: [kube-apiserver]\n"), client, service, verdict.Allowed, verdict.Allowed, ""},

		{"from the own node", endsPolicy("api", "  ingress: [{}]\n"), labs.Source{Entity: labs.EntityHost}, api, verdict.Allowed, verdict.Allowed, ""},
		{"from other nodes", from("host"), labs.Source{Entity: labs.EntityRemoteNode}, api, verdict.Denied, verdict.Dropped, ""},
		{"from other nodes, one of them", from("kube-apiserver"), labs.Source{Entity: labs.EntityRemoteNode}, api, verdict.Denied, verdict.Allowed, "node control-plane"},
		{"from the API server", from("remote-node"), labs.Source{Entity: labs.EntityAPIServer}, api, verdict.Allowed, verdict.Allowed, ""},
		{"from the own node by service", "", labs.Source{Entity: labs.EntityHost}, labs.Target{App: "api", Port: 80}, verdict.Allowed, verdict.ProbeError, ""},
		{"from outside to the own node", "", labs.Source{External: "office"}, entity(labs.EntityHost, 22), verdict.Allowed, verdict.ProbeError, ""},

		{"every address", egress("    - toCIDR: [198.51.100.0/24]\n"), client, addresses, verdict.Allowed, verdict.Allowed, ""},
		{"one address is closed", egress("    - toCIDR: [198.51.100.7/32]\n"), client, addresses, verdict.Allowed, verdict.Dropped, "198.51.100.8"},
		{"one address is open", egress("    - toCIDR: [198.51.100.8/32]\n"), client, addresses, verdict.Denied, verdict.Allowed, "198.51.100.8"},
		{"one address of a range", egress("    - toCIDRSet: [{cidr: 203.0.113.0/24, except: [203.0.113.250/32]}]\n"), client, office, verdict.Allowed, verdict.Dropped, "203.0.113.250"},
		{"from one address of a range", endsPolicy("api", "  ingress:\n    - fromCIDR: [203.0.113.0/25]\n"), labs.Source{External: "office"}, api, verdict.Denied, verdict.Allowed, "203.0.113.7"},
		{"every name", "", client, names, verdict.Allowed, verdict.Allowed, ""},
		{"a name that no rule lets through", egress(dns + "    - toEntities: [world]\n"), client, names, verdict.Allowed, verdict.DNSFailed, "any.any.example.net"},
		{"a name whose address is closed", egress(dns + "    - toCIDR: [198.51.100.7/32]\n"), client, labs.Target{External: "partner", Port: 443}, verdict.Denied, verdict.Allowed, "198.51.100.7"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			prober, err := eng.At(t.Context(), state(t, lab, 0, c.policies))
			if err != nil {
				t.Fatal(err)
			}
			out, err := prober.Probe(t.Context(), []engine.Probe{{From: c.from, To: c.to, Want: c.want}})
			if err != nil {
				t.Fatal(err)
			}
			if o := out[0]; o.Verdict != c.found || o.At != c.at {
				t.Errorf("%s at %q (%s), want %s at %q\n%+v", o.Verdict, o.At, o.Error, c.found, c.at, o.Detail)
			}
		})
	}
}
