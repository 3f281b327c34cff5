package hubble

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"github.com/cilium/cilium/pkg/identity"

	"github.com/labctl/labctl/internal/wording"
)

// FilterKind is a filter that `hubble observe` has as a flag.
type FilterKind struct {
	Name   string // of the flag
	Short  string // of the flag; may be empty
	Arg    string // what it takes, for help; empty: nothing
	Help   string
	Values []string // the values that it takes; empty: too many to list, or free

	list bool // several values may stand in one flag, with commas
	set  func(s *filterSet, value string) error
}

const notFlag = "not"

// FilterKinds are the filters, in the order of help. "not" reverses the one that follows it.
func FilterKinds() []FilterKind { return filterKinds() }

var filterKinds = sync.OnceValue(func() []FilterKind {
	return slices.Concat(kindsOfEnds(), flowKinds(), httpKinds(), []FilterKind{{
		Name: notFlag, Help: "leave out the flows that the next filter matches; repeat it for each filter",
	}})
})

var kindsOfEnds = sync.OnceValue(func() []FilterKind { return slices.Concat(appKinds(), endKinds()) })

// isEnd reports whether the filter with this name is about an end of flows.
func isEnd(name string) bool {
	return slices.ContainsFunc(kindsOfEnds(), func(k FilterKind) bool { return k.Name == name })
}

// appKinds are the filters that hubble lacks.
func appKinds() []FilterKind {
	kinds := []FilterKind{
		{Name: "app", Arg: "APP", Help: "flows from or to this app of the lab, or NAMESPACE/POD (the prefix of a pod's name)"},
		{Name: "from", Arg: "APP", Help: "flows from this app of the lab, or NAMESPACE/POD"},
		{Name: "to", Arg: "APP", Help: "flows to this app of the lab, or NAMESPACE/POD"},
	}
	for i := range kinds {
		kinds[i].set = func(s *filterSet, v string) error {
			s.apps[i] = append(s.apps[i], v)
			return nil
		}
	}
	return listed(kinds)
}

func kindNamed(name string) *FilterKind {
	for _, k := range FilterKinds() {
		if k.Name == name {
			return &k
		}
	}
	return nil
}

// setter adds a value to what a filter says about the source or the destination of a flow.
type setter func(f *flowpb.FlowFilter, value string) error

// endKinds are the filters that have three forms: of either end, of the source and of the destination.
func endKinds() []FilterKind {
	return slices.Concat(
		ends("pod", "", "POD", "this pod, by the prefix of its name: [NAMESPACE/]NAME (default namespace: default)",
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.SourcePod }),
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.DestinationPod })),
		namespaceKinds(),
		ends("label", "l", "LABELS", `an endpoint with all these labels: "key=value,key2", or reserved:world`,
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.SourceLabel }),
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.DestinationLabel })),
		ends("workload", "", "WORKLOAD", "a pod of this workload: [KIND/]NAME. Hubble knows it on the pod's own node only",
			workload(func(f *flowpb.FlowFilter) *[]*flowpb.Workload { return &f.SourceWorkload }),
			workload(func(f *flowpb.FlowFilter) *[]*flowpb.Workload { return &f.DestinationWorkload })),
		ends("service", "", "SERVICE",
			"the cluster IP of this service, by the prefix of its name: [NAMESPACE/]NAME (default namespace: default)",
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.SourceService }),
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.DestinationService })),
		ends("ip", "", "IP", "this address or range: 10.0.0.1, 10.0.0.0/8",
			address(func(f *flowpb.FlowFilter) *[]string { return &f.SourceIp }),
			address(func(f *flowpb.FlowFilter) *[]string { return &f.DestinationIp })),
		ends("fqdn", "", "NAME", `this DNS name; * stands for any characters but dots: "*.cilium.io"`,
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.SourceFqdn }),
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.DestinationFqdn })),
		listed(ends("port", "", "PORT", "this port, 1 to 65535",
			port(func(f *flowpb.FlowFilter) *[]string { return &f.SourcePort }),
			port(func(f *flowpb.FlowFilter) *[]string { return &f.DestinationPort }))),
		ends("identity", "", "IDENTITY", "this security identity: a number, or a reserved one such as world",
			numbered(func(f *flowpb.FlowFilter) *[]uint32 { return &f.SourceIdentity }),
			numbered(func(f *flowpb.FlowFilter) *[]uint32 { return &f.DestinationIdentity })),
		ends("cluster", "", "CLUSTER", "an endpoint of this cluster",
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.SourceClusterName }),
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.DestinationClusterName })),
	)
}

