package grade_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
	"github.com/labctl/labctl/labs/labstest"
)

// answers is an engine whose verdicts are given by the target's port.
type answers map[int]engine.Observation

func (a answers) Name() string                                                       { return "offline" }
func (a answers) At(context.Context, *engine.State) (engine.Prober, error)           { return a, nil }
func (a answers) Notes() engine.Notes                                                { return engine.Notes{} }
func (a answers) Prove(context.Context, labs.Invariant) (*engine.Observation, error) { return nil, nil }
func (a answers) Probe(_ context.Context, probes []engine.Probe) ([]engine.Observation, error) {
	out := make([]engine.Observation, len(probes))
	for i, p := range probes {
		out[i] = a[p.To.Port]
		out[i].Probe = p
	}
	return out, nil
}

// The ports of answers: one that is allowed, one that is dropped, and one that cannot be probed.
const (
	open   = 1
	closed = 2
	broken = 3
)

var someAnswers = answers{
	open:   {Verdict: verdict.Allowed},
	closed: {Verdict: verdict.Dropped},
	broken: {Verdict: verdict.ProbeError, Error: "no pod to probe from"},
}

// wants is an objective that expects its ports to be allowed.
func wants(name string, points float64, ports ...int) labs.Objective {
	o := labs.Objective{Name: name, Points: points, Partial: labs.PartialAll}
	for _, p := range ports {
		o.Checks = append(o.Checks, &labs.Expectation{
			Verdict: verdict.Allowed, From: []labs.Source{{App: "a"}}, To: []labs.Target{{App: "b", Port: p}},
		})
	}
	return o
}

func with(o labs.Objective, change func(*labs.Objective)) labs.Objective {
	change(&o)
	return o
}

func task(name string, objectives ...labs.Objective) labs.Task {
	return labs.Task{Name: name, Objectives: objectives}
}

