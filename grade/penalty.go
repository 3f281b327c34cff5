package grade

import "math/big"

// Deduct subtracts percent of the maximum, not going below 0, and sets Passed anew. It is
// computed from the points that the score shows.
func (s Score) Deduct(percent float64) Score {
	if percent <= 0 || s.Max <= 0 {
		return s
	}
	most := exact(s.Max)
	off := new(big.Rat).Mul(most, exact(percent))
	points := new(big.Rat).Sub(exact(s.Points), off.Quo(off, big.NewRat(100, 1)))
	if points.Sign() < 0 {
		points.SetInt64(0)
	}
	share := percentage(points, most, true)
	s.Points, s.Percent = rounded(points), floor(share)
	s.Passed = s.Passed && share.Cmp(exact(s.PassMark)) >= 0
	return s
}
