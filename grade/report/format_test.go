package report

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jstemmer/go-junit-report/v2/junit"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/labs"
)

// nasty has what some format gives a meaning to.
const nasty = "=1+1 <script>&]]>\"'`|*_[x](http://evil) # ::error::%0A, \x00\x1b[31m\x07\r\n--- \u2028é🦊\xff"

func sampleAssignment() *Assignment {
	return &Assignment{Lab: &labs.Lab{
		Name: "networkpolicy", Title: "Kubernetes NetworkPolicy fundamentals", PassMark: 70,
		Tasks: []labs.Task{
			{Name: "backend-deny", Objectives: []labs.Objective{{Name: "isolated", Points: 10}, {Name: "egress", Points: 5, Bonus: true}}},
			{Name: "frontend", Objectives: []labs.Objective{{Name: "reaches", Points: 10}, {Name: "only", Points: 9, Visibility: labs.AfterDue}, {Name: "later", Points: 1}}},
			{Name: "last", Objectives: []labs.Objective{{Name: "secret", Points: 4, Visibility: labs.Hidden}, {Name: "broken", Points: 1}}},
		},
	}}
}

// sampleResults has one of every kind, and texts that are out to break formats.
func sampleResults() map[string]*Result {
	failed := ResultOf(sampleReport(), nil)
	failed.ID, failed.Name, failed.Email = "ada", "Ada King Lovelace", "ada@example.org"
	failed.Report.Tasks[2].Objectives[1].Status = grade.Missed

	hostile := ResultOf(sampleReport(), nil)
	hostile.ID, hostile.Name, hostile.Email, hostile.Root = nasty, nasty, nasty, nasty
	r := hostile.Report
	r.Tasks[2].Objectives[1].Status = grade.Missed
	r.Tasks[1].Title, r.Tasks[1].Objectives[0].Title = nasty, nasty
	r.Tasks[1].Objectives[0].Checks[0].Why = &grade.Why{Text: []string{nasty}}
	r.Tasks[1].Objectives[0].Checks[0].Because = nasty
	r.Findings[0].Title, r.Findings[0].Message, r.Findings[0].Hint, r.Findings[0].File = nasty, nasty, nasty, nasty

	errored := sampleReport()
	errored.Status = grade.Errored
	partly := ResultOf(errored, nil)
	partly.ID = "partly"
	broken := ResultOf(nil, errors.New("open "+nasty+": no such file"))
	broken.ID = "broken"
	refused := RefusedResult(sampleAssignment(), &engine.Refused{Problems: manifest.Problems{
		{File: "01/policy.yaml", Line: 11, Object: "NetworkPolicy default/x", Field: "spec.podselector", Message: "unknown field", Hint: "did you mean podSelector?"},
		{File: nasty, Message: nasty},
	}})
	refused.ID = "refused"
	return map[string]*Result{"failed": &failed, "hostile": &hostile, "partly": &partly, "broken": &broken, "refused": &refused}
}

