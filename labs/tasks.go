package labs

import (
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// This file decodes tasks, objectives and what they ask for.

// maxPoints bounds the points of an objective and the cost of a hint.
const maxPoints = 100000

var visibilities = []string{string(Visible), string(Hidden), string(AfterDue)}

func (s *scope) task(n *node, lab *Lab) {
	n.checkName()
	t := Task{
		Name:         n.name,
		Title:        n.str("title", n.name),
		Instructions: n.str("instructions", ""),
		DependsOn:    n.strs("depends_on"),
		Visibility:   Visibility(n.oneOf("visibility", string(Visible), visibilities...)),
		Range:        n.block.DefRange,
	}
	for _, old := range lab.Tasks {
		if old.Name == t.Name {
			s.duplicate(n, "task", old.Range.Filename, old.Range.Start.Line)
		}
	}
	if t.Name == "delete" {
		s.errorf(n.nameRange(), "Reserved name", "A folder \"delete\" of a submission holds what was deleted, so no task can have that name.")
	}
	t.Hints = s.hints(n)
	for _, c := range n.children("setup") {
		t.Setup = append(t.Setup, s.setup(c)...)
	}
	for _, c := range n.children("objective") {
		o := s.objective(c, &t)
		for _, old := range t.Objectives {
			if old.Name == o.Name {
				s.duplicate(c, "objective", old.Range.Filename, old.Range.Start.Line)
			}
		}
		t.Objectives = append(t.Objectives, o)
	}
	if len(t.Objectives) == 0 && !n.hasBlock("objective") {
		s.errorf(n.block.DefRange, "No objective", "The task %q has no objective, so it cannot be graded. Add one: objective \"NAME\" { points = 10 … }.", t.Name)
	}
	lab.Tasks = append(lab.Tasks, t)
	s.taskNodes = append(s.taskNodes, n)
}

func (n *node) hasBlock(typ string) bool {
	return slices.ContainsFunc(n.kids, func(b *hcl.Block) bool { return b.Type == typ })
}

func (s *scope) hints(n *node) []Hint {
	var hints []Hint
	for _, c := range n.children("hint") {
		h := Hint{Name: c.name, Text: c.str("text", ""), Cost: c.num("cost", 0, maxPoints, 0)}
		if c.has("text") && strings.TrimSpace(h.Text) == "" {
			s.errorf(c.rng("text"), "Empty hint", "The hint %q says nothing.", h.Name)
		}
		c.checkName()
		if slices.ContainsFunc(hints, func(old Hint) bool { return old.Name == h.Name }) {
			s.errorf(c.nameRange(), "Duplicate hint", "There is a hint %q already.", h.Name)
		}
		hints = append(hints, h)
	}
	return hints
}

func (s *scope) setup(n *node) []Setup {
	var list []Setup
	for _, action := range []string{"apply", "delete"} {
		if !n.has(action) {
			continue
		}
		s.manifests(n, action, action == "delete")
		list = append(list, Setup{Action: action, Manifests: n.strs(action), Range: n.block.DefRange})
	}
	for _, c := range n.children("label") {
		name := c.block.Labels[0]
		if !s.knownNamespace(name) {
			s.errorf(c.labelRange(), "Unknown namespace", "The lab has no namespace %q.%s", name, declareNamespace(name, s.namespaceNamesKnown()))
		}
		list = append(list, Setup{Action: "label", Namespace: name, Labels: c.checkLabels("labels"), Range: c.block.DefRange})
	}
	if len(list) == 0 && !n.given("apply") && !n.given("delete") && !n.hasBlock("label") {
		s.warnf(n.block.DefRange, "Empty setup", "This setup changes nothing; it takes apply, delete and label.")
	}
	return list
}

func (s *scope) objective(n *node, t *Task) Objective {
	n.checkName()
	o := Objective{
		Name:        n.name,
		Title:       n.str("title", n.name),
		Description: n.str("description", ""),
		Points:      n.num("points", 0, maxPoints, 0),
		Bonus:       n.bool("bonus", false),
		Partial:     Partial(n.oneOf("partial", string(PartialAll), string(PartialAll), string(PartialProportional))),
		Visibility:  Visibility(n.oneOf("visibility", string(t.Visibility), visibilities...)),
		DependsOn:   n.strs("depends_on"),
		Hints:       s.hints(n),
		Range:       n.block.DefRange,
	}
	for _, c := range n.children("expect") {
		if e, ok := s.expect(c); ok {
			o.Expect = append(o.Expect, e)
		}
	}
	for _, c := range n.children("matrix") {
		o.Matrices = append(o.Matrices, s.matrix(c))
	}
	for _, c := range n.children("invariant") {
		inv := s.invariant(c)
		if slices.ContainsFunc(o.Invariants, func(old Invariant) bool { return old.Name == inv.Name }) {
			s.errorf(c.nameRange(), "Duplicate invariant", "There is an invariant %q already.", inv.Name)
		}
		o.Invariants = append(o.Invariants, inv)
	}
	for _, c := range n.children("object") {
		a := s.object(c)
		if slices.ContainsFunc(o.Objects, func(old ObjectAssertion) bool { return old.Name == a.Name }) {
			s.errorf(c.nameRange(), "Duplicate object", "There is an object block %q already.", a.Name)
		}
		o.Objects = append(o.Objects, a)
	}
	if !n.hasBlock("expect") && !n.hasBlock("matrix") && !n.hasBlock("invariant") && !n.hasBlock("object") {
		s.errorf(n.block.DefRange, "Nothing to grade", "The objective %q asks for nothing. Add an expect, matrix, invariant or object block.", o.Name)
	}
	s.objectiveNodes[n.block.DefRange.String()+o.Name] = n
	return o
}

var verdicts = []string{string(Allowed), string(Denied), string(Dropped), string(Rejected), string(DNSFailed), string(AppError)}

func (s *scope) expect(n *node) (Expectation, bool) {
	e := Expectation{Verdict: Verdict(n.block.Labels[0]), Because: n.str("because", ""), Range: n.block.DefRange}
	if !slices.Contains(verdicts, string(e.Verdict)) {
		why := ""
		if e.Verdict == ProbeError {
			why = " A probe that failed is nobody's answer, so it cannot be expected."
		}
		s.errorf(n.labelRange(), "Unknown verdict", "An expectation wants %s; this is %q.%s%s", oneOf(verdicts), e.Verdict, didYouMean(string(e.Verdict), verdicts), why)
	}
	e.From = s.sources(n, "from")
	how := s.addressing(n)
	if n.given("to") {
		if n.given("dns") {
			s.errorf(n.rng("dns"), "Target given twice", "dns is a query for a name and takes no \"to\". To connect by name, leave out dns: an app is reached by its service's name anyway.")
		} else {
			e.To = s.targets(n, "to", how)
		}
	} else if n.given("dns") {
		if n.has("dns") {
			name := n.str("dns", "")
			if problem := checkDNSName(name); problem != "" {
				s.errorf(n.rng("dns"), "Invalid name", "%q is no DNS name: %s.", name, problem)
			} else if t, ok := s.target(item{cty.ObjectVal(map[string]cty.Value{"name": cty.StringVal(name), refAttr: capsule(ref{kind: refDNS, name: name})}), n.rng("dns")}, how); ok {
				e.To = []Target{t}
			}
		}
	} else if !n.bad { // else "to" may have been misspelt
		s.errorf(n.block.DefRange, "No target", "Say where the connection goes: to = app.NAME, or dns = \"NAME\" for a query.")
	}
	s.countConnections(n, len(e.From)*len(e.To))
	if how.http != nil {
		switch e.Verdict {
		case Dropped, Rejected, Denied, DNSFailed:
			if how.http.Status != 0 && n.httpStatusGiven() {
				s.errorf(n.block.DefRange, "No answer to check", "A connection that is %s has no HTTP status.", e.Verdict)
			}
		}
	}
	return e, true
}

func (n *node) httpStatusGiven() bool {
	for _, b := range n.kids {
		if b.Type == "http" {
			attrs, _ := b.Body.JustAttributes()
			return attrs["status"] != nil
		}
	}
	return false
}

// countConnections bounds what a lab asks for.
func (s *scope) countConnections(n *node, pairs int) {
	before := s.connections
	s.connections += pairs
	if before <= maxConnections && s.connections > maxConnections {
		s.errorf(n.block.DefRange, "Too many connections", "With this block the lab asks for %d connections, more than %d.", s.connections, maxConnections)
	}
}

// addressing decodes how the targets of an expect or matrix block are reached.
func (s *scope) addressing(n *node) addressing {
	how := addressing{
		via:      Via(n.oneOf("via", "", string(ViaService), string(ViaIP), string(ViaCluster))),
		protocol: n.oneOf("protocol", "", protocols...),
		port:     cty.NullVal(cty.Number),
	}
	switch {
	case n.broken["port"]:
		how.port = cty.UnknownVal(cty.Number)
	case n.has("port"):
		v := n.vals["port"]
		how.port, how.portRng = v, n.rng("port")
		switch {
		case v.Type() == cty.String:
		case v.Type() == cty.Number:
			if n.int("port", 1, 65535, 0) == 0 {
				how.port = cty.UnknownVal(cty.Number)
			}
		default:
			detail := ""
			if r, ok := refOf(v); ok && r.kind == refPort {
				detail = " Write the reference into \"to\" instead."
			}
			s.errorf(how.portRng, "Invalid port", "port is a number, or the name of a port of the app; this is %s.%s", describe(v), detail)
			how.port = cty.UnknownVal(cty.Number)
		}
	}
	for _, c := range n.childrenIf("icmp") {
		how.layer3 = true
		how.icmp = icmpType(c)
		if n.has("protocol") && how.protocol != "ICMP" {
			s.errorf(n.rng("protocol"), "Wrong protocol", "With an icmp block the protocol is ICMP.")
		}
	}
	if how.protocol == "ICMP" && how.icmp == nil {
		how.layer3 = true
		echo := 8
		how.icmp = &echo
	}
	if how.layer3 {
		how.protocol = "ICMP"
		if n.given("port") {
			s.errorf(n.rng("port"), "No port in ICMP", "ICMP has no ports.")
		}
	}
	for _, c := range n.childrenIf("http") {
		how.http = httpRequest(c)
		if how.layer3 || how.protocol != "" && how.protocol != "TCP" {
			s.errorf(c.block.DefRange, "Wrong protocol", "HTTP goes over TCP.")
		}
		if how.protocol == "" {
			how.protocol = "TCP"
		}
	}
	return how
}

// childrenIf is children for block types that the node may not have.
func (n *node) childrenIf(typ string) []*node {
	if n.spec.block(typ) == nil {
		return nil
	}
	return n.children(typ)
}

// icmpNames are the types that authors ask for, by the names of their RFCs.
var icmpNames = map[string]int{"echo-reply": 0, "destination-unreachable": 3, "redirect": 5, "echo-request": 8, "time-exceeded": 11, "parameter-problem": 12, "timestamp": 13, "timestamp-reply": 14}

func icmpType(n *node) *int {
	kind := 8
	if v, ok := n.vals["type"]; ok {
		switch {
		case v.Type() == cty.Number:
			kind = n.int("type", 0, 255, 8)
		case v.Type() == cty.String && slices.Contains(sortedKeys(icmpNames), v.AsString()):
			kind = icmpNames[v.AsString()]
		default:
			names := sortedKeys(icmpNames)
			guess := ""
			if v.Type() == cty.String {
				guess = didYouMean(v.AsString(), names)
			}
			n.s.errorf(n.rng("type"), "Invalid ICMP type", "type is a number from 0 to 255, or %s; this is %s.%s", oneOf(names), describe(v), guess)
		}
	}
	return &kind
}

var httpMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"}

func httpRequest(n *node) *HTTP {
	h := &HTTP{
		Method:  n.oneOf("method", "GET", httpMethods...),
		Path:    n.str("path", "/"),
		Headers: n.strMap("headers"),
		Status:  n.int("status", 100, 599, 200),
	}
	if !strings.HasPrefix(h.Path, "/") || strings.ContainsAny(h.Path, " \r\n\t\x00") {
		n.s.errorf(n.rng("path"), "Invalid path", "A path begins with / and has no spaces; this is %q.", h.Path)
	}
	for _, name := range sortedKeys(h.Headers) {
		if !validHeader(name) || strings.ContainsAny(h.Headers[name], "\r\n\x00") {
			n.s.errorf(n.rng("headers"), "Invalid header", "%q: %q is no HTTP header.", name, h.Headers[name])
		}
	}
	return h
}

func validHeader(name string) bool {
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r))
	})
}

