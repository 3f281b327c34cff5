package manifest

import (
	"fmt"
	"regexp"
	"strings"
)

// usedRegex is where Kubernetes repeats a rule that it has said in words.
var usedRegex = regexp.MustCompile(`,? ?regex used for validation is '[^']*'`)

// standards are the names of rules that say nothing to somebody who has not read the standards.
var standards = strings.NewReplacer(
	"a lowercase RFC 1123 subdomain must", "a name must", "a lowercase RFC 1123 label must", "a name must",
	"a DNS-1035 label must", "a name must", "',  or '", "', or '",
)

// inWords is a message of the API server without what only a programmer reads: regular expressions beside the words for
// them, numbers of standards, and the path of the field, which stands before the message.
func inWords(message, field string) string {
	if field != "" {
		message = strings.ReplaceAll(message, field+" in body ", "")
	}
	return standards.Replace(usedRegex.ReplaceAllString(message, ""))
}

// unexpected says that a value is of another type than its field.
func unexpected(got string, s *schema) string {
	if got == "integer" {
		got = "number"
	}
	return fmt.Sprintf("expected %s, not %s", typeInWords(s.wantedType()), typeInWords(got))
}

func typeInWords(name string) string {
	switch name {
	case "object":
		return "a mapping"
	case "array":
		return "a list"
	case "string":
		return "text"
	case "integer":
		return "a whole number"
	case "integer,string":
		return "a number or a name"
	case "number", "boolean":
		return "a " + name
	case "null":
		return "nothing"
	}
	return "another value"
}
