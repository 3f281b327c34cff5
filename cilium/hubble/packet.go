package hubble

import (
	"fmt"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// summaryOf says what a packet or a message is, and what else Hubble knows about it.
func summaryOf(f *flowpb.Flow) string {
	//lint:ignore SA1019 it is still what hubble prints of flows that have it
	summary := f.GetSummary() //nolint:staticcheck // see above
	if summary == "" {
		summary = describe(f)
	}
	if id := f.GetIpTraceId().GetTraceId(); id != 0 {
		summary = fmt.Sprintf("IP Trace ID: %d; %s", id, summary)
	}
	if auth := f.GetAuthType(); auth != flowpb.AuthType_DISABLED {
		summary += "; Auth: " + auth.String()
	}
	return summary
}

// describe is "TCP Flags: SYN", "ICMPv4 EchoReply", "DNS Query a.io. A".
func describe(f *flowpb.Flow) string {
	if f.GetL7().GetRecord() != nil {
		return l7Summary(f.GetL7())
	}
	switch l4 := f.GetL4().GetProtocol().(type) {
	case *flowpb.Layer4_TCP:
		if flags := tcpFlagNames(l4.TCP.GetFlags()); len(flags) > 0 {
			return "TCP Flags: " + strings.Join(flags, ", ")
		}
	case *flowpb.Layer4_ICMPv4:
		return "ICMPv4 " + icmpName(icmpv4Names, l4.ICMPv4.GetType(), l4.ICMPv4.GetCode())
	case *flowpb.Layer4_ICMPv6:
		return "ICMPv6 " + icmpName(icmpv6Names, l4.ICMPv6.GetType(), l4.ICMPv6.GetCode())
	case *flowpb.Layer4_IGMP:
		return strings.TrimSpace("IGMP " + l4.IGMP.GetGroupAddress())
	case *flowpb.Layer4_VRRP:
		return fmt.Sprintf("VRRP VRID %d priority %d", l4.VRRP.GetVrid(), l4.VRRP.GetPriority())
	}
	if protocol := layer4(f); protocol != "" {
		return protocol
	}
	return "unknown protocol"
}

// Names of the types of ICMP that IANA has assigned, of those that are seen.
var (
	icmpv4Names = map[uint32]string{
		0: "EchoReply", 3: "DestinationUnreachable", 4: "SourceQuench", 5: "Redirect", 8: "EchoRequest",
		9: "RouterAdvertisement", 10: "RouterSolicitation", 11: "TimeExceeded", 12: "ParameterProblem",
		13: "TimestampRequest", 14: "TimestampReply",
	}
	icmpv6Names = map[uint32]string{
		1: "DestinationUnreachable", 2: "PacketTooBig", 3: "TimeExceeded", 4: "ParameterProblem", 128: "EchoRequest",
		129: "EchoReply", 133: "RouterSolicitation", 134: "RouterAdvertisement", 135: "NeighborSolicitation",
		136: "NeighborAdvertisement", 137: "Redirect",
	}
)

func icmpName(names map[uint32]string, kind, code uint32) string {
	name, ok := names[kind]
	if !ok {
		name = fmt.Sprintf("type %d", kind)
	}
	if code != 0 {
		name += fmt.Sprintf(" (code %d)", code)
	}
	return name
}

func l7Summary(l7 *flowpb.Layer7) string {
	response := l7.GetType() == flowpb.L7FlowType_RESPONSE
	switch record := l7.GetRecord().(type) {
	case *flowpb.Layer7_Dns:
		return dnsSummary(record.Dns, response)
	case *flowpb.Layer7_Http:
		return httpSummary(record.Http, response, time.Duration(l7.GetLatencyNs()))
	}
	return "L7"
}

func dnsSummary(dns *flowpb.DNS, response bool) string {
	query := strings.TrimSpace(dns.GetQuery() + " " + strings.Join(dns.GetQtypes(), ","))
	switch {
	case !response:
		return "DNS Query " + query
	case dns.GetRcode() != 0:
		return fmt.Sprintf("DNS Answer RCode: %d (%s)", dns.GetRcode(), query)
	}
	var parts []string
	if len(dns.GetIps()) > 0 {
		parts = append(parts, fmt.Sprintf("%q", strings.Join(dns.GetIps(), ",")))
	}
	if len(dns.GetCnames()) > 0 {
		parts = append(parts, fmt.Sprintf("CNAMEs: %q", strings.Join(dns.GetCnames(), ",")))
	}
	parts = append(parts, fmt.Sprintf("TTL: %d", dns.GetTtl()))
	return fmt.Sprintf("DNS Answer %s (%s)", strings.Join(parts, " "), query)
}

func httpSummary(http *flowpb.HTTP, response bool, latency time.Duration) string {
	request := http.GetMethod() + " " + http.GetUrl()
	if !response {
		return strings.TrimSpace(http.GetProtocol() + " " + request)
	}
	return strings.TrimSpace(fmt.Sprintf("%s %d %s (%s)", http.GetProtocol(), http.GetCode(),
		latency.Round(time.Millisecond), request))
}
