package policy

import (
	"net/netip"

	"go4.org/netipx"
)

// addresses is a set of address ranges.
type addresses struct {
	ranges []netip.Prefix
	set    *netipx.IPSet // of the ranges, where they are too many to look at each
}

// manyRanges is how many ranges are faster to look at one by one.
const manyRanges = 16

func newAddresses(ranges []netip.Prefix) addresses {
	a := addresses{ranges: ranges}
	if len(ranges) > manyRanges {
		var b netipx.IPSetBuilder
		for _, r := range ranges {
			b.AddPrefix(r)
		}
		a.set, _ = b.IPSet() // the error is that of a range that is not valid, which is in no set
	}
	return a
}

func (a *addresses) contains(addr netip.Addr) bool {
	if a.set != nil {
		return a.set.Contains(addr)
	}
	for _, r := range a.ranges {
		if r.Contains(addr) {
			return true
		}
	}
	return false
}

// everything reports whether one of the ranges has all addresses of its family.
func (a *addresses) everything() bool {
	for _, r := range a.ranges {
		if r.Bits() == 0 {
			return true
		}
	}
	return false
}
