// Package wording holds what messages throughout labctl word alike: which name was probably meant, lists, and
// counts. It is a leaf: it imports nothing of labctl.
package wording

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/agext/levenshtein"
)

// maxGuess bounds the length in bytes of a name that Nearest looks at: comparing takes time with the product of
// both lengths, and the name may be untrusted.
const maxGuess = 200

// Nearest returns the known name that an unknown one was probably meant to be, or "" if none is near enough: a
// third of the letters may differ, and one letter always may. Two letters that changed places count as one, and
// case does not count. Of two equally near, it returns the first.
func Nearest(name string, known []string) string {
	if len(name) > maxGuess {
		return ""
	}
	limit := max(1, len(name)/3)
	lower := strings.ToLower(name)
	best, nearest := "", limit+1
	for _, k := range known {
		if len(k)-len(name) > limit || len(name)-len(k) > limit {
			continue
		}
		d := distance(lower, strings.ToLower(k))
		if d < nearest && d < min(len(name), len(k)) { // with every letter replaced it is another word
			best, nearest = k, d
		}
	}
	return best
}

// startingWith returns the only known name that begins with a text of three letters or more, or "".
func startingWith(text string, known []string) string {
	lower := strings.ToLower(text)
	begins := func(k string) bool { return strings.HasPrefix(strings.ToLower(k), lower) }
	i := slices.IndexFunc(known, begins)
	if len(lower) < 3 || i < 0 || slices.ContainsFunc(known[i+1:], begins) {
		return ""
	}
	return known[i]
}

func distance(a, b string) int {
	d := levenshtein.Distance(a, b, nil)
	if d == 2 && slices.Equal(sorted(a), sorted(b)) {
		return 1
	}
	return d
}

func sorted(s string) []byte {
	letters := []byte(s)
	slices.Sort(letters)
	return letters
}

// Meant returns the known name that begins with name, or else the nearest one; "" if there is none.
func Meant(name string, known []string) string {
	return cmp.Or(startingWith(name, known), Nearest(name, known))
}

// DidYouMean returns a sentence that names what was Meant, with a space before it: ` Did you mean "x"?`. It returns "" if
// there is nothing.
func DidYouMean(name string, known []string) string {
	if near := Meant(name, known); near != "" {
		return fmt.Sprintf(" Did you mean %q?", near)
	}
	return ""
}

// And joins words as a sentence does: "a, b and c". No words at all are "none".
func And(list []string) string { return join(list, " and ", "none") }

// Or joins words as a sentence does: "a, b or c". No words at all are "nothing".
func Or(list []string) string { return join(list, " or ", "nothing") }

// Quote puts each of the words in double quotes.
func Quote[S ~string](list []S) []string {
	quoted := make([]string, len(list))
	for i, word := range list {
		quoted[i] = fmt.Sprintf("%q", string(word))
	}
	return quoted
}

func join(list []string, last, none string) string {
	if len(list) == 0 {
		return none
	}
	end := len(list) - 1
	if end == 0 {
		return list[0]
	}
	return strings.Join(list[:end], ", ") + last + list[end]
}

// Count is a number with its noun: "1 error", "2 errors", "0 policies".
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %s", n, Plural(noun))
}

// Plural is the plural of a regular English noun: "errors", "policies", "patches", "days".
func Plural(noun string) string {
	end := len(noun) - 1
	switch {
	case strings.HasSuffix(noun, "y") && end > 0 && !strings.ContainsRune("aeiou", rune(noun[end-1])):
		return noun[:end] + "ies"
	case strings.HasSuffix(noun, "s"), strings.HasSuffix(noun, "x"), strings.HasSuffix(noun, "ch"),
		strings.HasSuffix(noun, "sh"):
		return noun + "es"
	}
	return noun + "s"
}

// Article puts the indefinite article before a noun: "an app", "a task".
func Article(noun string) string {
	if noun != "" && strings.ContainsRune("aeiou", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}
