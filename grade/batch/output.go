package batch

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
)

// The files of an output directory.
const (
	studentsDir = "students"
	attemptsDir = "attempts" // of a student who has several
	resultsFile = "results.jsonl"
	gradesFile  = "grades.csv"
	summaryFile = "summary.json"
	reportFile  = "report.json"
	textFile    = "report.txt"
)

// Summary is what a run came to: summary.json. Lists are never null.
type Summary struct {
	FormatVersion int               `json:"format_version"`
	Lab           grade.LabReport   `json:"lab"`
	Engine        string            `json:"engine"`
	Submissions   int               `json:"submissions"` // one a student
	Attempts      int               `json:"attempts"`    // all of them
	Distinct      int               `json:"distinct"`    // contents of those that count
	Passed        int               `json:"passed"`
	Failed        int               `json:"failed"`
	Refused       int               `json:"refused"`
	Errors        int               `json:"errors"`       // students without a grade
	Late          int               `json:"late"`         // that cost something
	MeanPercent   float64           `json:"mean_percent"` // of those that have a score
	Objectives    []ObjectiveCount  `json:"objectives"`
	Mistakes      []MistakeCount    `json:"mistakes"` // most frequent first
	Failures      []SubmissionError `json:"failures"` // every error, by student and attempt
}

// ObjectiveCount says how many met an objective.
type ObjectiveCount struct {
	Task      string `json:"task"`
	Objective string `json:"objective"`
	Met       int    `json:"met"`
	Of        int    `json:"of"` // submissions that were graded and are told of it
}

// MistakeCount says how many submissions hold a mistake.
type MistakeCount struct {
	ID          string `json:"id"`
	Submissions int    `json:"submissions"`
}

// SubmissionError is a submission that has no grade.
type SubmissionError struct {
	ID      string `json:"id"`
	Attempt int    `json:"attempt,omitempty"`
	Message string `json:"message"`
}

// studentDir is where a student's files are, relative to the output directory. An ID may hold anything.
func studentDir(id string) string {
	name := url.PathEscape(id)
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	return path.Join(studentsDir, name)
}

// dir is where the files of an entry are: of an only one, the student's; of one of several attempts, a folder there.
func (e *Entry) dir() string {
	if e.Attempt == 0 {
		return studentDir(e.ID)
	}
	return path.Join(studentDir(e.ID), attemptsDir, strconv.Itoa(e.Attempt))
}

// writeReport writes the files of an entry to its folder, and returns the report's name.
func (r *run) writeReport(dir string, rep *grade.Report, late *Lateness) (string, error) {
	data, err := rep.JSON()
	if err != nil {
		return "", err
	}
	var text bytes.Buffer
	if err := report.Text(&text, rep, report.Style{Width: 100}); err != nil {
		return "", err
	}
	if late != nil {
		fmt.Fprintf(&text, "\nLate: %s.\n", late.Reason)
	}
	name := path.Join(dir, reportFile)
	err = errors.Join(
		r.writeFile(name, data),
		r.writeFile(path.Join(dir, textFile), text.Bytes()),
	)
	return name, err
}

// copyReport gives the folder of an entry the report of another one.
func (r *run) copyReport(dir, from string) (string, error) {
	for _, name := range []string{textFile, reportFile} {
		data, err := os.ReadFile(filepath.Join(r.cfg.Out, filepath.FromSlash(path.Join(path.Dir(from), name))))
		if err != nil {
			return "", fmt.Errorf("copy a report: %w", err)
		}
		if err := r.writeFile(path.Join(dir, name), data); err != nil {
			return "", err
		}
	}
	return path.Join(dir, reportFile), nil
}

