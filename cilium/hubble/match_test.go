package hubble

import (
	"encoding/json"
	"strings"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/encoding/protojson"
)

// readFlow reads a flow in JSON.
func readFlow(t *testing.T, text string) *flowpb.Flow {
	t.Helper()
	f := new(flowpb.Flow)
	if err := protojson.Unmarshal([]byte(text), f); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return f
}

func response(f *flowpb.Flow) *observerpb.GetFlowsResponse {
	return &observerpb.GetFlowsResponse{ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: f}}
}

// matchCases are, for each field of a filter, values that match a flow and values that do not.
var matchCases = []struct{ field, flow, yes, no string }{
	{"source_ip", `{"IP":{"source":"10.0.0.1"}}`, `"10.0.0.1" "10.0.0.0/8"`, `"10.0.0.2" "fd00::/8"`},
	{"destination_ip", `{"IP":{"destination":"fd00::1"}}`, `"fd00:0::1" "fd00::/64"`, `"10.0.0.1" "fd01::/64"`},
	{"source_ip_xlated", `{"IP":{"source":"10.0.0.1","source_xlated":"9.9.9.9"}}`, `"9.9.9.9"`, `"10.0.0.1"`},
	{"source_pod", `{"source":{"namespace":"default","pod_name":"web-1"}}`,
		`"web" "default/web-1" "default/" "/web" "/"`, `"eb" "shop/web" "shop/" "default/web-2"`},
	{"destination_pod", `{"destination":{"namespace":"shop","pod_name":"db-0"}}`, `"shop/db" "/"`, `"db" "default/"`},
	{"source_service", `{"source_service":{"namespace":"default","name":"web"}}`, `"web" "default/w"`, `"shop/web"`},
	{"destination_service", `{"destination_service":{"namespace":"shop","name":"db"}}`, `"shop/"`, `"db" "/web"`},
	{"source_fqdn", `{"source_names":["a.io","www.cilium.io"]}`, `"*.cilium.io" "WWW.cilium.io." "*"`,
		`"cilium.io" "*.io.x" "b.io"`},
	{"destination_fqdn", `{"destination_names":["a.b.io"]}`, `"a.*.io"`, `"*.io" "a.b"`},
	{"source_label", `{"source":{"labels":["k8s:app=web","k8s:a.b/tier=x"]}}`,
		`"app=web" "k8s:app=web" "any:app" "app in (web,db)" "a.b/tier=x, k8s:app!=db" "!k8s:gone"`,
		`"app=db" "container:app=web" "app=web,tier" "!app" "app notin (web)"`},
	{"destination_label", `{"destination":{"labels":["reserved:world"]}}`, `"reserved:world" "world"`, `"reserved:host"`},
	{"node_labels", `{"node_labels":["kubernetes.io/os=linux"]}`, `"kubernetes.io/os=linux"`, `"kubernetes.io/os=x"`},
	{"source_workload", `{"source":{"workloads":[{"kind":"Deployment","name":"web"}]}}`,
		`{"name":"web"} {"kind":"Deployment"} {"kind":"Deployment","name":"web"}`,
		`{"name":"w"} {"kind":"Job","name":"web"}`},
	{"destination_workload", `{"destination":{"workloads":[{"kind":"Job","name":"x"}]}}`, `{"name":"x"}`, `{"name":"y"}`},
	{"source_cluster_name", `{"source":{"cluster_name":"a"}}`, `"a"`, `"b"`},
	{"destination_cluster_name", `{"destination":{"cluster_name":"a"}}`, `"a"`, `"b"`},
	{"source_port", `{"l4":{"TCP":{"source_port":80,"destination_port":81}}}`, `"80"`, `"81"`},
	{"destination_port", `{"l4":{"SCTP":{"destination_port":81}}}`, `"81"`, `"80"`},
	{"destination_port", `{"l4":{"ICMPv4":{}}}`, ``, `"0" "1"`},
	{"source_identity", `{"source":{"identity":2}}`, `2`, `3`},
	{"destination_identity", `{"destination":{"identity":4001}}`, `4001`, `2`},
	{"uuid", `{"uuid":"u"}`, `"u"`, `"v"`},
	{"verdict", `{"verdict":"DROPPED"}`, `"DROPPED"`, `"FORWARDED" 99`},
	{"drop_reason_desc", `{"verdict":"DROPPED","drop_reason_desc":"POLICY_DENIED"}`, `"POLICY_DENIED"`, `"POLICY_DENY"`},
	{"drop_reason_desc", `{"verdict":"FORWARDED"}`, ``, `"DROP_REASON_UNKNOWN"`},
	{"traffic_direction", `{"traffic_direction":"EGRESS"}`, `"EGRESS"`, `"INGRESS"`},
	{"interface", `{"interface":{"name":"eth0","index":3}}`, `{"name":"eth0"} {"index":3}`, `{"name":"eth1"} {"index":4}`},
	{"interface", `{}`, ``, `{"name":"eth0"}`},
	{"event_type", `{"event_type":{"type":4,"sub_type":3}}`, `{"type":4} {"type":4,"match_sub_type":true,"sub_type":3}`,
		`{"type":1} {"type":4,"match_sub_type":true}`},
	{"protocol", `{"l4":{"UDP":{}},"l7":{"dns":{}}}`, `"udp" "UDP" "dns"`, `"tcp" "http" "icmp" "sctp"`},
	{"protocol", `{"l4":{"ICMPv6":{}}}`, `"icmp" "icmpv6"`, `"icmpv4" "igmp" "vrrp"`},
	{"reply", `{"is_reply":true}`, `true`, `false`},
	{"reply", `{"is_reply":false}`, `false`, `true`},
	{"reply", `{"verdict":"FORWARDED"}`, ``, `true false`},
	{"reply", `{"verdict":"DROPPED"}`, `false`, `true`},
	{"tcp_flags", `{"l4":{"TCP":{"flags":{"SYN":true,"ACK":true}}}}`, `{"SYN":true} {"SYN":true,"ACK":true}`,
		`{"RST":true} {"SYN":true,"FIN":true}`},
	{"tcp_flags", `{"l4":{"UDP":{}}}`, ``, `{"SYN":true}`},
	{"ip_version", `{"IP":{"ipVersion":"IPv6"}}`, `"IPv6"`, `"IPv4" "IP_NOT_USED"`},
	{"encrypted", `{"IP":{"encrypted":true}}`, `true`, `false`},
	{"node_name", `{"node_name":"kind-worker"}`,
		`"kind-*" "kind-worker" "default/" "*/kind-worker"`, `"kind" "prod/" "x*"`},
	{"node_name", `{"node_name":"prod/n1"}`, `"n1" "prod/" "p*/n*"`, `"default/n1" "n2"`},
	{"trace_id", `{"trace_context":{"parent":{"trace_id":"abc"}}}`, `"abc"`, `"ab"`},
	{"ip_trace_id", `{"ip_trace_id":{"trace_id":7}}`, `7`, `8`},
	{"dns_query", `{"l7":{"dns":{"query":"kube.local."}}}`, `"kube.*local"`, `"^local"`},
	{"http_status_code", `{"l7":{"http":{"code":404}}}`, `"404" "4+" "40+"`, `"403" "5+" "41+"`},
	{"http_method", `{"l7":{"http":{"method":"GET"}}}`, `"get"`, `"POST"`},
	{"http_path", `{"l7":{"http":{"url":"http://a.io/page/12?q=1"}}}`, `"^/page/\\d+$"`, `"a.io" "q=1"`},
	{"http_url", `{"l7":{"http":{"url":"http://a.io/page/12?q=1"}}}`, `"a\\.io" "q=1"`, `"b.io"`},
	{"http_header", `{"l7":{"http":{"headers":[{"key":"a","value":"b"}]}}}`, `{"key":"a","value":"b"}`,
		`{"key":"a","value":"c"} {"key":"b","value":"b"}`},
	{"experimental", `{"verdict":"DROPPED","l4":{"TCP":{"destination_port":80}}}`,
		`{"cel_expression":["_flow.verdict==Verdict.DROPPED"]} {"cel_expression":["_flow.l4.TCP.destination_port==80u"]}`,
		`{"cel_expression":["_flow.source_names[0]=='x'"]} {"cel_expression":["has(_flow.l4.UDP)"]}`},
}

