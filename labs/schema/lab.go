package schema

import (
	"sync"
	"time"
)

// DefaultCiliumVersion is the version of Cilium's chart that a lab gets that names none. It is also the version of
// the rule model that grades offline.
const DefaultCiliumVersion = "1.20.2"

// Bounds that several attributes share.
const (
	maxPort   = 65535
	maxPoints = 100000 // of an objective, and of the cost of a hint
	maxTime   = 365 * 24 * time.Hour
)

// Lab returns the schema of a lab's files: a block without a type, whose nested blocks are those at the top level.
// It is shared: do not change it.
var Lab = sync.OnceValue(func() *Block {
	return &Block{Blocks: []*Block{
		labBlock(), variable(), {Type: "locals", Free: true}, clusterBlock(), cilium(),
		namespace(), app(), external(),
		submission(), integrity(), late(), attempts(), starter(), task(), mistake(), sample(),
	}}
})

func labBlock() *Block {
	return &Block{Type: "lab", Labels: []string{"name"}, Once: true, Attributes: []Attribute{
		{Name: "title", Type: String, DefaultDoc: "the name", Doc: "shown above reports"},
		{Name: "description", Type: String, Default: "", Doc: "one or two sentences about the lab"},
		{Name: "required_version", Type: String, Default: "", DefaultDoc: "any",
			Doc: "the versions of labctl that the lab works with, such as `\">= 0.1.0\"` or `\"~> 1.2\"`"},
		{Name: "pass_mark", Type: Number, Default: 70, Max: 100, Doc: "percent of the points that is needed to pass"},
	}}
}

func variable() *Block {
	return &Block{Type: "variable", Labels: []string{"name"}, Attributes: []Attribute{
		{Name: "type", Type: TypeExpr, DefaultDoc: "any", Doc: "`string`, `number`, `bool`, `list(string)`, `map(number)`, `object({ a = string, b = optional(number, 2) })` …"},
		{Name: "default", Type: Constant, DefaultDoc: "required",
			Doc: "the value if none is given; `null` makes the variable optional. Without a default a value must be given"},
		{Name: "description", Type: String, Default: "", Doc: "what it is for"},
	}, Blocks: []*Block{
		{Type: "validation", Attributes: []Attribute{
			{Name: "condition", Type: Bool, Required: true, Doc: "must be true; refers to the value as `var.NAME`"},
			{Name: "error_message", Type: String, Required: true, Doc: "the error if it is not"},
		}},
	}}
}

func cilium() *Block {
	return &Block{Type: "cilium", Once: true, Attributes: []Attribute{
		{Name: "version", Type: String, Default: DefaultCiliumVersion, Format: versionNumber,
			Doc: "version of the chart"},
		{Name: "chart", Type: String, Default: "", DefaultDoc: "Cilium's repository",
			Doc: "path of the chart, a directory or an archive, for closed networks"},
		{Name: "values", Type: Map, DefaultDoc: "`{}`", Doc: "Helm values, merged over labctl's own"},
	}, Blocks: []*Block{
		{Type: "hubble", Once: true, Attributes: []Attribute{
			{Name: "relay", Type: Bool, Default: true,
				Doc: "whether to run the Hubble relay, which live grading reads flows from"},
		}},
	}}
}

func namespace() *Block {
	return &Block{Type: "namespace", Labels: []string{"name"}, ForEach: true, Attributes: []Attribute{
		name("name of the namespace"),
		{Name: "labels", Type: StringMap, Doc: "its labels, in addition to `kubernetes.io/metadata.name`"},
	}}
}

