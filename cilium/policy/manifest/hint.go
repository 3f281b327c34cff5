package manifest

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/labctl/labctl/internal/wording"
)

// level is an object that a check is inside of.
type level struct {
	schema *schema
	node   *node
}

// lacks reports whether the object takes the field and does not have it.
func (l level) lacks(name string) bool {
	_, v := lookup(l.node, name)
	return l.schema.Properties[name] != nil && v == nil
}

// unknownFieldHint says what the author of an unknown field probably meant. The levels are the objects around it, the
// one that has it last. instead is the field of that object which was meant, if it is one.
func unknownFieldHint(name string, value *node, levels []level) (hint, instead string) {
	own := levels[len(levels)-1]
	around := levels[:len(levels)-1]
	known := slices.Sorted(maps.Keys(own.schema.Properties))
	near := wording.Nearest(name, known)
	if near != "" && strings.EqualFold(near, name) {
		return didYouMean(name, known), near
	}
	if hint, here := otherName(name, own.schema); hint != "" {
		return hint, here
	}
	further := fmt.Sprintf("%q belongs further out: indent it less, or begin it without its own \"-\"", name)
	if slices.ContainsFunc(around, func(l level) bool { return l.lacks(name) }) {
		return further, ""
	}
	if homes := own.homesOf(name); len(homes) > 0 {
		return fmt.Sprintf("%q is a field of %s: put it under that", name, wording.Or(wording.Quote(homes))), ""
	}
	if near != "" {
		return didYouMean(name, known), near
	}
	return plainFieldHint(name, value, known, own, around, further), ""
}

// plainFieldHint is unknownFieldHint for a name that resembles nothing that the object may have.
func plainFieldHint(name string, value *node, known []string, own level, around []level, further string) string {
	if own.schema.Properties["matchLabels"] != nil {
		if _, labels := lookup(resolveAlias(value), "matchLabels"); labels != nil {
			return fmt.Sprintf("this is a selector already: leave %s out, and indent its matchLabels less", name)
		}
		return "labels go under matchLabels"
	}
	if strings.Contains(name, " ") {
		return "if this line is a comment, begin it with #"
	}
	for _, l := range slices.Backward(around) {
		if homes := l.homesOf(name); len(homes) > 0 {
			return fmt.Sprintf("%q is a field of %s: put it under that", name, wording.Or(wording.Quote(homes)))
		}
		if l.schema.Properties[name] != nil {
			return further
		}
	}
	if len(known) > 0 && len(known) <= 6 {
		return "known here: " + strings.Join(known, ", ")
	}
	return ""
}

// homesOf are the fields of an object below which a name is known: those that it has, or else all.
func (l level) homesOf(name string) (homes []string) {
	for _, k := range slices.Sorted(maps.Keys(l.schema.Properties)) {
		child := l.schema.Properties[k]
		if child.Items != nil {
			child = child.Items
		}
		if child.Properties[name] != nil {
			homes = append(homes, k)
		}
	}
	there := slices.DeleteFunc(slices.Clone(homes), func(k string) bool {
		_, v := lookup(l.node, k)
		return v == nil
	})
	if len(there) > 0 {
		return there
	}
	return homes
}