func TestScore(t *testing.T) {
	t.Parallel()
	bonus := func(o *labs.Objective) { o.Bonus = true }
	proportional := func(o *labs.Objective) { o.Partial = labs.PartialProportional }
	hidden := func(o *labs.Objective) { o.Visibility = labs.Hidden }
	after := func(names ...string) func(*labs.Objective) { return func(o *labs.Objective) { o.DependsOn = names } }
	for _, c := range []struct {
		name     string
		tasks    []labs.Task
		passMark float64
		opts     grade.Options

		points, max, percent float64
		status               grade.Status
		objectives           string // status of each
	}{
		{
			name:   "met and missed",
			tasks:  []labs.Task{task("t", wants("a", 3, open), wants("b", 1, closed))},
			points: 3, max: 4, percent: 75, status: grade.Passed, objectives: "met missed",
		},
		{
			name:     "just below the mark is shown below it, and fails",
			tasks:    []labs.Task{task("t", wants("a", 69.999, open), wants("b", 30.001, closed))},
			passMark: 70, points: 69.999, max: 100, percent: 69.99, status: grade.Failed, objectives: "met missed",
		},
		{
			name:     "a third meets a mark of a third in decimals",
			tasks:    []labs.Task{task("t", with(wants("a", 1, open, closed, closed+10), proportional))},
			passMark: 33.33, points: 0.3333, max: 1, percent: 33.33, status: grade.Passed, objectives: "partly",
		},
		{
			name:     "tenths add up to the mark exactly",
			tasks:    []labs.Task{task("t", wants("a", 0.1, open), wants("b", 0.2, open), wants("c", 0.7, closed))},
			passMark: 30, points: 0.3, max: 1, percent: 30, status: grade.Passed, objectives: "met met missed",
		},
		{
			name:   "all or nothing",
			tasks:  []labs.Task{task("t", wants("a", 4, open, closed))},
			points: 0, max: 4, percent: 0, status: grade.Failed, objectives: "missed",
		},
		{
			name:   "proportional",
			tasks:  []labs.Task{task("t", with(wants("a", 4, open, closed), proportional))},
			points: 2, max: 4, percent: 50, status: grade.Failed, objectives: "partly",
		},
		{
			name:   "bonus is beyond the maximum, and percent ends at 100",
			tasks:  []labs.Task{task("t", wants("a", 4, open), with(wants("b", 2, open), bonus))},
			points: 6, max: 4, percent: 100, status: grade.Passed, objectives: "met met",
		},
		{
			name:   "a bonus makes up for what is missed",
			tasks:  []labs.Task{task("t", wants("a", 4, closed), with(wants("b", 2, open), bonus))},
			points: 2, max: 4, percent: 50, status: grade.Failed, objectives: "missed met",
		},
		{
			name:   "hidden objectives count",
			tasks:  []labs.Task{task("t", wants("a", 3, open), with(wants("b", 1, closed), hidden))},
			points: 3, max: 4, percent: 75, status: grade.Passed, objectives: "met hidden",
		},
		{
			name:   "hidden objectives are told to graders",
			tasks:  []labs.Task{task("t", wants("a", 3, open), with(wants("b", 1, closed), hidden))},
			opts:   grade.Options{Reveal: true},
			points: 3, max: 4, percent: 75, status: grade.Passed, objectives: "met missed",
		},
		{
			name: "an objective earns only when those it depends on are met",
			tasks: []labs.Task{
				task("t", with(wants("a", 1, open), after("b")), wants("b", 1, closed)),
				task("u", with(wants("c", 1, open), after("t/a")), with(wants("d", 1, open), after())),
			},
			points: 1, max: 4, percent: 25, status: grade.Failed, objectives: "blocked missed blocked met",
		},
		{
			name: "what half holds does not unblock",
			tasks: []labs.Task{
				task("t", with(wants("a", 2, open, closed), proportional), with(wants("b", 2, open), after("a"))),
			},
			points: 1, max: 4, percent: 25, status: grade.Failed, objectives: "partly blocked",
		},
		{
			name: "a task that depends on another, whose bonus does not matter",
			tasks: []labs.Task{
				task("t", wants("a", 1, open), with(wants("b", 1, closed), bonus)),
				{Name: "u", DependsOn: []string{"t"}, Objectives: []labs.Objective{wants("c", 1, open)}},
				{Name: "v", DependsOn: []string{"t", "w"}, Objectives: []labs.Objective{wants("d", 1, open)}},
				task("w", wants("e", 1, closed)),
			},
			points: 2, max: 4, percent: 50, status: grade.Failed, objectives: "met missed met blocked missed",
		},
		{
			name: "a cycle ends",
			tasks: []labs.Task{
				task("t", with(wants("a", 1, open), after("b")), with(wants("b", 1, open), after("a"))),
			},
			points: 0, max: 2, percent: 0, status: grade.Failed, objectives: "blocked blocked",
		},
		{
			name: "hints cost, but a task never has less than nothing",
			tasks: []labs.Task{
				{
					Name: "t", Hints: []labs.Hint{{Name: "h", Cost: 1}, {Name: "i", Cost: 10}},
					Objectives: []labs.Objective{wants("a", 3, open)},
				},
				{
					Name: "u", Hints: []labs.Hint{{Name: "h", Cost: 0.5}},
					Objectives: []labs.Objective{with(wants("b", 3, open), func(o *labs.Objective) { o.Hints = []labs.Hint{{Name: "deep", Cost: 0.25}} })},
				},
			},
			opts:   grade.Options{Hints: []string{"t/h", "t/i", "u/h", "u/b/deep", "u/h"}},
			points: 2.25, max: 6, percent: 37.5, status: grade.Failed, objectives: "met met",
		},
		{
			name:   "of chosen tasks, their points are the maximum",
			tasks:  []labs.Task{task("t", wants("a", 3, closed)), task("u", wants("b", 1, open))},
			opts:   grade.Options{Tasks: []string{"u"}},
			points: 1, max: 1, percent: 100, status: grade.Passed, objectives: "met",
		},
		{
			name:   "what a chosen task depends on is judged, though not told",
			tasks:  []labs.Task{task("t", wants("a", 3, closed)), task("u", with(wants("b", 1, open), after("t/a")))},
			opts:   grade.Options{Tasks: []string{"u"}},
			points: 0, max: 1, percent: 0, status: grade.Failed, objectives: "blocked",
		},
		{
			name:   "a probe that cannot run neither passes nor fails",
			tasks:  []labs.Task{task("t", wants("a", 99, open), wants("b", 1, broken))},
			points: 99, max: 100, percent: 99, status: grade.Errored, objectives: "met error",
		},
		{
			name:   "an error within an objective that is missed anyway is still an error",
			tasks:  []labs.Task{task("t", wants("a", 1, closed, broken))},
			points: 0, max: 1, percent: 0, status: grade.Errored, objectives: "error",
		},
		{
			name:   "nothing to earn, and nothing missed",
			tasks:  []labs.Task{task("t", wants("a", 0, open))},
			points: 0, max: 0, percent: 100, status: grade.Passed, objectives: "met",
		},
		{
			name:   "nothing to earn, and something missed",
			tasks:  []labs.Task{task("t", wants("a", 0, closed))},
			points: 0, max: 0, percent: 0, status: grade.Failed, objectives: "missed",
		},
		{
			name:   "an objective that asks nothing is not met",
			tasks:  []labs.Task{task("t", wants("a", 1))},
			points: 0, max: 1, percent: 0, status: grade.Failed, objectives: "missed",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eng := answers{}
			for port, o := range someAnswers {
				eng[port], eng[port+10] = o, o
			}
			if c.passMark == 0 {
				c.passMark = 70
			}
			lab := labstest.Complete(&labs.Lab{Name: "x", Title: "X", Digest: "sha256:0", PassMark: c.passMark, Tasks: c.tasks})
			r, err := newGrader(t, lab).Grade(t.Context(), nil, eng, c.opts)
			if err != nil {
				t.Fatal(err)
			}
			reportJSON(t, r)
			if r.Score.Points != c.points || r.Score.Max != c.max || r.Score.Percent != c.percent {
				t.Errorf("score %v of %v, %v %%; want %v of %v, %v %%", r.Score.Points, r.Score.Max, r.Score.Percent, c.points, c.max, c.percent)
			}
			if r.Status != c.status || r.Score.Passed != (c.status == grade.Passed) {
				t.Errorf("status %s, passed %v; want %s", r.Status, r.Score.Passed, c.status)
			}
			var got []string
			for _, task := range r.Tasks {
				for _, o := range task.Objectives {
					got = append(got, string(o.Status))
				}
			}
			if s := strings.Join(got, " "); s != c.objectives {
				t.Errorf("objectives: %s; want %s", s, c.objectives)
			}
		})
	}
}

