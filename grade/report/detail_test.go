package report

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/labctl/labctl/grade"
)

// TestDetail shows which tasks a report has in full, and in which order, at every degree of detail.
func TestDetail(t *testing.T) {
	t.Parallel()
	zero := 0.0
	task := func(name string, attempted bool, status grade.ObjectiveStatus) grade.TaskReport {
		return grade.TaskReport{Name: name, Attempted: attempted, Objectives: []grade.ObjectiveReport{
			{Name: "o", Title: "objective of " + name, Status: status, Points: &zero, Max: 1},
		}}
	}
	const (
		met, missed = grade.Met, grade.Missed
		note        = "--all-tasks"
	)
	begun := []grade.TaskReport{task("a", false, met), task("b", true, met), task("c", false, missed), task("d", true, missed), task("e", false, missed)}
	done := []grade.TaskReport{task("a", false, met), task("b", true, met)}
	for _, tt := range []struct {
		name     string
		tasks    []grade.TaskReport
		selected []string
		detail   Detail
		want     string // tasks in their order; + with its objectives
		note     bool
	}{
		{"everything", begun, nil, AllTasks, "a+ b+ c+ d+ e+", false},
		{"begun and open", begun, nil, BegunTasks, "a b+ c+ d+ e", true},
		{"the open one", begun, nil, OpenTask, "c+ a b d e", true},
		{"all is done", done, nil, OpenTask, "a b", true},
		{"all is done, begun", done, nil, BegunTasks, "a b+", true},
		{"what was asked for", begun[4:], []string{"e"}, BegunTasks, "e+", false},
		{"the only one, done", done[1:], []string{"b"}, OpenTask, "b+", false},
	} {
		var out bytes.Buffer
		if err := Text(&out, &grade.Report{Tasks: tt.tasks, Selected: tt.selected}, Style{Width: 100, Detail: tt.detail}); err != nil {
			t.Fatal(err)
		}
		var got []string
		for line := range strings.Lines(out.String()) {
			if m := regexp.MustCompile(`^ *\d  (\w)\b`).FindStringSubmatch(line); m != nil {
				got = append(got, m[1])
			}
			if strings.Contains(line, "objective of") {
				got[len(got)-1] += "+"
			}
		}
		if strings.Join(got, " ") != tt.want || strings.Contains(out.String(), note) != tt.note {
			t.Errorf("%s: got %s, want %s and %s %v:\n%s", tt.name, got, tt.want, note, tt.note, out.String())
		}
	}
}

// TestWordsAreExplainedOnce shows that a report says what its verdicts mean, each where it first has it.
func TestWordsAreExplainedOnce(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if err := Text(&out, sampleReport(), Style{Width: 200}); err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{"denied", "dropped", dnsFailure} {
		meaning := fmt.Sprintf("%s: %s", word, meaningOf(word))
		if n := strings.Count(out.String(), meaning); n != 1 {
			t.Errorf("%q is in the report %d times:\n%s", meaning, n, out.String())
		}
	}
}

// TestRepresentativesAreNoNames shows that pods which stand for others like them have no made-up names in a report.
func TestRepresentativesAreNoNames(t *testing.T) {
	t.Parallel()
	c := grade.Check{From: "shop/any-pod-8", To: "shop/api:80", Why: &grade.Why{Text: []string{
		"any-namespace-2/any-pod-11 has no label app", "shop/api has app=api",
	}}}
	x := reasonOf(&grade.Report{}, "t", "o", &c)
	if got, want := x.Asked[0].subject(), "some other pod in shop → shop/api:80"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := []string{"some pod in some other namespace has no label app", "shop/api has app=api"}; !slices.Equal(x.Why, want) {
		t.Errorf("got %q, want %q", x.Why, want)
	}
	if c.Why.Text[0] != "any-namespace-2/any-pod-11 has no label app" {
		t.Error("the report itself changed")
	}
}
