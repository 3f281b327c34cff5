package manifest

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/labctl/labctl/internal/wording"
)

// A text that does not parse is mostly one slip away from one that does. The parser speaks of its grammar and often
// notices late; these look at the lines themselves.
var (
	tightDash  = regexp.MustCompile(`^-[A-Za-z"'{\[]`)
	tightColon = regexp.MustCompile(`^((?:- +)*)([A-Za-z][\w./-]*):([^\s:/].*)$`)
	bareWord   = regexp.MustCompile(`^((?:- +)*)([A-Za-z]\w*)(?: +([\w./-]+))?$`)
	twoColons  = regexp.MustCompile(`^(?:- +)*[\w./-]+: +[^\s"'{\[#&*|>][^"'{\[]*:( |$)`)
	special    = regexp.MustCompile("^((?:- +)*(?:[\\w./-]+: +)?)([*&@%`].*)$")
	entryLine  = regexp.MustCompile(`^(?:- +)*[A-Za-z][\w./-]*:(\s|$)`)
)

// parents are fields that have others below them: a line of this word alone lacks its colon.
var parents = []string{
	"metadata", "labels", "spec", "podSelector", "namespaceSelector", "endpointSelector", "matchLabels",
	"matchExpressions", "ipBlock", "policyTypes", "ingress", "egress", "from", "to", "fromEndpoints", "toEndpoints",
	"ports", "toPorts", "toFQDNs", "rules", "http", "dns",
}

// leaves are fields that have a value.
var leaves = []string{
	"apiVersion", "kind", "name", "namespace", "app", "port", "endPort", "protocol", "cidr", "key", "operator",
}

// slipNear finds the slip behind an error that the parser reports on a line: where it is, what it is and what to write;
// at is 0 if there is none.
func slipNear(lines [][]byte, line int, message string) (at int, what, hint string) {
	if at, what, hint = openQuote(lines, line, strings.Contains(message, "end of stream")); at > 0 {
		return at, what, hint
	}
	// The line itself tells most, and what is wrong in one above may be noticed here.
	for n := line; n >= max(1, line-1); n-- {
		if isSeparator(lines[n-1]) {
			break
		}
		if what, hint = slipIn(content(lines[n-1]), message, n == line); what != "" {
			return n, what, hint
		}
	}
	for n := min(line, len(lines)); n > 0; n-- {
		if text := content(lines[n-1]); tightDash.MatchString(text) {
			return n, dashMissing, "write " + spaced(text)
		}
	}
	return 0, "", ""
}

const (
	dashMissing  = "a space is missing after the dash"
	colonMissing = "a space is missing after the colon"
)

// content is a line without indentation and comment.
func content(line []byte) string {
	text, _, _ := strings.Cut(string(line), " #")
	text = strings.TrimSpace(text)
	if strings.HasPrefix(text, "#") || len(text) > 200 {
		return ""
	}
	return text
}

// spaced writes what stands after a dash as an item of a list.
func spaced(text string) string { return "- " + strings.TrimLeft(text, "-") }

// slipIn finds the slip in a line; reported says that the parser's error is about this very line.
func slipIn(text, message string, reported bool) (what, hint string) {
	wanted := func(words string) bool { return strings.Contains(message, words) }
	if what, hint := itemIn(text); what != "" {
		return what, hint
	}
	if m := special.FindStringSubmatch(text); m != nil && (wanted("alphabetic or numeric") || wanted("start any token") ||
		wanted("unknown anchor") || wanted("directive")) {
		if strings.HasSuffix(m[1], "cidr: ") && m[2] == "*" {
			return "a range has addresses, not *", everyAddress
		}
		return fmt.Sprintf("text that begins with %c must be quoted", m[2][0]),
			"write " + m[1] + quote(strings.Trim(m[2], "`"))
	}
	if what, hint := colonIn(text, wanted("expected ':'"), wanted("mapping values"), reported); what != "" {
		return what, hint
	}
	if reported && wanted("mapping values") && twoColons.MatchString(text) {
		return "the line has two colons", "write one key: value per line; text with a colon in it must be quoted"
	}
	return "", ""
}

// itemIn finds an item of a list that does not begin with a dash and a space.
func itemIn(text string) (what, hint string) {
	switch {
	case tightDash.MatchString(text):
		return dashMissing, "write " + spaced(text)
	case text == "Ingress" || text == "Egress":
		return "a dash is missing before " + text, "write - " + text
	case strings.HasPrefix(text, "* "):
		return "an item of a list begins with -, not with *", "write - " + strings.TrimLeft(text, "* ")
	case strings.HasPrefix(text, "--") && strings.Trim(text, "-") != "":
		return "an item of a list begins with one dash", "write - " + strings.TrimLeft(text, "- ")
	case text == "---":
		return "the line --- is indented", "write it without spaces before it"
	}
	return "", ""
}

