package hubble

import (
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/cilium/cilium/pkg/identity"
)

// columns are what the text formats show of a flow.
type columns struct {
	time, node              string
	source, destination     string // with their ports
	sourceID, destinationID string // their identities in parentheses, after a space
	kind, verdict, summary  string
}

func (p *Printer) columns(res *observerpb.GetFlowsResponse) columns {
	f := res.GetFlow()
	c := columns{time: "N/A", node: f.GetNodeName(), kind: flowKind(f), summary: summaryOf(f)}
	if at := f.GetTime(); at.IsValid() {
		c.time = at.AsTime().Format(time.StampMilli)
	}
	if c.node == "" {
		c.node = res.GetNodeName()
	}
	var from, to string
	if ports := portsOf(f); ports != nil {
		from, to = portText(ports.GetSourcePort()), portText(ports.GetDestinationPort())
	}
	c.source = withPort(p.host(f.GetSource(), f.GetSourceService(), f.GetSourceNames(), f.GetIP().GetSource(),
		f.GetEthernet().GetSource()), from)
	c.destination = withPort(p.host(f.GetDestination(), f.GetDestinationService(), f.GetDestinationNames(),
		f.GetIP().GetDestination(), f.GetEthernet().GetDestination()), to)
	c.sourceID, c.destinationID = identityOf(f.GetSource()), identityOf(f.GetDestination())
	c.verdict = p.colored(verdictColor(f.GetVerdict()), verdictOf(f))
	if names := policyNames(f); p.opts.PolicyNames && names != "" {
		c.verdict += " BY " + names
	}
	return c
}

// host names an end of a flow: its pod, its service, its DNS names, or its address.
func (p *Printer) host(e *flowpb.Endpoint, service *flowpb.Service, names []string, ip, mac string) string {
	if !p.opts.Numeric {
		switch {
		case e.GetPodName() != "":
			return qualified(e.GetNamespace(), e.GetPodName())
		case service.GetName() != "":
			return qualified(service.GetNamespace(), service.GetName())
		case len(names) > 0:
			return strings.Join(names, ",")
		}
	}
	switch {
	case ip != "":
		return ip
	case mac != "":
		return mac
	}
	return "N/A"
}

func qualified(namespace, name string) string {
	if namespace == "" {
		return name
	}
	return namespace + "/" + name
}

func portText(port uint32) string {
	if port == 0 {
		return ""
	}
	return strconv.FormatUint(uint64(port), 10)
}

