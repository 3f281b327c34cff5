package labs

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// This file is about when a submission comes in, and how often: what a class is graded by (labctl batch). One
// submission by itself has neither.

// Late is the late block: what it costs to hand in after the due date. The zero value costs nothing.
type Late struct {
	Grace   time.Duration // up to here late is not late
	Penalty float64       // percent of the maximum, for every Per begun since the due date
	Per     time.Duration // default 24 hours
	Max     float64       // percent; the penalty grows no further. Default 100
	Cutoff  time.Duration // what comes later still is worth nothing; 0: there is no such time
}

// Attempts is the attempts block: which of several submissions of one student counts.
type Attempts struct {
	Limit  int    // the first so many; 0: any number
	Counts Counts // default CountsLatest
}

// Counts says which attempt counts.
type Counts string

const (
	CountsLatest Counts = "latest"
	CountsBest   Counts = "best"
)

// maxDuration bounds the durations of a lab.
const maxDuration = 365 * 24 * time.Hour

// DefaultLate is what holds without a late block.
func DefaultLate() Late { return Late{Per: 24 * time.Hour, Max: 100} }

// DefaultAttempts is what holds without an attempts block.
func DefaultAttempts() Attempts { return Attempts{Counts: CountsLatest} }

// ParseDuration reads a duration as Go writes it, with days before it if there are any: "90m", "3d", "1d12h".
func ParseDuration(text string) (time.Duration, error) {
	var days time.Duration
	rest := text
	if n, after, ok := strings.Cut(text, "d"); ok {
		count, err := strconv.ParseUint(n, 10, 16)
		if err != nil {
			return 0, fmt.Errorf("%q is no duration such as 90m, 36h or 3d", text)
		}
		days, rest = time.Duration(count)*24*time.Hour, after
		if rest == "" {
			return days, nil
		}
	}
	d, err := time.ParseDuration(rest)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("%q is no duration such as 90m, 36h or 3d", text)
	}
	return days + d, nil
}

// Set gives one setting of the block another value, as its attribute in the lab would.
func (l *Late) Set(attr, value string) error {
	var err error
	switch attr {
	case "grace":
		l.Grace, err = durationWithin(value, 0)
	case "penalty":
		l.Penalty, err = percentOf(value)
	case "per":
		l.Per, err = durationWithin(value, time.Minute)
	case "max":
		l.Max, err = percentOf(value)
	case "cutoff":
		l.Cutoff, err = durationWithin(value, time.Minute)
	default:
		return fmt.Errorf("%q is none of grace, penalty, per, max, cutoff", attr)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", attr, err)
	}
	return nil
}

// Check says what of the settings together makes no sense.
func (l *Late) Check() error {
	if l.Cutoff > 0 && l.Cutoff < l.Grace {
		return fmt.Errorf("the cutoff (%s) comes before the end of the grace (%s)", l.Cutoff, l.Grace)
	}
	return nil
}

// Set gives one setting of the block another value, as its attribute in the lab would.
func (a *Attempts) Set(attr, value string) error {
	switch attr {
	case "limit":
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 || n > maxAttempts {
			return fmt.Errorf("limit: %q is no number from 0 to %d", value, maxAttempts)
		}
		a.Limit = n
	case "counts":
		if value != string(CountsBest) && value != string(CountsLatest) {
			return fmt.Errorf("counts: %q is neither best nor latest", value)
		}
		a.Counts = Counts(value)
	default:
		return fmt.Errorf("%q is neither limit nor counts", attr)
	}
	return nil
}

const maxAttempts = 1000

func durationWithin(text string, low time.Duration) (time.Duration, error) {
	d, err := ParseDuration(text)
	if err == nil && (d < low || d > maxDuration) {
		err = fmt.Errorf("%q is not from %s to 365d", text, low)
	}
	return d, err
}

func percentOf(text string) (float64, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || !(f >= 0 && f <= 100) {
		return 0, fmt.Errorf("%q is no percentage from 0 to 100", text)
	}
	return f, nil
}

func (s *scope) late(n *node, lab *Lab) {
	for _, attr := range []string{"grace", "per", "cutoff"} {
		if n.has(attr) {
			if err := lab.Late.Set(attr, n.str(attr, "")); err != nil {
				s.errorf(n.rng(attr), "Invalid duration", "%v.", err)
			}
		}
	}
	lab.Late.Penalty = n.num("penalty", 0, 100, lab.Late.Penalty)
	lab.Late.Max = n.num("max", 0, 100, lab.Late.Max)
	if err := lab.Late.Check(); err != nil {
		s.errorf(n.rng("cutoff"), "Invalid cutoff", "%v.", err)
	}
}

func (s *scope) attempts(n *node, lab *Lab) {
	lab.Attempts.Limit = n.int("limit", 0, maxAttempts, lab.Attempts.Limit)
	lab.Attempts.Counts = Counts(n.oneOf("counts", string(lab.Attempts.Counts), string(CountsBest), string(CountsLatest)))
}
