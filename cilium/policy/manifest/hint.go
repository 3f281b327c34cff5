package manifest

import (
	"cmp"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/labctl/labctl/internal/wording"
)

// unknownFieldHint says what the author of an unknown field probably meant: parents are the schemas
// around it, the innermost (s itself) last.
func unknownFieldHint(name string, s *schema, parents []*schema) string {
	known := make([]string, 0, len(s.Properties))
	for p := range s.Properties {
		known = append(known, p)
	}
	slices.Sort(known)
	if near := wording.Nearest(name, known); strings.EqualFold(near, name) && near != "" {
		return didYouMean(name, known)
	}
	for i := len(parents) - 2; i >= 0; i-- {
		if parents[i].Properties[name] != nil {
			return fmt.Sprintf("%q belongs further out: indent it less, or begin it without its own \"-\"", name)
		}
	}
	if hint := didYouMean(name, known); hint != "" {
		return hint
	}
	for _, k := range known {
		child := s.Properties[k]
		if child.Items != nil {
			child = child.Items
		}
		if child.Properties[name] != nil {
			return fmt.Sprintf("%q is a field of %q: put it under that", name, k)
		}
	}
	if s.Properties["matchLabels"] != nil {
		return "labels go under matchLabels"
	}
	if strings.Contains(name, " ") {
		return "if this line is a comment, begin it with #"
	}
	if len(known) > 0 && len(known) <= 6 {
		return "known here: " + strings.Join(known, ", ")
	}
	return ""
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

// portHint explains the value of a port that is written with its protocol.
func portHint(name, text string) string {
	if name != "port" {
		return ""
	}
	return PortHint(text)
}

// PortHint explains a port that is written with its protocol, such as 8080/TCP; "" if the text is none.
func PortHint(text string) string {
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

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
