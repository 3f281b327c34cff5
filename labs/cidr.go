package labs

import (
	"math/big"
	"net"
	"net/netip"

	"github.com/apparentlymart/go-cidr/cidr"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

var prefixParam = function.Parameter{Name: "prefix", Type: cty.String}

func parseCIDR(arg int, s string) (*net.IPNet, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, function.NewArgErrorf(arg, "%q is not an address range such as 10.0.0.0/8", s)
	}
	prefix = prefix.Masked()
	return &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())}, nil
}

// cidrhost(prefix, n) is the n-th address of a range; a negative n counts from its end.
var cidrHostFunc = function.New(&function.Spec{
	Params: []function.Parameter{prefixParam, {Name: "hostnum", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseCIDR(0, args[0].AsString())
		if err != nil {
			return cty.NilVal, err
		}
		num, acc := args[1].AsBigFloat().Int(nil)
		if num == nil || acc != big.Exact || num.BitLen() > 128 {
			return cty.NilVal, function.NewArgErrorf(1, "the host number must be a whole number")
		}
		ip, err := cidr.HostBig(network, num)
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(1, "%v", err)
		}
		return cty.StringVal(ip.String()), nil
	},
})

// cidrsubnet(prefix, newbits, n) is the n-th of the ranges that newbits more bits divide a range into.
var cidrSubnetFunc = function.New(&function.Spec{
	Params: []function.Parameter{prefixParam, {Name: "newbits", Type: cty.Number}, {Name: "netnum", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseCIDR(0, args[0].AsString())
		if err != nil {
			return cty.NilVal, err
		}
		bits, ok := wholeNumber(args[1])
		if !ok || bits < 0 || bits > 128 {
			return cty.NilVal, function.NewArgErrorf(1, "the number of bits must be from 0 to 128")
		}
		num, acc := args[2].AsBigFloat().Int(nil)
		if num == nil || acc != big.Exact || num.Sign() < 0 || num.BitLen() > 128 {
			return cty.NilVal, function.NewArgErrorf(2, "the number of the range must be a whole number, 0 or more")
		}
		subnet, err := cidr.SubnetBig(network, bits, num)
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(1, "%v", err)
		}
		return cty.StringVal(subnet.String()), nil
	},
})

// cidrcontains(prefix, address) says whether an address lies in a range.
var cidrContainsFunc = function.New(&function.Spec{
	Params: []function.Parameter{prefixParam, {Name: "address", Type: cty.String}},
	Type:   function.StaticReturnType(cty.Bool),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		network, err := parseCIDR(0, args[0].AsString())
		if err != nil {
			return cty.NilVal, err
		}
		addr, err := netip.ParseAddr(args[1].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgErrorf(1, "%q is not an IP address", args[1].AsString())
		}
		return cty.BoolVal(network.Contains(addr.AsSlice())), nil
	},
})
