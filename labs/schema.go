package labs

import (
	"sync"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// The schema is data: what blocks there are, what attributes each takes, and of which type. The
// decoder, the suggestions in error messages and the test of docs/lab-language.md all read it.

// attrSpec describes an attribute. The zero typ stands for references and other values that the
// decoder of the block looks at itself (see refs.go).
type attrSpec struct {
	name     string
	typ      cty.Type // cty.NilType: any value
	required bool
}

// blockSpec describes a type of block.
type blockSpec struct {
	typ    string
	labels []string // names of the labels, for messages
	attrs  []attrSpec
	blocks []*blockSpec
	// each says that the block may carry for_each; its label is then the prefix of the instances' names
	// (see instances in decode.go), unless the label is no name (expect).
	each  bool
	named bool // the label names the block and may be overridden by the attribute "name"
	once  bool // at most one such block in its parent
	free  bool // any attributes (locals), or decoded apart (variable, cluster)
}

var (
	stringList = cty.List(cty.String)
	numberList = cty.List(cty.Number)
	stringMap  = cty.Map(cty.String)
)

// labSchema is the file: its attrs are empty, its blocks are those at the top level.
var labSchema = sync.OnceValue(func() *blockSpec {
	hint := &blockSpec{typ: "hint", labels: []string{"name"}, each: true, named: true, attrs: []attrSpec{
		{name: "text", typ: cty.String, required: true},
		{name: "cost", typ: cty.Number},
	}}
	expect := &blockSpec{typ: "expect", labels: []string{"verdict"}, each: true, attrs: []attrSpec{
		{name: "from", required: true},
		{name: "to"},
		{name: "via", typ: cty.String},
		{name: "port"},
		{name: "protocol", typ: cty.String},
		{name: "dns", typ: cty.String},
		{name: "because", typ: cty.String},
	}, blocks: []*blockSpec{
		{typ: "http", once: true, attrs: []attrSpec{
			{name: "method", typ: cty.String},
			{name: "path", typ: cty.String},
			{name: "headers", typ: stringMap},
			{name: "status", typ: cty.Number},
		}},
		{typ: "icmp", once: true, attrs: []attrSpec{
			{name: "type"},
		}},
	}}
	matrix := &blockSpec{typ: "matrix", attrs: []attrSpec{
		{name: "from", required: true},
		{name: "to", required: true},
		{name: "allow"},
		{name: "otherwise", typ: cty.String},
		{name: "via", typ: cty.String},
		{name: "port"},
		{name: "protocol", typ: cty.String},
	}}
	invariant := &blockSpec{typ: "invariant", labels: []string{"name"}, attrs: []attrSpec{
		{name: "to"},
		{name: "from"},
		{name: "except_namespaces"},
		{name: "except_apps"},
		{name: "except_ports"},
		{name: "protocols", typ: stringList},
	}}
	object := &blockSpec{typ: "object", labels: []string{"name"}, attrs: []attrSpec{
		{name: "kind", typ: cty.String},
		{name: "namespace"},
		{name: "condition", typ: cty.String, required: true},
		{name: "message", typ: cty.String},
	}}
	objective := &blockSpec{typ: "objective", labels: []string{"name"}, each: true, named: true, attrs: []attrSpec{
		{name: "title", typ: cty.String},
		{name: "description", typ: cty.String},
		{name: "points", typ: cty.Number, required: true},
		{name: "bonus", typ: cty.Bool},
		{name: "partial", typ: cty.String},
		{name: "visibility", typ: cty.String},
		{name: "depends_on", typ: stringList},
	}, blocks: []*blockSpec{hint, expect, matrix, invariant, object}}
	setup := &blockSpec{typ: "setup", attrs: []attrSpec{
		{name: "apply", typ: stringList},
		{name: "delete", typ: stringList},
	}, blocks: []*blockSpec{
		{typ: "label", labels: []string{"namespace"}, attrs: []attrSpec{
			{name: "labels", typ: stringMap, required: true},
		}},
	}}

	return &blockSpec{blocks: []*blockSpec{
		{typ: "lab", labels: []string{"name"}, once: true, attrs: []attrSpec{
			{name: "title", typ: cty.String},
			{name: "description", typ: cty.String},
			{name: "required_version", typ: cty.String},
			{name: "pass_mark", typ: cty.Number},
		}},
		{typ: "variable", labels: []string{"name"}, attrs: []attrSpec{
			{name: "type"},
			{name: "default"},
			{name: "description", typ: cty.String},
		}, blocks: []*blockSpec{
			{typ: "validation", attrs: []attrSpec{
				{name: "condition", typ: cty.Bool, required: true},
				{name: "error_message", typ: cty.String, required: true},
			}},
		}},
		{typ: "locals", free: true},
		{typ: "cluster", labels: []string{"provider"}, free: true},
		{typ: "cilium", once: true, attrs: []attrSpec{
			{name: "version", typ: cty.String},
			{name: "chart", typ: cty.String},
			{name: "values"},
		}, blocks: []*blockSpec{
			{typ: "hubble", once: true, attrs: []attrSpec{{name: "relay", typ: cty.Bool}}},
		}},
		{typ: "namespace", labels: []string{"name"}, each: true, named: true, attrs: []attrSpec{
			{name: "labels", typ: stringMap},
		}},
		{typ: "app", labels: []string{"name"}, each: true, named: true, attrs: []attrSpec{
			{name: "namespace"},
			{name: "labels", typ: stringMap},
			{name: "replicas", typ: cty.Number},
			{name: "image", typ: cty.String},
			{name: "command", typ: stringList},
			{name: "args", typ: stringList},
			{name: "env", typ: stringMap},
			{name: "node", typ: cty.String},
			{name: "service", typ: cty.String},
			{name: "manifests", typ: stringList},
		}, blocks: []*blockSpec{
			{typ: "port", labels: []string{"name"}, attrs: []attrSpec{
				{name: "port", typ: cty.Number, required: true},
				{name: "target_port", typ: cty.Number},
				{name: "protocol", typ: cty.String},
			}},
		}},
		{typ: "external", labels: []string{"name"}, each: true, named: true, attrs: []attrSpec{
			{name: "host", typ: cty.String},
			{name: "cidr", typ: cty.String},
			{name: "addresses", typ: stringList},
			{name: "port", typ: cty.Number},
			{name: "protocol", typ: cty.String},
		}},
		{typ: "submission", once: true, attrs: []attrSpec{
			{name: "kinds", typ: stringList},
			{name: "namespaces"},
			{name: "may_label"},
			{name: "layout", typ: cty.String},
		}},
		{typ: "integrity", once: true, attrs: []attrSpec{
			{name: "tampered", typ: cty.String},
		}},
		{typ: "late", once: true, attrs: []attrSpec{
			{name: "grace", typ: cty.String},
			{name: "penalty", typ: cty.Number},
			{name: "per", typ: cty.String},
			{name: "max", typ: cty.Number},
			{name: "cutoff", typ: cty.String},
		}},
		{typ: "attempts", once: true, attrs: []attrSpec{
			{name: "limit", typ: cty.Number},
			{name: "counts", typ: cty.String},
		}},
		{typ: "starter", once: true, attrs: []attrSpec{
			{name: "path", typ: cty.String, required: true},
		}},
		{typ: "task", labels: []string{"name"}, each: true, named: true, attrs: []attrSpec{
			{name: "title", typ: cty.String},
			{name: "instructions", typ: cty.String},
			{name: "depends_on", typ: stringList},
			{name: "visibility", typ: cty.String},
		}, blocks: []*blockSpec{hint, setup, objective}},
		{typ: "sample", labels: []string{"name"}, each: true, named: true, attrs: []attrSpec{
			{name: "path", typ: cty.String, required: true},
			{name: "score", typ: cty.Number, required: true},
			{name: "solution", typ: cty.Bool},
			{name: "description", typ: cty.String},
		}},
	}}
})

// clusterSchema gives the attributes of each provider's cluster block.
var clusterSchema = sync.OnceValue(func() map[string]*blockSpec {
	return map[string]*blockSpec{
		"kind": {typ: "cluster", labels: []string{"provider"}, attrs: []attrSpec{
			{name: "control_planes", typ: cty.Number},
			{name: "workers", typ: cty.Number},
			{name: "kubernetes_version", typ: cty.String},
			{name: "node_image", typ: cty.String},
			{name: "kube_proxy", typ: cty.String},
			{name: "ip_family", typ: cty.String},
			{name: "pod_subnet", typ: cty.String},
			{name: "service_subnet", typ: cty.String},
			{name: "api_port", typ: cty.Number},
		}, blocks: []*blockSpec{
			{typ: "port_mapping", attrs: []attrSpec{
				{name: "container_port", typ: cty.Number, required: true},
				{name: "host_port", typ: cty.Number, required: true},
				{name: "listen_address", typ: cty.String},
				{name: "protocol", typ: cty.String},
			}},
		}},
		"gke": {typ: "cluster", labels: []string{"provider"}, attrs: []attrSpec{
			{name: "project", typ: cty.String},
			{name: "location", typ: cty.String},
			{name: "machine_type", typ: cty.String},
			{name: "nodes", typ: cty.Number},
			{name: "release_channel", typ: cty.String},
			{name: "version", typ: cty.String},
			{name: "spot", typ: cty.Bool},
			{name: "disk_gb", typ: cty.Number},
			{name: "network", typ: cty.String},
			{name: "subnetwork", typ: cty.String},
			{name: "private_nodes", typ: cty.Bool},
			{name: "labels", typ: stringMap},
			{name: "service_account", typ: cty.String},
			{name: "dataplane", typ: cty.String},
			{name: "ttl", typ: cty.String},
		}},
		"minikube": {typ: "cluster", labels: []string{"provider"}, attrs: []attrSpec{
			{name: "profile", typ: cty.String},
			{name: "driver", typ: cty.String},
			{name: "nodes", typ: cty.Number},
			{name: "memory", typ: cty.String},
			{name: "cpus", typ: cty.Number},
			{name: "kubernetes_version", typ: cty.String},
		}},
		"existing": {typ: "cluster", labels: []string{"provider"}, attrs: []attrSpec{
			{name: "kubeconfig", typ: cty.String},
			{name: "context", typ: cty.String},
		}},
	}
})

// hclSchema is the schema in the form that the HCL parser takes.
func (s *blockSpec) hclSchema() *hcl.BodySchema {
	var body hcl.BodySchema
	for _, a := range s.attrs {
		body.Attributes = append(body.Attributes, hcl.AttributeSchema{Name: a.name, Required: a.required})
	}
	if s.each {
		body.Attributes = append(body.Attributes, hcl.AttributeSchema{Name: "for_each"})
	}
	if s.named {
		body.Attributes = append(body.Attributes, hcl.AttributeSchema{Name: "name"})
	}
	for _, b := range s.blocks {
		body.Blocks = append(body.Blocks, hcl.BlockHeaderSchema{Type: b.typ, LabelNames: b.labels})
	}
	return &body
}

func (s *blockSpec) block(typ string) *blockSpec {
	for _, b := range s.blocks {
		if b.typ == typ {
			return b
		}
	}
	return nil
}