func single(t *testing.T, format string, o *Result) []byte {
	t.Helper()
	f, err := FindFormat(format)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := f.Single(&out, sampleAssignment(), o); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestFormatsAreInOrderAndHaveAFile(t *testing.T) {
	t.Parallel()
	if names := FormatNames(); !slices.IsSorted(names) {
		t.Errorf("not sorted: %q", names)
	}
	for _, f := range Formats() {
		if (f.one == nil) != (f.File == "") || (f.class == nil) != (f.ClassFile == "") || (f.Audience == "") != (f.ClassFile == "") || f.File == "" && f.ClassFile == "" || f.About == "" {
			t.Errorf("%s: its writers and files do not go together", f.Name)
		}
	}
	if _, err := FindFormat("gradescop"); err == nil {
		t.Error("a format that is not there was found")
	}
}

func TestFormatsGolden(t *testing.T) {
	t.Parallel()
	for _, f := range Formats() {
		for kind, o := range sampleResults() {
			t.Run(f.Name+" "+kind, func(t *testing.T) {
				t.Parallel()
				got := single(t, f.Name, o)
				if again := single(t, f.Name, o); !bytes.Equal(got, again) {
					t.Error("two writings differ")
				}
				if kind != "hostile" {
					golden(t, "format-"+f.Name+"-"+kind+".golden", got)
				}
			})
		}
	}
}

func TestNoFormatTellsWhatIsHidden(t *testing.T) {
	t.Parallel()
	with, without := sampleResults()["failed"], sampleResults()["failed"]
	last := &without.Report.Tasks[2]
	// A second hidden objective must change nothing: no name, and no count.
	with.Report.Tasks[2].Objectives = append(with.Report.Tasks[2].Objectives, grade.ObjectiveReport{Name: "secret2", Max: 3, Status: grade.Hidden})
	if last.Objectives[0].Status != grade.Hidden {
		t.Fatal("the sample hides nothing")
	}
	for _, f := range Formats() {
		a, b := single(t, f.Name, with), single(t, f.Name, without)
		if bytes.Contains(a, []byte("secret")) {
			t.Errorf("%s names a hidden objective:\n%s", f.Name, a)
		}
		if !bytes.Equal(a, b) {
			t.Errorf("%s tells how many objectives are hidden", f.Name)
		}
	}
}

func TestErrorIsNoGrade(t *testing.T) {
	t.Parallel()
	zero := regexp.MustCompile(`(?i)"score": ?0|(^|,)0(,|$)|0 ?%|0 / |ok 1`)
	for _, f := range Formats() {
		out := single(t, f.Name, sampleResults()["broken"])
		for line := range strings.Lines(string(out)) {
			if f.Name != "html" && zero.MatchString(strings.TrimSpace(line)) {
				t.Errorf("%s reads like 0 points: %s", f.Name, line)
			}
		}
	}
}

func TestJSONFormatsKeepTheirContracts(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"gradescope", "prairielearn"} {
		schema := jsonschema.NewCompiler().MustCompile("testdata/" + name + ".schema.json")
		for kind, o := range sampleResults() {
			text := single(t, name, o)
			v, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
			if err != nil {
				t.Fatalf("%s of %s: %v", name, kind, err)
			}
			if err := schema.Validate(v); err != nil {
				t.Errorf("%s of %s: %v\n%s", name, kind, err, text)
			}
		}
	}
}

func TestGradescope(t *testing.T) {
	t.Parallel()
	type results struct {
		Score  *float64 `json:"score"`
		Output string   `json:"output"`
		Tests  []struct {
			Name, Visibility, Status string
			Score                    *float64
		} `json:"tests"`
	}
	read := func(o *Result) (r results) {
		if err := json.Unmarshal(single(t, "gradescope", o), &r); err != nil {
			t.Fatal(err)
		}
		return r
	}
	o := sampleResults()
	if r := read(o["failed"]); r.Score == nil || *r.Score != 18.5 {
		t.Errorf("the score is not the lab's: %+v", r)
	} else if i := slices.IndexFunc(r.Tests, func(x struct {
		Name, Visibility, Status string
		Score                    *float64
	}) bool {
		return strings.Contains(x.Name, "Nobody else")
	}); i < 0 || r.Tests[i].Visibility != "after_due_date" {
		t.Errorf("an objective for after the due date is there for all: %+v", r.Tests)
	}
	if r := read(o["refused"]); r.Score == nil || *r.Score != 0 || !strings.Contains(r.Output, "unknown field") {
		t.Errorf("a refused submission is not 0 with reasons: %+v", r)
	}
	for _, kind := range []string{"broken", "partly"} {
		if r := read(o[kind]); r.Score != nil || len(r.Tests) > 0 || r.Output != notYours {
			t.Errorf("%s: an error has a score: %+v", kind, r)
		}
	}
	// Revealed to instructors, an objective that the lab hides is hidden by Gradescope.
	revealed := sampleResults()["failed"]
	points := 4.0
	revealed.Report.Tasks[2].Objectives[0] = grade.ObjectiveReport{Name: "secret", Title: "Secret", Points: &points, Max: 4, Status: grade.Met}
	r := read(revealed)
	if last := r.Tests[len(r.Tests)-2]; last.Name != "The last one: Secret" || last.Visibility != "hidden" {
		t.Errorf("a revealed objective is %+v", last)
	}
}

