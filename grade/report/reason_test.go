package report

import (
	"bytes"
	"fmt"
	"html"
	"strings"
	"testing"

	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
)

// TestFormatsShowReasonsInOneOrder: expected, observed, why, mistake, hint, in every format that explains.
func TestFormatsShowReasonsInOneOrder(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	o := &r.Tasks[1].Objectives[0]
	o.Checks = []grade.Check{{
		Kind: grade.CheckExpect, From: "frontend", To: "backend:1234", Expected: verdict.Allowed, Verdict: verdict.DNSFailed,
		Because: "AUTHOR", Why: &grade.Why{Text: []string{"ACCOUNT"}}, Mistake: "pod-labels", Hint: "HINT",
	}}
	r.Tasks[1].Objectives[1].Checks = nil
	r.Findings[0].Title, r.Findings[0].Message, r.Findings[0].Hint = "TITLE", "MESSAGE", "HINT"
	order := []string{"backend:1234", "expected", "allowed", "got", "a DNS failure", "AUTHOR", "ACCOUNT", "TITLE", "MESSAGE", "HINT"}
	check := func(name, text string) {
		text = html.UnescapeString(text)
		rest, found := strings.CutPrefix(text[max(strings.Index(text, order[0]), 0):], order[0])
		for _, want := range order[1:] {
			var ok bool
			if _, rest, ok = strings.Cut(rest, want); !ok {
				found = false
				t.Errorf("%s: %q is missing or out of order:\n%s", name, want, text)
			}
		}
		if !found {
			t.Errorf("%s does not show the reason", name)
		}
	}
	outcome := ResultOf(r, nil)
	explaining := 0
	for _, f := range Formats() {
		text := string(single(t, f.Name, &outcome))
		if f.Name == "github" { // the title of an annotation comes before its text
			text = strings.ReplaceAll(text, "title=TITLE", "")
		}
		if f.Name == "html" { // the table of connections comes after the objectives
			text, _, _ = strings.Cut(text, "<details")
		}
		if strings.Contains(text, "ACCOUNT") {
			explaining++
			check(f.Name, text)
		}
	}
	if want := len(Formats()) - 2; explaining != want { // canvas-csv and nbgrader-csv have points only
		t.Errorf("%d formats explain, want %d", explaining, want)
	}
	var text bytes.Buffer
	if err := Text(&text, r, Style{}); err != nil {
		t.Fatal(err)
	}
	check("text", text.String())
	data, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	keys := []string{`"expected"`, `"verdict"`, `"because"`, `"why"`, `"mistake"`, `"hint"`}
	_, rest, _ := bytes.Cut(data, []byte("backend:1234"))
	for _, key := range keys {
		var ok bool
		if _, rest, ok = bytes.Cut(rest, []byte(key)); !ok {
			t.Errorf("json: %s is missing or out of order:\n%s", key, data)
		}
	}
}

func TestReasonsAreGroupedAndBounded(t *testing.T) {
	t.Parallel()
	o := &grade.ObjectiveReport{Name: "o", Status: grade.Missed}
	for i := range reasonsShown + 3 {
		for _, port := range []int{80, 443} {
			o.Checks = append(o.Checks, grade.Check{
				From: "a", To: fmt.Sprintf("b%d:%d", i, port), Expected: verdict.Allowed, Verdict: verdict.Dropped,
				Why: &grade.Why{Text: []string{fmt.Sprint("cause ", i)}},
			})
		}
	}
	o.Checks[1].Passed = true
	reasons := reasonsOf(&grade.Report{}, "t", o)
	var got []string
	for _, r := range reasons {
		got = append(got, fmt.Sprintf("%d of %v", len(r.Asked), r.Why))
	}
	want := "[1 of [cause 0] 2 of [cause 1] 2 of [cause 2] 2 of [cause 3] 2 of [cause 4] 6 of []]"
	if fmt.Sprint(got) != want {
		t.Errorf("got %v, want %s", got, want)
	}
	o.Status = grade.Blocked
	if reasons := reasonsOf(&grade.Report{}, "t", o); len(reasons) > 0 {
		t.Errorf("an objective that waits has reasons: %+v", reasons)
	}
}