func app() *Block {
	return &Block{Type: "app", Labels: []string{"name"}, ForEach: true, Attributes: []Attribute{
		name("name of the app, unique in the lab"),
		{Name: "namespace", Type: Namespace, Default: "default",
			Doc: "its namespace: `namespace.NAME`, or a name in quotes"},
		{Name: "labels", Type: StringMap, DefaultDoc: "`{ app = NAME }`", Doc: "labels of its pods"},
		{Name: "kind", Type: String, Default: "Deployment", Doc: "what makes the pods", Choices: []Choice{
			{Value: "Deployment"}, {"DaemonSet", "one on every node, the control plane too"},
			{"StatefulSet", "`NAME-0`, `NAME-1` and so on"}, {"Pod", "one that nothing replaces"},
		}},
		{Name: "replicas", Type: Whole, Default: 1, Min: 1, Max: 100,
			Doc: "number of pods of a Deployment or StatefulSet"},
		{Name: "image", Type: String, Default: "", DefaultDoc: "the demo image", Doc: "container image"},
		{Name: "command", Type: StringList, DefaultDoc: "the image's", Doc: "command of the container"},
		{Name: "args", Type: StringList, DefaultDoc: "the image's", Doc: "arguments of the command"},
		{Name: "env", Type: StringMap, Doc: "environment variables of the container"},
		{Name: "node", Type: String, Default: "", DefaultDoc: "any", Doc: "node that the pods are pinned to"},
		{Name: "host_network", Type: Bool, Default: false,
			Doc: "whether the pods are in the network of their node; to policies they are then the node"},
		{Name: "service", Type: String, Default: "", DefaultDoc: "the name", Doc: "name of the Service"},
		{Name: "service_type", Type: String, Default: "ClusterIP", Doc: "type of the Service", Choices: []Choice{
			{Value: "ClusterIP"}, {"NodePort", "also a port of every node"}, {Value: "LoadBalancer"},
			{"Headless", "no address of its own: its name leads to the pods"},
		}},
		{Name: "manifests", Type: StringList, Doc: "manifest files, or directories of them, instead of all this"},
	}, Blocks: []*Block{
		{Type: "port", Labels: []string{"name"}, Attributes: []Attribute{
			{Name: "port", Type: Whole, Required: true, Min: 1, Max: maxPort, Doc: "port of the Service"},
			{Name: "target_port", Type: Whole, DefaultDoc: "`port`", Min: 1, Max: maxPort,
				Doc: "port of the container, which is the one that policies see"},
			transportProtocol("protocol of the port"),
			{Name: "node_port", Type: Whole, DefaultDoc: "the cluster's choice", Min: 30000, Max: 32767,
				Doc: "port of the nodes, with `service_type` `NodePort` or `LoadBalancer`"},
		}},
		healthCheck("readiness", "1s"), healthCheck("liveness", "10s"),
	}}
}

// healthCheck is a check by the kubelet. Its period differs, since `labctl up` waits for readiness.
func healthCheck(typ, period string) *Block {
	return &Block{Type: typ, Once: true, Attributes: []Attribute{
		{Name: "path", Type: String, Default: "", NonEmpty: true, Doc: "path of an HTTP request, which must be answered with a status from 200 to 399"},
		{Name: "port", Type: NameOrNumber, DefaultDoc: "the only TCP port", Min: 1, Max: maxPort,
			Doc: "name of a port of the app, or number of a container's port, to request the path from; without `path`, to connect to"},
		{Name: "command", Type: StringList, DefaultDoc: "none",
			Doc: "command in the container that must succeed, instead of `path` and `port`"},
		{Name: "initial_delay", Type: String, Default: "0s", Format: seconds(0, time.Hour),
			Doc: "time from the start of the container to the first check"},
		{Name: "period", Type: String, Default: period, Format: seconds(time.Second, time.Hour),
			Doc: "time from check to check"},
		{Name: "timeout", Type: String, Default: "1s", Format: seconds(time.Second, time.Hour),
			Doc: "time that a check may take"},
		{Name: "failures", Type: Whole, Default: 3, Min: 1, Max: 1000, Doc: "checks in a row that must fail"},
	}}
}