// colonIn finds a colon without its space, or a place where one is missing. notFound and notAllowed are what the parser
// says of the place where it expects a colon.
func colonIn(text string, notFound, notAllowed, reported bool) (what, hint string) {
	if m := tightColon.FindStringSubmatch(text); m != nil && (notFound || notAllowed) {
		return colonMissing, fmt.Sprintf("write %s%s: %s", m[1], m[2], m[3])
	}
	m := bareWord.FindStringSubmatch(text)
	if m == nil || !notFound && !notAllowed {
		return "", ""
	}
	known := slices.Contains(parents, m[2])
	if m[3] != "" {
		known = slices.Contains(leaves, m[2])
	}
	if !known && !(reported && notFound) {
		return "", ""
	}
	return "a colon is missing after " + m[2], "write " + strings.TrimSpace(m[1]+m[2]+": "+m[3])
}

// quote writes a text in the quotes that it does not contain.
func quote(text string) string {
	if strings.ContainsAny(text, `"\`) {
		return "'" + strings.ReplaceAll(text, "'", "''") + "'"
	}
	return `"` + text + `"`
}

// openQuote finds a quote that is not closed, or only near the line of the error, by one that was meant to open another
// text. toEnd says that the parser came to the end of the text.
func openQuote(lines [][]byte, line int, toEnd bool) (at int, what, hint string) {
	const remedy = "end the text with the same quote"
	var open byte
	for n, text := range lines {
		rest := text
		for len(rest) > 0 {
			if open == 0 {
				if rest, open = afterOpening(rest, len(rest) == len(text)); open != 0 {
					at = n + 1
				}
				continue
			}
			end := closing(rest, open)
			if end < 0 {
				break
			}
			rest, open = rest[end+1:], 0
			if at < n+1 && n+1 >= line-1 && n+1 <= line+1 && slices.ContainsFunc(lines[at:n+1], isEntryLine) {
				return at, fmt.Sprintf("the quote that opens here is not closed before line %d", n+1), remedy
			}
		}
	}
	if open != 0 && toEnd {
		return at, "the quote that opens here is never closed", remedy
	}
	return 0, "", ""
}

func isEntryLine(line []byte) bool { return entryLine.MatchString(content(line)) }

// afterOpening returns what follows the next quote that begins a text, and the quote; 0 if there is none in the line.
func afterOpening(rest []byte, atStart bool) ([]byte, byte) {
	begins := atStart // a text may begin here
	for i, c := range rest {
		switch {
		case c == '#' && (i == 0 || rest[i-1] == ' '):
			return nil, 0
		case (c == '"' || c == '\'') && begins:
			return rest[i+1:], c
		case c == ' ': // whatever it was before
		default:
			begins = strings.IndexByte("-:,[{", c) >= 0
		}
	}
	return nil, 0
}

// closing is the index of the quote that ends a text; -1: it goes on.
func closing(text []byte, quote byte) int {
	for i := 0; i < len(text); i++ {
		switch {
		case quote == '"' && text[i] == '\\':
			i++
		case text[i] != quote:
		case quote == '\'' && i+1 < len(text) && text[i+1] == quote:
			i++
		default:
			return i
		}
	}
	return -1
}

// syntaxHint says what is usually behind an error of the YAML parser, which speaks of its grammar.
func syntaxHint(message string, lines [][]byte, line int) string {
	switch {
	case strings.Contains(message, "did not find expected key"), strings.Contains(message, "expected '-' indicator"):
		return "is the line indented like those above that belong to the same mapping or list?" + indentations(lines, line)
	case strings.Contains(message, "mapping values are not allowed"):
		return "is the line indented deeper than the one above, which has a value already? " +
			"Text with a colon in it must be quoted"
	case strings.Contains(message, "expected ',' or ']'"):
		return "is every [ closed with ], with a comma between two items?"
	case strings.Contains(message, "expected ',' or '}'"):
		return "is every { closed with }, with a comma between two entries?"
	case strings.Contains(message, "block sequence entries"):
		return "begin the list on the next line, or write it in [ ]"
	case strings.Contains(message, "node content"):
		return "is every [ and { closed, with a comma between two items?"
	case strings.Contains(message, "could not find expected ':'"):
		return "a line is key: value, or begins an item of a list with - and a space"
	}
	return ""
}

// indentations compares the spaces before a line with those of the lines above that are still open; "" if it has as
// many as one of them.
func indentations(lines [][]byte, line int) string {
	if line < 1 || line > len(lines) {
		return ""
	}
	own := indent(lines[line-1])
	open, least := []int{}, -1
	for n := line - 1; n > 0 && least != 0; n-- {
		if content(lines[n-1]) == "" || isSeparator(lines[n-1]) {
			continue
		}
		at := indent(lines[n-1])
		if least < 0 || at < least {
			if least = at; at == own {
				return ""
			}
			open = append(open, at)
		}
	}
	if len(open) == 0 {
		return ""
	}
	slices.Sort(open)
	spaces := make([]string, len(open))
	for i, n := range open {
		spaces[i] = strconv.Itoa(n)
	}
	return fmt.Sprintf(" It has %s before it, and they have %s", wording.Count(own, "space"), wording.Or(spaces))
}

func indent(line []byte) int { return len(line) - len(bytes.TrimLeft(line, " ")) }