func TestReasonsLeaveOutWhatSaysNothing(t *testing.T) {
	t.Parallel()
	const (
		open    = "Egress from ns/%s is open: no policy in force selects it for egress."
		closed  = "Ingress to ns/b is open: no policy in force selects it for ingress."
		refused = "Egress from ns/a passes, but the request itself matches no rule of spec.egress[0]."
		nearby  = "spec.ingress[0] of NetworkPolicy ns/p (p.yaml:1) does not match: the port differs."
		aside   = "spec.ingress[0] of NetworkPolicy ns/other (o.yaml:1) does not match: the port differs."
	)
	check := func(from string, mistake string, why ...string) grade.Check {
		return grade.Check{From: from, To: "b:80", Expected: verdict.Denied, Verdict: verdict.Allowed, Mistake: mistake, Why: &grade.Why{Text: why}}
	}
	to := func(name string, c grade.Check) grade.Check {
		c.To = name + ":80"
		return c
	}
	object := check("", "", "The condition does not hold; in force: 3 × NetworkPolicy.")
	object.Kind, object.Because = grade.CheckObject, "a rule is left"
	for _, tt := range []struct {
		name   string
		checks []grade.Check
		want   string
	}{
		{"clients that nothing closes", []grade.Check{check("a", "", fmt.Sprintf(open, "a"), closed), check("c", "", fmt.Sprintf(open, "c"), closed)},
			"2 of [" + closed + "]"},
		{"one client", []grade.Check{check("a", "", fmt.Sprintf(open, "a"))}, "1 of [" + fmt.Sprintf(open, "a") + "]"},
		{"clients whose egress is the matter", []grade.Check{to("b", check("a", "m", fmt.Sprintf(open, "a"), "Ingress to ns/b is allowed by r.")),
			to("c", check("d", "m", fmt.Sprintf(open, "d"), "Ingress to ns/c is allowed by s.")), to("e", check("a", "m", fmt.Sprintf(open, "a")))},
			"3 of [Egress from ns/a and ns/d are open: no policy in force selects them for egress.]"},
		{"one mistake that closes and opens", []grade.Check{check("a", "m", closed), {From: "c", To: "b:80", Expected: verdict.Allowed,
			Verdict: verdict.Dropped, Mistake: "m", Why: &grade.Why{Text: []string{nearby}}}}, "1 of [" + closed + "]; 1 of [" + nearby + "]"},
		{"a request that is refused", []grade.Check{check("a", "m", "The name is looked up first.", refused, "Only these get through.", nearby)},
			"1 of [The name is looked up first. " + refused + " Only these get through.]"},
		{"one connection twice", []grade.Check{check("a", "m", closed), check("a", "m", closed)}, "1 of [" + closed + "]"},
		{"a rule of another policy than the mistake", []grade.Check{check("a", "m", closed, aside, nearby)}, "1 of [" + closed + " " + nearby + "]"},
		{"an end that stands for pods", []grade.Check{check("a", "m", "Stands for any pod.", fmt.Sprintf(open, "a"), closed, nearby)},
			"1 of [Stands for any pod. " + fmt.Sprintf(open, "a") + " " + closed + "]"},
		{"one of several ends", []grade.Check{check("a", "m", "The connection with node n is allowed.", "Stands for any pod.", closed, nearby, aside)},
			"1 of [The connection with node n is allowed. Stands for any pod. " + closed + " " + nearby + "]"},
		{"the objects in force", []grade.Check{object}, "1 of []"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := &grade.Report{
				Tasks:    []grade.TaskReport{{Name: "t", Attempted: true, HintsWithheld: true}},
				Findings: []grade.Finding{{ID: "m", Task: "t", Objective: "o", Policy: "NetworkPolicy ns/p"}},
			}
			var got []string
			for _, x := range reasonsOf(r, "t", &grade.ObjectiveReport{Name: "o", Status: grade.Missed, Checks: tt.checks}) {
				got = append(got, fmt.Sprintf("%d of %v", len(x.Asked), x.Why))
				if len(got) == 1 && !strings.Contains(x.Hint, "labctl hint") {
					t.Errorf("no word of the hints: %+v", x)
				}
			}
			if strings.Join(got, "; ") != tt.want {
				t.Errorf("got %s, want %s", strings.Join(got, "; "), tt.want)
			}
		})
	}
	a := grade.Check{From: "ns/a", To: "entity:world:1/UDP"}
	if got := askedOf(&a); got.To != "some host outside the cluster:1/UDP" {
		t.Errorf("got %q", got.To)
	}
}

