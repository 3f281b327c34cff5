package report

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"html/template"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// voidTags have no end tag in HTML.
var voidTags = map[string]bool{"meta": true, "br": true, "link": true, "img": true, "input": true, "hr": true}

// wellFormed reads a page of ours, which closes every element, and hands on each start tag. Whatever a student wrote is
// text there: it brings no element and no attribute.
func wellFormed(t *testing.T, page []byte, start func(xml.StartElement)) {
	t.Helper()
	page = regexp.MustCompile(`(?s)<style>.*?</style>`).ReplaceAll(page, nil)
	page = regexp.MustCompile(`(?i)<!doctype html>`).ReplaceAll(page, nil)
	dec := xml.NewDecoder(bytes.NewReader(page))
	dec.Strict = false // attributes without value
	dec.Entity = xml.HTMLEntity
	var open []string
	for {
		tok, err := dec.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, page)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			start(tok)
			if !voidTags[tok.Name.Local] {
				open = append(open, tok.Name.Local)
			}
		case xml.EndElement:
			if voidTags[tok.Name.Local] {
				continue // of <br/>, which the decoder makes up
			}
			if len(open) == 0 || open[len(open)-1] != tok.Name.Local {
				t.Fatalf("</%s> closes %q", tok.Name.Local, open)
			}
			open = open[:len(open)-1]
		}
	}
	if len(open) > 0 {
		t.Errorf("not closed: %q", open)
	}
}

// harmless fails on what runs or fetches something.
func harmless(t *testing.T, page []byte) {
	t.Helper()
	wellFormed(t, page, func(e xml.StartElement) {
		switch e.Name.Local {
		case "script", "link", "img", "iframe", "object", "embed", "form", "base", "foreignObject", "b":
			t.Errorf("there is a <%s>", e.Name.Local)
		}
		for _, a := range e.Attr {
			value := strings.ToLower(strings.TrimSpace(a.Value))
			if strings.HasPrefix(a.Name.Local, "on") || strings.Contains(value, "javascript:") || strings.HasPrefix(value, "http") || strings.HasPrefix(value, "//") {
				t.Errorf("<%s %s=%q>", e.Name.Local, a.Name.Local, a.Value)
			}
		}
	})
	for _, bad := range []string{"<script", "\x00", "ZgotmplZ"} {
		if bytes.Contains(page, []byte(bad)) {
			t.Errorf("%q is in the page", bad)
		}
	}
}

func TestFeedbackIsOneHarmlessFile(t *testing.T) {
	t.Parallel()
	for kind, o := range sampleResults() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			harmless(t, single(t, "html", o))
		})
	}
}

func TestFeedbackSaysWhy(t *testing.T) {
	t.Parallel()
	o := sampleResults()
	for kind, want := range map[string][]string{
		"failed": {
			"46.25%", "not passed", "18.5 / 40", "Let the frontend in", "<code>02/allow.yaml:12</code>", "A label that no pod has",
			"Hint: Compare the selector", "expected <span class=\"good\">allowed</span>, got <span class=\"bad\" title=\"no answer comes, and the client times out\">dropped</span>",
			"Counts once &#34;The frontend reaches the backend on its port, whatever the name by which it asks for it&#34; is met.", "Hidden objectives count towards the score.", "Could not be checked: no such field", "Replies are stateful",
			"frontend → backend:8080: expected allowed, got dropped</title>", "monitoring → backend:8080: dropped, as asked</title>",
		},
		"broken":  {"not graded", "not 0 points"},
		"partly":  {"not graded", "Why there is no grade"},
		"refused": {"refused", "0 / 35", "<code>01/policy.yaml:11</code>", "did you mean podSelector?"},
	} {
		page := string(single(t, "html", o[kind]))
		for _, text := range want {
			if !strings.Contains(page, text) {
				t.Errorf("%s: %q is not in the page", kind, text)
			}
		}
	}
	if page := single(t, "html", o["broken"]); bytes.Contains(page, []byte("class=\"ring")) {
		t.Error("a submission without a grade has a score")
	}
}

func TestMatrixShowsTheAnswerThatMissed(t *testing.T) {
	t.Parallel()
	check := func(passed bool, got verdict.Verdict) grade.Check {
		return grade.Check{Kind: grade.CheckExpect, From: "a", To: "b:80", Expected: verdict.Allowed, Verdict: got, Passed: passed}
	}
	other := check(true, verdict.Allowed)
	other.To = "c:80"
	m := matrixOf(&grade.TaskReport{Objectives: []grade.ObjectiveReport{
		{Checks: []grade.Check{check(true, verdict.Allowed), other}}, {Checks: []grade.Check{check(false, verdict.DNSFailed)}}, {Checks: []grade.Check{check(true, verdict.Allowed)}},
	}})
	if m == nil || m.Off != "1 connection differs from what the task asks" || !strings.Contains(string(m.Table), "a → b:80: expected allowed, got a DNS failure") {
		t.Errorf("got %+v", m)
	}
	if one := matrixOf(&grade.TaskReport{Objectives: []grade.ObjectiveReport{{Checks: []grade.Check{other}}}}); one != nil {
		t.Error("one connection makes a table")
	}
}