// writeFile writes a file of the output directory. One that a crash left half written has no record in the journal, and is
// written anew by the next run.
func (r *run) writeFile(name string, data []byte) error {
	full := filepath.Join(r.cfg.Out, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	if err := os.WriteFile(full, data, 0o644); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}

// outputs writes the files of the run from the journal, in the order of the students' IDs. One result is in memory at a time.
func (r *run) outputs(ctx context.Context) (*Summary, error) {
	lab := r.cfg.Grader.Lab()
	s := &Summary{
		FormatVersion: FormatVersion, Lab: grade.LabReport{Name: lab.Name, Title: lab.Title, Digest: lab.Digest},
		Engine: r.cfg.Engine.Name(), Objectives: []ObjectiveCount{}, Mistakes: []MistakeCount{}, Failures: []SubmissionError{},
	}
	objectives := map[string]int{} // "task/objective" → index
	for i := range lab.Tasks {
		for _, o := range lab.Tasks[i].Objectives {
			objectives[lab.Tasks[i].Name+"/"+o.Name] = len(s.Objectives)
			s.Objectives = append(s.Objectives, ObjectiveCount{Task: lab.Tasks[i].Name, Objective: o.Name})
		}
	}
	mistakes := map[string]int{}
	distinct := map[key]struct{}{}
	percents, scored := 0.0, 0
	err := r.replace(resultsFile, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return r.each(func(entry int, res *Result) error {
			s.Attempts++
			if res.Status == Errored {
				s.Failures = append(s.Failures, SubmissionError{res.ID, res.Attempt, res.Message})
			}
			return nil
		}, func(res *Result) error {
			s.Submissions++
			if res.Late != nil {
				s.Late++
			}
			if err := r.standing(res); err != nil {
				return err
			}
			switch res.Status {
			case Passed:
				s.Passed++
			case Failed:
				s.Failed++
			case Refused:
				s.Refused++
			default:
				s.Errors++
			}
			var content key
			if content.UnmarshalText([]byte(res.Digest)) == nil {
				distinct[content] = struct{}{}
			}
			if res.Score != nil {
				percents += res.Score.Percent
				scored++
			}
			for i := range res.Tasks {
				for _, o := range res.Tasks[i].Objectives {
					at, ok := objectives[res.Tasks[i].Name+"/"+o.Name]
					if !ok || o.Status == grade.Hidden || res.Score == nil {
						continue
					}
					s.Objectives[at].Of++
					if o.Status == grade.Met {
						s.Objectives[at].Met++
					}
				}
			}
			held := slices.Clone(res.Mistakes)
			slices.Sort(held)
			for _, id := range slices.Compact(held) {
				mistakes[id]++
			}
			return enc.Encode(res)
		})
	})
	if err != nil {
		return nil, err
	}
	s.Distinct = len(distinct)
	if scored > 0 {
		s.MeanPercent = float64(int64(percents/float64(scored)*100)) / 100
	}
	for _, id := range slices.Sorted(maps.Keys(mistakes)) {
		s.Mistakes = append(s.Mistakes, MistakeCount{id, mistakes[id]})
	}
	slices.SortStableFunc(s.Mistakes, func(a, b MistakeCount) int { return cmp.Compare(b.Submissions, a.Submissions) })
	if err := r.replace(gradesFile, func(w io.Writer) error { return r.grades(w) }); err != nil {
		return nil, err
	}
	if err := r.views(s).write(ctx); err != nil {
		return nil, err
	}
	return s, r.replace(summaryFile, func(w io.Writer) error {
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		enc.SetIndent("", "  ")
		return enc.Encode(s)
	})
}

// each hands on the result of every student, one by one, and before it those of all attempts to every unless it is nil.
func (r *run) each(every func(entry int, res *Result) error, fn func(*Result) error) error {
	for first := 0; first < len(r.entries); {
		next := first
		var results []Result
		for ; next < len(r.entries) && r.entries[next].ID == r.entries[first].ID; next++ {
			rec, err := r.journal.get(next)
			if err != nil {
				return err
			}
			// Who the student is may have been mended since the result came in.
			rec.Result.Name, rec.Result.Email = r.entries[next].Name, r.entries[next].Email
			if every != nil {
				if err := every(next, &rec.Result); err != nil {
					return err
				}
			}
			results = append(results, rec.Result)
		}
		res := choose(r.cfg.Attempts, r.entries[first:next], results)
		if err := fn(&res); err != nil {
			return err
		}
		first = next
	}
	return nil
}

// standing puts the files of the attempt that counts into the student's folder, where those of an only one are.
func (r *run) standing(res *Result) error {
	if len(res.Attempts) == 0 || res.Report == "" {
		return nil
	}
	var err error
	res.Report, err = r.copyReport(studentDir(res.ID), res.Report)
	return err
}

// grades writes a line a student. No grade is an empty field: whoever imports it must not read 0.
func (r *run) grades(w io.Writer) error {
	out := csv.NewWriter(w)
	head := []string{"student_id", "name", "email", "status", "points", "max", "percent", "passed", "raw_points", "late", "attempt"}
	lab := r.cfg.Grader.Lab()
	for i := range lab.Tasks {
		head = append(head, lab.Tasks[i].Name)
	}
	if err := out.Write(append(head, "message")); err != nil {
		return err
	}
	err := r.each(nil, func(res *Result) error {
		row := []string{plain(res.ID), plain(res.Name), plain(res.Email), string(res.Status), "", "", "", "", "", "", ""}
		if res.Score != nil {
			row[4], row[5] = number(res.Score.Points), number(res.Score.Max)
			row[6], row[7] = number(res.Score.Percent), strconv.FormatBool(res.Score.Passed)
			row[8] = row[4]
		}
		if res.Late != nil && res.Raw != nil {
			row[8], row[9] = number(res.Raw.Points), res.Late.Reason
		}
		if res.Attempt > 0 {
			row[10] = strconv.Itoa(res.Attempt)
		}
		points := map[string]string{}
		for _, t := range res.Tasks {
			points[t.Name] = number(t.Points)
		}
		for i := range lab.Tasks {
			cell := points[lab.Tasks[i].Name]
			if res.Status == Errored {
				cell = ""
			}
			row = append(row, cell)
		}
		message, _, _ := strings.Cut(res.Message, "\n")
		return out.Write(append(row, plain(message)))
	})
	out.Flush()
	return errors.Join(err, out.Error())
}

// plain keeps a spreadsheet from reading text as a formula: https://owasp.org/www-community/attacks/CSV_Injection.
func plain(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

// replace writes a file of the output directory as a whole: a reader or a crash sees the old or the new one.
func (r *run) replace(name string, write func(io.Writer) error) (err error) {
	full := filepath.Join(r.cfg.Out, name)
	// Nobody else writes here, and what a killed process has left is written over.
	f, err := os.Create(filepath.Join(r.cfg.Out, "."+name+".new"))
	if err != nil {
		return fmt.Errorf("write %s: %w", full, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", full, err)
		}
	}()
	w := bufio.NewWriter(f)
	if err = write(w); err != nil {
		return err
	}
	if err = w.Flush(); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), full)
}
