package intake

import (
	"io"
	"iter"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/grade/submission"
)

// Name is what a listing that is no local directory holds: a submission, or something beside one.
type Name struct {
	Name string // the last part
	Path string // Entry.Path becomes this
	Dir  bool   // it stands for everything below it
}

// FindNamed is Find for the names of a listing, which are the students' IDs.
func FindNamed(names iter.Seq2[Name, error]) (*Found, error) {
	f := new(Found)
	for n, err := range names {
		switch {
		case err != nil:
			return nil, err
		case isJunk(n.Name):
		case n.Dir || isSubmission(n.Name):
			id := idOf(n.Name)
			f.Entries = append(f.Entries, Entry{ID: printableID(id), Path: n.Path, Problem: badID(id)})
		default:
			f.Ignored = append(f.Ignored, n.Path)
		}
	}
	f.order()
	return f, nil
}

// FindListed is Find for a list of submissions that is no local file; messages call it file. locate turns a
// path of the list into an entry's, or says why it is none.
func FindListed(file string, r io.Reader, locate func(given string) (path, problem string)) (*Found, error) {
	f := new(Found)
	if err := f.readList(file, r, locate); err != nil {
		return nil, err
	}
	f.order()
	return f, nil
}

// MaxArchive is how many bytes an archive may have under limits.
func MaxArchive(lim manifest.Limits) int64 {
	return submission.MaxArchive(lim)
}

// IDOf returns the ID of the student whose submission has that name.
func IDOf(name string) string { return idOf(name) }