func TestSpans(t *testing.T) {
	t.Parallel()
	got := fmt.Sprint(spans("dropped by NetworkPolicy x (02/a b.yaml:14) and 03-y/p.yml:3."))
	if want := "[{dropped by NetworkPolicy x (02/a  false} {b.yaml:14 true} {) and  false} {03-y/p.yml:3 true} {. false}]"; got != want {
		t.Errorf("got %s", got)
	}
}

// sampleIndex is the page about the sample results.
func sampleIndex(t *testing.T) []byte {
	t.Helper()
	x := &Index{
		Assignment: *sampleAssignment(), Engine: "offline", Digest: "sha256:0",
		Objectives: []Rate{{"backend-deny", "isolated", 3, 4}, {"frontend", "reaches", 1, 4}, {"last", "secret", 0, 0}},
		Mistakes:   []Tally{{"pod-labels", 2}, {"unknown-one", 1}},
		Titles:     map[string]string{"pod-labels": "A label that no pod has"},
	}
	for _, kind := range []string{"broken", "failed", "hostile", "partly", "refused"} {
		if err := x.Add(sampleResults()[kind], "students/"+kind+"%2E #?"); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := x.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestIndex(t *testing.T) {
	t.Parallel()
	page := sampleIndex(t)
	harmless(t, page)
	golden(t, "index.golden", page)
	for _, want := range []string{
		`<a href="students/failed%252E%20%23%3F/feedback.html">ada</a>`, "A label that no pod has", "unknown-one",
		"hidden in the reports", "75 %", "45 to 49 %: 2</title>", "0 to 4 %: 1</title>",
	} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("%q is not in the page", want)
		}
	}
	if !bytes.Equal(page, sampleIndex(t)) {
		t.Error("two pages differ")
	}
}

func TestIndexIsBounded(t *testing.T) {
	t.Parallel()
	x := &Index{Assignment: *sampleAssignment()}
	o := sampleResults()["broken"]
	for range indexStudents + 7 {
		if err := x.Add(o, ""); err != nil {
			t.Fatal(err)
		}
	}
	var out bytes.Buffer
	if err := x.Write(&out); err != nil {
		t.Fatal(err)
	}
	groups, more := x.troubles.list()
	if len(groups) != 1 || more != 0 || len(groups[0].Students) != troubleStudents || !bytes.Contains(out.Bytes(), []byte(fmt.Sprintf("and %d more, in grades.csv", indexStudents+7-troubleStudents))) {
		t.Errorf("%d groups are held, and %d more", len(groups), more)
	}
	torn, w := io.Pipe()
	torn.CloseWithError(errors.New("torn"))
	if err := x.Write(w); err == nil || !strings.Contains(err.Error(), "torn") {
		t.Errorf("a page that cannot be written: %v", err)
	}
}

// TestCommonReason shows what stays of a reason that many students have.
func TestCommonReason(t *testing.T) {
	t.Parallel()
	for reason, want := range map[string]string{
		"it contains no manifest (*.yaml, *.yml, *.json)":                                "it contains no manifest (*.yaml, *.yml, *.json)",
		"it contains no manifest (*.yaml, *.yml, *.json); files found: README.md, a.txt": "it contains no manifest (*.yaml, *.yml, *.json)…",
		`answers.zip: a file "x" of 12 bytes`:                                            "… a file … of … bytes",
		"open /a/b.yaml: no such file":                                                   "open … no such file",
	} {
		if got := common(reason); got != want {
			t.Errorf("%s: got %q, want %q", reason, got, want)
		}
	}
}

// What is to be looked after is grouped by what students have in common, not by what is each one's own.
func TestTroublesAreGrouped(t *testing.T) {
	t.Parallel()
	var all troubles
	for i := range 3 * troubleReasons {
		problem := manifest.Problem{File: fmt.Sprintf("%02d/p.yaml", i), Line: i, Object: fmt.Sprintf("Secret default/x%d", i), Message: fmt.Sprintf("kind %q is not one of the lab's", fmt.Sprint("K", i))}
		refused := RefusedResult(sampleAssignment(), &engine.Refused{Problems: manifest.Problems{problem}})
		broken := ResultOf(nil, fmt.Errorf("open /srv/class/%d/p.yaml: no such file", i))
		empty := ResultOf(sampleReport(), nil)
		empty.Message = fmt.Sprintf("no manifest in %d files", i)
		odd := ResultOf(nil, errors.New("odd "+strings.Repeat("o", i)))
		for _, o := range []*Result{&refused, &broken, &empty, &odd} {
			o.ID, o.Name = fmt.Sprint("s", i), "Ada"
			all.add(o, "students/x")
		}
	}
	fine := ResultOf(sampleReport(), nil)
	all.add(&fine, "")
	groups, more := all.list()
	if len(groups) != troubleReasons || more != 3*troubleReasons-(troubleReasons-3) {
		t.Fatalf("%d groups and %d more", len(groups), more)
	}
	if g := groups[0]; g.Reason != "open … no such file" || g.Count != 3*troubleReasons || g.More != g.Count-troubleStudents || g.Students[1].Name != "Ada" || g.Students[1].Message == "" {
		t.Errorf("errors of one kind are %+v", g)
	}
	if last := groups[len(groups)-1]; last.Status != "not passed" || last.Reason != "no manifest in … files" {
		t.Errorf("the last group is %+v", last)
	}
	if g := groups[len(groups)-2]; g.Status != "refused" || g.Reason != "kind … is not one of the lab's" {
		t.Errorf("the refused are %+v", g)
	}
}

