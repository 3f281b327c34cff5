package grade

import (
	"strings"

	"github.com/agext/levenshtein"
)

// nearest returns the candidate that word was probably meant to be, or "" if none is near.
func nearest(word string, candidates []string) string {
	best, bestDistance := "", max(1, len(word)/4)+1
	for _, c := range candidates {
		if d := levenshtein.Distance(strings.ToLower(word), strings.ToLower(c), nil); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}