// TestMatchers: each value of a field matches what it means, and no flow that is empty.
func TestMatchers(t *testing.T) {
	t.Parallel()
	for _, tc := range matchCases {
		f := readFlow(t, tc.flow)
		for want, values := range map[bool]string{true: tc.yes, false: tc.no} {
			for _, value := range splitValues(t, values) {
				text := `{"` + tc.field + `":[` + value + `]}`
				if tc.field == "experimental" {
					text = `{"experimental":` + value + `}`
				}
				q := Query{}
				var err error
				if q.Allow, err = ParseFilters(text); err != nil {
					t.Fatalf("%s: %v", text, err)
				}
				m, err := q.matcher(t.Context())
				if err != nil {
					t.Errorf("%s: %v", text, err)
					continue
				}
				if got := m.flow(response(f)); got != want {
					t.Errorf("%s matches %s: %v, want %v", text, tc.flow, got, want)
				}
				m = &matcher{deny: m.allow}
				if got := m.flow(response(f)); got == want {
					t.Errorf("%s in the list of what is left out matches %s: %v", text, tc.flow, got)
				}
				m.flow(response(&flowpb.Flow{})) // nothing that a flow lacks must panic
			}
		}
	}
}

// splitValues reads JSON values, one after the other.
func splitValues(t *testing.T, text string) (list []string) {
	t.Helper()
	for dec := json.NewDecoder(strings.NewReader(text)); dec.More(); {
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		list = append(list, string(value))
	}
	return list
}