func TestSlowest(t *testing.T) {
	t.Parallel()
	x := &Slowest{Assignment: *sampleAssignment()}
	for i := range 2 * slowestRows {
		x.Add(fmt.Sprintf("<student %02d>", i), i%2, "students/x", time.Duration(i)*time.Second)
	}
	var out bytes.Buffer
	if err := x.Write(&out); err != nil {
		t.Fatal(err)
	}
	harmless(t, out.Bytes())
	page := out.String()
	first, last := strings.Index(page, "&lt;student 49&gt;"), strings.Index(page, "&lt;student 25&gt;")
	if first < 0 || last < first || strings.Contains(page, "student 24") || !strings.Contains(page, "50 were graded, each in 25s on average") {
		t.Errorf("the page is %s", page)
	}
}

func TestMedian(t *testing.T) {
	t.Parallel()
	for want, percents := range map[int][]int{50: {50}, 10: {10, 90}, 20: {0, 20, 100}, 100: {100, 100, 0}, 0: {0, 0, 7, 8}} {
		x := &Index{}
		for _, p := range percents {
			x.percents[p]++
		}
		if got := x.median(len(percents)); got != want {
			t.Errorf("the median of %v is %d, want %d", percents, got, want)
		}
	}
}

// TestHintsAreMarkdown holds that hints, which are Markdown, come out as such, and that they bring nothing else with them.
func TestHintsAreMarkdown(t *testing.T) {
	t.Parallel()
	const hint = "Every dash under `from` is **another** peer <img src=x onerror=alert(1)> ![x](https://example.org/x.png) [y](javascript:alert(1))"
	for name, got := range map[string]template.HTML{
		"of an objective": reasonNoteOf(&reason{Hint: hint}).Hint,
		"of a mistake":    noteOf(&grade.Finding{Hint: hint}).Hint,
	} {
		if !strings.HasPrefix(string(got), "Every dash under <code>from</code> is <strong>another</strong> peer &lt;img") {
			t.Errorf("%s: %s", name, got)
		}
		wellFormed(t, []byte(got), func(tag xml.StartElement) {
			switch tag.Name.Local {
			case "code", "strong", "a":
			default:
				t.Errorf("%s: there is <%s>", name, tag.Name.Local)
			}
			for _, a := range tag.Attr {
				if a.Name.Local != "href" || a.Value != "" {
					t.Errorf("%s: <%s %s=%q>", name, tag.Name.Local, a.Name.Local, a.Value)
				}
			}
		})
	}
}

// TestPagesNameTasksByTitle holds that people read titles where only some tasks were graded.
func TestPagesNameTasksByTitle(t *testing.T) {
	t.Parallel()
	lab := &labs.Lab{Tasks: []labs.Task{{Name: "one", Title: "The first"}, {Name: "two"}}}
	if got := taskTitles(lab, []string{"one", "two", "gone"}); !slices.Equal(got, []string{"The first", "two", "gone"}) {
		t.Errorf("got %q", got)
	}
}

func TestWhoIsInTrouble(t *testing.T) {
	t.Parallel()
	var g trouble
	for i, want := range []string{"Ada", "Ada, s1", "Ada, s1, s2", "Ada, s1, s2, s3", "Ada, s1, s2, s3 and 1 more"} {
		s := troubledStudent{StudentLink: StudentLink{ID: fmt.Sprint("s", i)}}
		if i == 0 {
			s.Name = "Ada"
		}
		g.Students, g.Count = append(g.Students, s), i+1
		if got := g.Who(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestPagesFitPaperAndTelephones holds the rules of the pages without which labels are cut, lines of print parted, and
// tables wider than a telephone.
func TestPagesFitPaperAndTelephones(t *testing.T) {
	t.Parallel()
	for page, rules := range map[string][]string{
		feedbackHTML: {"@media print", ".scroll { overflow: visible; }", ".matrix, .legend, .note { break-inside: avoid; }", "@media (max-width: 34rem)"},
		indexHTML:    {"@media (max-width: 34rem)", ".students tr { display: grid;"},
		styleCSS:     {"@page", "thead { display: table-header-group; }", "details::details-content { content-visibility: visible;"},
	} {
		for _, rule := range rules {
			if !strings.Contains(page, rule) {
				t.Errorf("there is no %q in\n%.80s", rule, page)
			}
		}
		if regexp.MustCompile(`max-height|text-overflow|overflow: hidden; *white-space`).MatchString(page) {
			t.Errorf("something is cut in\n%.80s", page)
		}
	}
}