func (s *scope) matrix(n *node) Matrix {
	how := s.addressing(n)
	m := Matrix{
		From:      s.sources(n, "from"),
		To:        s.targets(n, "to", how),
		Otherwise: Verdict(n.oneOf("otherwise", string(Denied), string(Denied), string(Dropped), string(Rejected))),
		Range:     n.block.DefRange,
	}
	s.countConnections(n, len(m.From)*len(m.To))
	s.matrixAllow(n, how, &m)
	return m
}

// matrixAllow decodes the cells that are allowed: [FROM, TO] or { from = FROM, to = TO }, where both
// may be lists.
func (s *scope) matrixAllow(n *node, how addressing, m *Matrix) {
	v, ok := n.vals["allow"]
	if !ok {
		return
	}
	rng := n.rng("allow")
	_, isRef := refOf(v)
	if isRef || !v.Type().IsTupleType() && !v.Type().IsListType() && !v.Type().IsSetType() {
		s.errorf(rng, "Invalid allow", "allow is a list of cells, each [FROM, TO] or { from = FROM, to = TO }; this is %s.", describe(v))
		return
	}
	// With a source or target that was refused, whatever is allowed may be meant to be in the table.
	fromItems, fromKnown := n.items("from")
	toItems, toKnown := n.items("to")
	tableComplete := fromKnown && toKnown && len(m.From) == len(fromItems) && len(m.To) == len(toItems) && len(m.From)*len(m.To) > 0
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		_, cell := it.Element()
		at := n.elementRange("allow", i)
		from, to, ok := allowCell(cell)
		if !ok {
			if cell.IsKnown() {
				s.errorf(at, "Invalid allow", "Each cell is [FROM, TO] or { from = FROM, to = TO }; this is %s.", describe(cell))
			}
			continue
		}
		sources := s.sources(n.with("allow", from, at), "allow")
		targets := s.targets(n.with("allow", to, at), "allow", how)
		for _, src := range sources {
			if tableComplete && !slices.Contains(m.From, src) {
				s.errorf(at, "Outside the table", "%s is not among the sources of the matrix (from).", src)
				continue
			}
			for _, dst := range targets {
				if tableComplete && !slices.ContainsFunc(m.To, func(t Target) bool { return sameTarget(t, dst) }) {
					s.errorf(at, "Outside the table", "%s is not among the targets of the matrix (to).", dst)
					continue
				}
				if slices.ContainsFunc(m.Allow, func(p Pair) bool { return p.From == src && sameTarget(p.To, dst) }) {
					s.errorf(at, "Cell repeated", "%s to %s is in the list already.", src, dst)
					continue
				}
				m.Allow = append(m.Allow, Pair{From: src, To: dst})
			}
		}
	}
}

