package labs

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// What an expression refers to (app.backend, app.backend.port.http, external.internet, node("worker"))
// is an object value with the attributes that an author may use, and one more that expressions cannot
// name, refAttr, which holds the reference itself. So references survive lists, locals, for-expressions
// and conditionals, and a decoder still knows what they are. All objects of a kind have the same type.

type refKind string

const (
	refNamespace refKind = "a namespace"
	refApp       refKind = "an app"
	refPort      refKind = "a port of an app"
	refExternal  refKind = "an external"
	refNode      refKind = "a node"
	refDNS       refKind = "a DNS name"
	refEntity    refKind = "an entity"
)

// ref is a resolved reference.
type ref struct {
	kind refKind
	name string // the namespace, app, external, node, DNS name or entity
	port Port   // for refPort
}

const refAttr = "@ref"

var (
	refType = cty.Capsule("reference", reflect.TypeFor[ref]())

	namespaceType = cty.Object(map[string]cty.Type{
		"name": cty.String, "labels": stringMap, refAttr: refType,
	})
	portType = cty.Object(map[string]cty.Type{
		"app": cty.String, "name": cty.String, "port": cty.Number, "target_port": cty.Number,
		"protocol": cty.String, refAttr: refType,
	})
	appType = cty.Object(map[string]cty.Type{
		"name": cty.String, "namespace": cty.String, "labels": stringMap, "service": cty.String,
		"host": cty.String, "port": cty.Map(portType), refAttr: refType,
	})
	externalType = cty.Object(map[string]cty.Type{
		"name": cty.String, "host": cty.String, "cidr": cty.String, "port": cty.Number,
		"protocol": cty.String, refAttr: refType,
	})
	nodeType   = cty.Object(map[string]cty.Type{"name": cty.String, refAttr: refType})
	dnsType    = cty.Object(map[string]cty.Type{"name": cty.String, refAttr: refType})
	entityType = cty.Object(map[string]cty.Type{"name": cty.String, refAttr: refType})
)

// refTypes are the types of the objects behind the roots of references.
var refTypes = map[string]cty.Type{"namespace": namespaceType, "app": appType, "external": externalType}

// ReferenceAttributes are what an expression can ask of a block of a type ("app": app.NAME.port), in alphabetical order.
func ReferenceAttributes(blockType string) []string {
	t, ok := refTypes[blockType]
	if !ok {
		return nil
	}
	return slices.DeleteFunc(sortedKeys(t.AttributeTypes()), func(name string) bool { return name == refAttr })
}

func capsule(r ref) cty.Value { return cty.CapsuleVal(refType, &r) }

func (n *Namespace) value() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal(n.Name), "labels": stringMapValue(n.Labels),
		refAttr: capsule(ref{kind: refNamespace, name: n.Name}),
	})
}

func (a *App) value() cty.Value {
	ports := map[string]cty.Value{}
	for _, p := range a.Ports {
		ports[p.Name] = cty.ObjectVal(map[string]cty.Value{
			"app": cty.StringVal(a.Name), "name": cty.StringVal(p.Name),
			"port": cty.NumberIntVal(int64(p.Port)), "target_port": cty.NumberIntVal(int64(p.TargetPort)),
			"protocol": cty.StringVal(p.Protocol),
			refAttr:    capsule(ref{kind: refPort, name: a.Name, port: p}),
		})
	}
	portMap := cty.MapValEmpty(portType)
	if len(ports) > 0 {
		portMap = cty.MapVal(ports)
	}
	host := ""
	if a.Service != "" {
		host = a.Service + "." + a.Namespace + ".svc.cluster.local"
	}
	return cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal(a.Name), "namespace": cty.StringVal(a.Namespace),
		"labels": stringMapValue(a.Labels), "service": cty.StringVal(a.Service),
		"host": cty.StringVal(host), "port": portMap,
		refAttr: capsule(ref{kind: refApp, name: a.Name}),
	})
}

func (e *External) value() cty.Value {
	return cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal(e.Name), "host": cty.StringVal(e.Host), "cidr": cty.StringVal(e.CIDR),
		"port": cty.NumberIntVal(int64(e.Port)), "protocol": cty.StringVal(e.Protocol),
		refAttr: capsule(ref{kind: refExternal, name: e.Name}),
	})
}

// nodeFunc, dnsFunc and entityFunc make references to what no block declares: the nodes of the cluster, by name, a
// name to look up at the cluster's DNS, and what Cilium calls an entity.
var nodeFunc = refFunc("name", nodeType, refNode, isName)
var dnsFunc = refFunc("name", dnsType, refDNS, isName)

