package policy

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/cilium/cilium/pkg/iana"
	"github.com/cilium/cilium/pkg/policy/api"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1alpha2 "sigs.k8s.io/network-policy-api/apis/v1alpha2"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
	"github.com/labctl/labctl/cilium/policy/manifest"
)

// IsPolicy reports whether Compile takes the object: it was decoded, and is of one of [manifest.PolicyKinds].
func IsPolicy(obj *manifest.Object) bool { return obj.Value != nil && manifest.IsPolicy(obj.Kind) }

// Compile turns one policy into rules, or says with file and line what it does not model or what
// Cilium would not accept. It does not change the object, and may be called from several goroutines.
func Compile(obj *manifest.Object, cfg Config) (p *Policy, problems manifest.Problems) {
	return (&compiler{obj: obj, cfg: cfg.WithDefaults()}).compile()
}

// Recompile is Compile for an object that takes the place of the policy, with the same configuration. Rules that the
// two share, which have the same peers and ports in memory, are not compiled again. b counts what is.
func (p *Policy) Recompile(b *Budget, obj *manifest.Object) (*Policy, manifest.Problems) {
	return (&compiler{obj: obj, cfg: p.cfg, previous: p, budget: b}).compile()
}

func (c *compiler) compile() (p *Policy, problems manifest.Problems) {
	obj := c.obj
	c.policy = &Policy{ref: obj.Ref(), object: obj, cfg: c.cfg}
	defer c.spent()
	defer func() {
		// Parsers and regular expressions that we did not write have just read untrusted input.
		if r := recover(); r != nil {
			c.problem("", "the policy cannot be evaluated: %v", r)
			p, problems = nil, c.problems
		}
	}()
	if err := cluster.SetUpCilium(c.cfg); err != nil {
		return nil, manifest.Problems{{Message: err.Error()}}
	}
	if c.previous == nil {
		if c.checkSelectors(); len(c.problems) > 0 {
			return nil, c.problems
		}
	}
	switch v := obj.Value.(type) {
	case *networkingv1.NetworkPolicy:
		c.networkPolicy(v)
	case *manifest.CiliumNetworkPolicy:
		c.ciliumPolicy(v)
	case *policyv1alpha2.ClusterNetworkPolicy:
		c.clusterNetworkPolicy(v)
	case *manifest.CiliumCIDRGroup:
		c.cidrGroup(v)
	default:
		c.problem("kind", "%s is not a policy", cmp.Or(obj.Kind, "the object"))
	}
	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return c.policy, nil
}

type compiler struct {
	obj      *manifest.Object
	cfg      Config
	previous *Policy // whose rules may be the same
	budget   *Budget
	built    int // rules, peers and ports that were compiled
	reused   int // that were not, because previous has them
	policy   *Policy
	problems manifest.Problems
}

func (c *compiler) problem(field, format string, args ...any) {
	c.problems = append(c.problems, manifest.Problem{
		File: c.obj.File, Line: c.obj.LineOf(field), Object: c.obj.Ref().String(), Field: field,
		Message: fmt.Sprintf(format, args...),
	})
}

// hint adds to the last problem what to do about it.
func (c *compiler) hint(text string) { c.problems[len(c.problems)-1].Hint = text }

// notModelled refuses a feature by name.
func (c *compiler) notModelled(field, feature string) {
	c.problem(field, "%s is not modelled by the offline engine", feature)
}

func (c *compiler) add(e *rule) {
	e.policy = c.policy
	c.policy.rules = append(c.policy.rules, e)
}

// parsePrefix parses an address range or a single address.
func parsePrefix(s string) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("%q is neither an address range nor an address", s)
	}
	return netip.PrefixFrom(a, a.BitLen()), nil
}

// parsePort turns a port as Cilium's rules have it (a number, a name, or "0" for all) into ours.
func parsePort(pp api.PortProtocol) (port, error) {
	var p port
	switch pp.Protocol {
	case api.ProtoAny, "":
	case api.ProtoTCP, api.ProtoUDP, api.ProtoSCTP, api.ProtoICMP:
		p.protocol = string(pp.Protocol)
	case api.ProtoICMPv6:
		p.protocol = protoICMPv6
	default:
		return p, fmt.Errorf("protocol %s is not modelled by the offline engine", pp.Protocol)
	}
	if iana.IsSvcName(pp.Port) {
		p.name = strings.ToLower(pp.Port)
		return p, nil
	}
	n, err := strconv.ParseUint(pp.Port, 0, 16)
	if err != nil {
		return p, fmt.Errorf("%q is not a port", pp.Port)
	}
	p.from, p.to, p.ranged = uint16(n), uint16(n), pp.EndPort != 0
	if pp.EndPort > int32(n) && n > 0 {
		p.to = uint16(pp.EndPort)
	}
	return p, nil
}

func (c *compiler) cidrGroup(v *manifest.CiliumCIDRGroup) {
	var ranges []netip.Prefix
	for i, s := range v.Spec.ExternalCIDRs {
		prefix, err := parsePrefix(string(s))
		if err != nil {
			c.problem(index("spec.externalCIDRs", i), "%v", err)
		}
		ranges = append(ranges, prefix)
	}
	c.policy.group = &cidrGroup{name: c.obj.Name, labels: v.Labels, prefixes: newAddresses(ranges)}
}

func index(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }
