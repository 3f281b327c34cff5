package report

import (
	"io"
	"regexp"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// canvas writes what Canvas takes as a gradebook import: a column with the assignment, of which Canvas asks
// whether it is a new one unless its name ends in the ID of an assignment, "Lab 1 (1234)". Students are found
// by Canvas's own ID, then by the SIS user ID, then by the login ID, and at last by their name. Only a number
// that is known to be Canvas's own ID is given as one: any other could be another student's. A row whose
// first cell says "Points Possible" is the assignment's, one that says "Muted" or "Manual Posting" is left
// out, and "Student, Test" is Canvas's own test student: a student who calls himself so is called by the ID
// (lib/gradebook_importer.rb of canvas-lms). An empty cell takes a grade away.
func canvas(w io.Writer, a *Assignment) ClassWriter {
	row := func(o *Result) []string {
		own, sis := "", o.ID
		if o.Platform == "canvas" && strings.Trim(o.ID, "0123456789") == "" {
			own, sis = o.ID, ""
		}
		return []string{canvasName(o), own, sis, o.Email, "", o.points()}
	}
	return newSheet(w, row,
		[]string{"Student", "ID", "SIS User ID", "SIS Login ID", "Section", a.name()},
		[]string{"Points Possible", "", "", "", "", Decimal(a.max())})
}

var canvasReserved = regexp.MustCompile(`(?i)points\s*possible|student,\s*test|test\s+student|` +
	`^\s*'?\s*(muted|manual\s+posting)|^\s*(student|lastname)\s*$`)

// canvasName is a student's name that is no row of Canvas's own.
func canvasName(o *Result) string {
	for _, name := range []string{o.Name, o.ID} {
		plain := strings.Map(func(r rune) rune {
			if unicode.Is(unicode.Cf, r) {
				return -1
			}
			return r
		}, norm.NFKC.String(name))
		if strings.TrimSpace(plain) != "" && !canvasReserved.MatchString(plain) {
			return name
		}
	}
	return "Unnamed"
}