// The hints of a task are no help against a mistake in another one's folder.
func TestHintsOfTheTaskWithTheMistake(t *testing.T) {
	t.Parallel()
	for file, want := range map[string]bool{
		"02-t/a.yaml": true, "t/a.yaml": true, "all.yaml": true, "01-earlier/a.yaml": false, "earlier/a.yaml": false,
	} {
		r := &grade.Report{
			Tasks:    []grade.TaskReport{{Name: "earlier"}, {Name: "t", Attempted: true, HintsLeft: true}},
			Findings: []grade.Finding{{ID: "m", Task: "t", Objective: "o", File: file}},
		}
		checks := []grade.Check{{From: "a", To: "b:80", Expected: verdict.Dropped, Verdict: verdict.Allowed, Mistake: "m"}}
		reasons := reasonsOf(r, "t", &grade.ObjectiveReport{Name: "o", Status: grade.Missed, Checks: checks})
		if len(reasons) != 1 || (reasons[0].Hint != "") != want {
			t.Errorf("with a mistake in %s the reasons are %+v, want a word of the hints: %t", file, reasons, want)
		}
	}
}

func TestMistakeOf(t *testing.T) {
	t.Parallel()
	r := &grade.Report{Findings: []grade.Finding{
		{ID: "other", Task: "t", Objective: "o"},
		{ID: "x", Task: "t", Objective: "first", Title: "first"},
		{ID: "x", Task: "t", Objective: "o", Title: "its own"},
	}}
	for _, tt := range []struct{ id, objective, want string }{
		{"x", "o", "its own"}, {"x", "elsewhere", "first"}, {"left-out", "o", "left-out"},
	} {
		if got := mistakeOf(r, "t", tt.objective, tt.id); got.Title != tt.want {
			t.Errorf("%s of %s is %q, want %q", tt.id, tt.objective, got.Title, tt.want)
		}
	}
}

// What breaks an invariant goes to a pod itself, whatever port its Service has.
func TestInvariantGoesToAPod(t *testing.T) {
	t.Parallel()
	for to, want := range map[string]string{
		"default/backend:80":     "default/backend:80 by pod IP",
		"default/backend:80/UDP": "default/backend:80/UDP by pod IP",
		"default/any-pod-1:80":   "some other pod in default:80",
		"entity:world:443":       "some host outside the cluster:443",
	} {
		a := askedOf(&grade.Check{Kind: grade.CheckInvariant, From: "default/frontend", To: to})
		if a.To != want {
			t.Errorf("%s is %q, want %q", to, a.To, want)
		}
	}
}

// TestObjectIsToldByItsMessage: what an object block finds is said as its author says it, once, and not by the block's name.
func TestObjectIsToldByItsMessage(t *testing.T) {
	t.Parallel()
	c := grade.Check{Kind: grade.CheckObject, Name: "no-rule-left", Because: "a rule is left"}
	for _, tt := range []struct{ because, want string }{{"a rule is left", "a rule is left"}, {"", "no-rule-left"}} {
		c.Because = tt.because
		reasons := reasonsOf(&grade.Report{}, "t", &grade.ObjectiveReport{Name: "o", Status: grade.Missed, Checks: []grade.Check{c}})
		if got := strings.Join(reasons[0].lines(), "\n"); got != tt.want {
			t.Errorf("message %q: it says %q, want %q", tt.because, got, tt.want)
		}
	}
}