func TestPlatformSheets(t *testing.T) {
	t.Parallel()
	order := []string{"failed", "hostile", "partly", "broken", "refused"}
	for _, tc := range []struct {
		format string
		heads  [][]string
		grade  int
		want   []string // grades in order; "" is no grade
	}{
		{"canvas-csv", [][]string{
			{"Student", "ID", "SIS User ID", "SIS Login ID", "Section", "Kubernetes NetworkPolicy fundamentals"},
			{"Points Possible", "", "", "", "", "35"},
		}, 5, []string{"18.5", "18.5", "0"}},
		{"moodle-csv", [][]string{{
			"Identifier", "Full name", "Email address", "Status", "Grade", "Maximum Grade", "Grade can be changed",
			"Last modified (submission)", "Last modified (grade)", "Feedback comments",
		}}, 4, []string{"18.5", "18.5", "0"}},
		{"nbgrader-csv", [][]string{{
			"assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
			"late_submission_penalty", "score", "max_score",
		}}, 9, []string{"18.5", "18.5", "0"}},
	} {
		t.Run(tc.format, func(t *testing.T) {
			t.Parallel()
			f, err := FindFormat(tc.format)
			if err != nil {
				t.Fatal(err)
			}
			var out bytes.Buffer
			c := f.Begin(&out, sampleAssignment())
			for _, kind := range order {
				if err := c.Add(sampleResults()[kind]); err != nil {
					t.Fatal(err)
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			rows, err := csv.NewReader(&out).ReadAll()
			if err != nil {
				t.Fatal(err)
			}
			for i, head := range tc.heads {
				if !slices.Equal(rows[i], head) {
					t.Errorf("head %d is %q", i, rows[i])
				}
			}
			rows = rows[len(tc.heads):]
			if len(rows) != len(tc.want) {
				t.Fatalf("%d rows: an error has none", len(rows))
			}
			for i, row := range rows {
				if row[tc.grade] != tc.want[i] {
					t.Errorf("row %d: the grade is %q, want %q", i, row[tc.grade], tc.want[i])
				}
				for _, cell := range row {
					if _, err := strconv.ParseFloat(cell, 64); err != nil && cell != "" && strings.ContainsAny(strings.TrimSpace(cell)[:1], "=+-@") {
						t.Errorf("row %d: a spreadsheet takes %q for a formula", i, cell)
					}
				}
			}
		})
	}
}

func TestLateIsTold(t *testing.T) {
	t.Parallel()
	o := sampleResults()["failed"]
	raw, left := *o.Score, *o.Score
	left.Points = 14.4
	o.Raw, o.Score, o.Late = &raw, &left, "handed in 1h after noon: 10% taken off"
	o.DueAt = time.Date(2026, 11, 23, 12, 0, 0, 0, time.FixedZone("CET", 3600))
	o.SubmittedAt = o.DueAt.Add(time.Hour)
	for format, want := range map[string]string{
		"nbgrader-csv": "2026-11-23 11:00:00,2026-11-23 12:00:00,ada,Lovelace,Ada King,ada@example.org,18.5,4.1,14.4,40",
		"gradescope":   "Late: handed in", "markdown": "Late: handed in", "moodle-csv": "Late: handed in", "prairielearn": "Late: handed in", "tap": "# Late: handed in",
		"github": "::Late: handed in", "html": "Late: handed in",
	} {
		if text := single(t, format, o); !strings.Contains(string(text), want) {
			t.Errorf("%s does not say %q:\n%s", format, want, text)
		}
	}
}

func TestCell(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "Ada": "Ada", "=1+1": "'=1+1", "\t=1": "' =1", " =1": "' =1", "\r\n@x": "'  @x", "-5 points": "'-5 points", "a=b": "a=b", " ": " ",
		"＝1+1": "'＝1+1", "＋1": "'＋1", "－1": "'－1", "＠x": "'＠x", "\u2212" + "1": "'\u2212" + "1", "\u200b=1": "'\u200b=1", "\uFEFF=1": "'\uFEFF=1",
		"a;=1": "a;'=1", "a; @x;b": "a;' @x;b", "\x1b]0;pwned\x07red\x00": "\uFFFD]0;pwned\uFFFDred\uFFFD", "a\u202eb": "a\uFFFDb", "a\xffb": "a\uFFFDb", "a\nb": "a b",
	} {
		if got := Cell(in); got != want {
			t.Errorf("Cell(%q) is %q, want %q", in, got, want)
		}
	}
}

// Names that are rows of Canvas's own, written as they are or in disguise.
func TestCanvasKnowsStudentsFromItsOwnRows(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"Ada Lovelace": "Ada Lovelace", "": "s1", "Points Possible": "s1", "points  possible": "s1", "    Points Possible": "s1", "Ｐoints Possible": "s1", "Points\u00a0Possible": "s1",
		"Po\u200bints Possible": "s1", "Student, Test": "s1", "student,test": "s1", "Test Student": "s1", "Muted": "s1", " Manual Posting (x)": "s1", "Student": "s1", "Ada Studentova": "Ada Studentova",
		"\x1b[31mPoints Possible": "s1",
	} {
		if got := canvasName(&Result{ID: "s1", Name: name}); got != want {
			t.Errorf("%q is called %q, want %q", name, got, want)
		}
	}
	if got := canvasName(&Result{ID: "Points Possible", Name: "Points Possible"}); got != "Unnamed" {
		t.Errorf("got %q", got)
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][2]string{
		"Ada King Lovelace": {"Ada King", "Lovelace"}, "Lovelace, Ada King": {"Ada King", "Lovelace"}, "Ada": {"", "Ada"}, "": {"", ""},
	} {
		if first, last := names(in); first != want[0] || last != want[1] {
			t.Errorf("names(%q) is %q, %q", in, first, last)
		}
	}
}