// TestMatchersAreComplete: every field of a filter has a matcher and cases that match and do not. A new version of
// Cilium may add fields.
func TestMatchersAreComplete(t *testing.T) {
	t.Parallel()
	fields := (&flowpb.FlowFilter{}).ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		name := fields.Get(i).Name()
		if matchers[name] == nil {
			t.Errorf("field %s has no matcher", name)
		}
		var yes, no bool
		for _, tc := range matchCases {
			if tc.field == string(name) {
				yes, no = yes || tc.yes != "", no || tc.no != ""
			}
		}
		if !yes || !no {
			t.Errorf("field %s has no cases that match, or none that do not", name)
		}
	}
}

// TestMatcherLists: values are alternatives, fields must all match, and so on for the lists.
func TestMatcherLists(t *testing.T) {
	t.Parallel()
	f := readFlow(t, `{"uuid":"u","verdict":"DROPPED"}`)
	for _, tc := range []struct {
		allow, deny string
		want        bool
	}{
		{"", "", true},
		{`{}`, "", true},
		{"", `{}`, false},
		{`{"uuid":["x","u"]}`, "", true},
		{`{"uuid":["u"],"verdict":["FORWARDED"]}`, "", false},
		{`{"uuid":["x"]}{"verdict":["DROPPED"]}`, "", true},
		{`{"uuid":["u"]}`, `{"uuid":["x"]}{"verdict":["DROPPED"]}`, false},
		{`{"uuid":["u"]}`, `{"uuid":["u"],"verdict":["FORWARDED"]}`, true},
	} {
		var q Query
		var err error
		if q.Allow, err = ParseFilters(tc.allow); err != nil {
			t.Fatal(err)
		}
		if q.Deny, err = ParseFilters(tc.deny); err != nil {
			t.Fatal(err)
		}
		m, err := q.matcher(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := m.flow(response(f)); got != tc.want {
			t.Errorf("allow %s deny %s: %v, want %v", tc.allow, tc.deny, got, tc.want)
		}
	}
	m := &matcher{allow: []predicate{func(*flowpb.Flow) bool { return false }}}
	if !m.flow(&observerpb.GetFlowsResponse{}) {
		t.Error("what is no flow does not pass")
	}
}

// TestMatcherErrors: what is not understood is refused, and the error names the field.
func TestMatcherErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ filter, want string }{
		{`{"source_ip":["x"]}`, "filter source_ip: "},
		{`{"destination_pod":[""]}`, "filter destination_pod: "},
		{`{"source_fqdn":[""]}`, "filter source_fqdn: "},
		{`{"source_port":["http"]}`, "filter source_port: "},
		{`{"protocol":["quic"]}`, "filter protocol: "},
		{`{"node_name":["a/b/c"]}`, "filter node_name: "},
		{`{"dns_query":["("]}`, "filter dns_query: "},
		{`{"http_status_code":["4"]}`, "filter http_status_code: "},
		{`{"node_labels":["a=="]}{"node_labels":["a b"]}`, "filter node_labels: "},
		{`{"experimental":{"cel_expression":["1"]}}`, "has to be true or false"},
		{`{"experimental":{"cel_expression":["_flow.nope"]}}`, "undefined field"},
	} {
		var q Query
		var err error
		if q.Deny, err = ParseFilters(tc.filter); err != nil {
			t.Fatal(err)
		}
		if err := q.Check(t.Context()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: the error is %v, want …%s…", tc.filter, err, tc.want)
		}
	}
	newer := new(flowpb.FlowFilter)
	newer.ProtoReflect().SetUnknown([]byte{0xf8, 0x3f, 1}) // field 1023
	if err := (&Query{Allow: []*flowpb.FlowFilter{newer}}).Check(t.Context()); err == nil {
		t.Error("a field of a newer Hubble is ignored")
	}
}
