package batch

import (
	"cmp"
	"fmt"
	"io"
	"io/fs"
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

// gradescope reads an export ("Export Submissions"): the active submission of each student or group, in a folder each. Every
// member of a group gets the group's.
func (f *Found) gradescope(at folder, entries []fs.DirEntry) error {
	file, err := at.open(gradescopeFile)
	if err != nil {
		return fmt.Errorf("read a Gradescope export: %w", err)
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
		return fmt.Errorf("read a Gradescope export: %s: %w", at.shown(gradescopeFile), err)
	}
	there := map[string]bool{}
	for _, e := range entries {
		name := e.Name()
		if junk(name) || name == gradescopeFile {
			continue
		}
		about := known[name]
		if about == nil {
			unknown := at.entry(name)
			unknown.ID, unknown.Problem = name, "nobody's: it is not in "+gradescopeFile
			f.Entries = append(f.Entries, unknown)
			continue
		}
		there[name] = true
		submitted, err := rubyTime(&about.CreatedAt)
		if err != nil {
			return fmt.Errorf("read a Gradescope export: %s: %w", at.shown(gradescopeFile), err)
		}
		if len(about.Submitters) == 0 {
			nobody := at.entry(name)
			nobody.ID, nobody.Problem = name, "nobody's: it has no submitters in "+gradescopeFile
			f.Entries = append(f.Entries, nobody)
		}
		for _, s := range about.Submitters {
			own := at.entry(name)
			own.ID, own.Name, own.Email, own.SubmittedAt = cmp.Or(s.SID, s.Email, name), s.Name, s.Email, submitted
			own.Problem = badID(own.ID)
			f.Entries = append(f.Entries, own)
		}
	}
	var missing []string
	for name := range known {
		if !there[name] {
			missing = append(missing, name)
		}
	}
	slices.Sort(missing)
	for _, name := range missing {
		for _, s := range known[name].Submitters {
			own := at.entry(name)
			own.ID, own.Name, own.Email = cmp.Or(s.SID, s.Email, name), s.Name, s.Email
			own.Problem = cmp.Or(badID(own.ID), fmt.Sprintf("the export has no %s, which %s names", name, gradescopeFile))
			f.Entries = append(f.Entries, own)
		}
	}
	return nil
}

// rubyTime reads a time as Ruby writes it into YAML, which is not quite what YAML 1.2 calls one.
func rubyTime(node *yaml.Node) (time.Time, error) {
	if node.Value == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{"2006-01-02 15:04:05.999999999 Z07:00", "2006-01-02 15:04:05.999999999 -0700", "2006-01-02 15:04:05.999999999 MST", time.RFC3339Nano} {
		if t, err := time.Parse(layout, node.Value); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("line %d: %q is no time", node.Line, node.Value)
}