// ends are the three forms of a filter. A filter of both ends sets the two alternatives apart.
func ends(name, short, arg, what string, source, destination setter) []FilterKind {
	both := func(e setter) func(*filterSet, string) error {
		return func(s *filterSet, v string) error {
			if err := e(&s.source, v); err != nil {
				return err
			}
			return e(&s.destination, v)
		}
	}
	return []FilterKind{
		{Name: name, Short: short, Arg: arg, Help: "flows from or to " + what, set: func(s *filterSet, v string) error {
			if err := source(&s.source, v); err != nil {
				return err
			}
			return destination(&s.destination, v)
		}},
		{Name: "from-" + name, Arg: arg, Help: "flows from " + what, set: both(source)},
		{Name: "to-" + name, Arg: arg, Help: "flows to " + what, set: both(destination)},
	}
}

func listed(kinds []FilterKind) []FilterKind {
	for i := range kinds {
		kinds[i].list = true
	}
	return kinds
}

// namespaceKinds are applied when the filters are complete: they qualify pods and services.
func namespaceKinds() []FilterKind {
	add := func(pick func(*filterSet) *[]string) func(*filterSet, string) error {
		return func(s *filterSet, v string) error {
			*pick(s) = append(*pick(s), v)
			return nil
		}
	}
	anywhere := func(pick func(*filterSet) *[]string) func(*filterSet, string) error {
		return func(s *filterSet, _ string) error { return add(pick)(s, "") }
	}
	either := func(s *filterSet) *[]string { return &s.either }
	source := func(s *filterSet) *[]string { return &s.namespaces[0] }
	destination := func(s *filterSet) *[]string { return &s.namespaces[1] }
	return []FilterKind{
		{Name: "namespace", Short: "n", Arg: "NAMESPACE", Help: "flows from or to pods of this namespace", set: add(either)},
		{Name: "from-namespace", Arg: "NAMESPACE", Help: "flows from pods of this namespace", set: add(source)},
		{Name: "to-namespace", Arg: "NAMESPACE", Help: "flows to pods of this namespace", set: add(destination)},
		{Name: "all-namespaces", Short: "A", Help: "flows from or to pods of any namespace", set: anywhere(either)},
		{Name: "from-all-namespaces", Help: "flows from pods of any namespace", set: anywhere(source)},
		{Name: "to-all-namespaces", Help: "flows to pods of any namespace", set: anywhere(destination)},
	}
}