func TestOptionsThatTheLabDoesNotHave(t *testing.T) {
	t.Parallel()
	lab := labstest.Complete(&labs.Lab{Name: "x", Tasks: []labs.Task{task("egress", wants("a", 1, open))}})
	for _, c := range []struct {
		opts grade.Options
		want string
	}{
		{grade.Options{Tasks: []string{"egres"}}, `lab "x" has no task "egres"; did you mean "egress"?`},
		{grade.Options{Tasks: []string{"nonsense"}}, `lab "x" has no task "nonsense"; its tasks are egress`},
		{grade.Options{Hints: []string{"egress/h"}}, `lab "x" has no hint "egress/h"`},
		{grade.Options{Hints: []string{"egress/a/h"}}, `lab "x" has no hint "egress/a/h"`},
		{grade.Options{Hints: []string{"in/h"}}, `hint "in/h": lab "x" has no task "in"; its tasks are egress`},
	} {
		_, err := newGrader(t, lab).Grade(t.Context(), nil, someAnswers, c.opts)
		if err == nil || err.Error() != c.want {
			t.Errorf("%v: error %v, want %s", c.opts, err, c.want)
		}
	}
}

// failing is an engine that cannot probe.
type failing struct {
	answers
	at, probe error
}

func (f failing) At(context.Context, *engine.State) (engine.Prober, error) { return f, f.at }
func (f failing) Probe(context.Context, []engine.Probe) ([]engine.Observation, error) {
	return nil, f.probe
}