// otherNames are fields of one kind of policy, or of one direction, that another calls differently: what an object with
// the field here says instead of name.
var otherNames = []struct{ name, here, hint string }{
	{"podSelector", "endpointSelector", "a Cilium policy calls it endpointSelector"},
	{"policyTypes", "endpointSelector", "a Cilium policy has none: it isolates the directions that it has rules for"},
	{"from", "fromEndpoints", "a Cilium policy has fromEndpoints for pods, and fromEntities and fromCIDR for others"},
	{"podSelector", "fromEndpoints", "a Cilium policy has fromEndpoints, the items of which are selectors"},
	{"namespaceSelector", "fromEndpoints", "a Cilium policy has fromEndpoints, with k8s:io.kubernetes.pod.namespace " +
		"among the matchLabels"},
	{"ipBlock", "fromCIDR", "a Cilium policy has fromCIDR, a list of ranges"},
	{"to", "toEndpoints", "a Cilium policy has toEndpoints for pods, and toEntities, toFQDNs and toCIDR for others"},
	{"podSelector", "toEndpoints", "a Cilium policy has toEndpoints, the items of which are selectors"},
	{"namespaceSelector", "toEndpoints", "a Cilium policy has toEndpoints, with k8s:io.kubernetes.pod.namespace " +
		"among the matchLabels"},
	{"ipBlock", "toCIDR", "a Cilium policy has toCIDR, a list of ranges"},
	{"ports", "toPorts", "a Cilium policy has toPorts, the items of which have ports"},

	{"endpointSelector", "podSelector", "a NetworkPolicy calls it podSelector"},
	{"fromEndpoints", "from", "a NetworkPolicy calls it from, and its items have a podSelector"},
	{"fromEntities", "from", "only Cilium's own kinds have entities; a NetworkPolicy has from"},
	{"fromCIDR", "from", "a NetworkPolicy has from, with an ipBlock"},
	{"toEndpoints", "to", "a NetworkPolicy calls it to, and its items have a podSelector"},
	{"toEntities", "to", "only Cilium's own kinds have entities; a NetworkPolicy has to"},
	{"toCIDR", "to", "a NetworkPolicy has to, with an ipBlock"},
	{"toFQDNs", "to", "only Cilium's own kinds have names of hosts; a NetworkPolicy has to, with an ipBlock"},
	{"toPorts", "ports", "a NetworkPolicy calls it ports, and its items have port and protocol"},
	{"ingressDeny", "podSelector", "a NetworkPolicy only allows: it denies what no rule of it allows"},
	{"egressDeny", "podSelector", "a NetworkPolicy only allows: it denies what no rule of it allows"},

	{"to", "from", "to is for egress rules; an ingress rule has from"},
	{"from", "to", "from is for ingress rules; an egress rule has to"},
}

func otherName(name string, s *schema) (hint, here string) {
	for _, o := range otherNames {
		if o.name == name && s.Properties[o.here] != nil {
			return o.hint, o.here
		}
	}
	return "", ""
}

// didYouMean names the one of known that is nearest to name, if one is near.
func didYouMean(name string, known []string) string {
	near := wording.Nearest(name, known)
	switch {
	case near == "":
		return ""
	case strings.EqualFold(near, name):
		return fmt.Sprintf("did you mean %q? Case matters", near)
	}
	return fmt.Sprintf("did you mean %q?", near)
}

// typeHint explains a value of the wrong type by the way YAML is written. name is that of the innermost field.
func typeHint(name string, n *node, got string, s *schema) string {
	if hint := selectorHint(name, n, s); hint != "" {
		return hint
	}
	if hint := portItemHint(name, n, s); hint != "" {
		return hint
	}
	want := s.wantedType()
	plain := n.kind == scalarNode && !n.quoted
	switch {
	case want == "string" && got == "boolean" && plain:
		return fmt.Sprintf("YAML reads a bare %s as a boolean: quote it, %q", n.value, n.value)
	case want == "string" && (got == "integer" || got == "number") && plain:
		return fmt.Sprintf("YAML reads a bare %s as a number: quote it, %q", n.value, n.value)
	case want == "integer" && got == "string":
		if _, err := strconv.Atoi(n.value); err == nil {
			return "write the number without quotes: " + n.value
		}
	case want == "boolean" && got == "string" && (n.value == "true" || n.value == "false"):
		return "write it without quotes: " + n.value
	case want == "array" && (got == "object" || s.Items == nil || s.Items.Type != "string"):
		return `expected a list: begin each item with "- "`
	case want == "array":
		return `expected a list: write [` + n.value + `] or begin each item with "- "`
	case want == "integer,string":
		return "expected a number or a name"
	case want == "object" && got == "array":
		return `expected a mapping, not a list: remove the "-"`
	case want == "object" && got == "string":
		return "expected a mapping, such as key: value (with a space after the colon)"
	}
	return ""
}

// label is a label as kubectl takes it.
var label = regexp.MustCompile(`^([\w./-]+)\s*[=:]+\s*([\w.-]+)$`)

// selectorHint explains a text where a selector belongs.
func selectorHint(name string, n *node, s *schema) string {
	if n.kind != scalarNode || s.Properties["matchLabels"] == nil || s.allows("string") {
		return ""
	}
	if !strings.HasSuffix(name, "Selector") {
		name = "-"
	} else {
		name += ":"
	}
	if m := label.FindStringSubmatch(n.value); m != nil {
		return fmt.Sprintf("labels go under matchLabels: write %s {matchLabels: {%s: %s}}", name, m[1], m[2])
	}
	switch strings.ToLower(n.value) {
	case "all", "any", "every", "everything", "*", ".*", "true":
		return fmt.Sprintf("an empty selector selects everything: write %s {}", name)
	}
	return ""
}

