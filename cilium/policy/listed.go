package policy

import (
	"fmt"
	"strings"
)

// Bounds of what a message quotes: the members of a list, and the bytes of one.
const (
	maxListed = 10
	maxQuoted = 200
)

// listed joins the first of n members as a message shows them.
func listed(list []string, n int, separator string) string {
	shown := make([]string, min(len(list), n, maxListed))
	for i := range shown {
		if shown[i] = list[i]; len(shown[i]) > maxQuoted {
			shown[i] = strings.ToValidUTF8(shown[i][:maxQuoted], "") + "…"
		}
	}
	s := strings.Join(shown, separator)
	if n > len(shown) {
		s += fmt.Sprintf(" … and %d more", n-len(shown))
	}
	return s
}