func TestEngineFailures(t *testing.T) {
	t.Parallel()
	lab := labstest.Complete(&labs.Lab{Name: "x", PassMark: 0, Tasks: []labs.Task{task("t", wants("a", 1, open))}})

	r, err := newGrader(t, lab).Grade(t.Context(), nil, failing{probe: errors.New("the cluster is gone")}, grade.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if c := r.Tasks[0].Objectives[0].Checks[0]; r.Status != grade.Errored || c.Error != "the cluster is gone" || c.Passed {
		t.Errorf("probes that could not be run: status %s, check %+v", r.Status, c)
	}

	if _, err := newGrader(t, lab).Grade(t.Context(), nil, failing{at: errors.New("no cluster")}, grade.Options{}); err == nil || err.Error() != `task "t": no cluster` {
		t.Errorf("error %v", err)
	}

	problems := manifest.Problems{{File: "a.yaml", Line: 3, Message: "toGroups is not modelled"}}
	_, err = newGrader(t, lab).Grade(t.Context(), nil, failing{at: problems}, grade.Options{})
	if refused := (*engine.Refused)(nil); !errors.As(err, &refused) || len(refused.Problems) != 1 {
		t.Errorf("a policy that the engine does not model: error %v, want a refusal", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newGrader(t, lab).Grade(ctx, nil, someAnswers, grade.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("after an interrupt: error %v", err)
	}
}

// An account names the side that decided, with file and line.
func TestAccount(t *testing.T) {
	t.Parallel()
	rule := policy.RuleRef{Policy: manifest.Ref{Kind: "NetworkPolicy", Namespace: "default", Name: "deny"}, File: "deny.yaml", Line: 4}
	deny := &policy.Side{Verdict: verdict.Dropped, Endpoint: "default/b", Decision: policy.ByDefaultDeny, Isolating: []policy.RuleRef{rule}}
	for _, c := range []struct {
		name   string
		result policy.Result
		want   string
	}{
		{
			"default deny",
			policy.Result{Verdict: verdict.Dropped, Egress: &policy.Side{Verdict: verdict.Allowed, Decision: policy.ByDefault}, Ingress: deny},
			"Ingress to default/b is dropped by default deny: NetworkPolicy default/deny (deny.yaml:4) selects it for ingress, and no rule allows this connection.",
		},
		{
			"a look-up that fails",
			policy.Result{Verdict: verdict.DNSFailed, DNS: &policy.Result{
				Probe: policy.Probe{To: "svc:kube-system/kube-dns", Port: 53, Protocol: "UDP"}, Verdict: verdict.Dropped,
				Egress: &policy.Side{Verdict: verdict.Dropped, Endpoint: "default/a", Decision: policy.ByDeny, Rule: &rule},
			}},
			"The name is looked up first, and the look-up at svc:kube-system/kube-dns:53/UDP fails (dropped). Egress from default/a is denied by NetworkPolicy default/deny (deny.yaml:4).",
		},
		{
			"one of several backends",
			policy.Result{Probe: policy.Probe{To: "svc:default/b"}, Verdict: verdict.Dropped, Backends: []policy.Result{
				{Verdict: verdict.Allowed}, {Probe: policy.Probe{To: "default/b-2"}, Verdict: verdict.Dropped, Ingress: deny},
			}},
			"Of the 2 addresses behind svc:default/b, default/b-2 is dropped. Ingress to default/b is dropped by default deny: NetworkPolicy default/deny (deny.yaml:4) selects it for ingress, and no rule allows this connection.",
		},
		{
			"allowed",
			policy.Result{
				Verdict: verdict.Allowed,
				Egress:  &policy.Side{Verdict: verdict.Allowed, Endpoint: "default/a", Decision: policy.ByDefault},
				Ingress: &policy.Side{Verdict: verdict.Allowed, Endpoint: "default/b", Decision: policy.ByAllow, Rule: &policy.RuleRef{Policy: rule.Policy, Rule: "spec.ingress[0]", File: "deny.yaml", Line: 9}},
			},
			"Egress from default/a is open: no policy in force selects it for egress. Ingress to default/b is allowed by spec.ingress[0] of NetworkPolicy default/deny (deny.yaml:9).",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if got := strings.Join(grade.Account(&c.result), " "); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func newGrader(t *testing.T, lab *labs.Lab) *grade.Grader {
	t.Helper()
	g, err := grade.NewGrader(lab)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
