package intake

import (
	"cmp"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// moodleName is what Moodle calls a submission in a download of all: "Ada
// Lovelace_4711_assignsubmission_file_" is the folder of a student, or how a file's name begins where folders
// are turned off; the last _ is left out of folders since Moodle 3.x. With groups, the group and a - come
// before the name. In an assignment that teams submit it is the group's name and number, and there is no
// number for those who are in no group. Moodle makes spaces of underscores in names, so the first match is
// its own, whatever the student's file is called.
// https://github.com/moodle/moodle/blob/main/mod/assign/classes/downloader.php
var moodleName = regexp.MustCompile(`^(.+?)(?:_(\d+))?_assignsubmission_([a-z]+)(?:_(.*))?$`)

// moodleMembers takes names apart.
func moodleMembers(entries []fs.DirEntry) map[string]member {
	all := map[string]member{}
	for _, e := range entries {
		m := moodleName.FindStringSubmatch(e.Name())
		if m == nil || e.IsDir() == (m[4] != "") {
			continue
		}
		all[e.Name()] = member{id: m[2], student: m[1], file: m[4], typed: m[3] == "onlinetext", name: e.Name()}
	}
	return all
}

// teamName is how groups are called, in the languages that Moodle is used in most.
var teamName = regexp.MustCompile(`(?i)^(?:group|team|gruppe|gruppo|groupe|grupo|grup|grupa|groep|grupp|gruppen|` +
	`équipe|equipe|equipo|squadra|ryhmä|skupina|csoport|группа|команда|ομάδα|小组|第.*组|グループ|チーム|팀)` +
	`(?:[\s\-#.]*[\p{L}\d]{1,3})?$`)

// teams reports whether a download of Moodle's is that of an assignment which groups submit: somebody is in
// no group, or most names are such that no student has them.
func teams(m *members) bool {
	groups := 0
	for _, one := range m.all {
		if one.id == "" {
			return true
		}
		if teamName.MatchString(strings.TrimSpace(one.student)) {
			groups++
		}
	}
	return 2*groups > len(m.all)
}

// canvasAnonymous is what Canvas calls a submission where students are anonymous.
var canvasAnonymous = regexp.MustCompile(`^(LATE_)?(anon_[0-9A-Za-z]+)_(?:(\d+)_(.+)|(text|link)\.html)$`)

// reading is one way to read a name of Canvas's.
type reading struct {
	member
	attachment string // its number; "": a page that Canvas made
}

// canvasReadings are all ways to read a name: "lovelaceada_4711_98765_answers.zip", with "_LATE" before the
// numbers when it was late, and "_text.html" in place of attachment and file for typed text. Names of
// students are in small letters and hold letters, digits and underscores, but no number between two of these:
// Canvas joins that to what is beside it. It may stand at the beginning or at the end, so there are two
// readings at most where a third number follows.
// https://github.com/instructure/canvas-lms/blob/master/lib/content_zipper.rb
func canvasReadings(name string) []reading {
	if m := canvasAnonymous.FindStringSubmatch(name); m != nil && strings.Trim(m[2][len("anon_"):], "0123456789") != "" {
		one := member{id: m[2], late: m[1] != "", file: cmp.Or(m[4], m[5]+".html"), typed: m[5] == "text", name: name}
		return []reading{{one, m[3]}}
	}
	tokens := strings.Split(name, "_")
	var all []reading
	for i := 1; i < len(tokens)-1; i++ {
		if !isNumber(tokens[i]) {
			continue
		}
		student, late := tokens[:i], false
		if i > 1 && student[i-1] == "LATE" {
			student, late = student[:i-1], true
		}
		if len(student) > 2 && slices.ContainsFunc(student[1:len(student)-1], isNumber) {
			break // no name of a student, nor any that is longer
		}
		one := member{id: tokens[i], student: strings.Join(student, "_"), late: late, name: name}
		rest := tokens[i+1:]
		switch last := strings.Join(rest, "_"); {
		case last == "text.html", last == "link.html":
			one.file, one.typed = last, last == "text.html"
			all = append(all, reading{one, ""})
		case len(rest) > 1 && isNumber(rest[0]):
			one.file = strings.Join(rest[1:], "_")
			all = append(all, reading{one, rest[0]})
		}
		if late {
			break // which settles where the number is
		}
	}
	return all
}

func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == "" && (s[0] != '0' || s == "0")
}

// canvasMembers takes names apart. Where one can be read in two ways, the others decide: the numbers of
// attachments are as long there, give or take a digit. Canvas counts users and attachments apart, and of
// these there are more. What is still unclear is an error of its own.
func canvasMembers(entries []fs.DirEntry) map[string]member {
	all, unclear := map[string]member{}, map[string][]reading{}
	var lengths []int
	for _, e := range entries {
		if e.IsDir() {
			continue
		}
		switch readings := canvasReadings(e.Name()); len(readings) {
		case 0:
		case 1:
			all[e.Name()] = readings[0].member
			if n := len(readings[0].attachment); n > 0 {
				lengths = append(lengths, n)
			}
		default:
			unclear[e.Name()] = readings
		}
	}
	for name, readings := range unclear {
		likely := readings
		if len(lengths) > 0 {
			likely = narrow(likely, func(r reading) bool {
				return r.attachment == "" ||
					len(r.attachment) >= slices.Min(lengths)-1 && len(r.attachment) <= slices.Max(lengths)+1
			})
		}
		if len(likely) != 1 {
			likely = narrow(likely, func(r reading) bool { return r.attachment == "" || !less(r.attachment, r.id) })
		}
		one := readings[0].member
		if len(likely) == 1 {
			one = likely[0].member
		} else {
			one.id, one.student = idOf(name), ""
			one.problem = "its name is ambiguous: the student's number is " + readings[0].id + " or " +
				readings[1].id + "; add it to a list of submissions"
		}
		all[name] = one
	}
	return all
}

// narrow is what is left of readings; all if nothing is.
func narrow(readings []reading, is func(reading) bool) []reading {
	left := slices.DeleteFunc(slices.Clone(readings), func(r reading) bool { return !is(r) })
	if len(left) == 0 {
		return readings
	}
	return left
}

// less compares numbers of any length.
func less(a, b string) bool {
	return cmp.Or(cmp.Compare(len(a), len(b)), strings.Compare(a, b)) < 0
}
