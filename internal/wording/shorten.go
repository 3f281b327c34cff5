package wording

import "strings"

// Shorten cuts a text that is longer than so many bytes, between two characters, and marks that.
func Shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}