func external() *Block {
	return &Block{Type: "external", Labels: []string{"name"}, ForEach: true, Attributes: []Attribute{
		name("name of the external"),
		{Name: "host", Type: String, Default: "",
			Doc: "DNS name, or names such as `*.example.com`; give this, `hosts` or `cidr`"},
		{Name: "hosts", Type: StringList, DefaultDoc: "—", Doc: "DNS names, where it has several"},
		{Name: "cidr", Type: String, Default: "", Doc: "address range; its first address stands for it"},
		{Name: "addresses", Type: StringList, DefaultDoc: "one of the documentation ranges",
			Doc: "the addresses that each of the names resolves to, in offline grading and from a stand-in, or that stand for the range"},
		{Name: "port", Type: Whole, Default: 443, Min: 1, Max: maxPort, Doc: "port to connect to"},
		transportProtocol("protocol of the port"),
	}}
}

func submission() *Block {
	return &Block{Type: "submission", Once: true, Attributes: []Attribute{
		{Name: "kinds", Type: StringList, Default: []string{"NetworkPolicy"}, Doc: "kinds of objects: `NetworkPolicy`, `CiliumNetworkPolicy`, `CiliumClusterwideNetworkPolicy`, `CiliumCIDRGroup`, `ClusterNetworkPolicy`, and others that the offline engine knows"},
		{Name: "namespaces", Type: Namespaces, DefaultDoc: "those of the lab's apps and `namespace` blocks",
			Doc: "the namespaces that the objects may be in"},
		{Name: "may_label", Type: Namespaces, DefaultDoc: "none",
			Doc: "namespaces whose labels are part of the answer: the submission may contain their Namespace manifests"},
		{Name: "layout", Type: String, Default: "checkpoints", Doc: "how submissions are laid out", Choices: []Choice{
			{"checkpoints", "one folder per task"},
			{"flat", "everything is in force at once"},
			{"either", "whichever of these the submission uses"},
		}},
	}}
}

func integrity() *Block {
	return &Block{Type: "integrity", Once: true, Attributes: []Attribute{
		{Name: "tampered", Type: String, Default: "refuse", Doc: "how to grade a lab that was changed",
			Choices: []Choice{
				{"refuse", "nothing is graded; every finding is listed, and the exit code is 4"},
				{"report", "it is graded, and `tampering` in the report lists the findings"},
			}},
	}}
}

func late() *Block {
	return &Block{Type: "late", Once: true, Attributes: []Attribute{
		{Name: "grace", Type: String, Default: "0s", Format: duration(0, maxTime),
			Doc: "duration after the due date in which a submission is not late"},
		{Name: "penalty", Type: Number, Default: 0, Max: 100,
			Doc: "percent of the lab's maximum that is deducted for every `per` that has begun since the due date"},
		{Name: "per", Type: String, Default: "24h", Format: duration(time.Minute, maxTime),
			Doc: "duration that one `penalty` is for"},
		{Name: "max", Type: Number, Default: 100, Max: 100,
			Doc: "percent of the lab's maximum that the penalty never exceeds"},
		{Name: "cutoff", Type: String, DefaultDoc: "—", Format: duration(time.Minute, maxTime),
			Doc: "duration after the due date from which a submission scores 0"},
	}}
}

func attempts() *Block {
	return &Block{Type: "attempts", Once: true, Attributes: []Attribute{
		{Name: "limit", Type: Whole, Default: 0, Max: 1000, Doc: "only the first so many count; 0: any number"},
		{Name: "counts", Type: String, Default: "latest", Doc: "the attempt that counts", Choices: []Choice{
			{"latest", "the last one"},
			{"best", "the one with the highest score, after deductions for lateness"},
		}},
	}}
}

func starter() *Block {
	return &Block{Type: "starter", Once: true, Attributes: []Attribute{path()}}
}