// flowKinds are about the flow as a whole.
func flowKinds() []FilterKind {
	return []FilterKind{
		whole("verdict", "VERDICT", "flows with this verdict", enum("verdict", Verdicts(), flowpb.Verdict_value,
			func(f *flowpb.FlowFilter) *[]flowpb.Verdict { return &f.Verdict }), Verdicts()...),
		whole("drop-reason-desc", "REASON", "drops with this reason, such as POLICY_DENIED",
			enum("reason", DropReasons(), flowpb.DropReason_value,
				func(f *flowpb.FlowFilter) *[]flowpb.DropReason { return &f.DropReasonDesc })),
		eventKind(),
		whole("protocol", "PROTOCOL", "flows of this protocol", oneOf("protocol", protocols,
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.Protocol })), protocols...),
		{Name: "tcp-flags", Arg: "FLAGS", Help: "TCP packets with all these flags: SYN,ACK", set: whole("", "", "", tcpFlags).set},
		whole("traffic-direction", "DIRECTION", "flows seen in this direction", enum("direction", directions,
			flowpb.TrafficDirection_value,
			func(f *flowpb.FlowFilter) *[]flowpb.TrafficDirection { return &f.TrafficDirection }), directions...),
		flag("reply", "", "replies only", func(f *flowpb.FlowFilter) { f.Reply = append(f.Reply, true) }),
		flag("not-reply", "", "flows that are no replies", func(f *flowpb.FlowFilter) { f.Reply = append(f.Reply, false) }),
		flag("encrypted", "", "encrypted flows (WireGuard, IPsec)",
			func(f *flowpb.FlowFilter) { f.Encrypted = append(f.Encrypted, true) }),
		flag("unencrypted", "", "flows that are not encrypted",
			func(f *flowpb.FlowFilter) { f.Encrypted = append(f.Encrypted, false) }),
		flag("ipv4", "4", "IPv4 flows",
			func(f *flowpb.FlowFilter) { f.IpVersion = append(f.IpVersion, flowpb.IPVersion_IPv4) }),
		flag("ipv6", "6", "IPv6 flows",
			func(f *flowpb.FlowFilter) { f.IpVersion = append(f.IpVersion, flowpb.IPVersion_IPv6) }),
		whole("ip-version", "VERSION", "flows of this IP version", ipVersion, "v4", "v6", "none"),
		whole("snat-ip", "IP", "flows whose source was translated to this address or range",
			address(func(f *flowpb.FlowFilter) *[]string { return &f.SourceIpXlated })),
		whole("interface", "NAME", "flows seen at this network interface: eth0", func(f *flowpb.FlowFilter, v string) error {
			f.Interface = append(f.Interface, &flowpb.NetworkInterface{Name: v})
			return nil
		}),
		whole("node-name", "NODE", `flows seen on this node; * stands for any characters: "kind-*"`,
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.NodeName })),
		whole("node-label", "LABELS", `flows seen on nodes with all these labels: "key=value,key2"`,
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.NodeLabels })),
		whole("uuid", "UUID", "the flow with this UUID", strs(func(f *flowpb.FlowFilter) *[]string { return &f.Uuid })),
		whole("trace-id", "ID", "flows with this trace ID", strs(func(f *flowpb.FlowFilter) *[]string { return &f.TraceId })),
		whole("ip-trace-id", "ID", "flows with this IP trace ID, a number from 1", traceID),
		whole("cel-expression", "CEL", "flows for which this CEL expression is true; _flow is the flow",
			func(f *flowpb.FlowFilter, v string) error {
				if f.Experimental == nil {
					f.Experimental = new(flowpb.FlowFilter_Experimental)
				}
				f.Experimental.CelExpression = append(f.Experimental.CelExpression, v)
				return nil
			}),
	}
}

func httpKinds() []FilterKind {
	return []FilterKind{
		whole("http-status", "STATUS", "HTTP with this status: 404, or 5+ for all from 500 to 599",
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.HttpStatusCode })),
		whole("http-method", "METHOD", "HTTP with this method: GET",
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.HttpMethod })),
		whole("http-path", "REGEXP", `HTTP whose path matches: "/page/\d+"`,
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.HttpPath })),
		whole("http-url", "REGEXP", `HTTP whose URL matches: "http://.*cilium\.io"`,
			strs(func(f *flowpb.FlowFilter) *[]string { return &f.HttpUrl })),
		whole("http-header", "NAME:VALUE", "HTTP with this header", func(f *flowpb.FlowFilter, v string) error {
			key, value, ok := strings.Cut(v, ":")
			if !ok {
				return fmt.Errorf("%q: write a header as NAME:VALUE", v)
			}
			f.HttpHeader = append(f.HttpHeader, &flowpb.HTTPHeader{Key: key, Value: value})
			return nil
		}),
	}
}

