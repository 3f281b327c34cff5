package grade_test

import (
	"testing"

	"github.com/labctl/labctl/grade"
)

func TestLess(t *testing.T) {
	t.Parallel()
	score := func(points, most, percent float64, passed bool) grade.Score {
		return grade.Score{Points: points, Max: most, Percent: percent, Passed: passed, PassMark: 70}
	}
	for _, c := range []struct {
		name    string
		score   grade.Score
		percent float64
		want    grade.Score
	}{
		{"nothing", score(33.3333, 99.9999, 33.33, false), 0, score(33.3333, 99.9999, 33.33, false)},
		{"of the maximum, not of the score", score(90, 100, 90, true), 10, score(80, 100, 80, true)},
		{"to the mark", score(80, 100, 80, true), 10, score(70, 100, 70, true)},
		{"below the mark", score(79.99, 100, 79.99, true), 10, score(69.99, 100, 69.99, false)},
		{"never negative", score(5, 100, 5, false), 50, score(0, 100, 0, false)},
		{"bonus points are points", score(130, 100, 100, true), 20, score(110, 100, 100, true)},
		{"no binary dust", score(0.3, 1, 30, false), 10, score(0.2, 1, 20, false)},
		{"rounded down", score(2, 3, 66.66, false), 10, score(1.7, 3, 56.66, false)},
		{"what has not passed does not pass by it", score(100, 100, 100, false), 1, score(99, 100, 99, false)},
		{"nothing to earn", score(0, 0, 100, true), 10, score(0, 0, 100, true)},
	} {
		if got := c.score.Deduct(c.percent); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}
