package grade

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/labctl/labctl/cilium/policy"
	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/cilium/verdict"
	"github.com/labctl/labctl/grade/engine"
	"github.com/labctl/labctl/grade/mistake"
	"github.com/labctl/labctl/grade/submission"
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
	Probers []engine.ProberReport `json:"probers,omitempty"`

	lab     *labs.Lab
	running bool    // it tells of a running lab, where nothing is handed in
	percent float64 // not rounded
}

// EmptyReason says why the submission contains nothing to grade. It is "" if there is something, if only some tasks were
// graded, or if a running lab was graded, for which nothing is submitted.
func (r *Report) EmptyReason() string {
	switch {
	case r.running:
		return ""
	case len(r.Submission.Files) == 0:
		return "it contains no manifest (*.yaml, *.yml, *.json)" + r.Submission.insteadOfManifests()
	case len(r.Selected) == 0 && !slices.ContainsFunc(r.Tasks, func(t TaskReport) bool { return t.Attempted }):
		return "its manifests are empty or still commented out"
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
	// MoreFiles is how many more there are: of very many only the first are named.
	MoreFiles int `json:"more_files,omitempty"`
	// NotRead names files beside the manifests that nothing was read from, fit to print; MoreNotRead counts those that are not named.
	NotRead     []string `json:"not_read,omitempty"`
	MoreNotRead int      `json:"more_not_read,omitempty"`
}

// Others lists the files that were not read in a few words, at most so many by name; "" if there are none.
func (s *SubmissionReport) Others(most int) string {
	names := s.NotRead[:min(most, len(s.NotRead))]
	text := strings.Join(names, ", ")
	if more := len(s.NotRead) - len(names) + s.MoreNotRead; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// insteadOfManifests says what was handed in that holds no manifests, and what to do about it.
func (s *SubmissionReport) insteadOfManifests() string {
	others := s.Others(5)
	if others == "" {
		return ""
	}
	text := "; files found: " + others
	for _, name := range s.NotRead {
		if meant := strings.TrimSuffix(name, path.Ext(name)); strings.EqualFold(path.Ext(name), ".txt") && submission.Suffix(meant) != "" {
			return text + fmt.Sprintf(" (rename %s to %s)", path.Base(name), path.Base(meant))
		}
	}
	return text
}

// Finding is something worth knowing about a submission beyond a check that missed.
type Finding = mistake.Finding

// EmptyFile is a file of the submission without an object in it.
type EmptyFile struct {
	File string `json:"file"` // relative to the submission; "" of the last one that says how many more there are
	Why  string `json:"why"`  // "every line is commented out"
}

// Status is the outcome in one word.
type Status string

const (
	Passed  Status = "passed"
	Failed  Status = "failed"
	Refused Status = "refused" // nothing was graded, because of what was submitted: 0 points
	Errored Status = "error"   // some check could not be carried out: the score is not to be relied on
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
	Name      string    `json:"name"`
	Title     string    `json:"title"`
	Attempted bool      `json:"attempted"` // the submission holds something for it
	Score     TaskScore `json:"score"`
	// EmptyFiles are those in the task's folder that nothing was read from, but for those that the lab gave out so.
	EmptyFiles []EmptyFile `json:"empty_files,omitempty"`
	Hints      []HintTaken `json:"hints_taken"`
	// HintsWithheld: the task has hints that cost points and were not taken, so its mistakes are named without theirs.
	HintsWithheld bool              `json:"hints_withheld,omitempty"`
	HintsLeft     bool              `json:"hints_left,omitempty"` // the task has hints that were not taken
	Objectives    []ObjectiveReport `json:"objectives"`
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
	Hidden  ObjectiveStatus = "hidden"  // counted in the score, not shown
	Error   ObjectiveStatus = "error"   // a check could not be run: neither met nor missed
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

// Check is one thing that an objective asked, and the answer. An expect or matrix block gives one for each
// source and target.
type Check struct {
	Kind     CheckKind       `json:"kind"`
	Name     string          `json:"name,omitempty"` // of an invariant or object block
	From     string          `json:"from,omitempty"`
	To       string          `json:"to,omitempty"` // "backend:8080", "external internet:443", "dns kubernetes.io"
	Expected verdict.Verdict `json:"expected,omitempty"`
	Verdict  verdict.Verdict `json:"verdict,omitempty"`
	Passed   bool            `json:"passed"`
	Because  string          `json:"because,omitempty"` // the author's sentence, when it missed
	Why      *Why            `json:"why,omitempty"`     // when it missed
	Mistake  string          `json:"mistake,omitempty"` // Finding.ID
	Hint     string          `json:"hint,omitempty"`    // Finding.Hint
	Error    string          `json:"error,omitempty"`   // why it could not be carried out
}

// Why is how a verdict came about.
type Why struct {
	// Text is the account in sentences, the deciding one first.
	Text []string `json:"text"`
	// Detail is the same for programs: the rule that decided each side, and where it stands.
	Detail *policy.Result `json:"detail,omitempty"`
	// Flow is the packet that settled the verdict; only probes in a cluster have one.
	Flow *engine.Flow `json:"flow,omitempty"`
}

// ExactPercent is the score in percent, at most 100, without the rounding of Score.Percent; 0 for a report read from JSON.
func (r *Report) ExactPercent() float64 { return r.percent }

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
