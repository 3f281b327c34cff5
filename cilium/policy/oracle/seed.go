package main

import "math/rand/v2"

func newGenerator(seed uint64) *generator {
	return &generator{Rand: rand.New(rand.NewPCG(seed, 0x6f7261636c65))}
}

// caseSeed derives the seed of the i-th case of a run (SplitMix64), so that each case can be made again alone.
func caseSeed(run uint64, i int) uint64 {
	z := run*0x9e3779b97f4a7c15 + uint64(i+1)*0xbf58476d1ce4e5b9
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
