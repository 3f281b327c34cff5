package grade

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/labs"
)

// FormatVersion is the version of the report's JSON. It goes up when a field is removed or changes its
// meaning; new fields do not raise it.
const FormatVersion = 1

// Report is the outcome of grading one submission. Its JSON is a contract (docs/report.md and
// docs/report.schema.json): arrays are never null, nothing in it depends on the time or the machine, and
// the same lab, submission and options give the same bytes.
type Report struct {
	FormatVersion int              `json:"format_version"`
	Lab           LabReport        `json:"lab"`
	Engine        string           `json:"engine"` // Engine.Name
	Status        Status           `json:"status"`
	Score         Score            `json:"score"`
	Selected      []string         `json:"selected"` // the tasks asked for, in the lab's order; empty: all of them
	Submission    SubmissionReport `json:"submission"`
	Tasks         []TaskReport     `json:"tasks"`
	Findings      []Finding        `json:"findings"` // each mistake once, in the order they were met
	// Disagreements are connections on which two engines differ; only engine "both" has them.
	Disagreements []Disagreement `json:"disagreements,omitempty"`
	// Tampering is what the running lab has that was not deployed so; only a lab that wants it reported has it.
	Tampering []manifest.Problem `json:"tampering,omitempty"`
	// Probers say what the probes were sent with; only an engine that probes has them.
	Probers []ProberReport `json:"probers,omitempty"`

	lab     *labs.Lab
	running bool    // it tells of a running lab, where nothing is handed in
	percent float64 // not rounded
}

// Nothing says why the submission holds nothing to grade; "" if it holds something, or nothing was handed in: only some tasks were
// graded, or what is in force in a running lab.
func (r *Report) Nothing() string {
	switch {
	case r.running:
		return ""
	case len(r.Submission.Files) == 0:
		return "there is no manifest in it (*.yaml, *.yml, *.json)"
	case len(r.Selected) == 0 && !slices.ContainsFunc(r.Tasks, func(t TaskReport) bool { return t.Attempted }):
		return "its manifests are empty"
	}
	return ""
}

// LabReport says which lab was graded.
type LabReport struct {
	Name   string `json:"name"`
	Title  string `json:"title"`
	Digest string `json:"digest"`
}

// SubmissionReport says what was read. Names of files are relative to the submission.
type SubmissionReport struct {
	Layout labs.Layout `json:"layout"` // checkpoints or flat
	Digest string      `json:"digest"` // "sha256:…" over the names and contents of its files
	Files  []string    `json:"files"`
}

// Status is the outcome in one word.
type Status string

const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Errored Status = "error" // some check could not be carried out: the score is not to be relied on
)

// Score is what was earned of the whole. Points may exceed Max through bonus objectives; Percent may not
// exceed 100. Percent is rounded down to two decimals, so that what is shown never reaches a mark that
// was missed; Passed compares the exact share.
type Score struct {
	Points   float64 `json:"points"`
	Max      float64 `json:"max"`
	Percent  float64 `json:"percent"`
	Passed   bool    `json:"passed"`
	PassMark float64 `json:"pass_mark"`
}

// TaskReport is the outcome of one checkpoint.
type TaskReport struct {
	Name       string            `json:"name"`
	Title      string            `json:"title"`
	Attempted  bool              `json:"attempted"` // the submission holds something for it
	Score      TaskScore         `json:"score"`
	Hints      []HintTaken       `json:"hints_taken"`
	Objectives []ObjectiveReport `json:"objectives"`
}

// TaskScore is what a task's objectives earned, less the hints that were taken; never below 0.
type TaskScore struct {
	Points   float64 `json:"points"`
	Max      float64 `json:"max"`
	HintCost float64 `json:"hint_cost"`
}

// HintTaken is a hint the student asked for, and its price in points.
type HintTaken struct {
	Name string  `json:"name"`
	Cost float64 `json:"cost"`
}

// ObjectiveStatus is the outcome of an objective.
type ObjectiveStatus string