func allowCell(cell cty.Value) (from, to cty.Value, ok bool) {
	if cell.IsNull() || !cell.IsKnown() {
		return from, to, false
	}
	t := cell.Type()
	switch {
	case t.IsObjectType() && len(t.AttributeTypes()) == 2 && t.HasAttribute("from") && t.HasAttribute("to"):
		return cell.GetAttr("from"), cell.GetAttr("to"), true
	case (t.IsTupleType() || t.IsListType()) && cell.LengthInt() == 2:
		return cell.Index(cty.NumberIntVal(0)), cell.Index(cty.NumberIntVal(1)), true
	}
	return from, to, false
}

// with is a node whose one attribute has the given value, for decoding a part of an attribute.
func (n *node) with(attr string, v cty.Value, rng hcl.Range) *node {
	c := &node{s: n.s, spec: n.spec, block: n.block, vals: map[string]cty.Value{}, broken: map[string]bool{}}
	c.attrs = map[string]*hcl.Attribute{attr: {Name: attr, Expr: hcl.StaticExpr(v, rng), Range: rng}}
	if !v.IsKnown() {
		c.broken[attr] = true
	} else if !v.IsNull() {
		c.vals[attr] = v
	}
	return c
}

func sameTarget(a, b Target) bool {
	return a.App == b.App && a.External == b.External && a.Node == b.Node && a.IP == b.IP && a.DNS == b.DNS &&
		a.Via == b.Via && a.Port == b.Port && a.Protocol == b.Protocol
}

