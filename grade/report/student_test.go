package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade"
)

// TestStudentsAreToldNothingOfTheMachine: what their formats say of an error is whose fault it is, and what to do.
func TestStudentsAreToldNothingOfTheMachine(t *testing.T) {
	t.Parallel()
	const machine = "/tmp/grader-4711/out: 10.0.0.7: no route to host"
	lost := ResultOf(nil, errors.New(machine))
	unreadable := lost
	unreadable.StudentMessage = "there are several archives: a.zip, b.zip"
	r := sampleReport()
	r.Status = grade.Errored
	check := &r.Tasks[1].Objectives[0].Checks[0]
	check.Error = machine
	unchecked := ResultOf(r, nil)
	for _, tt := range []struct {
		name string
		of   *Result
		want string
	}{
		{"an error of ours", &lost, "a fault that is not yours"},
		{"an error of theirs", &unreadable, "could not be graded: there are several archives: a.zip, b.zip."},
		{"a check that was not carried out", &unchecked, "a fault that is not yours"},
	} {
		for _, f := range Formats() {
			if f.File == "" {
				continue
			}
			var text bytes.Buffer
			if err := f.WriteOne(&text, sampleAssignment(), tt.of); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(text.String(), "4711") {
				t.Errorf("%s: %s tells what the machine said:\n%s", tt.name, f.Name, text.String())
			}
			if !strings.Contains(text.String(), tt.want) {
				t.Errorf("%s: %s does not say %q:\n%s", tt.name, f.Name, tt.want, text.String())
			}
		}
	}
	if check.Error != machine {
		t.Errorf("the report was changed: %q", check.Error)
	}
	// The course staff read all of it.
	for _, f := range Formats() {
		if f.ClassFile == "" || !f.Detail && f.Name != "markdown" || f.Name == "moodle-csv" {
			continue
		}
		var text bytes.Buffer
		c := f.Begin(&text, sampleAssignment())
		if err := errors.Join(c.Add(&lost), c.Close()); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text.String(), "4711") {
			t.Errorf("%s of a class does not say what happened:\n%s", f.Name, text.String())
		}
	}
}

func TestNothingToGradeIsTold(t *testing.T) {
	t.Parallel()
	none, empty, other := sampleReport(), sampleReport(), sampleReport()
	none.Submission.Files = nil
	for _, r := range []*grade.Report{none, empty, other} {
		for i := range r.Tasks {
			r.Tasks[i].Attempted = false
		}
	}
	other.Selected = []string{"last"}
	for _, tt := range []struct {
		name string
		of   *grade.Report
		want string // "": nothing is said
	}{
		{"no manifest", none, "Nothing to grade: it contains no manifest"},
		{"manifests without objects", empty, "Nothing to grade: its manifests are empty or still commented out."},
		{"other tasks", other, ""},
		{"something", sampleReport(), ""},
	} {
		o := ResultOf(tt.of, nil)
		for _, f := range Formats() {
			if f.File == "" && f.Name != "moodle-csv" {
				continue
			}
			text := string(single(t, f.Name, &o))
			if told := strings.Contains(text, "Nothing to grade"); told != (tt.want != "") || !strings.Contains(strings.ReplaceAll(text, `\`, ""), tt.want) {
				t.Errorf("%s: %s does not say %q:\n%s", tt.name, f.Name, tt.want, text)
			}
		}
	}
}

// TestBlockedByWhatIsHidden: the sentence is whole also where nothing can be named.
func TestBlockedByWhatIsHidden(t *testing.T) {
	t.Parallel()
	r := sampleReport()
	r.Tasks[1].Objectives[2].BlockedBy = []string{}
	o := ResultOf(r, nil)
	var text bytes.Buffer
	if err := Text(&text, r, Style{}); err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"text": text.String(), "tap": string(single(t, "tap", &o)), "html": string(single(t, "html", &o))} {
		if !strings.Contains(strings.ToLower(got), "counts once what it depends on is met") {
			t.Errorf("%s does not say what it waits for:\n%s", name, got)
		}
	}
}