// whole is a filter of the flow as a whole. If its values are known, several may be given with commas.
func whole(name, arg, help string, set setter, values ...string) FilterKind {
	return FilterKind{
		Name: name, Arg: arg, Help: help, Values: values, list: len(values) > 0,
		set: func(s *filterSet, v string) error {
			if err := set(&s.source, v); err != nil {
				return err
			}
			return set(&s.destination, v)
		},
	}
}

// flag is a filter without a value.
func flag(name, short, help string, set func(*flowpb.FlowFilter)) FilterKind {
	k := whole(name, "", help, func(f *flowpb.FlowFilter, _ string) error { set(f); return nil })
	k.Short = short
	return k
}

func eventKind() FilterKind {
	k := whole("type", "TYPE", "events of this type, or TYPE:SUBTYPE: trace:to-endpoint", eventType, eventTypes()...)
	k.Short = "t"
	return k
}

// strs adds to a list of strings.
func strs(list func(*flowpb.FlowFilter) *[]string) setter {
	return func(f *flowpb.FlowFilter, v string) error {
		*list(f) = append(*list(f), v)
		return nil
	}
}

func workload(list func(*flowpb.FlowFilter) *[]*flowpb.Workload) setter {
	return func(f *flowpb.FlowFilter, v string) error {
		kind, name, ok := strings.Cut(v, "/")
		if !ok {
			kind, name = "", v
		}
		*list(f) = append(*list(f), &flowpb.Workload{Kind: kind, Name: name})
		return nil
	}
}

func address(list func(*flowpb.FlowFilter) *[]string) setter {
	return func(f *flowpb.FlowFilter, v string) error {
		_, err := netip.ParseAddr(v)
		if err != nil {
			_, err = netip.ParsePrefix(v)
		}
		if err != nil {
			return fmt.Errorf("%q is no address (10.0.0.1) and no range (10.0.0.0/8)", v)
		}
		return strs(list)(f, v)
	}
}

func port(list func(*flowpb.FlowFilter) *[]string) setter {
	return func(f *flowpb.FlowFilter, v string) error {
		if n, err := strconv.ParseUint(v, 10, 16); err != nil || n == 0 {
			return fmt.Errorf("port %q: use a number from 1 to 65535", v)
		}
		return strs(list)(f, v)
	}
}

func numbered(list func(*flowpb.FlowFilter) *[]uint32) setter {
	return func(f *flowpb.FlowFilter, v string) error {
		id := identity.GetReservedID(v)
		if id == identity.IdentityUnknown {
			var err error
			if id, err = identity.ParseNumericIdentity(v); err != nil {
				var reserved []string
				for _, known := range identity.GetAllReservedIdentities() {
					reserved = append(reserved, known.String())
				}
				return fmt.Errorf("identity %q: use a number or one of %s", v, strings.Join(reserved, ", "))
			}
		}
		*list(f) = append(*list(f), id.Uint32())
		return nil
	}
}

// oneOf refuses values that are not among the known ones.
func oneOf(what string, known []string, set setter) setter {
	return func(f *flowpb.FlowFilter, v string) error {
		if !slices.Contains(known, strings.ToLower(v)) {
			return unknown(what, v, known)
		}
		return set(f, v)
	}
}

// enum adds to a list of numbers that have names; known are the names that a user may write, in either case.
func enum[E ~int32](what string, known []string, numbers map[string]int32, list func(*flowpb.FlowFilter) *[]E) setter {
	return func(f *flowpb.FlowFilter, v string) error {
		if !slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, v) }) {
			return unknown(what, v, known)
		}
		*list(f) = append(*list(f), E(numbers[strings.ToUpper(v)]))
		return nil
	}
}

func unknown(what, value string, known []string) error {
	if meant := wording.DidYouMean(value, known); meant != "" {
		return fmt.Errorf("there is no %s %q.%s", what, value, meant)
	}
	return fmt.Errorf("%s %q: must be one of %s", what, value, strings.Join(known, ", "))
}

