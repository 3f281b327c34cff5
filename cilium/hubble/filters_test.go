package hubble

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"github.com/spf13/pflag"
)

// recorded is what `hubble observe --print-raw-filters` of Cilium 1.20.2 prints for a line of flags. A line with !
// is its error.
type recorded struct{ flags, want string }

func record(t *testing.T) (list []recorded) {
	t.Helper()
	data, err := os.ReadFile("testdata/raw-filters.txt")
	if err != nil {
		t.Fatal(err)
	}
	for part := range strings.SplitSeq(string(data), "$ ") {
		if flags, want, ok := strings.Cut(part, "\n"); ok {
			list = append(list, recorded{flags, strings.TrimSpace(want)})
		}
	}
	if len(list) < 60 {
		t.Fatalf("%d recorded combinations", len(list))
	}
	return list
}

// filterFlag is a filter as a flag, as the command registers it.
type filterFlag struct {
	filters *Filters
	name    string
}

func (f filterFlag) Set(v string) error { return f.filters.Set(f.name, v) }
func (filterFlag) String() string       { return "" }
func (filterFlag) Type() string         { return "" }

// parse reads flags as the command line does.
func parse(flags string) (*Query, error) {
	var (
		f   Filters
		raw [2][]string
	)
	set := pflag.NewFlagSet("observe", pflag.ContinueOnError)
	for _, kind := range FilterKinds() {
		flag := set.VarPF(filterFlag{&f, kind.Name}, kind.Name, kind.Short, "")
		if kind.Arg == "" {
			flag.NoOptDefVal = "true"
		}
	}
	set.StringArrayVar(&raw[0], "allowlist", nil, "")
	set.StringArrayVar(&raw[1], "denylist", nil, "")
	if err := set.Parse(strings.FieldsFunc(flags, func(r rune) bool { return r == ' ' })); err != nil {
		return nil, err
	}
	var (
		q   Query
		err error
	)
	if q.Allow, q.Deny, err = f.Lists(); err != nil {
		return nil, err
	}
	for i, list := range []*[]*flowpb.FlowFilter{&q.Allow, &q.Deny} {
		for _, text := range raw[i] {
			more, err := ParseFilters(text)
			if err != nil {
				return nil, err
			}
			*list = append(*list, more...)
		}
	}
	return &q, nil
}

// TestFiltersAreHubbles: the same flags make the same filters, and what Hubble refuses is refused.
func TestFiltersAreHubbles(t *testing.T) {
	t.Parallel()
	used := map[string]bool{}
	for _, r := range record(t) {
		for _, kind := range FilterKinds() {
			if slices.Contains(strings.Fields(r.flags), "--"+kind.Name) ||
				kind.Short != "" && slices.Contains(strings.Fields(r.flags), "-"+kind.Short) {
				used[kind.Name] = true
			}
		}
		q, err := parse(r.flags)
		if strings.HasPrefix(r.want, "! ") {
			if err == nil {
				t.Errorf("%s: no error; hubble: %s", r.flags, r.want)
			}
			// Hubble and labctl name the same two flags of those that exclude each other.
			if _, want, ok := strings.Cut(r.want, ": filters "); ok && err != nil && !strings.HasSuffix(err.Error(), want) {
				t.Errorf("%s: the error is %v; hubble: %s", r.flags, err, want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", r.flags, err)
			continue
		}
		got, err := q.RawFilters()
		if err != nil {
			t.Fatal(err)
		}
		if strings.TrimSpace(string(got)) != r.want {
			t.Errorf("%s:\n%shubble:\n%s", r.flags, got, r.want)
		}
		if err := q.Check(t.Context()); err != nil {
			t.Errorf("%s: Hubble would refuse it: %v", r.flags, err)
		}
	}
	for _, kind := range FilterKinds()[len(appKinds()):] {
		if !used[kind.Name] {
			t.Errorf("no recorded combination has --%s", kind.Name)
		}
	}
}

// TestFilterErrors: a value that is wrong is answered with the right ones.
func TestFilterErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ flags, want string }{
		{"--verdict nope", "must be one of audit, dropped, error, forwarded, redirected, traced, translated"},
		{"--verdict droped", `Did you mean "dropped"?`},
		{"--drop-reason-desc policy-denied", `Did you mean "POLICY_DENIED"?`},
		{"--protocol http2x", `Did you mean "http"?`},
		{"--protocol quic", "must be one of tcp, udp, icmp"},
		{"--type xyz", "must be one of drop, trace, policy-verdict, l7, trace-sock, capture"},
		{"--type trace:xyz", "must be one of from-crypto"},
		{"--type drop:xyz", "only trace has subtypes with names"},
		{"--traffic-direction up", "must be one of ingress, egress"},
		{"--tcp-flags LATE", "must be one of ACK, CWR"},
		{"--ip-version 5", "must be one of v4, v6, none"},
		{"--identity nobody", "use a number or one of host, world"},
		{"--port http", "use a number from 1 to 65535"},
		{"--port 0", "use a number from 1 to 65535"},
		{"--to-port 65536", "use a number from 1 to 65535"},
		{"--ip 10.0.0", "is no address (10.0.0.1) and no range (10.0.0.0/8)"},
		{"--http-header x", "write a header as NAME:VALUE"},
		{"--ip-trace-id x", "use a number from 1"},
		{"--not", "--not must be followed by the filter that it reverses"},
		{"--not --not --reply", "--not must be followed by the filter that it reverses"},
		{"--allowlist {x", "it has to be a FlowFilter in JSON"},
		{"--http-path [", "regexp"},
		{"--label a===", "label"},
		{"--http-status 6xx", "status"},
		{"--cel-expression 1+", "CEL"},
	} {
		q, err := parse(tc.flags)
		if err == nil {
			err = q.Check(context.Background())
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: the error is %v, want …%s…", tc.flags, err, tc.want)
		}
	}
}