func isName(name string) error {
	if problem := checkDNSName(name); problem != "" {
		return function.NewArgErrorf(0, "%q is not a name: %s", name, problem)
	}
	return nil
}

func refFunc(param string, typ cty.Type, kind refKind, check func(string) error) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: param, Type: cty.String}},
		Type:   function.StaticReturnType(typ),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name := args[0].AsString()
			if err := check(name); err != nil {
				return cty.NilVal, err
			}
			return cty.ObjectVal(map[string]cty.Value{
				"name": cty.StringVal(name), refAttr: capsule(ref{kind: kind, name: name}),
			}), nil
		},
	})
}

// refOf returns the reference that a value is.
func refOf(v cty.Value) (ref, bool) {
	if v.IsNull() || !v.IsKnown() || !v.Type().IsObjectType() || !v.Type().HasAttribute(refAttr) {
		return ref{}, false
	}
	c := v.GetAttr(refAttr)
	if !c.Type().Equals(refType) || c.IsNull() || !c.IsKnown() {
		return ref{}, false
	}
	return *c.EncapsulatedValue().(*ref), true
}

// item is one value of a list, with the place in the source that is nearest to it.
type item struct {
	val cty.Value
	rng hcl.Range
}

// dnsItem is a DNS name as a target, as dns("NAME") makes it.
func dnsItem(name string, rng hcl.Range) item {
	return item{cty.ObjectVal(map[string]cty.Value{
		"name": cty.StringVal(name), refAttr: capsule(ref{kind: refDNS, name: name}),
	}), rng}
}

// flatten turns a value that may be one thing or a list of things, themselves lists, into its things.
// It returns false where something is unknown, which has been reported where it arose.
func flatten(v cty.Value, expr hcl.Expression, rng hcl.Range) ([]item, bool) {
	return flattenGroups(v, expr, rng, func(t cty.Type) bool {
		// A block with for_each means all its instances, and app.x.port all ports.
		return t.IsObjectType() && !t.HasAttribute(refAttr) || t.IsMapType() && t.ElementType().Equals(portType)
	})
}

// flattenLists is flatten for values that are no references.
func flattenLists(v cty.Value, expr hcl.Expression, rng hcl.Range) ([]item, bool) {
	return flattenGroups(v, expr, rng, func(cty.Type) bool { return false })
}

// flattenGroups is flatten, where isGroup says which types other than lists are several things.
func flattenGroups(v cty.Value, expr hcl.Expression, rng hcl.Range, isGroup func(cty.Type) bool) ([]item, bool) {
	if !v.IsKnown() {
		return nil, false
	}
	if v.IsNull() {
		return nil, true
	}
	t := v.Type()
	if !t.IsTupleType() && !t.IsListType() && !t.IsSetType() && !isGroup(t) {
		return []item{{v, rng}}, true
	}
	var exprs []hclsyntax.Expression
	if tuple, ok := expr.(*hclsyntax.TupleConsExpr); ok {
		exprs = tuple.Exprs
	}
	var items []item
	complete := true
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		_, elem := it.Element()
		var sub hcl.Expression
		at := rng
		if i < len(exprs) {
			sub, at = exprs[i], exprs[i].Range()
		}
		more, ok := flattenGroups(elem, sub, at, isGroup)
		items = append(items, more...)
		complete = complete && ok
	}
	return items, complete
}

// describe says what a value is, for messages.
func describe(v cty.Value) string {
	if r, ok := refOf(v); ok {
		return fmt.Sprintf("%s (%s)", r.kind, r.name)
	}
	if !v.IsNull() && v.IsKnown() && v.Type() == cty.String {
		return fmt.Sprintf("the string %q", shorten(v.AsString(), 60))
	}
	if !v.IsNull() && v.IsKnown() && v.Type() == cty.Number {
		return "the number " + numberText(v)
	}
	return typeName(v.Type())
}

func portNames(ports []Port) []string {
	names := make([]string, len(ports))
	for i, p := range ports {
		names[i] = p.Name
	}
	return names
}

func portList(ports []Port) string {
	if len(ports) == 0 {
		return "none"
	}
	list := make([]string, len(ports))
	for i, p := range ports {
		list[i] = fmt.Sprintf("%s (%d/%s)", p.Name, p.Port, p.Protocol)
	}
	return join(list)
}
