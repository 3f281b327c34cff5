package manifest

import (
	"net/netip"
	"strconv"
)

// celRules are the x-kubernetes-validations of the CRDs in schemas/, by their text, as Go: there are
// four of them, and CEL would be most of the binary. TestEveryCELRuleIsKnown fails when a CRD brings
// another.
var celRules = map[string]func(*node) bool{
	"has(self.spec) || has(self.specs)": func(n *node) bool {
		return has(n, "spec") || has(n, "specs")
	},
	"self.start < self.end": func(n *node) bool {
		start, ok1 := intField(n, "start")
		end, ok2 := intField(n, "end")
		return !ok1 || !ok2 || start < end // what is missing or no number is reported as such
	},
	"isCIDR(self)": func(n *node) bool {
		p, err := netip.ParsePrefix(n.value)
		return err == nil && !p.Addr().Is4In6()
	},
	"!(self.to.exists(peer, has(peer.networks) || has(peer.nodes) || has(peer.domainNames)) && has(self.protocols) && self.protocols.exists(protocol, has(protocol.destinationNamedPort)))": func(n *node) bool {
		return !(anyItemHas(n, "to", "networks", "nodes", "domainNames") &&
			anyItemHas(n, "protocols", "destinationNamedPort"))
	},
}

func has(n *node, name string) bool {
	n = resolveAlias(n)
	if n.kind != mappingNode {
		return false
	}
	_, v := lookup(n, name)
	return v != nil && !isNull(v)
}

func intField(n *node, name string) (int64, bool) {
	_, v := lookup(n, name)
	if v == nil {
		return 0, false
	}
	_, text, _ := resolveScalar(resolveAlias(v))
	i, err := strconv.ParseInt(text, 10, 64)
	return i, err == nil
}

// anyItemHas reports whether an item of the list has one of the fields.
func anyItemHas(n *node, list string, fields ...string) bool {
	_, l := lookup(n, list)
	if l == nil {
		return false
	}
	for _, item := range resolveAlias(l).content {
		for _, f := range fields {
			if has(item, f) {
				return true
			}
		}
	}
	return false
}
