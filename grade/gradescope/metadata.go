package gradescope

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"
)

// Metadata is what Gradescope says of a submission, as far as it is needed:
// https://gradescope-autograders.readthedocs.io/en/latest/submission_metadata/
type Metadata struct {
	ID         int64      `json:"id"`
	CreatedAt  time.Time  `json:"created_at"`
	Assignment Assignment `json:"assignment"`
	Users      []User     `json:"users"` // several in a group

	PreviousSubmissions []Previous `json:"previous_submissions"`
}

// Assignment has the dates of an assignment: for all, or with a user's extension.
type Assignment struct {
	Title       string     `json:"title"`
	DueDate     *time.Time `json:"due_date"`
	TotalPoints any        `json:"total_points"` // a number in text
}

// User is a student.
type User struct {
	ID         int64      `json:"id"`
	Name       string     `json:"name"`
	Email      string     `json:"email"`
	Assignment Assignment `json:"assignment"`
}

// ReadMetadata reads submission_metadata.json; nil if it is not there, as in a trial run.
func ReadMetadata(name string) (*Metadata, error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m Metadata
	if err := json.Unmarshal(data, &m); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return &m, nil
}

// due is when the submission had to come in: the latest date of those who handed it in; zero if there is none.
func (m *Metadata) due() time.Time {
	var due time.Time
	if m.Assignment.DueDate != nil {
		due = *m.Assignment.DueDate
	}
	for _, u := range m.Users {
		if u.Assignment.DueDate != nil && u.Assignment.DueDate.After(due) {
			due = *u.Assignment.DueDate
		}
	}
	return due
}

// names of those who handed the submission in.
func (m *Metadata) names() string {
	var names []string
	for _, u := range m.Users {
		names = append(names, u.Name)
	}
	return strings.Join(names, ", ")
}