const (
	Met     ObjectiveStatus = "met"
	Partly  ObjectiveStatus = "partly" // some checks hold, and partial = "proportional" pays for them
	Missed  ObjectiveStatus = "missed"
	Blocked ObjectiveStatus = "blocked" // an objective that it depends on is not met
	Hidden  ObjectiveStatus = "hidden"  // counted in the score, not told
	Error   ObjectiveStatus = "error"   // a check could not be carried out: neither met nor missed
)

// ObjectiveReport is the outcome of one objective. A hidden one has no title, points or checks.
type ObjectiveReport struct {
	Name      string          `json:"name"`
	Title     string          `json:"title"`
	Points    *float64        `json:"points"` // null: hidden
	Max       float64         `json:"max"`
	Bonus     bool            `json:"bonus"`
	Status    ObjectiveStatus `json:"status"`
	BlockedBy []string        `json:"blocked_by"` // "task/objective" or "task"
	Checks    []Check         `json:"checks"`     // maybe those of other reports too: not to be changed
}

// CheckKind says which block of the lab a check comes from.
type CheckKind string

const (
	CheckExpect    CheckKind = "expect"
	CheckMatrix    CheckKind = "matrix"
	CheckInvariant CheckKind = "invariant"
	CheckObject    CheckKind = "object"
)

// Check is one thing that an objective asked, and the answer. An expect or matrix block gives one for each
// source and target.
type Check struct {
	Kind     CheckKind    `json:"kind"`
	Name     string       `json:"name,omitempty"` // of an invariant or object block
	From     string       `json:"from,omitempty"`
	To       string       `json:"to,omitempty"` // "backend:8080", "external internet:443", "dns kubernetes.io"
	Expected labs.Verdict `json:"expected,omitempty"`
	Verdict  labs.Verdict `json:"verdict,omitempty"`
	Passed   bool         `json:"passed"`
	Because  string       `json:"because,omitempty"` // the author's sentence, when it missed
	Why      *Why         `json:"why,omitempty"`     // when it missed
	Mistake  string       `json:"mistake,omitempty"` // Finding.ID
	Hint     string       `json:"hint,omitempty"`    // Finding.Hint
	Error    string       `json:"error,omitempty"`   // why it could not be carried out
}

// Why is how a verdict came about.
type Why struct {
	// Text is the account in sentences, the deciding one first.
	Text []string `json:"text"`
	// Detail is the same for programs: the rule that decided each side, and where it stands.
	Detail *policy.Result `json:"detail,omitempty"`
	// Flow is the packet that settled the verdict; only probes in a cluster have one.
	Flow *Flow `json:"flow,omitempty"`
}

// LabFile returns the lab that was graded (for views that show its texts); nil for a report read from JSON.
func (r *Report) LabFile() *labs.Lab { return r.lab }

// JSON returns the report as indented JSON with a newline at its end.
func (r *Report) JSON() ([]byte, error) { return r.encode("  ") }

// CompactJSON returns the report as JSON on one line, with a newline at its end.
func (r *Report) CompactJSON() ([]byte, error) { return r.encode("") }

func (r *Report) encode(indent string) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", indent)
	if err := enc.Encode(r); err != nil {
		return nil, fmt.Errorf("encode the report: %w", err)
	}
	return b.Bytes(), nil
}

// ExitCode is the exit code of `labctl grade` for the report: 0 passed, 1 below the pass mark, 3 some check
// could not be carried out.
func (r *Report) ExitCode() int {
	switch r.Status {
	case Passed:
		return 0
	case Failed:
		return 1
	}
	return 3
}

// Refused is the error for a submission that is not graded at all: it holds what the lab does not allow,
// or what an API server would not take. Every reason is given. `labctl grade` exits with 4.
type Refused struct {
	Problems manifest.Problems
}

func (r *Refused) Error() string { return "submission refused:\n" + r.Problems.Error() }

// Unwrap gives the problems.
func (r *Refused) Unwrap() error { return r.Problems }