func (s *scope) invariant(n *node) Invariant {
	inv := Invariant{
		Name:             n.name,
		To:               s.appNames(n, "to"),
		From:             s.appNames(n, "from"),
		ExceptNamespaces: s.namespaceNames(n, "except_namespaces"),
		ExceptApps:       s.appNames(n, "except_apps"),
		ExceptPorts:      s.exceptPorts(n),
		Protocols:        n.strs("protocols"),
		Range:            n.block.DefRange,
	}
	switch {
	case n.given("to") == n.given("from"):
		s.errorf(n.block.DefRange, "One of to and from", "An invariant is about what reaches apps (to) or what apps reach (from); give exactly one of them.")
	case n.has("to") && len(inv.To) == 0 || n.has("from") && len(inv.From) == 0:
		s.errorf(n.block.DefRange, "No app", "The invariant %q is about no app.", inv.Name)
	}
	for i, p := range inv.Protocols {
		if !slices.Contains(transport, p) {
			s.errorf(n.elementRange("protocols", i), "Unknown protocol", "A protocol is %s; this is %q.%s", oneOf(transport), p, didYouMean(p, transport))
		}
	}
	if len(inv.Protocols) == 0 {
		inv.Protocols = slices.Clone(transport)
	}
	n.checkName()
	return inv
}

