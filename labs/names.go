package labs

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"k8s.io/apimachinery/pkg/util/validation"
)

// The names and labels of a lab become those of Kubernetes objects; these checks are the API server's.

// checkLabel returns what is wrong with a name of an object (a DNS label), or "".
func checkLabel(name string) string {
	if len(validation.IsDNS1123Label(name)) == 0 {
		return ""
	}
	return `names have 1 to 63 lower-case letters, digits and "-", and begin and end with a letter or digit`
}

// checkDNSName returns what is wrong with a DNS name, or "".
func checkDNSName(name string) string {
	if len(validation.IsDNS1123Subdomain(strings.ToLower(strings.TrimSuffix(name, ".")))) == 0 {
		return ""
	}
	return `names have letters, digits, "-" and ".", and each part begins and ends with a letter or digit`
}

// checkPortName returns what is wrong with the name of a port, or "".
func checkPortName(name string) string {
	if len(validation.IsValidPortName(name)) == 0 {
		return ""
	}
	return `names of ports have 1 to 15 lower-case letters, digits and "-", with at least one letter, and no "-" at either end`
}

// invalidName says what is wrong with the name of something, with the name that was probably meant; empty: nothing. check is
// one of those above.
func invalidName(name, what string, check func(string) string) string {
	problem := check(name)
	if problem == "" {
		return ""
	}
	text := fmt.Sprintf("%q cannot be the name of %s: %s.", name, what, problem)
	if plain := plainName(name); plain != name && check(plain) == "" {
		text += fmt.Sprintf(" Did you mean %q?", plain)
	}
	return text
}

// plainName is a name with dashes for all that names of objects cannot have: "my-app" for "My_App".
func plainName(name string) string {
	return strings.Join(strings.FieldsFunc(strings.ToLower(name), func(r rune) bool {
		return r < unicode.MaxASCII && !unicode.IsLetter(r) && !unicode.IsDigit(r)
	}), "-")
}

// refuse remembers a name that has been reported, so that what refers to it is not reported as well.
func (s *scope) refuse(name string) { s.misspelt[plainName(name)] = true }

// refused reports whether a name means one that has been reported, be it in this or in its valid form.
func (s *scope) refused(name string) bool { return s.misspelt[plainName(name)] }

// valid are the names that one can suggest: without those that have been reported.
func (s *scope) valid(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), s.refused)
}
