package batch

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Platform says whose download the submissions are, which decides what their names mean.
type Platform string

const (
	AnyPlatform Platform = ""      // found out from the names, for each folder or archive
	Plain       Platform = "plain" // names are the students' IDs
	Canvas      Platform = "canvas"
	Moodle      Platform = "moodle"
	Gradescope  Platform = "gradescope"
)

// Platforms are those that have a name.
var Platforms = []Platform{Plain, Canvas, Moodle, Gradescope}

// What the platforms call a submission in a download of all.
var (
	// Moodle: "Ada Lovelace_4711_assignsubmission_file_" is the folder of a student, or how a file's name begins where folders are
	// turned off; the last _ is left out of folders since Moodle 3.x. With groups, the group and a - come before the name.
	// https://github.com/moodle/moodle/blob/main/mod/assign/classes/downloader.php
	moodleName = regexp.MustCompile(`^(.+)_(\d+)_assignsubmission_([a-z]+)(?:_(.*))?$`)
	// Canvas: "lovelaceada_4711_98765_answers.zip", with "_LATE" before the numbers when it was late, "anon_x7f" in place of name and
	// number when students are anonymous, and "_text.html" in place of attachment and file for typed text.
	// https://github.com/instructure/canvas-lms/blob/master/lib/content_zipper.rb
	canvasName = regexp.MustCompile(`^(?:(.+?)_)??(LATE_)?(\d+|anon_[^_]+)_(?:(\d+)_(.+)|(text|link)\.html)$`)
)

// member is what a name in a platform's download says.
type member struct {
	id, student string
	late        bool
	file        string // as the student called it; "": the member is a folder
	typed       bool   // text that was typed into the platform, as HTML
	name        string // of the member
}

// parseMoodle takes a name apart.
func parseMoodle(name string, dir bool) (member, bool) {
	m := moodleName.FindStringSubmatch(name)
	if m == nil || dir == (m[4] != "") {
		return member{}, false
	}
	return member{id: m[2], student: m[1], file: m[4], typed: m[3] == "onlinetext", name: name}, true
}

// parseCanvas takes a name apart.
func parseCanvas(name string, dir bool) (member, bool) {
	m := canvasName.FindStringSubmatch(name)
	if m == nil || dir {
		return member{}, false
	}
	return member{id: m[3], student: m[1], late: m[2] != "", file: cmp.Or(m[5], m[6]+".html"), typed: m[6] == "text", name: name}, true
}

// junk is what file managers leave behind.
func junk(name string) bool {
	return strings.HasPrefix(name, ".") || name == "__MACOSX" || strings.EqualFold(name, "Thumbs.db") || strings.EqualFold(name, "desktop.ini")
}

// members takes the names of folders, archives and manifests apart as one platform does; false: they are not all that
// platform's. Others are files that are no submissions. Unless it is
// said whose they are, a folder could be a teacher's own, with names that look like it by chance: that is so if one number is
// that of all of several files. In no download has one number several names of students.
func members(entries []fs.DirEntry, parse func(string, bool) (member, bool), said bool) (all []member, others []string, ok bool) {
	students := map[string]string{}
	for _, e := range entries {
		if junk(e.Name()) {
			continue
		}
		m, ok := parse(e.Name(), e.IsDir())
		switch {
		case ok:
		case e.IsDir() || isSubmission(e.Name()):
			return nil, nil, false
		default:
			others = append(others, e.Name())
			continue
		}
		if other, ok := students[m.id]; ok && other != m.student {
			return nil, nil, false
		}
		students[m.id] = m.student
		all = append(all, m)
	}
	return all, others, len(all) > 0 && (said || len(students) > 1 || len(all) == 1)
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
		parse    func(string, bool) (member, bool)
	}{{Moodle, parseMoodle}, {Canvas, parseCanvas}} {
		if f.from != AnyPlatform && f.from != p.platform {
			continue
		}
		all, others, ok := members(entries, p.parse, f.from == p.platform)
		if ok {
			f.group(at, p.platform, all)
			for _, name := range others {
				f.Ignored = append(f.Ignored, at.shown(name))
			}
			return true, nil
		}
		if f.from == p.platform {
			return true, fmt.Errorf("look for submissions: %s is no download of %s: its names are others, or one student's number has several names", at, p.platform)
		}
	}
	if f.from == Gradescope {
		return true, fmt.Errorf("look for submissions: %s is no download of Gradescope: it has no %s", at, gradescopeFile)
	}
	return false, nil
}

// group makes one submission of what belongs to one student.
func (f *Found) group(at folder, from Platform, all []member) {
	byID := map[string][]member{}
	for _, m := range all {
		byID[m.id] = append(byID[m.id], m)
	}
	for _, id := range slices.Sorted(maps.Keys(byID)) {
		own := byID[id]
		// What was typed counts where no file was handed in.
		if files := slices.DeleteFunc(slices.Clone(own), func(m member) bool { return m.typed }); len(files) > 0 {
			own = files
		}
		e := at.entry(own[0].name)
		if e.source == nil {
			e.source, e.within = os.DirFS(at.dir), own[0].name
		}
		e.ID, e.Name, e.MarkedLate = id, own[0].student, own[0].late
		e.Problem = badID(id)
		switch {
		case own[0].file == "" && !own[0].typed: // Moodle's folder
			if at.source == nil {
				e.source = nil
			}
			if len(own) > 1 {
				e.Problem = fmt.Sprintf("%s has several folders for one student: %s and %s", from, own[0].name, own[1].name)
			}
		case own[0].file == "":
			e.parts = []part{{name: typedName, path: path.Join(e.within, typedFile), typed: true}}
		default:
			for _, m := range own {
				p := part{name: m.file, path: at.entry(m.name).within, typed: m.typed}
				if m.typed {
					p.name = typedName
				}
				e.parts = append(e.parts, p)
			}
		}
		f.Entries = append(f.Entries, e)
	}
}

// Text that was typed: what Moodle calls the file, and what it is called for grading.
const (
	typedFile = "onlinetext.html"
	typedName = "typed.yaml"
)
