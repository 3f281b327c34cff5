package hubble

import (
	"io"
	"strings"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
)

// TestCompactKinds: what the recordings do not have is printed sensibly.
func TestCompactKinds(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, flow, want string }{
		{"nothing", `{}`, "N/A: N/A (unknown) <> N/A (unknown) UNKNOWN VERDICT_UNKNOWN (unknown protocol)"},
		{"the server's summary", `{"Summary":"x","l4":{"UDP":{}}}`, "(x)"},
		{"TCP", `{"l4":{"TCP":{"source_port":1,"destination_port":2,"flags":{"FIN":true,"ACK":true}}},
			"IP":{"source":"10.0.0.1","destination":"fd00::1"},"is_reply":false}`,
			"10.0.0.1:1 (unknown) -> [fd00::1]:2 (unknown) UNKNOWN VERDICT_UNKNOWN (TCP Flags: ACK, FIN)"},
		{"TCP without flags", `{"l4":{"TCP":{}}}`, "(TCP)"},
		{"UDP", `{"l4":{"UDP":{}}}`, "(UDP)"},
		{"SCTP", `{"l4":{"SCTP":{}}}`, "(SCTP)"},
		{"ICMPv4", `{"l4":{"ICMPv4":{"type":3,"code":3}}}`, "(ICMPv4 DestinationUnreachable (code 3))"},
		{"ICMPv6", `{"l4":{"ICMPv6":{"type":135}}}`, "(ICMPv6 NeighborSolicitation)"},
		{"ICMP of an unknown type", `{"l4":{"ICMPv4":{"type":250}}}`, "(ICMPv4 type 250)"},
		{"IGMP", `{"l4":{"IGMP":{"group_address":"224.0.0.1"}}}`, "(IGMP 224.0.0.1)"},
		{"VRRP", `{"l4":{"VRRP":{"vrid":1,"priority":2}}}`, "(VRRP VRID 1 priority 2)"},
		{"DNS query", `{"event_type":{"type":129},"l7":{"type":"REQUEST","dns":{"query":"a.io.","qtypes":["A"],
			"observation_source":"proxy"}}}`, "dns-request proxy VERDICT_UNKNOWN (DNS Query a.io. A)"},
		{"DNS answer", `{"event_type":{"type":129},"l7":{"type":"RESPONSE","dns":{"query":"a.io.","ips":["1.1.1.1"],
			"cnames":["b.io."],"ttl":30}}}`,
			`dns-response VERDICT_UNKNOWN (DNS Answer "1.1.1.1" CNAMEs: "b.io." TTL: 30 (a.io.))`},
		{"DNS error", `{"l7":{"type":"RESPONSE","dns":{"query":"a.io.","rcode":3}}}`, "(DNS Answer RCode: 3 (a.io.))"},
		{"HTTP request", `{"event_type":{"type":129},"l7":{"type":"REQUEST","http":{"method":"GET","url":"/",
			"protocol":"HTTP/1.1"}}}`, "http-request VERDICT_UNKNOWN (HTTP/1.1 GET /)"},
		{"HTTP response", `{"event_type":{"type":129},"l7":{"type":"RESPONSE","latency_ns":4400000,"http":{"method":"GET",
			"url":"/","protocol":"HTTP/1.1","code":404}}}`, "http-response VERDICT_UNKNOWN (HTTP/1.1 404 4ms (GET /))"},
		{"L7 of no protocol", `{"event_type":{"type":129},"l7":{"type":"SAMPLE"}}`, "l7-sample VERDICT_UNKNOWN"},
		{"drop", `{"event_type":{"type":1},"verdict":"DROPPED","drop_reason_desc":"UNSUPPORTED_L3_PROTOCOL"}`,
			"Unsupported L3 protocol DROPPED"},
		{"drop for no reason", `{"event_type":{"type":1},"verdict":"DROPPED"}`, "Unknown reason DROPPED"},
		{"drop for a new reason", `{"event_type":{"type":1},"drop_reason_desc":9999}`, "Reason 9999 VERDICT_UNKNOWN"},
		{"allowed", `{"event_type":{"type":5},"verdict":"FORWARDED","traffic_direction":"EGRESS","policy_match_type":2,
			"egress_allowed_by":[{"name":"a","kind":"NetworkPolicy"},{"name":"b"}]}`,
			"policy-verdict:L3-L4 EGRESS ALLOWED BY a (NetworkPolicy), b"},
		{"denied", `{"event_type":{"type":5},"verdict":"DROPPED","traffic_direction":"INGRESS",
			"ingress_denied_by":[{"name":"a"}]}`, "policy-verdict:none INGRESS DENIED BY a"},
		{"audited", `{"event_type":{"type":5},"verdict":"AUDIT","policy_match_type":99,"auth_type":"SPIRE"}`,
			"policy-verdict:unknown TRAFFIC_DIRECTION_UNKNOWN AUDITED (unknown protocol; Auth: SPIRE)"},
		{"trace", `{"event_type":{"type":4},"trace_observation_point":"FROM_NETWORK"}`, "from-network VERDICT_UNKNOWN"},
		{"trace at a new point", `{"event_type":{"type":4},"trace_observation_point":99}`, " 99 VERDICT_UNKNOWN"},
		{"trace at no point", `{"event_type":{"type":4},"ip_trace_id":{"trace_id":7}}`,
			"UNKNOWN VERDICT_UNKNOWN (IP Trace ID: 7; unknown protocol)"},
		{"socket", `{"event_type":{"type":7},"sock_xlate_point":"SOCK_XLATE_POINT_POST_DIRECTION_REV",
			"verdict":"TRANSLATED"}`, "post-xlate-rev TRANSLATED"},
		{"socket at no point", `{"event_type":{"type":7},"verdict":"TRACED"}`, "UNKNOWN TRACED"},
		{"capture", `{"event_type":{"type":3},"debug_capture_point":"DBG_CAPTURE_FROM_LB"}`, "DBG_CAPTURE_FROM_LB"},
		{"new numbers", `{"event_type":{"type":99},"verdict":99}`, "UNKNOWN 99 ("},
		{"no IP", `{"ethernet":{"source":"aa:bb:cc:dd:ee:ff","destination":"aa:bb:cc:dd:ee:fe"}}`,
			"aa:bb:cc:dd:ee:ff (unknown) <> aa:bb:cc:dd:ee:fe (unknown)"},
		{"reserved", `{"IP":{"source":"1.1.1.1","destination":"2.2.2.2"},"source":{"identity":1},
			"destination":{"identity":2},"is_reply":true}`, "2.2.2.2 (world) <- 1.1.1.1 (host)"},
		{"unmanaged", `{"source":{"identity":3},"destination":{"identity":16777217}}`,
			"N/A (unmanaged) <> N/A (ID:16777217)"},
		{"names", `{"IP":{"source":"1.1.1.1"},"source_names":["a.io","b.io"],"destination_service":{"namespace":"shop",
			"name":"db"}}`, "a.io,b.io (unknown) <> shop/db (unknown)"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			f := readFlow(t, tc.flow)
			var out strings.Builder
			p, err := NewPrinter(&out, PrintOptions{Format: "compact", PolicyNames: true})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Print(response(f)); err != nil {
				t.Fatal(err)
			}
			if !strings.Contains(out.String(), tc.want) {
				t.Errorf("printed %s, want …%s…", out.String(), tc.want)
			}
			for _, format := range Formats() {
				p, err := NewPrinter(io.Discard, PrintOptions{Format: format, Numeric: true, NodeName: true, Color: true})
				if err != nil {
					t.Fatal(err)
				}
				if err := p.Print(response(f)); err != nil {
					t.Fatal(err)
				}
				if err := p.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// TestPrinterOptions: colors, the node, and what is no flow.
func TestPrinterOptions(t *testing.T) {
	t.Parallel()
	dropped := response(&flowpb.Flow{Verdict: flowpb.Verdict_DROPPED, NodeName: "n1"})
	for _, tc := range []struct {
		opts PrintOptions
		res  *observerpb.GetFlowsResponse
		want string
	}{
		{PrintOptions{Format: "compact", Color: true}, dropped, "\x1b[31mDROPPED\x1b[0m"},
		{PrintOptions{Format: "tab", Color: true, NodeName: true}, dropped, "N/A         n1     N/A"},
		{PrintOptions{Format: "dict", NodeName: true}, dropped, "       NODE: n1\n"},
		{PrintOptions{Format: "compact"}, &observerpb.GetFlowsResponse{NodeName: "n1"}, ""},
		{PrintOptions{Format: "json"}, &observerpb.GetFlowsResponse{NodeName: "n1"}, "{\"node_name\":\"n1\"}\n"},
	} {
		var out strings.Builder
		p, err := NewPrinter(&out, tc.opts)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Print(tc.res); err != nil {
			t.Fatal(err)
		}
		if err := p.Close(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), tc.want) || (tc.want == "") != (out.String() == "") {
			t.Errorf("%+v printed %q, want %q", tc.opts, out.String(), tc.want)
		}
	}
}