// TestFilterLists: values that can have no comma may be listed, in either case.
func TestFilterLists(t *testing.T) {
	t.Parallel()
	one, err := parse("--verdict dropped,FORWARDED --port 80,81 --protocol tcp,udp --drop-reason-desc policy_denied")
	if err != nil {
		t.Fatal(err)
	}
	many, err := parse("--verdict DROPPED --verdict FORWARDED --port 80 --port 81 --protocol tcp --protocol udp --drop-reason-desc POLICY_DENIED")
	if err != nil {
		t.Fatal(err)
	}
	a, _ := one.RawFilters()
	if b, _ := many.RawFilters(); !bytes.Equal(a, b) {
		t.Errorf("%s\n%s", a, b)
	}
	for _, reason := range DropReasons() {
		if _, err := parse("--drop-reason-desc " + reason); err != nil {
			t.Error(err)
		}
	}
}

// TestReadFlows: flows of a file are those that the filters let pass.
func TestReadFlows(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/flows.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	all := bytes.Count(data, []byte("\n"))
	for _, tc := range []struct {
		flags       string
		last, first int
		number      int
	}{
		{number: all},
		{flags: "--verdict dropped", number: 3},
		{flags: "--not --verdict dropped", number: all - 3},
		{flags: "--verdict dropped", last: 2, number: 2},
		{flags: "--verdict dropped", first: 1, number: 1},
		{flags: "--not --verdict dropped", first: 2, number: 2},
		{flags: "--from-pod default/frontend --to-port 8080", number: 3},
	} {
		q, err := parse(tc.flags)
		if err != nil {
			t.Fatal(err)
		}
		q.Last, q.First = tc.last, tc.first
		n := 0
		if err := ReadFlows(t.Context(), bytes.NewReader(data), *q, func(*observerpb.GetFlowsResponse) error {
			n++
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if n != tc.number {
			t.Errorf("%s: %d flows, want %d", tc.flags, n, tc.number)
		}
	}
	err = ReadFlows(t.Context(), strings.NewReader("{\"flow\":{}}\nno flow\n"), Query{}, func(*observerpb.GetFlowsResponse) error { return nil })
	if err == nil || !strings.Contains(err.Error(), "line 2 is no flow") {
		t.Errorf("the error is %v", err)
	}
}

// TestApps: an app's flows are those of its workload's pods, on their own node and seen from others, and not those of
// pods whose names begin alike.
func TestApps(t *testing.T) {
	t.Parallel()
	pod := func(namespace, name string, workload ...string) *flowpb.Endpoint {
		e := &flowpb.Endpoint{Namespace: namespace, PodName: name}
		if len(workload) > 0 {
			e.Workloads = []*flowpb.Workload{{Kind: workload[0], Name: workload[1]}}
		}
		return e
	}
	deployment := Pods{Namespace: "default", Kind: "Deployment", Name: "web"}
	for _, tc := range []struct {
		name string
		pods Pods
		end  *flowpb.Endpoint
		want bool
	}{
		{"its workload", deployment, pod("default", "web-5d4f6c9b7-x2x9q", "Deployment", "web"), true},
		{"seen from another node", deployment, pod("default", "web-5d4f6c9b7-x2x9q"), true},
		{"another namespace", deployment, pod("shop", "web-5d4f6c9b7-x2x9q", "Deployment", "web"), false},
		{"a longer name", deployment, pod("default", "web-admin-5d4f6c9b7-x2x9q", "Deployment", "web-admin"), false},
		{"a longer name, from another node", deployment, pod("default", "web-admin-5d4f6c9b7-x2x9q"), false},
		{"another kind", deployment, pod("default", "web-abcde-x2x9q", "DaemonSet", "web-abcde"), false},
		{"not a pod", deployment, &flowpb.Endpoint{Labels: []string{"reserved:world"}}, false},
		{"no end", deployment, nil, false},
		{"a set's pod", Pods{"default", "StatefulSet", "db"}, pod("default", "db-12"), true},
		{"another set's pod", Pods{"default", "StatefulSet", "db"}, pod("default", "db-replica-0"), false},
		{"a daemon's pod", Pods{"default", "DaemonSet", "log"}, pod("default", "log-x2x9q"), true},
		{"a job's pod", Pods{"default", "Job", "once"}, pod("default", "once-x2x9q"), true},
		{"a cron job's pod", Pods{"default", "CronJob", "tick"}, pod("default", "tick-29384756-x2x9q"), true},
		{"a bare pod", Pods{"default", "Pod", "tool.a"}, pod("default", "tool.a"), true},
		{"its name is no pattern", Pods{"default", "Pod", "tool.a"}, pod("default", "tool-a"), false},
		{"a prefix", Pods{"default", "", "web-5d4f"}, pod("default", "web-5d4f6c9b7-x2x9q", "Deployment", "web"), true},
		{"another prefix", Pods{"default", "", "web-6"}, pod("default", "web-5d4f6c9b7-x2x9q"), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			from, to := &flowpb.Flow{Source: tc.end}, &flowpb.Flow{Destination: tc.end}
			for name, flows := range map[string]map[*flowpb.Flow]bool{
				"app": {from: tc.want, to: tc.want}, "from": {from: tc.want, to: false}, "to": {from: false, to: tc.want},
			} {
				f := Filters{Apps: func(string) ([]Pods, error) { return []Pods{tc.pods}, nil }}
				if err := f.Set(name, "x"); err != nil {
					t.Fatal(err)
				}
				if !f.HasEnd() {
					t.Error("an app is an end")
				}
				for flow, want := range flows {
					if got := passes(t, &f, flow); got != want {
						t.Errorf("--%s matches %v: %v, want %v", name, flow, got, want)
					}
				}
			}
		})
	}
}

// passes reports whether a flow passes the filters.
func passes(t *testing.T, f *Filters, flow *flowpb.Flow) bool {
	t.Helper()
	var q Query
	var err error
	if q.Allow, q.Deny, err = f.Lists(); err != nil {
		t.Fatal(err)
	}
	m, err := q.matcher(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return m.flow(&observerpb.GetFlowsResponse{ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: flow}})
}

// TestAppsCombine: apps narrow the other filters, and may be reversed.
func TestAppsCombine(t *testing.T) {
	t.Parallel()
	flow := func(from, to string) *flowpb.Flow {
		return &flowpb.Flow{
			Source: &flowpb.Endpoint{Namespace: "default", PodName: from}, Destination: &flowpb.Endpoint{Namespace: "default", PodName: to},
			Verdict: flowpb.Verdict_DROPPED,
		}
	}
	for _, tc := range []struct {
		flags string // name=value
		want  []bool // web → api, api → web, web → db
	}{
		{"app=web", []bool{true, true, true}},
		{"from=web to=api", []bool{true, false, false}},
		{"app=web to=db", []bool{false, false, true}},
		{"app=web app=api from=web", []bool{true, false, true}},
		{"not= to=db", []bool{true, true, false}},
		{"from=web not= to=db", []bool{true, false, false}},
		{"from=web verdict=forwarded", []bool{false, false, false}},
		{"from=web pod=default/db", []bool{false, false, true}},
		{"from=web cel-expression=false cel-expression=_flow.destination.pod_name=='db'", []bool{false, false, true}},
	} {
		f := Filters{Apps: func(name string) ([]Pods, error) { return []Pods{{"default", "Pod", name}}, nil }}
		for _, flag := range strings.Fields(tc.flags) {
			name, value, _ := strings.Cut(flag, "=")
			if err := f.Set(name, value); err != nil {
				t.Fatal(err)
			}
		}
		got := []bool{passes(t, &f, flow("web", "api")), passes(t, &f, flow("api", "web")), passes(t, &f, flow("web", "db"))}
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: %v, want %v", tc.flags, got, tc.want)
		}
	}
}
