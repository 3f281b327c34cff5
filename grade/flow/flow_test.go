package flow_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/flow"
	"github.com/labctl/labctl/grade/gradetest"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/labstest"
)

// tutorial is the shipped lab with an engine and the states of one of its samples.
func tutorial(t *testing.T, sample string) (*labs.Lab, engine.Engine, map[string]*engine.State) {
	t.Helper()
	lab := gradetest.Open(t, gradetest.Tutorial)
	sub, err := lab.Grader.Rules.ReadFS(lab.FS, "samples/"+sample, manifest.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	states, err := lab.Grader.Rules.Checkpoints(sub)
	if err != nil {
		t.Fatal(err)
	}
	byTask := map[string]*engine.State{}
	for _, s := range states {
		byTask[s.Task] = s
	}
	return lab.Lab, lab.Engine, byTask
}

func explain(t *testing.T, sample, task, from, to string, via labs.Via) *flow.Explanation {
	t.Helper()
	lab, eng, states := tutorial(t, sample)
	var probe engine.Probe
	var err error
	if probe.From, err = flow.ParseSource(lab, from); err != nil {
		t.Fatal(err)
	}
	if probe.To, err = flow.ParseTarget(lab, to, via, ""); err != nil {
		t.Fatal(err)
	}
	e, err := flow.Explain(t.Context(), eng, states[task], probe)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestExplainNamesWhatIsClosed(t *testing.T) {
	t.Parallel()
	// The frontend's egress is closed: by name it already fails at the look-up.
	byName := explain(t, "solution", "frontend-egress-deny", "frontend", "backend", "")
	if byName.Verdict != verdict.DNSFailed || len(byName.Needs) == 0 {
		t.Fatalf("by name: %s, needs %+v", byName.Verdict, byName.Needs)
	}
	for _, n := range byName.Needs {
		if n.Direction != "egress" || n.Endpoint != "default/frontend" || n.Port != 53 {
			t.Errorf("by name: the look-up needs %+v", n)
		}
	}
	byIP := explain(t, "solution", "frontend-egress-deny", "frontend", "backend", labs.ViaIP)
	want := []flow.Need{{Direction: "egress", Endpoint: "default/frontend", Peer: "default/backend", Port: 8080, Protocol: "TCP"}}
	if byIP.Verdict != verdict.Dropped || !slices.Equal(byIP.Needs, want) {
		t.Errorf("by address: %s, needs %+v, want %+v", byIP.Verdict, byIP.Needs, want)
	}
	// The port is the pod's, also where the connection goes to the service.
	service := explain(t, "solution", "backend-ingress-deny", "frontend", "backend", "")
	want = []flow.Need{{Direction: "ingress", Endpoint: "default/backend", Peer: "default/frontend", Port: 8080, Protocol: "TCP"}}
	if !slices.Equal(service.Needs, want) {
		t.Errorf("by service: %s, needs %+v, want %+v", service.Verdict, service.Needs, want)
	}
}

func TestExplainTriesChangesOut(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name             string
		task, from, to   string
		verdict, flipped verdict.Verdict
		change           string
	}{
		{"the policy that closes", "backend-ingress-deny", "frontend", "backend", verdict.Dropped, verdict.Allowed, "backend-ingress-deny"},
		{"the policy that opens", "allow-frontend", "frontend", "backend", verdict.Allowed, verdict.Dropped, "backend-allow-frontend"},
		{"the label of a namespace", "allow-monitoring-namespace", "monitoring", "backend", verdict.Allowed, verdict.Dropped, "namespace monitoring"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			e := explain(t, "solution", tc.task, tc.from, tc.to, "")
			if e.Verdict != tc.verdict {
				t.Fatalf("verdict %s, want %s", e.Verdict, tc.verdict)
			}
			i := slices.IndexFunc(e.Flips, func(f flow.Flip) bool {
				if f.Without != nil {
					return f.Without.Name == tc.change
				}
				return "namespace "+f.Unlabelled == tc.change
			})
			if i < 0 || e.Flips[i].Verdict != tc.flipped {
				t.Errorf("taking away %s is not among %+v", tc.change, e.Flips)
			}
		})
	}
}

// A change after which the connection fails in another way is not worth a line.
func TestExplainLeavesOutOtherFailures(t *testing.T) {
	t.Parallel()
	e := explain(t, "solution", "backend-egress", "worker", "backend", "")
	if e.Verdict != verdict.Dropped || len(e.Flips) == 0 {
		t.Fatalf("%s, flips %+v", e.Verdict, e.Flips)
	}
	for _, f := range e.Flips {
		if f.Verdict != verdict.Allowed {
			t.Errorf("%+v changes nothing that anybody wants", f)
		}
	}
}

