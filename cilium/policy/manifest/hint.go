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
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/labctl/labctl/internal/wording"
)

// level is an object that a check is inside of.
type level struct {
	schema *schema
	node   *node
	item   bool // it is an item of a list
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
	if tightDash.MatchString(name) {
		return dashMissing + ": write " + spaced(name) + ":", ""
	}
	if hint, here := otherName(name, own.schema); hint != "" {
		return hint, here
	}
	if hint := choiceHint(name, own.schema, around); hint != "" {
		return hint, ""
	}
	if slices.ContainsFunc(around, func(l level) bool { return l.lacks(name) }) {
		return own.further(name), ""
	}
	if homes := own.homesOf(name); len(homes) > 0 {
		return belongsUnder(name, homes), ""
	}
	if near != "" {
		return didYouMean(name, known), near
	}
	return plainFieldHint(name, value, known, own, around), ""
}

// belongsUnder says that a field belongs to one of those beside its object.
func belongsUnder(name string, homes []string) string {
	return fmt.Sprintf("%q is a field of %s: put it under that", name, wording.Or(wording.Quote(homes)))
}

// further says that a field belongs to an object around this one.
func (l level) further(name string) string {
	if l.item && len(l.node.content) > 0 && l.node.content[0].value == name {
		return fmt.Sprintf("%q belongs further out: begin it without its own \"-\"", name)
	}
	return fmt.Sprintf("%q belongs further out: indent it less", name)
}

// chosenBy are words for what a peer chooses, with the fields that choose it.
var chosenBy = []struct {
	names []string
	what  string
	with  string
}{
	{[]string{"namespace", "namespaces", "ns", "namespaceName", "matchNamespace", "namespaceLabels"},
		"a namespace is chosen by its labels", "namespaceSelector"},
	{[]string{"pod", "pods", "podName", "podLabels", "app", "deployment", "endpoint", "endpoints"},
		"pods are chosen by their labels", "podSelector"},
	{[]string{"service", "services", "svc"},
		"a policy chooses pods, not services, by their labels", "podSelector"},
	{[]string{"name", "names", "label", "labels", "selector", "labelSelector", "matchNames", "host"},
		"pods and namespaces are chosen by their labels", "podSelector or namespaceSelector"},
}

// choiceHint explains a word for a pod or namespace where a policy has selectors.
func choiceHint(name string, own *schema, around []level) string {
	here := own.Properties
	for _, c := range chosenBy {
		if !slices.Contains(c.names, name) {
			continue
		}
		namespace := c.with == "namespaceSelector"
		switch {
		case here["podSelector"] != nil && here["namespaceSelector"] != nil:
			return fmt.Sprintf("%s: write %s with matchLabels below it", c.what, c.with)
		case here["ports"] != nil && (here["from"] != nil || here["to"] != nil):
			in := "from"
			if here["to"] != nil {
				in = "to"
			}
			return fmt.Sprintf("%s: below %s, write - %s with matchLabels below it", c.what, in, c.with)
		case here["matchLabels"] == nil || len(around) == 0:
		case namespace && around[len(around)-1].schema.Properties["namespaceSelector"] != nil:
			return c.what + ": write namespaceSelector with matchLabels below it"
		case namespace && (around[len(around)-1].schema.Properties["fromEndpoints"] != nil ||
			around[len(around)-1].schema.Properties["toEndpoints"] != nil):
			return "a Cilium policy has k8s:io.kubernetes.pod.namespace among the matchLabels"
		}
	}
	if name == "name" && here["port"] != nil && here["protocol"] != nil {
		return "a port is chosen by its number or its name: write port"
	}
	return ""
}