func sample() *Block {
	return &Block{Type: "sample", Labels: []string{"name"}, ForEach: true, Attributes: []Attribute{
		name("name of the sample"),
		path(),
		{Name: "base", Type: String, DefaultDoc: "none", NonEmpty: true,
			Doc: "directory of another submission, whose files are part of this one where `path` has none of the same name"},
		{Name: "score", Type: Number, DefaultDoc: "unchecked", Max: 100,
			Doc: "percent that it must score, as reports show it; give this, `points` or `missed`"},
		{Name: "points", Type: Number, DefaultDoc: "unchecked", Doc: "points that it must score"},
		{Name: "missed", Type: StringList, DefaultDoc: "unchecked",
			Doc: "the objectives that it must miss, in whole or in part, as `\"TASK/OBJECTIVE\"`; all others must be met, or blocked by these"},
		{Name: "mistake", Type: String, DefaultDoc: "unchecked", NonEmpty: true,
			Doc: "the [mistake](mistakes.md) that its report must name, and no other"},
		{Name: "solution", Type: Bool, DefaultDoc: "whether it is named `solution`",
			Doc: "whether it is a right answer, which mutation tests start from"},
		{Name: "description", Type: String, Default: "", Doc: "what is right or wrong about it"},
	}}
}

func task() *Block {
	return &Block{Type: "task", Labels: []string{"name"}, ForEach: true, Attributes: []Attribute{
		name("name of the task, and of its folder in a submission; a number before the folder's name (`02-`) does not matter"),
		{Name: "title", Type: String, DefaultDoc: "the name", Doc: "shown in reports"},
		{Name: "instructions", Type: String, Default: "", Doc: "Markdown; usually `file(\"tasks/01.md\")`"},
		{Name: "depends_on", Type: StringList, Doc: "names of earlier tasks that come first"},
		{Name: "visibility", Type: String, Default: "visible", Choices: visibilities(),
			Doc: "when students see the task"},
	}, Blocks: []*Block{hint(), setup(), mistake(), objective()}}
}

func hint() *Block {
	return &Block{Type: "hint", Labels: []string{"name"}, ForEach: true, Attributes: []Attribute{
		name("name of the hint"),
		{Name: "text", Type: String, Required: true, Doc: "the hint itself"},
		{Name: "cost", Type: Number, Default: 0, Max: maxPoints, Doc: "points that it takes off the task's score"},
	}}
}

func mistake() *Block {
	return &Block{Type: "mistake", Labels: []string{"name"}, ForEach: true, Attributes: []Attribute{
		name("name of the mistake, unique in the lab and among the classic mistakes"),
		{Name: "title", Type: String, DefaultDoc: "the name", Doc: "what it is, in a few words"},
		{Name: "kind", Type: String, Default: "", DefaultDoc: "any", Doc: "kind of the objects"},
		{Name: "namespace", Type: Namespace, DefaultDoc: "any", Doc: "namespace of the objects"},
		{Name: "when", Type: String, Required: true,
			Doc: "a [CEL](https://cel.dev) expression that is true if the mistake was made; it sees what the condition of an `object` sees"},
		{Name: "message", Type: String, Required: true, NonEmpty: true, Doc: "what is wrong, in a sentence or two"},
		{Name: "hint", Type: String, Default: "", Doc: "what to look at, without the solution"},
	}}
}

func setup() *Block {
	return &Block{Type: "setup", Attributes: []Attribute{
		{Name: "apply", Type: StringList, Doc: "manifest files, or directories of them, to apply"},
		{Name: "delete", Type: StringList,
			Doc: "manifests of what to delete, after `apply`: kind, namespace and name suffice"},
	}, Blocks: []*Block{
		{Type: "label", Labels: []string{"namespace"}, Attributes: []Attribute{
			{Name: "labels", Type: StringMap, Required: true, Doc: "labels to put on the namespace"},
		}},
	}}
}

