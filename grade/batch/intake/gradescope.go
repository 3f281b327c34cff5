package intake

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// gradescopeFile stands in a Gradescope export beside the folders of the submissions, and says whose they are.
const gradescopeFile = "submission_metadata.yml"

// maxMetadata bounds that file: it holds the results of all earlier autograding.
const maxMetadata = 256 << 20

// gradescopeEntry is what the file says of one folder; the keys are Ruby symbols.
type gradescopeEntry struct {
	Submitters []struct {
		Name  string `yaml:":name"`
		SID   string `yaml:":sid"`
		Email string `yaml:":email"`
	} `yaml:":submitters"`
	CreatedAt yaml.Node `yaml:":created_at"`
}

// gradescope reads an export ("Export Submissions"): the active submission of each student or group, in a
// folder each. Every member of a group gets the group's.
func (f *Found) gradescope(at folder, entries []fs.DirEntry) error {
	known, err := gradescopeEntries(at)
	if err != nil {
		return err
	}
	exported := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if isJunk(name) || name == gradescopeFile {
			continue
		}
		about := known[name]
		exported[name] = about != nil
		switch {
		case about == nil:
			f.unusable(at, name, "no student: it is not listed in "+gradescopeFile)
		case e.Type()&fs.ModeSymlink != 0:
			f.unusable(at, name, linkProblem)
		case len(about.Submitters) == 0:
			f.unusable(at, name, "no student: it has no submitters in "+gradescopeFile)
		default:
			submitted, badTime := rubyTime(&about.CreatedAt)
			f.submitters(at, name, about, submitted, badTime)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if about := known[name]; about != nil && !exported[name] {
			f.submitters(at, name, about, time.Time{},
				fmt.Sprintf("the export does not contain %s, which %s lists", name, gradescopeFile))
		}
	}
	return nil
}

// gradescopeEntries reads what the export's file says of each folder.
func gradescopeEntries(at folder) (map[string]*gradescopeEntry, error) {
	file, err := at.open(gradescopeFile)
	if err != nil {
		return nil, fmt.Errorf("read a Gradescope export: %w", err)
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxMetadata+1))
	if err == nil && len(data) > maxMetadata {
		err = fmt.Errorf("it has more than %d bytes", maxMetadata)
	}
	known := map[string]*gradescopeEntry{}
	if err == nil {
		err = yaml.Unmarshal(data, &known)
	}
	if err != nil {
		return nil, fmt.Errorf("read a Gradescope export: %s: %w", at.shown(gradescopeFile), err)
	}
	return known, nil
}

// unusable adds a folder that cannot be graded under its own name.
func (f *Found) unusable(at folder, name, problem string) {
	e := at.entry(name)
	e.ID, e.Problem = name, problem
	f.Entries = append(f.Entries, e)
}

// submitters adds the submission in a folder for each of its submitters.
func (f *Found) submitters(at folder, name string, about *gradescopeEntry, submitted time.Time, problem string) {
	for i, s := range about.Submitters {
		if slices.Contains(about.Submitters[:i], s) {
			continue
		}
		e := at.entry(name)
		e.ID, e.Name, e.Email, e.SubmittedAt = cmp.Or(s.SID, s.Email, name), s.Name, s.Email, submitted
		e.Problem = cmp.Or(badID(e.ID), problem)
		f.Entries = append(f.Entries, e)
	}
}

// rubyTime reads a time as Ruby writes it into YAML, which is not quite what YAML 1.2 calls one; problem says
// that it is none, because a grade with a deadline cannot do without it.
func rubyTime(node *yaml.Node) (t time.Time, problem string) {
	if node.Value == "" {
		return time.Time{}, ""
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999999 Z07:00", "2006-01-02 15:04:05.999999999 -0700",
		"2006-01-02 15:04:05.999999999 MST", time.RFC3339Nano} {
		if t, err := time.Parse(layout, node.Value); err == nil {
			return t, ""
		}
	}
	return time.Time{}, fmt.Sprintf("line %d of %s: :created_at: %.40q is not a time", node.Line, gradescopeFile,
		node.Value)
}