func TestTableKeepsTheLabsOrder(t *testing.T) {
	t.Parallel()
	lab, eng, states := tutorial(t, "solution")
	table, err := flow.Tabulate(t.Context(), eng, states["allow-frontend"], engine.Connections(lab))
	if err != nil {
		t.Fatal(err)
	}
	var apps []string
	for i := range lab.Apps {
		apps = append(apps, lab.Apps[i].Name)
	}
	if !slices.Equal(table.From(), apps) {
		t.Errorf("rows %q, want the apps in the lab's order %q", table.From(), apps)
	}
	columns := table.To()
	if !strings.HasPrefix(columns[0], "backend:") {
		t.Errorf("the first column is %q, want the backend's, as in the lab", columns[0])
	}
	slices.Sort(columns)
	if len(slices.Compact(columns)) != len(table.To()) {
		t.Errorf("a column stands twice: %q", table.To())
	}
	for _, tc := range []struct {
		from, to string
		want     verdict.Verdict
	}{
		{"frontend", "backend:80", verdict.Allowed},
		{"worker", "backend:80", verdict.Dropped},
		{"backend", "backend:80", ""}, // a pod always reaches itself
	} {
		if got := table.Verdict(tc.from, tc.to); got != tc.want {
			t.Errorf("%s to %s: %q, want %q", tc.from, tc.to, got, tc.want)
		}
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	lab, eng, right := tutorial(t, "solution")
	_, _, wrong := tutorial(t, "any-namespace")
	task := "allow-monitoring-pods"
	diffs, err := flow.Diff(t.Context(), eng, []*engine.State{right[task]}, []*engine.State{wrong[task]}, engine.Connections(lab))
	if err != nil {
		t.Fatal(err)
	}
	want := flow.Difference{Task: task, From: "agent", To: "backend:80", A: verdict.Dropped, B: verdict.Allowed}
	if !slices.Contains(diffs, want) {
		t.Errorf("%+v is not among %+v", want, diffs)
	}
	same, err := flow.Diff(t.Context(), eng, []*engine.State{right[task]}, []*engine.State{right[task]}, engine.Connections(lab))
	if err != nil || len(same) != 0 {
		t.Errorf("a submission differs from itself: %+v, %v", same, err)
	}
}

func TestParseTarget(t *testing.T) {
	t.Parallel()
	lab := labstest.Complete(&labs.Lab{
		Name: "x",
		Apps: []labs.App{
			{Name: "one", Ports: []labs.Port{{Name: "http", Port: 80, TargetPort: 8080, Protocol: "TCP"}}},
			{Name: "two", Ports: []labs.Port{{Name: "http", Port: 80}, {Name: "dns", Port: 53, Protocol: "UDP"}}},
			{Name: "none"},
		},
		Externals: []labs.External{{Name: "internet", Port: 443, Protocol: "TCP"}},
	})
	for _, tc := range []struct {
		text, protocol string
		via            labs.Via
		want           string // as reports write it
		fails          string
	}{
		{text: "one", want: "one:80"},
		{text: "one", via: labs.ViaIP, want: "one:8080 by pod IP"},
		{text: "one:http", via: labs.ViaIP, want: "one:8080 by pod IP"},
		{text: "one:9999", want: "one:9999"},
		{text: "two:dns", want: "two:53/UDP"},
		{text: "two", fails: "the app two has the ports http (80), dns (53): say which, as in two:80"},
		{text: "none", fails: "the app none has no port: say which number, as in none:80"},
		{text: "one:web", fails: `the app one has no port "web"; it has http (80)`},
		{text: "one", protocol: "icmp", want: "one ICMP"},
		{text: "internet", want: "external internet:443"},
		{text: "internet:80", want: "external internet:80"},
		{text: "internet:x", fails: `port "x": want a number from 1 to 65535`},
		{text: "10.0.0.1:80", want: "10.0.0.1:80"},
		{text: "10.0.0.1:0", fails: "from 1 to 65535"},
		{text: "10.0.0.1", fails: "say which port"},
		{text: "[fd00::1]:80", want: "[fd00::1]:80"},
		{text: "fd00::1", protocol: "ICMPv6", want: "[fd00::1] ICMPV6"},
		{text: "node:worker:22", want: "node worker:22"},
		{text: "node:worker", fails: "say which port"},
		{text: "dns:kubernetes.io", want: "DNS kubernetes.io"},
		{text: "default/one", want: "one:80"},
		{text: "elsewhere/one", fails: `no app or external "elsewhere/one"`},
		{text: "external internet:443", want: "external internet:443"},
		{text: "entity:host:10250", want: "entity host:10250"},
		{text: "entity:remote-node", fails: "say which port"},
		{text: "entity:kube-apiserver", want: "entity kube-apiserver"},
		{text: "entity:kube-apiserver", via: labs.ViaService, want: "service kubernetes:443"},
		{text: "entity:kube-apiserver:443", via: labs.ViaCluster, want: "service kubernetes:443 by cluster IP"},
		{text: "entity:cluster:80", fails: `there is no entity "cluster" to connect with; there are host, remote-node and kube-apiserver`},
		{text: "nobody", fails: `(a node is node:NAME, an entity entity:NAME, a look-up dns:NAME)`},
		{text: "nobody", fails: `the lab x has no app or external "nobody"; it has one, two, none, internet`},
	} {
		t.Run(strings.TrimSpace(tc.text+" "+tc.protocol+" "+string(tc.via)), func(t *testing.T) {
			t.Parallel()
			target, err := flow.ParseTarget(lab, tc.text, tc.via, tc.protocol)
			switch {
			case tc.fails != "":
				if err == nil || !strings.Contains(err.Error(), tc.fails) {
					t.Errorf("got %v, want an error that says %q", err, tc.fails)
				}
			case err != nil:
				t.Error(err)
			case engine.TargetName(target) != tc.want:
				t.Errorf("got %q, want %q", engine.TargetName(target), tc.want)
			}
		})
	}
}

func TestParseSource(t *testing.T) {
	t.Parallel()
	lab := &labs.Lab{Apps: []labs.App{{Name: "one"}}, Externals: []labs.External{{Name: "internet"}}}
	for text, want := range map[string]labs.Source{
		"one": {App: "one"}, "internet": {External: "internet"}, "node:worker": {Node: "worker"}, "entity:host": {Entity: labs.EntityHost},
	} {
		if got, err := flow.ParseSource(lab, text); err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"nobody", "entity:nobody"} {
		if _, err := flow.ParseSource(lab, text); err == nil {
			t.Errorf("%s is taken for a source", text)
		}
	}
}