func objective() *Block {
	return &Block{Type: "objective", Labels: []string{"name"}, ForEach: true, Attributes: []Attribute{
		name("name of the objective, unique in its task"),
		{Name: "title", Type: String, DefaultDoc: "the name", Doc: "shown in reports"},
		{Name: "description", Type: String, Default: "", Doc: "more about it"},
		{Name: "points", Type: Number, Required: true, Max: maxPoints,
			Doc: "points that it is worth; 0 for a check that is only shown"},
		{Name: "bonus", Type: Bool, Default: false, Doc: "whether its points are added on top of the maximum"},
		{Name: "partial", Type: String, Default: "all", Doc: "how it earns points", Choices: []Choice{
			{"all", "everything or nothing"},
			{"proportional", "the share of its checks that pass"},
		}},
		{Name: "visibility", Type: String, DefaultDoc: "the task's", Choices: visibilities(),
			Doc: "when students see the objective"},
		{Name: "depends_on", Type: StringList, Doc: "objectives that must be met before this one earns points: `\"NAME\"` in the same task, `\"TASK/NAME\"` in an earlier one"},
	}, Blocks: append([]*Block{hint(), mistake()}, checks()...)}
}

// checks are the blocks of an objective that are graded.
func checks() []*Block { return []*Block{expect(), matrix(), invariant(), object()} }

// CheckKinds are the types of the blocks of an objective that are graded, in the order in which their checks are reported.
func CheckKinds() []string {
	var kinds []string
	for _, b := range checks() {
		kinds = append(kinds, b.Type)
	}
	return kinds
}

func expect() *Block {
	return &Block{Type: "expect", Labels: []string{"verdict"}, ForEach: true, LabelOneOf: []Choice{
		{"allowed", "the client connects and gets the answer"},
		{"denied", "`dropped` or `rejected`, but never `dns_failed`"},
		{"dropped", "no answer: the connection times out"},
		{"rejected", "the connection is refused at once (RST, ICMP unreachable)"},
		{"dns_failed", "the target's name does not resolve"},
		{"app_error", "the client connects and gets a wrong answer: another HTTP status, a refused query"},
	}, Attributes: []Attribute{
		{Name: "from", Type: Anything, Required: true, Doc: "apps, externals, nodes and entities that connect"},
		{Name: "to", Type: Anything, DefaultDoc: "required, except with `dns`",
			Doc: "apps, ports of apps, externals, nodes, entities, `dns(\"NAME\")`, IP addresses in quotes"},
		via("how an app is addressed. For an external or a node only `\"ip\"`: by address, without DNS"),
		{Name: "port", Type: NameOrNumber, DefaultDoc: "the target's", Min: 1, Max: maxPort, Doc: "for `app.NAME` with several ports, a node, an entity or an address: the number (the Service's, or the container's with `via = \"ip\"`), or the name of a port"},
		probeProtocol("the port's, otherwise `\"TCP\"`"),
		{Name: "dns", Type: String, Default: "",
			Doc: "a name to look up, instead of `to`: over UDP, or over TCP with `protocol = \"TCP\"`"},
		{Name: "because", Type: String, Default: "", Doc: "a sentence to show when the expectation is not met"},
	}, Blocks: []*Block{
		{Type: "http", Once: true, Attributes: []Attribute{
			{Name: "method", Type: String, Default: "GET", Doc: "method of the request",
				Choices: oneOf("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE")},
			{Name: "path", Type: String, Default: "/", Doc: "path of the request"},
			{Name: "headers", Type: StringMap, Doc: "headers of the request"},
			{Name: "status", Type: Whole, Default: 200, Min: 100, Max: 599, Doc: "status that the answer must have"},
		}},
		{Type: "icmp", Once: true, Attributes: []Attribute{
			{Name: "type", Type: NameOrNumber, DefaultDoc: "`\"echo-request\"`", Max: 255,
				Doc: "ICMP type, as a number or by name", Choices: oneOf(
					"destination-unreachable", "echo-reply", "echo-request", "parameter-problem", "redirect",
					"time-exceeded", "timestamp", "timestamp-reply")},
		}},
	}}
}