// Verdicts are the verdicts that flows have.
func Verdicts() []string {
	return lower(slices.DeleteFunc(slices.Collect(maps.Values(flowpb.Verdict_name)), func(name string) bool {
		return name == flowpb.Verdict_VERDICT_UNKNOWN.String()
	}))
}

// DropReasons are the reasons that drops have.
func DropReasons() []string {
	return slices.Sorted(maps.Values(flowpb.DropReason_name))
}

func lower(names []string) []string {
	for i := range names {
		names[i] = strings.ToLower(names[i])
	}
	slices.Sort(names)
	return names
}

var (
	directions = []string{"ingress", "egress"}
	// protocols are those that Hubble's filter knows; the API has no list of them.
	protocols = []string{"tcp", "udp", "icmp", "icmpv4", "icmpv6", "sctp", "vrrp", "igmp", "dns", "http"}
)

func ipVersion(f *flowpb.FlowFilter, v string) error {
	version, ok := map[string]flowpb.IPVersion{
		"4": flowpb.IPVersion_IPv4, "v4": flowpb.IPVersion_IPv4, "ip4": flowpb.IPVersion_IPv4, "ipv4": flowpb.IPVersion_IPv4,
		"6": flowpb.IPVersion_IPv6, "v6": flowpb.IPVersion_IPv6, "ip6": flowpb.IPVersion_IPv6, "ipv6": flowpb.IPVersion_IPv6,
		"none": flowpb.IPVersion_IP_NOT_USED,
	}[strings.ToLower(v)]
	if !ok {
		return unknown("IP version", v, []string{"v4", "v6", "none"})
	}
	f.IpVersion = append(f.IpVersion, version)
	return nil
}

func traceID(f *flowpb.FlowFilter, v string) error {
	id, err := strconv.ParseUint(v, 10, 64)
	if err != nil || id == 0 {
		return fmt.Errorf("IP trace ID %q: use a number from 1", v)
	}
	f.IpTraceId = append(f.IpTraceId, id)
	return nil
}

func tcpFlags(f *flowpb.FlowFilter, v string) error {
	flags := new(flowpb.TCPFlags)
	bits := map[string]*bool{
		"SYN": &flags.SYN, "FIN": &flags.FIN, "RST": &flags.RST, "PSH": &flags.PSH, "ACK": &flags.ACK,
		"URG": &flags.URG, "ECE": &flags.ECE, "CWR": &flags.CWR, "NS": &flags.NS,
	}
	for name := range strings.SplitSeq(v, ",") {
		bit, ok := bits[strings.ToUpper(name)]
		if !ok {
			return unknown("TCP flag", name, slices.Sorted(maps.Keys(bits)))
		}
		*bit = true
	}
	f.TcpFlags = append(f.TcpFlags, flags)
	return nil
}

// eventType reads TYPE or TYPE:SUBTYPE, each by its name or number.
func eventType(f *flowpb.FlowFilter, v string) error {
	name, sub, hasSub := strings.Cut(v, ":")
	number, ok := eventNumber(name)
	if !ok {
		n, err := strconv.ParseUint(name, 10, 31)
		if err != nil {
			return unknown("type", name, eventTypes())
		}
		number = int32(n)
	}
	filter := &flowpb.EventTypeFilter{Type: number, MatchSubType: hasSub}
	if hasSub {
		n, err := subType(number, sub)
		if err != nil {
			return err
		}
		filter.SubType = n
	}
	f.EventType = append(f.EventType, filter)
	return nil
}

// subType is the number of a subtype. Only traces have names for theirs: where a packet was seen.
func subType(number int32, sub string) (int32, error) {
	if number == eventTrace {
		if n, ok := traceSubType(sub); ok {
			return n, nil
		}
	}
	n, err := strconv.ParseUint(sub, 10, 31)
	switch {
	case err == nil:
		return int32(n), nil
	case number == eventTrace:
		return 0, unknown("subtype", sub, tracePoints())
	}
	return 0, fmt.Errorf("subtype %q: only trace has subtypes with names, others have numbers", sub)
}