// exceptPorts decodes port numbers and ports of apps (whose container port is meant: policies see that one).
func (s *scope) exceptPorts(n *node) []int {
	items, _ := n.items("except_ports")
	var ports []int
	for _, it := range items {
		if r, ok := refOf(it.val); ok && r.kind == refPort {
			ports = append(ports, r.port.TargetPort)
			continue
		}
		if !it.val.IsNull() && it.val.Type() == cty.Number {
			if port, whole := wholeNumber(it.val); whole && port >= 1 && port <= 65535 {
				ports = append(ports, port)
				continue
			}
		}
		s.errorf(it.rng, "Invalid port", "except_ports takes numbers from 1 to 65535 and ports of apps; this is %s.", describe(it.val))
	}
	return ports
}

func (s *scope) object(n *node) ObjectAssertion {
	a := ObjectAssertion{
		Name:      n.name,
		Kind:      n.str("kind", ""),
		Condition: strings.TrimSpace(n.str("condition", "")),
		Message:   n.str("message", ""),
		Range:     n.block.DefRange,
	}
	n.checkName()
	if n.has("kind") {
		s.checkKind(a.Kind, n.rng("kind"))
	}
	if n.has("namespace") {
		if names := s.namespaceNames(n, "namespace"); len(names) == 1 {
			a.Namespace = names[0]
		} else if len(names) > 1 {
			s.errorf(n.rng("namespace"), "One namespace", "namespace takes one namespace.")
		}
	}
	if n.has("condition") {
		if err := CheckCondition(a.Condition); err != nil {
			s.errorf(n.rng("condition"), "Invalid condition", "The CEL expression does not compile: %s.", strings.TrimSuffix(err.Error(), "."))
		}
	}
	return a
}
