package batch

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"unicode/utf8"

	"github.com/labctl/labctl/grade"
	"github.com/labctl/labctl/grade/batch/intake"
	"github.com/labctl/labctl/grade/report"
)

// longestFolder is how long the name of a student's folder may be: file systems allow 255 bytes, eCryptfs 143.
const longestFolder = 140

// studentDir is where a student's files are, relative to the output directory. An ID may hold anything, and
// no two have the same folder, also where the file system takes "Ada" and "ada" for the same name. So an ID
// with capital letters, or one that is too long when it is escaped, gets a comma and a digest behind it; no
// escaped ID has a comma.
func studentDir(id string) string {
	name := url.PathEscape(id)
	if strings.HasPrefix(name, ".") {
		name = "%2E" + name[1:]
	}
	if len(name) > longestFolder || hasCapitals(id) {
		digest := sha256.Sum256([]byte(id))
		end := "," + hex.EncodeToString(digest[:8])
		name = cutEscaped(name, longestFolder-len(end)) + end
	}
	return path.Join(studentsDir, name)
}

func hasCapitals(s string) bool {
	return strings.ContainsFunc(s, func(r rune) bool { return 'A' <= r && r <= 'Z' })
}

// cutEscaped shortens an escaped text without cutting an escape, or a character, in two.
func cutEscaped(name string, most int) string {
	if len(name) <= most {
		return name
	}
	for most > 0 {
		if text, err := url.PathUnescape(name[:most]); err == nil && utf8.ValidString(text) {
			break
		}
		most--
	}
	return name[:most]
}

// DirOf is where the files of an entry are in an output directory, with slashes: the student's folder, or a
// folder in it for one of several attempts.
func DirOf(e *intake.Entry) string {
	if e.Attempt == 0 {
		return studentDir(e.ID)
	}
	return path.Join(studentDir(e.ID), attemptsDir, strconv.Itoa(e.Attempt))
}

// writeReport writes the files of an entry to its folder, and returns the report's name.
func (r *run) writeReport(dir string, rep *grade.Report, late *LatePenalty) (string, error) {
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

// ownFault says whether a file of a student cannot be written for a reason that lies in the file's name or
// folder, while others can be: that is an error of this student's result, and not of the run.
func (r *run) ownFault(err error) bool {
	reasons := []error{
		syscall.ENAMETOOLONG, syscall.ENOTDIR, syscall.EISDIR, syscall.EINVAL, syscall.EILSEQ, syscall.ELOOP,
		fs.ErrPermission,
	}
	if !slices.ContainsFunc(reasons, func(reason error) bool { return errors.Is(err, reason) }) {
		return false
	}
	folder := filepath.Join(r.cfg.Out, studentsDir)
	if os.MkdirAll(folder, 0o755) != nil {
		return false
	}
	trial, err := os.CreateTemp(folder, ".trial-*")
	if err != nil {
		return false
	}
	_, err = trial.WriteString("a file of another student can be written\n")
	return errors.Join(err, trial.Close(), os.Remove(trial.Name())) == nil
}

// unwritten is the result of a student whose files cannot be written.
func unwritten(of *Result, err error) Result {
	res := failure("the files of this student cannot be written: " + err.Error())
	res.ID, res.Name, res.Email, res.Attempt, res.Platform = of.ID, of.Name, of.Email, of.Attempt, of.Platform
	return res
}

// removeReport removes the files that writeReport writes.
func (r *run) removeReport(dir string) error {
	if r.cfg.NoReports { // there never were any: with them it is another run
		return nil
	}
	return errors.Join(r.remove(path.Join(dir, reportFile)), r.remove(path.Join(dir, textFile)))
}

// promoteAttempt puts the files of the attempt that counts into the student's folder, where those of an only one are.
func (r *run) promoteAttempt(res *Result) error {
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

// rendering says which files of formats a run writes.
type rendering struct {
	assignment report.Assignment
	formats    []*report.Format
	others     []*report.Format // not asked for: files that a former run wrote are removed
	reports    bool             // a file of the class shows what reports say
}

// feedbackFormat is the one that every student gets.
const feedbackFormat = "html"

func (c *Config) rendering() rendering {
	x := rendering{
		assignment: report.Assignment{Lab: c.Grader.Lab(), Name: c.Assignment, Tasks: c.Options.Tasks},
		formats:    slices.Clone(c.Formats),
	}
	for _, f := range report.Formats() {
		switch {
		case slices.ContainsFunc(x.formats, func(asked *report.Format) bool { return asked.Name == f.Name }):
		case f.Name == feedbackFormat:
			x.formats = append(x.formats, &f)
		default:
			x.others = append(x.others, &f)
		}
	}
	x.reports = slices.ContainsFunc(x.formats, func(f *report.Format) bool { return f.Detail })
	return x
}

// renderGraded writes a student's files of the formats while the report is in memory. Whatever it leaves out, outputs
// writes from report.json: for the attempts of a student, of which one counts that is not known yet, for equal
// submissions, and where the files cannot be written now.
func (r *run) renderGraded(done *workerResult) error {
	if r.cfg.JournalOnly || r.entries[done.entry].Attempt != 0 || done.rep == nil && done.rec.Result.Report != "" {
		return nil
	}
	o := done.rec.Result.ForFormats(done.rep)
	err := r.render(&o)
	if err != nil && r.ownFault(err) {
		return nil
	}
	r.rendered[done.entry] = err == nil
	return err
}

// render writes a student's files of the formats, and removes those that a former run wrote for others. It
// depends on the result alone, so that it makes no difference where the report comes from.
func (r *run) render(o *report.Result) error {
	if o.Report != nil {
		r.titles.add(o.Report.Findings)
	}
	if r.cfg.NoReports {
		return nil
	}
	dir := studentDir(o.ID)
	for _, f := range r.rendering.formats {
		if f.File == "" {
			continue
		}
		var text bytes.Buffer
		if err := f.WriteOne(&text, &r.rendering.assignment, o); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if err := r.writeFile(path.Join(dir, f.File), text.Bytes()); err != nil {
			return err
		}
	}
	for _, f := range r.rendering.others {
		if f.File == "" {
			continue
		}
		if err := r.remove(path.Join(dir, f.File)); err != nil {
			return err
		}
	}
	return nil
}

// readReport reads a report that was written before.
func (r *run) readReport(name string) (*grade.Report, error) {
	data, err := os.ReadFile(filepath.Join(r.cfg.Out, filepath.FromSlash(name)))
	if err != nil {
		return nil, err
	}
	rep := new(grade.Report)
	if err := json.Unmarshal(data, rep); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return rep, nil
}

// titles are those of findings, by ID.
type titles struct {
	mu sync.Mutex
	by map[string]string
}

func (t *titles) add(findings []grade.Finding) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.by == nil {
		t.by = map[string]string{}
	}
	for i := range findings {
		t.by[findings[i].ID] = findings[i].Title
	}
}
