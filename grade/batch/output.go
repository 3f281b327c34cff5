package batch

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/report"
	"github.com/labctl/labctl/labs"
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

// outputs writes the files of the run from the journal, which it goes through once, in the order of the
// students' IDs. A handful of results are in memory at a time.
func (r *run) outputs(ctx context.Context) (*Summary, error) {
	count := newCount(&r.cfg)
	files, err := r.newClassFiles(ctx)
	if err != nil {
		return nil, err
	}
	err = r.replace(resultsFile, func(results io.Writer) error {
		lines := json.NewEncoder(results)
		lines.SetEscapeHTML(false)
		return r.replace(gradesFile, func(grades io.Writer) error {
			table, err := newGrades(grades, r.cfg.Grader.Lab())
			if err != nil {
				return err
			}
			err = files.write(ctx, func(st *studentResult) error {
				count.add(st)
				r.progress.Written += len(st.attempts)
				r.say(nil)
				return errors.Join(lines.Encode(&st.result), table.add(&st.result))
			})
			return errors.Join(err, table.close())
		})
	})
	if err != nil {
		return nil, err
	}
	s := count.summary()
	if err := files.page(s); err != nil {
		return nil, err
	}
	return s, r.replace(summaryFile, func(w io.Writer) error { return writeJSON(w, s) })
}

// writeFile writes a file of the output directory. One that a crash left half written has no record in the
// journal, and is written anew by the next run.
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

// remove removes a file that an earlier run may have written: what is graded otherwise now must not lie about.
func (r *run) remove(name string) error {
	err := os.Remove(filepath.Join(r.cfg.Out, filepath.FromSlash(name)))
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) &&
		!errors.Is(err, syscall.ENAMETOOLONG) && !errors.Is(err, syscall.ENOTEMPTY) {
		return fmt.Errorf("remove a former result: %w", err)
	}
	return nil
}

// writeJSON writes a value for people to read, too.
func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// studentResult is a student's result: the one that counts, and all there are.
type studentResult struct {
	entry    int // the first attempt's
	result   Result
	attempts []*record
}

// fail takes the student's result for one in error, since its files cannot be written.
func (st *studentResult) fail(err error) {
	st.result = unwritten(&st.result, err)
	rec := *st.attempts[len(st.attempts)-1]
	rec.Result = st.result
	st.attempts[len(st.attempts)-1] = &rec
}

// each calls fn with every student's result, in order.
func (r *run) each(fn func(*studentResult) error) error {
	for first := 0; first < len(r.entries); {
		next := first
		var results []Result
		st := studentResult{entry: first}
		for ; next < len(r.entries) && r.entries[next].ID == r.entries[first].ID; next++ {
			rec, err := r.journal.get(next)
			if err != nil {
				return err
			}
			// Who the student is may have been corrected since the result came in.
			rec.Result.Name, rec.Result.Email = r.entries[next].Name, r.entries[next].Email
			if rec.Result.Report == "" {
				if err := r.removeReport(DirOf(&r.entries[next])); err != nil {
					return err
				}
			}
			results = append(results, rec.Result)
			st.attempts = append(st.attempts, rec)
		}
		st.result = pickAttempt(r.cfg.Attempts, r.entries[first:next], results)
		if err := r.promoteAttempt(&st.result); err != nil {
			return err
		}
		if err := fn(&st); err != nil {
			return err
		}
		first = next
	}
	return nil
}

// grades is the table for gradebooks, a line a student. No grade is an empty field: whoever imports it must not read 0.
type grades struct {
	out *csv.Writer
	lab *labs.Lab
}

// byteOrderMark tells Excel that a file is UTF-8.
const byteOrderMark = "\uFEFF"

func newGrades(w io.Writer, lab *labs.Lab) (*grades, error) {
	if _, err := io.WriteString(w, byteOrderMark); err != nil {
		return nil, err
	}
	head := []string{"student_id", "name", "email", "status", "points", "max", "percent", "passed", "raw_points",
		"late", "attempt"}
	for i := range lab.Tasks {
		head = append(head, lab.Tasks[i].Name)
	}
	t := &grades{csv.NewWriter(w), lab}
	return t, t.out.Write(append(head, "message"))
}

func (t *grades) close() error {
	t.out.Flush()
	return t.out.Error()
}

func (t *grades) add(res *Result) error {
	row := []string{report.Cell(res.ID), report.Cell(res.Name), report.Cell(res.Email), string(res.Status), "", "",
		"", "", "", "", ""}
	if res.Score != nil {
		row[4], row[5] = report.Decimal(res.Score.Points), report.Decimal(res.Score.Max)
		row[6], row[7] = report.Decimal(res.Score.Percent), strconv.FormatBool(res.Score.Passed)
		row[8] = row[4]
	}
	if res.Late != nil && res.Raw != nil {
		row[8], row[9] = report.Decimal(res.Raw.Points), res.Late.Reason
	}
	if res.Attempt > 0 {
		row[10] = strconv.Itoa(res.Attempt)
	}
	points := map[string]string{}
	for i := range res.Tasks {
		points[res.Tasks[i].Name] = report.Decimal(res.Tasks[i].Points)
	}
	for i := range t.lab.Tasks {
		cell := points[t.lab.Tasks[i].Name]
		if res.Status == grade.Errored {
			cell = ""
		}
		row = append(row, cell)
	}
	message, _, _ := strings.Cut(res.Message, "\n")
	return t.out.Write(append(row, report.Cell(message)))
}

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