// portItemHint explains a number where the list of ports or a port of it belongs.
func portItemHint(name string, n *node, s *schema) string {
	port := s
	if s.Items != nil {
		port = s.Items
	}
	if n.kind != scalarNode || port.Properties["port"] == nil || port.Properties["protocol"] == nil {
		return ""
	}
	number, protocol, ok := portAndProtocol(n.value)
	if !ok {
		return ""
	}
	if name == "ports" && s.Items != nil {
		return fmt.Sprintf("a port is an item of the list: write ports: [{port: %s, protocol: %s}]", number, protocol)
	}
	return fmt.Sprintf("a port is a mapping: write - {port: %s, protocol: %s}", number, protocol)
}

// portHint explains the value of a port that is more than a number.
func portHint(name, text string) string {
	if name != "port" {
		return ""
	}
	return PortHint(text)
}

// writtenRange is a range of ports as it is written elsewhere.
var writtenRange = regexp.MustCompile(`^(\d{1,5})\s*[-:]\s*(\d{1,5})$`)

// PortHint explains a port that is written with its protocol, such as 8080/TCP, or a range of ports; "" if the text is
// neither.
func PortHint(text string) string {
	if m := writtenRange.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("the end of a range has a field of its own: write port: %s and, below it, endPort: %s", m[1], m[2])
	}
	number, protocol, ok := portAndProtocol(text)
	if !ok || number == text {
		return ""
	}
	return fmt.Sprintf("the protocol has a field of its own: write port: %s and, below it, protocol: %s", number, protocol)
}

// writtenPort is a port as programs print it: "8080", "8080/TCP", "TCP:53".
var writtenPort = regexp.MustCompile(`(?i)^(?:(\d{1,5})(?:\s*[/:]\s*(tcp|udp|sctp))?|(tcp|udp|sctp)\s*[/:]\s*(\d{1,5}))$`)

func portAndProtocol(text string) (number, protocol string, ok bool) {
	m := writtenPort.FindStringSubmatch(text)
	if m == nil {
		return "", "", false
	}
	return m[1] + m[4], strings.ToUpper(cmp.Or(m[2]+m[3], "TCP")), true
}

func formatHint(format, text string) string {
	if ip, err := netip.ParseAddr(text); format == "cidr" && err == nil {
		if ip.IsUnspecified() {
			return "every address is the range " + text + "/0"
		}
		if ip.Is6() {
			return "a range has a prefix length: " + text + "/128 is this address alone"
		}
		return "a range has a prefix length: " + text + "/32 is this address alone"
	}
	return ""
}

// fieldErrorHint adds to the API server's words what to do, where they do not say it.
func fieldErrorHint(e *field.Error) string {
	name := e.Field[strings.LastIndexByte(e.Field, '.')+1:]
	text, _ := e.BadValue.(string)
	if hint := portHint(name, text); hint != "" {
		return hint
	}
	switch {
	case (name == "port" || name == "targetPort") && isDigits(fmt.Sprint(e.BadValue)) &&
		strings.Contains(e.Detail, "letter"):
		return "a port in quotes is a port's name; write the number without quotes: " + name + ": " +
			fmt.Sprint(e.BadValue)
	case name == "port" && (strings.Contains(e.Detail, "letter") || strings.Contains(e.Detail, "a-z")):
		return "a port is a number, or the name that the pods give a port"
	case strings.Contains(e.Detail, "a valid label must be") && strings.Contains(text, "*"):
		return "a selector knows no wildcards: an empty one, {}, selects everything"
	case name == "name" && e.Type == field.ErrorTypeInvalid && dnsName(text) != text && !strings.Contains(text, "."):
		return "write " + dnsName(text)
	case e.Type == field.ErrorTypeNotSupported:
		bad := fmt.Sprint(e.BadValue)
		for _, s := range []string{"TCP", "UDP", "SCTP", "Ingress", "Egress"} {
			if strings.EqualFold(bad, s) {
				return "write " + s
			}
		}
	case name == "cidr" || strings.HasPrefix(name, "except["):
		return formatHint("cidr", text)
	case e.Type == field.ErrorTypeForbidden && strings.Contains(e.Detail, "ipBlock"):
		return `begin a new list item with "- " for the ipBlock`
	case e.Type == field.ErrorTypeRequired && strings.Contains(e.Detail, "must specify a peer"):
		return "podSelector: {} selects all pods of the namespace, namespaceSelector: {} all pods of all namespaces"
	}
	return ""
}

// dnsName makes a name of a text that is nearly one.
func dnsName(text string) string {
	return strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(text))
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