func matrix() *Block {
	return &Block{Type: "matrix", Attributes: []Attribute{
		{Name: "from", Type: Anything, Required: true, Doc: "as in `expect`"},
		{Name: "to", Type: Anything, Required: true, Doc: "as in `expect`"},
		{Name: "allow", Type: Cells, DefaultDoc: "none",
			Doc: "`[FROM, TO]` or `{ from = FROM, to = TO }`, where both may be lists; a single pair is `[[FROM, TO]]`"},
		{Name: "otherwise", Type: String, Default: "denied", Doc: "verdict of all other pairs",
			Choices: oneOf("denied", "dropped", "rejected")},
		via("as in `expect`"),
		{Name: "port", Type: NameOrNumber, DefaultDoc: "the target's", Min: 1, Max: maxPort, Doc: "as in `expect`"},
		probeProtocol("the port's"),
	}}
}

func invariant() *Block {
	return &Block{Type: "invariant", Labels: []string{"name"}, Attributes: []Attribute{
		{Name: "to", Type: Apps, Doc: "nothing reaches these apps; give this or `from`"},
		{Name: "from", Type: Apps, Doc: "these apps reach nothing; give this or `to`"},
		{Name: "except_namespaces", Type: Namespaces, Doc: "peers in these namespaces do not count"},
		{Name: "except_apps", Type: Apps, Doc: "these peers do not count"},
		{Name: "except_external", Type: Bool, Default: false, Doc: "if `true`, peers outside the cluster do not count"},
		{Name: "except_ports", Type: Ports, Min: 1, Max: maxPort,
			Doc: "these ports do not count: numbers, or ports of apps, which stand for the container's port"},
		{Name: "protocols", Type: StringList, Default: TransportProtocols(), Choices: oneOf(TransportProtocols()...),
			Doc: "protocols that count"},
	}}
}

func object() *Block {
	return &Block{Type: "object", Labels: []string{"name"}, Attributes: []Attribute{
		{Name: "kind", Type: String, Default: "", DefaultDoc: "any", Doc: "kind of the objects"},
		{Name: "namespace", Type: Namespace, DefaultDoc: "any", Doc: "namespace of the objects"},
		{Name: "condition", Type: String, Required: true, Doc: "a [CEL](https://cel.dev) expression that must be true"},
		{Name: "message", Type: String, Default: "", Doc: "a sentence to show when it is not"},
	}}
}

// Attributes that several blocks have.

func name(doc string) Attribute {
	return Attribute{Name: "name", Type: String, DefaultDoc: "the label", Doc: doc}
}

func path() Attribute {
	return Attribute{Name: "path", Type: String, Required: true, Doc: "directory or file below the lab directory"}
}

func transportProtocol(doc string) Attribute {
	return Attribute{Name: "protocol", Type: String, Default: "TCP", Choices: oneOf(TransportProtocols()...), Doc: doc}
}

func probeProtocol(def string) Attribute {
	return Attribute{Name: "protocol", Type: String, DefaultDoc: def, Doc: "protocol of the connection",
		Choices: oneOf(append(TransportProtocols(), "ICMP")...)}
}

// TransportProtocols are the protocols that have ports.
func TransportProtocols() []string { return []string{"TCP", "UDP", "SCTP"} }

func via(doc string) Attribute {
	return Attribute{Name: "via", Type: String, DefaultDoc: "`\"service\"`", Doc: doc, Choices: []Choice{
		{"service", "by its Service's name, which needs DNS"},
		{"ip", "by the pods' addresses"},
		{"cluster_ip", "by the Service's address"},
	}}
}

func visibilities() []Choice {
	return []Choice{{"visible", "always"}, {"hidden", "never"}, {"after_due", "once the due date has passed"}}
}
