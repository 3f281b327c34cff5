package hubble

import (
	"fmt"
	"net"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// Summary is a flow as labctl shows it to people and quotes it as evidence for a verdict.
type Summary struct {
	From, To string   // "default/frontend-7d4b8", an address, or a name such as "world"
	Port     int      // destination; 0 where the protocol has none
	Protocol string   // TCP, UDP, SCTP, ICMP, DNS, HTTP
	Verdict  string   // forwarded, dropped, …
	Reason   string   // of a drop: "POLICY_DENIED"
	Side     string   // "egress" or "ingress": where it was decided; empty: unknown
	Reply    bool     // of a connection that was opened the other way
	Policies []string // that allowed or denied it: "NetworkPolicy default/backend"
	Detail   string   // of L7: "GET /", "query backend.default.svc.cluster.local. A"
}

// Summarize summarizes a flow.
func Summarize(f *flowpb.Flow) Summary {
	s := Summary{
		From:    end(f.GetSource(), f.GetIP().GetSource(), f.GetSourceNames()),
		To:      end(f.GetDestination(), f.GetIP().GetDestination(), f.GetDestinationNames()),
		Verdict: strings.ToLower(f.GetVerdict().String()),
		Reply:   f.GetIsReply().GetValue(),
	}
	switch l4 := f.GetL4().GetProtocol().(type) {
	case *flowpb.Layer4_TCP:
		s.Protocol, s.Port = "TCP", int(l4.TCP.GetDestinationPort())
	case *flowpb.Layer4_UDP:
		s.Protocol, s.Port = "UDP", int(l4.UDP.GetDestinationPort())
	case *flowpb.Layer4_SCTP:
		s.Protocol, s.Port = "SCTP", int(l4.SCTP.GetDestinationPort())
	case *flowpb.Layer4_ICMPv4:
		s.Protocol, s.Detail = "ICMP", fmt.Sprintf("type %d", l4.ICMPv4.GetType())
	case *flowpb.Layer4_ICMPv6:
		s.Protocol, s.Detail = "ICMPv6", fmt.Sprintf("type %d", l4.ICMPv6.GetType())
	}
	switch l7 := f.GetL7().GetRecord().(type) {
	case *flowpb.Layer7_Dns:
		s.Protocol = "DNS"
		s.Detail = strings.TrimSpace("query " + l7.Dns.GetQuery() + " " + strings.Join(l7.Dns.GetQtypes(), ","))
	case *flowpb.Layer7_Http:
		s.Protocol = "HTTP"
		s.Detail = strings.TrimSpace(l7.Http.GetMethod() + " " + l7.Http.GetUrl())
		if code := l7.Http.GetCode(); code != 0 {
			s.Detail += fmt.Sprintf(" → %d", code)
		}
	}
	var by []*flowpb.Policy
	switch f.GetTrafficDirection() {
	case flowpb.TrafficDirection_EGRESS:
		s.Side, by = "egress", append(f.GetEgressAllowedBy(), f.GetEgressDeniedBy()...)
	case flowpb.TrafficDirection_INGRESS:
		s.Side, by = "ingress", append(f.GetIngressAllowedBy(), f.GetIngressDeniedBy()...)
	}
	for _, policy := range by {
		name := policy.GetName()
		if policy.GetNamespace() != "" {
			name = policy.GetNamespace() + "/" + name
		}
		s.Policies = append(s.Policies, strings.TrimSpace(policy.GetKind()+" "+name))
	}
	if f.GetVerdict() == flowpb.Verdict_DROPPED || f.GetVerdict() == flowpb.Verdict_ERROR {
		if reason := f.GetDropReasonDesc(); reason != flowpb.DropReason_DROP_REASON_UNKNOWN {
			s.Reason = reason.String()
		}
	}
	return s
}

// end names one end of a flow: its pod, a name that was looked up, the reserved identity, or the address.
func end(e *flowpb.Endpoint, addr string, names []string) string {
	if e.GetPodName() != "" {
		return e.GetNamespace() + "/" + e.GetPodName()
	}
	if len(names) > 0 {
		return names[0]
	}
	for _, label := range e.GetLabels() {
		if reserved, ok := strings.CutPrefix(label, "reserved:"); ok {
			if addr == "" {
				return reserved
			}
			return addr + " (" + reserved + ")"
		}
	}
	return addr
}

// String is the flow on one line: "default/frontend → default/backend:8080 TCP dropped (POLICY_DENIED) at ingress".
func (s Summary) String() string {
	to := s.To
	if s.Port != 0 {
		host, note, _ := strings.Cut(s.To, " ") // "203.0.113.9 (world)"
		to = strings.TrimSpace(net.JoinHostPort(host, strconv.Itoa(s.Port)) + " " + note)
	}
	arrow := "→"
	if s.Reply {
		arrow = "→ (reply)"
	}
	b := fmt.Sprintf("%s %s %s %s %s", s.From, arrow, to, s.Protocol, s.Verdict)
	if s.Reason != "" {
		b += " (" + s.Reason + ")"
	}
	if s.Side != "" {
		b += " at " + s.Side
	}
	if len(s.Policies) > 0 {
		b += " by " + strings.Join(s.Policies, ", ")
	}
	if s.Detail != "" {
		b += ": " + s.Detail
	}
	return b
}
