package intake

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/labctl/labctl/grade/submission"
)

// Platform says whose download the submissions are, which decides what their names mean.
type Platform string

const (
	AnyPlatform Platform = ""      // found out from the names, for each folder or archive
	Plain       Platform = "plain" // names are the students' IDs
	Canvas      Platform = "canvas"
	Moodle      Platform = "moodle"
	// MoodleTeams is Moodle's download of an assignment that groups submit: its numbers are the groups'.
	MoodleTeams Platform = "moodle-teams"
	Gradescope  Platform = "gradescope"
)

// Platforms are those that have a name.
var Platforms = []Platform{Plain, Canvas, Moodle, MoodleTeams, Gradescope}

// title is the platform's name in messages.
func (p Platform) title() string {
	switch p {
	case Canvas:
		return "Canvas"
	case Moodle, MoodleTeams:
		return "Moodle"
	case Gradescope:
		return "Gradescope"
	}
	return string(p)
}

// member is what a name in a platform's download says.
type member struct {
	id, student string
	late        bool
	file        string // as the student called it; "": the member is a folder
	typed       bool   // text that was typed into the platform, as HTML
	name        string // of the member
	problem     string // why it cannot be graded
}

// isJunk reports whether a name is of what file managers leave behind.
func isJunk(name string) bool { return submission.Junk(name) }

// members are the names in a folder, as one platform means them.
type members struct {
	all    []member
	odd    []fs.DirEntry // folders, archives and manifests whose names are none of the platform's
	others []string      // other files
}

// students are the names of students by number.
func (m *members) students() map[string][]string {
	students := map[string][]string{}
	for _, one := range m.all {
		if !slices.Contains(students[one.id], one.student) {
			students[one.id] = append(students[one.id], one.student)
		}
	}
	return students
}

// markAmbiguous marks numbers that cannot be right: in no download has one number several names of students.
func (m *members) markAmbiguous() {
	students := m.students()
	for i := range m.all {
		if one := &m.all[i]; len(students[one.id]) > 1 {
			one.problem = fmt.Sprintf("the number %s belongs to several names, so labctl cannot tell whose it is: %s",
				one.id, strings.Join(students[one.id], ", "))
		}
	}
}

// most reports whether most names are the platform's. A folder could be a teacher's own, with names that look
// like it by chance: that is so if one number is that of all of several files.
func (m *members) most() bool {
	good := 0
	for _, one := range m.all {
		if one.problem == "" {
			good++
		}
	}
	return good > len(m.odd)+len(m.all)-good && (len(m.students()) > 1 || len(m.all) == 1)
}

// classify sorts the entries of a folder into members and others.
func classify(entries []fs.DirEntry, parse func([]fs.DirEntry) map[string]member) *members {
	m := &members{}
	entries = slices.DeleteFunc(slices.Clone(entries), func(e fs.DirEntry) bool { return isJunk(e.Name()) })
	known := parse(entries)
	for _, e := range entries {
		one, ok := known[e.Name()]
		switch {
		case ok:
			if e.Type()&fs.ModeSymlink != 0 {
				one.problem = linkProblem
			}
			m.all = append(m.all, one)
		case e.IsDir() || isSubmission(e.Name()) || e.Type()&fs.ModeSymlink != 0:
			m.odd = append(m.odd, e)
		default:
			m.others = append(m.others, e.Name())
		}
	}
	m.markAmbiguous()
	return m
}