func withPort(host, port string) string {
	if port == "" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// identityOf is the identity of an end, by its name if it is reserved.
func identityOf(e *flowpb.Endpoint) string {
	if id := identity.NumericIdentity(e.GetIdentity()); id.IsReservedIdentity() || id == identity.IdentityUnknown {
		return " (" + id.String() + ")"
	}
	return fmt.Sprintf(" (ID:%d)", e.GetIdentity())
}

// flowKind is what happened: the reason of a drop, the point that saw the packet, the rule that a verdict is about.
func flowKind(f *flowpb.Flow) string {
	switch f.GetEventType().GetType() {
	case eventDrop:
		return sentence(f.GetDropReasonDesc())
	case eventTrace:
		if f.GetTraceObservationPoint() != flowpb.TraceObservationPoint_UNKNOWN_POINT {
			return tracePoint(f.GetTraceObservationPoint())
		}
	case eventPolicyVerdict:
		return "policy-verdict:" + policyMatch(f.GetPolicyMatchType()) + " " + f.GetTrafficDirection().String()
	case eventL7:
		return l7Kind(f)
	case eventTraceSock:
		point, ok := strings.CutPrefix(f.GetSockXlatePoint().String(), "SOCK_XLATE_POINT_")
		if before, direction, found := strings.Cut(point, "_DIRECTION_"); ok && found {
			return strings.ToLower(before + "-xlate-" + direction)
		}
	case eventCapture:
		return f.GetDebugCapturePoint().String()
	}
	return "UNKNOWN"
}

// l7Kind is the protocol, what the message is, and who saw it: "dns-request proxy".
func l7Kind(f *flowpb.Flow) string {
	kind := layer7(f)
	if kind == "" {
		kind = "l7"
	}
	if t := f.GetL7().GetType(); t != flowpb.L7FlowType_UNKNOWN_L7_TYPE {
		kind += "-" + strings.ToLower(t.String())
	}
	return strings.TrimSpace(kind + " " + f.GetL7().GetDns().GetObservationSource())
}

// abbreviations keep their capitals in the text of a reason.
var abbreviations = []string{
	"ACK", "CT", "DSR", "EDT", "EP", "FIB", "ICMPV4", "ICMPV6", "ID", "IGMP", "IP", "IPV6", "L2", "L3", "L4", "LB", "MAC",
	"NAT", "NAT46", "NAT64", "SID", "SNAT", "SRV6", "TC", "TCP", "TTL", "VLAN", "VNI",
}

// sentence is the name of a reason as people read it: POLICY_DENIED is "Policy denied". For some reasons, hubble has
// other words than the API.
func sentence(reason flowpb.DropReason) string {
	if reason == flowpb.DropReason_DROP_REASON_UNKNOWN {
		return "Unknown reason"
	}
	name := reason.String()
	if _, ok := flowpb.DropReason_name[int32(reason)]; !ok {
		return "Reason " + name
	}
	words := strings.Split(name, "_")
	for i, word := range words {
		switch {
		case slices.Contains(abbreviations, word):
		case i == 0:
			words[i] = word[:1] + strings.ToLower(word[1:])
		default:
			words[i] = strings.ToLower(word)
		}
	}
	return strings.Join(words, " ")
}

// policyMatch names what part of a rule decided. The API has numbers for it.
func policyMatch(n uint32) string {
	names := []string{"none", "L3-Only", "L3-L4", "L4-Only", "all", "L3-Proto", "Proto-Only"}
	if int(n) < len(names) {
		return names[n]
	}
	return "unknown"
}

// verdictOf is the verdict; what a policy decides is allowed or denied, and nothing is forwarded or dropped yet.
func verdictOf(f *flowpb.Flow) string {
	verdict := f.GetVerdict()
	if f.GetEventType().GetType() == eventPolicyVerdict {
		switch verdict {
		case flowpb.Verdict_FORWARDED, flowpb.Verdict_REDIRECTED:
			return "ALLOWED"
		case flowpb.Verdict_DROPPED, flowpb.Verdict_ERROR:
			return "DENIED"
		case flowpb.Verdict_AUDIT:
			return "AUDITED"
		}
	}
	return verdict.String()
}

// policyNames are the policies that decided, on the side that a policy verdict is about.
func policyNames(f *flowpb.Flow) string {
	if f.GetEventType().GetType() != eventPolicyVerdict {
		return ""
	}
	var policies []*flowpb.Policy
	switch f.GetTrafficDirection() {
	case flowpb.TrafficDirection_EGRESS:
		policies = slices.Concat(f.GetEgressAllowedBy(), f.GetEgressDeniedBy())
	case flowpb.TrafficDirection_INGRESS:
		policies = slices.Concat(f.GetIngressAllowedBy(), f.GetIngressDeniedBy())
	}
	var names []string
	for _, policy := range policies {
		name := policy.GetName()
		if policy.GetKind() != "" {
			name += " (" + policy.GetKind() + ")"
		}
		names = append(names, name)
	}
	return strings.Join(names, ", ")
}

// Colors of a terminal.
const (
	green  = 32
	red    = 31
	yellow = 33
)

func verdictColor(v flowpb.Verdict) int {
	switch v {
	case flowpb.Verdict_FORWARDED, flowpb.Verdict_REDIRECTED:
		return green
	case flowpb.Verdict_DROPPED, flowpb.Verdict_ERROR:
		return red
	}
	return yellow
}

func (p *Printer) colored(color int, text string) string {
	if !p.opts.Color {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", color, text)
}
