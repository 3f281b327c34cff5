package batch

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

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
	data, err := rep.CompactJSON() // for machines: what is nice to look at is beside it
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

// remove removes a file that an earlier run may have written: what is graded otherwise now must not lie about.
func (r *run) remove(name string) error {
	if err := os.Remove(filepath.Join(r.cfg.Out, filepath.FromSlash(name))); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove a former result: %w", err)
	}
	return nil
}

// removeReport removes the files that writeReport writes.
func (r *run) removeReport(dir string) error {
	if r.cfg.NoReports { // there never were any: with them it is another run
		return nil
	}
	return errors.Join(r.remove(path.Join(dir, reportFile)), r.remove(path.Join(dir, textFile)))
}

// outputs writes the files of the run from the journal, which it goes through once, in the order of the students' IDs. A handful
// of results are in memory at a time.
func (r *run) outputs(ctx context.Context) (*Summary, error) {
	count := newCount(&r.cfg)
	v, err := r.views(ctx)
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
			err = v.outcomes(ctx, func(st *standing) error {
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
	if err := v.page(s); err != nil {
		return nil, err
	}
	return s, r.replace(summaryFile, func(w io.Writer) error { return writeJSON(w, s) })
}

// writeJSON writes a value for people to read, too.
func writeJSON(w io.Writer, value any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(value)
}

// standing is how a student stands: the result that counts, and all there are.
type standing struct {
	result   Result
	attempts []*record
}

// each hands on how every student stands, one by one.
func (r *run) each(fn func(*standing) error) error {
	for first := 0; first < len(r.entries); {
		next := first
		var results []Result
		var st standing
		for ; next < len(r.entries) && r.entries[next].ID == r.entries[first].ID; next++ {
			rec, err := r.journal.get(next)
			if err != nil {
				return err
			}
			// Who the student is may have been mended since the result came in.
			rec.Result.Name, rec.Result.Email = r.entries[next].Name, r.entries[next].Email
			if rec.Result.Report == "" {
				if err := r.removeReport(r.entries[next].dir()); err != nil {
					return err
				}
			}
			results = append(results, rec.Result)
			st.attempts = append(st.attempts, rec)
		}
		st.result = choose(r.cfg.Attempts, r.entries[first:next], results)
		if err := r.stand(&st.result); err != nil {
			return err
		}
		if err := fn(&st); err != nil {
			return err
		}
		first = next
	}
	return nil
}

// stand puts the files of the attempt that counts into the student's folder, where those of an only one are.
func (r *run) stand(res *Result) error {
	if len(res.Attempts) == 0 {
		return nil
	}
	if res.Report == "" {
		return r.removeReport(studentDir(res.ID))
	}
	var err error
	res.Report, err = r.copyReport(studentDir(res.ID), res.Report)
	return err
}

// grades is the table for gradebooks, a line a student. No grade is an empty field: whoever imports it must not read 0.
type grades struct {
	out *csv.Writer
	lab *labs.Lab
}

func newGrades(w io.Writer, lab *labs.Lab) (*grades, error) {
	head := []string{"student_id", "name", "email", "status", "points", "max", "percent", "passed", "raw_points", "late", "attempt"}
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
	row := []string{report.Cell(res.ID), report.Cell(res.Name), report.Cell(res.Email), string(res.Status), "", "", "", "", "", "", ""}
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
		if res.Status == Errored {
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