func TestJUnit(t *testing.T) {
	t.Parallel()
	f, err := FindFormat("junit")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	c := f.Begin(&out, sampleAssignment())
	for _, kind := range []string{"failed", "hostile", "partly", "broken", "refused"} {
		if err := c.Add(sampleResults()[kind]); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	var got junit.Testsuites
	if err := xml.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v\n%s", err, out.Bytes())
	}
	var counts []string
	for _, s := range got.Suites {
		counts = append(counts, fmt.Sprintf("%d/%d/%d", s.Tests, s.Failures, s.Errors))
	}
	if want := []string{"6/4/0", "6/4/0", "6/3/1", "1/0/1", "1/1/0"}; !slices.Equal(counts, want) {
		t.Errorf("tests/failures/errors are %q, want %q", counts, want)
	}
	lint, err := exec.LookPath("xmllint")
	if err != nil {
		t.Skip("xmllint is not there to hold it against the schema")
	}
	cmd := exec.Command(lint, "--noout", "--schema", "testdata/junit.xsd", "-")
	cmd.Stdin = &out
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, text)
	}
}

// TestTAP reads the output as the specification has it: a version, a plan, and test points in order, each of which may
// be followed by a block.
func TestTAP(t *testing.T) {
	t.Parallel()
	line := regexp.MustCompile(`^(?:TAP version 13|1\.\.\d+|(?:not )?ok \d+ - (?:[^#\\]|\\[#\\])+|  ---|  severity: (?:fail|error)|  message: ".*"|  \.\.\.|# .*|Bail out! .+)$`)
	for kind, o := range sampleResults() {
		text := string(single(t, "tap", o))
		points, planned := 0, ""
		for l := range strings.Lines(text) {
			l = strings.TrimSuffix(l, "\n")
			if !line.MatchString(l) {
				t.Errorf("%s: not a line of TAP: %q", kind, l)
			}
			if strings.HasPrefix(l, "ok ") || strings.HasPrefix(l, "not ok ") {
				points++
			}
			if n, ok := strings.CutPrefix(l, "1.."); ok {
				planned = n
			}
		}
		bailed := strings.Contains(text, "\nBail out! ")
		if !bailed && strconv.Itoa(points) != planned {
			t.Errorf("%s: %d test points, %s planned", kind, points, planned)
		}
		if want := o.Status == grade.Errored; bailed != want {
			t.Errorf("%s: bailed out: %v", kind, bailed)
		}
	}
}

// TestGitHub reads the commands as the runner does: a line a command, and nothing that is not one.
func TestGitHub(t *testing.T) {
	t.Parallel()
	command := regexp.MustCompile(`^::(error|warning|notice) (file=[^,:]+,)?(line=\d+,)?title=[^,:]+::[^\n\r]+$`)
	for kind, o := range sampleResults() {
		for l := range strings.Lines(string(single(t, "github", o))) {
			if !command.MatchString(strings.TrimSuffix(l, "\n")) {
				t.Errorf("%s: not a workflow command: %q", kind, l)
			}
		}
	}
	o := sampleResults()["failed"]
	o.Root = "answers"
	if text := single(t, "github", o); !bytes.Contains(text, []byte("::error file=answers/02/allow.yaml,line=12,title=A label that no pod has::frontend → backend:8080: expected allowed, got dropped%0A")) {
		t.Errorf("a finding is not at its place:\n%s", text)
	}
}

func TestMarkdownEscapes(t *testing.T) {
	t.Parallel()
	got := markdown(nasty)
	for _, bad := range []string{"<script", "x](http", "\n", "\x00", "://"} {
		if strings.Contains(got, bad) {
			t.Errorf("%q is still in %q", bad, got)
		}
	}
	if regexp.MustCompile("(^|[^\\\\])[|`*_]").MatchString(got) {
		t.Errorf("markup is left in %q", got)
	}
	for _, text := range []string{"a", "```\nx", "````", "a ``` b"} {
		f := fenced(text)
		fence := strings.TrimSuffix(strings.SplitN(f, "\n", 2)[0], "text")
		if strings.Count(f, fence) != 2 {
			t.Errorf("the fence of %q occurs in it", text)
		}
	}
}