// plainFieldHint is unknownFieldHint for a name that resembles nothing that the object may have.
func plainFieldHint(name string, value *node, known []string, own level, around []level) string {
	if own.schema.Properties["matchLabels"] != nil {
		if _, labels := lookup(resolveAlias(value), "matchLabels"); labels != nil {
			return fmt.Sprintf("this is a selector already: leave %s out, and indent its matchLabels less", name)
		}
		if _, labels := lookup(own.node, "matchLabels"); labels != nil && isNull(labels) {
			return "labels go under matchLabels: indent it deeper"
		}
		return "labels go under matchLabels"
	}
	if strings.Contains(name, " ") {
		return "if this line is a comment, begin it with #"
	}
	if hint := own.labelHint(value); hint != "" {
		return hint
	}
	for i, l := range slices.Backward(around) {
		if homes := l.homesOf(name); len(homes) > 0 && (i > 0 || len(around) < 3) { // far inside, it is not the metadata's
			return belongsUnder(name, homes)
		}
		if l.schema.Properties[name] != nil {
			return own.further(name)
		}
	}
	if len(known) > 0 && len(known) <= 6 {
		return "known here: " + strings.Join(known, ", ")
	}
	return ""
}

// labelHint explains an unknown field with a text where it can only be a label that is not indented enough.
func (l level) labelHint(value *node) string {
	if v := resolveAlias(value); v.kind != scalarNode {
		return ""
	}
	if l.schema.Properties["podSelector"] != nil && l.schema.Properties["namespaceSelector"] != nil {
		return "if it is a label, it goes under the matchLabels of podSelector or namespaceSelector"
	}
	for _, name := range slices.Sorted(maps.Keys(l.schema.Properties)) {
		if l.schema.Properties[name].Properties["matchLabels"] == nil {
			continue
		}
		_, selector := lookup(l.node, name)
		if selector == nil || resolveAlias(selector).kind != mappingNode {
			continue
		}
		if _, labels := lookup(resolveAlias(selector), "matchLabels"); labels != nil && isNull(labels) {
			return fmt.Sprintf("it goes under the matchLabels of %s: indent it deeper", name)
		}
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

	{"name", "matchName", "a host is named by matchName, or by matchPattern if there is a * in it"},
	{"host", "matchName", "a host is named by matchName, or by matchPattern if there is a * in it"},
	{"domain", "matchName", "a host is named by matchName, or by matchPattern if there is a * in it"},
	{"fqdn", "matchName", "a host is named by matchName, or by matchPattern if there is a * in it"},

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

// typeHint explains a value of the wrong type by the way YAML is written. at is where it is.
func typeHint(at *fieldPath, n *node, got string, s *schema) string {
	name, want := at.last(), s.wantedType()
	if hint := cmp.Or(dashHint(n, want), closedHint(name, n, s), selectorHint(name, n, s), portItemHint(name, n, s),
		objectHint(name, n, s), listHint(at, n, got, s)); hint != "" {
		return hint
	}
	plain := n.kind == scalarNode && !n.quoted
	switch {
	case want == "string" && got == "boolean" && plain:
		return fmt.Sprintf("YAML reads a bare %s as a boolean: quote it, %q", n.value, n.value)
	case want == "string" && (got == "integer" || got == "number") && plain:
		return fmt.Sprintf("YAML reads a bare %s as a number: quote it, %q", n.value, n.value)
	case want == "string" && got == "object" && len(n.content) == 2 && isNull(n.content[1]):
		return "leave out the colon after " + n.content[0].value
	case want == "integer" && got == "string":
		if _, err := strconv.Atoi(n.value); err == nil {
			return "write the number without quotes: " + n.value
		}
	case want == "boolean" && got == "string" && (n.value == "true" || n.value == "false"):
		return "write it without quotes: " + n.value
	case want == "array" && got == "object" && n.flow && s.Items != nil && s.Items.Type == "string":
		return "write it in [ ], not in { }"
	case want == "array" && (got == "object" || s.Items == nil || s.Items.Type != "string"):
		return `begin each item with "- "`
	case want == "array":
		return `write [` + n.value + `] or begin each item with "- "`
	}
	return ""
}

// closingWords are words for a direction that is to be closed, also as the beginnings of longer ones.
var closingWords = []string{"den", "block", "drop", "reject", "clos", "no", "false", "isolat"}

// closedHint explains a word such as deny in the place of a direction's rules. To begin a rule instead would open it.
func closedHint(name string, n *node, s *schema) string {
	if n.kind != scalarNode || s.Items == nil || !slices.ContainsFunc(closingWords, func(word string) bool {
		return strings.HasPrefix(strings.ToLower(n.value), word)
	}) {
		return ""
	}
	switch rule := s.Items.Properties; {
	case rule["action"] != nil: // a ClusterNetworkPolicy's, which denies
	case name == "ingress" && rule["from"] != nil:
		return "a NetworkPolicy only allows; leave the rules out to let nobody in"
	case name == "egress" && rule["to"] != nil:
		return "a NetworkPolicy only allows; leave the rules out, with Egress under policyTypes, to let nobody out"
	case name == "ingress" && rule["fromEndpoints"] != nil, name == "egress" && rule["toEndpoints"] != nil:
		return fmt.Sprintf("to close a direction, write one empty rule: %s: [{}]", name)
	}
	return ""
}

// dashHint explains a text or mapping where a list belongs, each item of which lacks the space after its dash.
func dashHint(n *node, want string) string {
	if want != "array" || n.kind == sequenceNode {
		return ""
	}
	text := firstWord(n)
	if n.kind == mappingNode && len(n.content) > 0 {
		if text = firstWord(n.content[0]); text != "" {
			text += ":"
		}
	}
	if !tightDash.MatchString(text) {
		return ""
	}
	return dashMissing + ": write " + spaced(text)
}

// firstWord is the first word of a plain text; further lines that hang on it are part of the text.
func firstWord(n *node) string {
	if n.kind != scalarNode || n.quoted {
		return ""
	}
	word, _, _ := strings.Cut(n.value, " ")
	return word
}

// label is a label as kubectl takes it.
var label = regexp.MustCompile(`^([\w./-]+)\s*[=:]+\s*([\w.-]+)$`)

// objectHint explains a text where a mapping belongs.
func objectHint(name string, n *node, s *schema) string {
	if n.kind != scalarNode || s.wantedType() != "object" {
		return ""
	}
	if m := tightColon.FindStringSubmatch(firstWord(n)); m != nil {
		return fmt.Sprintf("%s: write %s: %s", colonMissing, m[2], m[3])
	}
	if m := label.FindStringSubmatch(n.value); m != nil && s.Values != nil {
		return fmt.Sprintf("write %s: %s", m[1], m[2])
	}
	_, notRange := netip.ParsePrefix(n.value)
	_, notAddress := netip.ParseAddr(n.value)
	switch {
	case s.Properties["cidr"] != nil && s.Properties["except"] != nil && (notRange == nil || notAddress == nil):
		if name == "" {
			return "write - cidr: " + n.value
		}
		return fmt.Sprintf("write %s: {cidr: %s}", name, n.value)
	case s.Properties["podSelector"] != nil && s.Properties["namespaceSelector"] != nil:
		return "an item has a podSelector, a namespaceSelector or an ipBlock"
	case s.Properties["matchName"] != nil:
		field := "matchName"
		if strings.Contains(n.value, "*") {
			field = "matchPattern"
		}
		return fmt.Sprintf("write - %s: %s", field, quote(n.value))
	}
	return "write it as key: value, with a space after the colon"
}

// listHint explains a list where a single value belongs.
func listHint(at *fieldPath, n *node, got string, s *schema) string {
	name, want := at.last(), s.wantedType()
	if got != "array" {
		return ""
	}
	switch {
	case want == "object" && len(n.content) == 0 && (s.Values != nil || s.Properties["matchLabels"] != nil):
		return "write " + strings.TrimPrefix(name+": {}", ": ")
	case want == "object" && n.flow:
		return "write it without the brackets, as key: value"
	case at.above() == "matchLabels":
		return "a label has one value here; matchExpressions with the operator In takes several"
	case name == "port" || name == "protocol":
		return `each port is an item of ports: begin it with "- "`
	case n.flow:
		return "write one value, without the brackets"
	}
	if name == "" {
		return `remove one "-"`
	}
	return `remove the "-"`
}

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

// patternHint explains a text that does not match the pattern of its field in a CRD.
func patternHint(at *fieldPath, text, pattern string) string {
	switch name := at.last(); {
	case name == "port":
		return cmp.Or(PortHint(text), "a port is a number, or the name that the pods give a port")
	case name == "matchName" || name == "matchPattern":
		return cmp.Or(hostHint(name, text), "a name has letters, digits and -, and dots between its parts")
	case at.above() == "matchLabels" || name == "value" || strings.Contains(pattern, "[-A-Za-z0-9_.]*"):
		return cmp.Or(labelHint(text), "it may have letters, digits, -, _ and . and begins and ends with a letter or a digit")
	}
	return cmp.Or(spacesHint(text), didYouMean(text, strings.FieldsFunc(pattern, func(r rune) bool { // a list of words
		return !unicode.IsLetter(r)
	})))
}

// enumHint explains a text that is none of those that its field takes in a CRD.
func enumHint(at *fieldPath, text string, enum []string) string {
	hint := didYouMean(text, enum)
	switch {
	case hint == "" && at.last() == "operator" && slices.Contains(enum, "NotIn"):
		return operatorHint(text)
	case hint == "" && at.last() == "protocol":
		return choicesHint(text)
	}
	return hint
}

// scheme and hostPort are what an address has around the name of its host.
var (
	scheme   = regexp.MustCompile(`^[a-z][a-z0-9+.-]*://`)
	hostPort = regexp.MustCompile(`(:\d+)?(/.*)?$`)
)

// hostHint explains what is wrong with the name of a host.
func hostHint(field, text string) string {
	host := strings.TrimSpace(text)
	host = hostPort.ReplaceAllString(scheme.ReplaceAllString(host, ""), "")
	write := field
	if strings.Contains(host, "*") {
		write = "matchPattern"
	}
	switch {
	case strings.TrimSpace(text) != text && host == strings.TrimSpace(text):
		return spacesHint(text)
	case host != strings.TrimSpace(text):
		return fmt.Sprintf("a name has no scheme, port or path: write %s: %s", write, quote(host))
	case write != field:
		return fmt.Sprintf("a name with a * is a pattern: write %s: %s", write, quote(host))
	}
	return ""
}

// spacesHint explains a text with spaces before or after it, which nobody sees.
func spacesHint(text string) string {
	trimmed := strings.TrimSpace(text)
	switch {
	case trimmed == text || trimmed == "":
		return ""
	case strings.HasSuffix(text, trimmed):
		return "it begins with a space: write " + trimmed
	case strings.HasPrefix(text, trimmed):
		return "it ends with a space: write " + trimmed
	}
	return "it begins and ends with a space: write " + trimmed
}

// labelHint explains what is wrong with the key or value of a label.
func labelHint(text string) string {
	if m := label.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("write %s: %s", m[1], m[2])
	}
	switch {
	case strings.Contains(text, "*"):
		return "a selector knows no wildcards: an empty one, {}, selects everything"
	case strings.TrimSpace(text) != text:
		return spacesHint(text)
	case strings.ContainsAny(text, ",|"):
		return "for one of several values, write matchExpressions with the operator In"
	case strings.Contains(text, " "):
		return "a label has no spaces in it"
	}
	return ""
}

// writtenRange is a range of ports as it is written elsewhere.
var writtenRange = regexp.MustCompile(`^(\d{1,5})\s*[-:]\s*(\d{1,5})$`)

// writtenPorts are several ports in one value.
var writtenPorts = regexp.MustCompile(`^\d{1,5}(\s*[,;]\s*|\s+)\d{1,5}\b`)

// PortHint explains a port that is written with its protocol, such as 8080/TCP, a range of ports or several; "" if
// the text is none of these.
func PortHint(text string) string {
	if writtenPorts.MatchString(text) {
		return `each port is an item of ports: begin it with "- "`
	}
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

// everyAddress answers who means every address of a range.
const everyAddress = "every address is the range 0.0.0.0/0"

func formatHint(format, text string) string {
	if format != "cidr" {
		return ""
	}
	if ip, err := netip.ParseAddr(text); err == nil {
		if ip.IsUnspecified() {
			return "every address is the range " + text + "/0"
		}
		if ip.Is6() {
			return "a range has a prefix length: " + text + "/128 is this address alone"
		}
		return "a range has a prefix length: " + text + "/32 is this address alone"
	}
	if prefix, err := netip.ParsePrefix(text); err == nil && prefix != prefix.Masked() {
		return fmt.Sprintf("the range is %s; this address alone is %s", prefix.Masked(),
			netip.PrefixFrom(prefix.Addr(), prefix.Addr().BitLen()))
	}
	if slices.Contains([]string{"*", "all", "any"}, strings.ToLower(text)) {
		return everyAddress
	}
	if letters := strings.Trim(strings.ToLower(text), "abcdefghijklmnopqrstuvwxyz-_."); letters == "" && text != "" {
		return "a range has addresses, not names"
	}
	return spacesHint(text)
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
	case e.Detail == "not a valid selector operator":
		return operatorHint(fmt.Sprint(e.BadValue))
	case strings.Contains(e.Detail, "a valid label"), strings.Contains(e.Detail, "part must consist of"):
		return labelHint(text)
	case e.Type == field.ErrorTypeInvalid && strings.Contains(e.Detail, "lower case alphanumeric"):
		return nameHint(text, strings.Contains(e.Detail, "subdomain"))
	case e.Type == field.ErrorTypeNotSupported:
		return choicesHint(fmt.Sprint(e.BadValue))
	case name == "cidr" || strings.HasPrefix(name, "except["):
		return formatHint("cidr", text)
	case e.Type == field.ErrorTypeForbidden && strings.Contains(e.Detail, "ipBlock"):
		return `begin a new list item with "- " for the ipBlock`
	case e.Type == field.ErrorTypeRequired && strings.Contains(e.Detail, "must specify a peer"):
		return "podSelector: {} selects all pods of the namespace, namespaceSelector: {} all pods of all namespaces"
	}
	return ""
}

// operatorHint names the operators that selectors have.
func operatorHint(bad string) string {
	known := []string{"In", "NotIn", "Exists", "DoesNotExist"}
	switch strings.ToLower(bad) {
	case "equals", "equal", "eq", "=", "==", "is":
		return "write In, with the value in the list values"
	case "notequals", "notequal", "ne", "!=", "isnot":
		return "write NotIn, with the value in the list values"
	}
	if near := wording.Nearest(bad, known); near != "" {
		return "write " + near
	}
	return "the operators are " + wording.And(known)
}

// choicesHint explains a word that is none of those a field takes.
func choicesHint(bad string) string {
	known := []string{"TCP", "UDP", "SCTP", "Ingress", "Egress"}
	for _, s := range known {
		if strings.EqualFold(bad, s) {
			return "write " + s
		}
	}
	words := strings.FieldsFunc(bad, func(r rune) bool { return !unicode.IsLetter(r) })
	if len(words) > 1 && !slices.ContainsFunc(words, func(w string) bool { return wording.Meant(w, known) == "" }) {
		return `one value an item: begin each with "- "`
	}
	switch strings.ToUpper(bad) {
	case "HTTP", "HTTPS", "TLS", "SSH", "GRPC":
		return strings.ToUpper(bad) + " runs over TCP: write TCP"
	case "DNS":
		return "DNS runs over UDP and TCP: write one of these"
	}
	if near := wording.Nearest(bad, known[3:]); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return ""
}

// nameHint makes a name of a text that is nearly one; dots says whether it may have dots in it.
func nameHint(text string, dots bool) string {
	trimmed := strings.TrimSpace(text)
	name := strings.Trim(dnsName(trimmed), "-")
	if errs := validation.IsDNS1123Subdomain(name); len(errs) > 0 || !dots && strings.Contains(name, ".") {
		return ""
	}
	if trimmed != text {
		return strings.Replace(spacesHint(text), "write "+trimmed, "write "+name, 1)
	}
	return "write " + name
}

// dnsName replaces what a name cannot have.
func dnsName(text string) string {
	return strings.NewReplacer("_", "-", " ", "-").Replace(strings.ToLower(text))
}

func isDigits(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}
