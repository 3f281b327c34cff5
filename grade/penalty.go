package grade

import "math/big"

// Less takes percent of the maximum off a score: never below 0. The mark is passed when what is left reaches it. It is
// computed from the points that the score shows.
func (s Score) Less(percent float64) Score {
	if percent <= 0 || s.Max <= 0 {
		return s
	}
	most := rat(s.Max)
	off := new(big.Rat).Mul(most, rat(percent))
	points := new(big.Rat).Sub(rat(s.Points), off.Quo(off, big.NewRat(100, 1)))
	if points.Sign() < 0 {
		points.SetInt64(0)
	}
	share := percentage(points, most, true)
	s.Points, s.Percent = shown(points), floor(share)
	s.Passed = s.Passed && share.Cmp(rat(s.PassMark)) >= 0
	return s
}
