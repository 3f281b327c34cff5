package report

import (
	"cmp"
	"io"
	"strings"
)

// canvas writes what Canvas takes as a gradebook import: a column with the assignment, of which Canvas asks whether it is a
// new one unless its name ends in the ID of an assignment, "Lab 1 (1234)". Students are found by Canvas's own ID, then by
// the SIS user ID, then by the login ID. An empty cell changes nothing there.
func canvas(w io.Writer, a *Assignment) ClassWriter {
	row := func(o *Outcome) []string {
		own := ""
		if o.ID != "" && strings.Trim(o.ID, "0123456789") == "" {
			own = o.ID // Canvas would read the digits that a text begins with as its ID
		}
		return []string{cmp.Or(o.Name, o.ID), own, o.ID, o.Email, "", o.points()}
	}
	return newSheet(w, row,
		[]string{"Student", "ID", "SIS User ID", "SIS Login ID", "Section", a.name()},
		[]string{"Points Possible", "", "", "", "", Decimal(a.max())})
}
