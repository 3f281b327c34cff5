package report

import (
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"slices"
	"time"
)

//go:embed page/slowest.html
var slowestHTML string

var slowestPage = pageTemplate(slowestHTML)

// slowestRows bounds the page.
const slowestRows = 25

// Slowest is the page about the submissions of a class that took longest to grade. Times differ from run to
// run, so they are on a page of their own. Add takes every submission that was graded, and Write writes the
// page.
type Slowest struct {
	Assignment Assignment

	rows []timing // those so far, longest first
	n    int
	sum  time.Duration
}

// timing is how long a submission took.
type timing struct {
	ID, Page string
	Attempt  int
	Took     time.Duration
}

// Add takes how long a submission took, whose student's files are in dir, relative to the page; "" if there
// are none. Attempt is 0 for an only one.
func (x *Slowest) Add(id string, attempt int, dir string, took time.Duration) {
	x.n++
	x.sum += took
	t := timing{ID: xmlClean(id), Page: PageIn(dir), Attempt: attempt, Took: took}
	at, _ := slices.BinarySearchFunc(x.rows, t, func(a, b timing) int {
		return cmp.Or(cmp.Compare(b.Took, a.Took), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Attempt, b.Attempt))
	})
	if at < slowestRows {
		x.rows = slices.Insert(x.rows, at, t)
		x.rows = x.rows[:min(len(x.rows), slowestRows)]
	}
}

// slowestView is what the page shows.
type slowestView struct {
	Title, Lab, Mean string
	N                int
	Rows             []slowestRow
}

type slowestRow struct {
	ID, Page, Took string
	Attempt        int
	Bar            bar
}

// Write writes the page.
func (x *Slowest) Write(w io.Writer) error {
	v := slowestView{Title: x.Assignment.name(), Lab: x.Assignment.Lab.Name, N: x.n}
	if x.n > 0 {
		v.Mean = duration(x.sum / time.Duration(x.n))
	}
	for _, t := range x.rows {
		row := slowestRow{t.ID, t.Page, duration(t.Took), t.Attempt,
			barOf(t.Took.Seconds(), max(x.rows[0].Took.Seconds(), 1e-9))}
		row.Bar.Class = "plain"
		v.Rows = append(v.Rows, row)
	}
	if err := slowestPage().Execute(w, v); err != nil {
		return fmt.Errorf("write the page: %w", err)
	}
	return nil
}

// duration is a time to three digits or so.
func duration(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < 10*time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Second).String()
}