// download adds the submissions of a platform's download, and says whether the folder is one.
func (f *Found) download(at folder, entries []fs.DirEntry) (bool, error) {
	if f.from == AnyPlatform || f.from == Gradescope {
		if slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return e.Name() == gradescopeFile }) {
			return true, f.gradescope(at, entries)
		}
	}
	for _, p := range []struct {
		platform Platform
		parse    func([]fs.DirEntry) map[string]member
	}{{Moodle, moodleMembers}, {Canvas, canvasMembers}} {
		said := f.from == p.platform || p.platform == Moodle && f.from == MoodleTeams
		if f.from != AnyPlatform && !said {
			continue
		}
		m := classify(entries, p.parse)
		if len(m.all) > 0 && (said || m.most()) {
			f.group(at, p.platform, m)
			return true, nil
		}
		if said {
			return true, fmt.Errorf("look for submissions: %s is not a %s export: no name in it is that of a "+
				"submission", at.shown(""), p.platform.title())
		}
		if len(m.all) > 1 {
			f.note("%s: %d of %d names look like those of a %s export, but not most of them, so labctl takes the "+
				"names for student IDs; to read it as an export, add --from %s",
				submission.Printable(at.shown("")), len(m.all), len(m.all)+len(m.odd), p.platform.title(), p.platform)
		}
	}
	if f.from == Gradescope {
		return true, fmt.Errorf("look for submissions: %s is not a Gradescope export: it has no %s", at.shown(""),
			gradescopeFile)
	}
	return false, nil
}

// group makes one submission of what belongs to one student. What has no name of the platform's is an error of its own.
func (f *Found) group(at folder, from Platform, m *members) {
	if from == Moodle && (f.from == MoodleTeams || f.from == AnyPlatform && teams(m)) {
		from = MoodleTeams
		if f.from == AnyPlatform {
			f.note("%s looks like a Moodle export of a team assignment: its numbers belong to groups, so "+
				"moodle.csv names no participants; add --from moodle-teams if that is so, or --from moodle if they "+
				"belong to students",
				submission.Printable(at.shown("")))
		}
	}
	byID := map[string][]member{}
	for _, one := range m.all {
		id := one.id
		if id == "" {
			id = one.student
			if f.from != MoodleTeams {
				one.problem = cmp.Or(one.problem, "its name has no number; in a team assignment, Moodle names "+
					"submissions of students without a group like this: --from moodle-teams grades it as one "+
					"submission")
			}
		}
		byID[id] = append(byID[id], one)
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		e := f.ofStudent(at, from, byID[id])
		e.ID = printableID(id)
		e.Problem = cmp.Or(badID(id), e.Problem)
		f.Entries = append(f.Entries, e)
	}
	for _, e := range m.odd {
		odd := at.entry(e.Name())
		odd.ID = printableID(idOf(e.Name()))
		odd.Problem = fmt.Sprintf("%s is not the name of a submission in a %s export: move it, rename it, or add "+
			"it to a list", submission.Printable(e.Name()), from.title())
		f.Entries = append(f.Entries, odd)
	}
	for _, name := range m.others {
		f.Ignored = append(f.Ignored, at.shown(name))
	}
}

// ofStudent is the entry of what one student handed in.
func (f *Found) ofStudent(at folder, from Platform, own []member) Entry {
	e := at.entry(own[0].name)
	e.Name, e.MarkedLate, e.Platform = own[0].student, own[0].late, from
	in := at.source
	if in == nil {
		in = os.DirFS(at.dir)
	}
	e.within = ""
	var folders []string
	for _, one := range own {
		where := at.entry(one.name).within
		e.Problem = cmp.Or(e.Problem, one.problem)
		switch {
		case one.typed && one.file == "": // Moodle's folder with a page in it
			e.typed = &typedPage{in, path.Join(where, typedFile)}
		case one.typed:
			e.typed = &typedPage{in, where}
		case one.file == "":
			folders = append(folders, one.name)
			e.within = where
		default:
			e.source, e.parts = in, append(e.parts, part{name: one.file, path: where})
		}
	}
	if len(folders) > 1 {
		e.Problem = cmp.Or(e.Problem, fmt.Sprintf("the %s export has several folders for one student: %s and %s",
			from.title(), folders[0], folders[1]))
	}
	if len(folders) == 1 {
		e.Path = at.shown(folders[0])
	}
	return e
}

// typedPage is a page of HTML with what a student typed into a platform.
type typedPage struct {
	source fs.FS
	path   string
}

// Text that was typed: what Moodle calls the file, and what it is called for grading.
const (
	typedFile = "onlinetext.html"
	typedName = "typed.yaml"
)
