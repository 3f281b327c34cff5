package labs

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/internal/wording"
)

// Matrix is a truth table over sources × targets: the pairs of Allow are allowed, all others Otherwise.
type Matrix struct {
	From      []Source
	To        []Target
	Allow     []Pair
	Otherwise verdict.Verdict // default denied
	Range     hcl.Range
}

// Type implements Check.
func (m *Matrix) Type() string { return "matrix" }

// At implements Check.
func (m *Matrix) At() hcl.Range { return m.Range }

// Connections implements Check.
func (m *Matrix) Connections() []Pair { return pairs(m.From, m.To) }

func (s *scope) matrix(n *node) Check {
	how := s.addressing(n)
	m := &Matrix{
		From:      s.sources(n, "from"),
		To:        s.targets(n, "to", how),
		Otherwise: verdict.Verdict(n.str("otherwise")),
		Range:     n.block.DefRange,
	}
	s.countConnections(n, len(m.From)*len(m.To))
	s.checkEntityEnds(n, m.From, m.To)
	s.matrixAllow(n, how, m)
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
	if _, _, single := allowCell(v); single && v.Type().IsObjectType() {
		v = cty.TupleVal([]cty.Value{v})
	}
	if isRef || !v.Type().IsTupleType() && !v.Type().IsListType() && !v.Type().IsSetType() {
		s.errorf(rng, "Invalid allow",
			"allow is a list of cells, each [FROM, TO] or { from = FROM, to = TO }; this is %s.", describe(v))
		return
	}
	// With a source or target that was refused, whatever is allowed may be meant to be in the table.
	fromItems, fromKnown := n.items("from")
	toItems, toKnown := n.items("to")
	tableComplete := fromKnown && toKnown && len(m.From) == s.ends(fromItems) && len(m.To) == s.ends(toItems) &&
		len(m.From)*len(m.To) > 0
	if flat := flatCell(v); flat != cty.NilVal {
		s.errorf(rng, "Invalid allow", "Each cell is a pair in brackets, as in [[FROM, TO]]; this list has %s instead.",
			describe(flat))
		return
	}
	i := 0
	for it := v.ElementIterator(); it.Next(); i++ {
		_, cell := it.Element()
		at := n.elementRange("allow", i)
		from, to, ok := allowCell(cell)
		if !ok {
			if cell.IsKnown() {
				s.errorf(at, "Invalid allow", "Each cell is [FROM, TO] or { from = FROM, to = TO }; this is %s.",
					notCell(cell))
			}
			continue
		}
		sources := s.sources(n.with("allow", from, at), "allow")
		if tableComplete {
			known := slices.DeleteFunc(slices.Clone(sources), func(src Source) bool { return !s.inTable(m, src, at) })
			if len(known) == 0 { // the pair may be the wrong way round
				continue
			}
			sources = known
		}
		targets := s.targets(n.with("allow", to, at), "allow", how)
		s.allowCells(m, sources, targets, tableComplete, at)
	}
}

// inTable reports a source that is not one of the matrix.
func (s *scope) inTable(m *Matrix, src Source, at hcl.Range) bool {
	if slices.Contains(m.From, src) {
		return true
	}
	s.errorf(at, "Outside the table", "%s is not among the sources of the matrix (from).", src)
	return false
}

// allowCells adds every pair of the sources and targets, which are in the source at that range. If the table is
// complete, all targets must be in it.
func (s *scope) allowCells(m *Matrix, sources []Source, targets []Target, tableComplete bool, at hcl.Range) {
	for _, src := range sources {
		for _, dst := range targets {
			switch {
			case tableComplete && !slices.ContainsFunc(m.To, func(t Target) bool { return sameTarget(t, dst) }):
				s.errorf(at, "Outside the table", "%s is not among the targets of the matrix (to).", dst)
			case slices.ContainsFunc(m.Allow, func(p Pair) bool { return p.From == src && sameTarget(p.To, dst) }):
				s.errorf(at, "Cell repeated", "%s to %s is in the list already.", src, dst)
			default:
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

// flatCell is the first element of a list none of which is a pair or anything like it, so that brackets are missing around
// all; cty.NilVal: the list is another one.
func flatCell(v cty.Value) cty.Value {
	first := cty.NilVal
	for it := v.ElementIterator(); it.Next(); {
		_, cell := it.Element()
		_, isRef := refOf(cell)
		if cell.IsNull() || !cell.IsKnown() || !isRef && cell.CanIterateElements() {
			return cty.NilVal
		}
		if first == cty.NilVal {
			first = cell
		}
	}
	return first
}

// notCell says what a value is that is no cell.
func notCell(v cty.Value) string {
	t := v.Type()
	switch _, isRef := refOf(v); {
	case !isRef && !v.IsNull() && t.IsObjectType():
		return "a map with " + wording.And(sortedKeys(t.AttributeTypes()))
	case !isRef && !v.IsNull() && (t.IsTupleType() || t.IsListType()):
		return "a list with " + wording.Count(v.LengthInt(), "element")
	}
	return describe(v)
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
	return a.App == b.App && a.External == b.External && a.Node == b.Node && a.Entity == b.Entity && a.IP == b.IP && a.DNS == b.DNS &&
		a.Via == b.Via && a.Port == b.Port && a.Protocol == b.Protocol
}
