package manifest

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// lookalike describes a character that cannot be seen or looks like another one, as word processors, web pages and
// keyboards put in: what it is, and what to do about it. Both are empty for any other.
func lookalike(r rune) (what, remedy string) {
	if r < utf8.RuneSelf {
		return "", ""
	}
	instead := func(ascii string) string { return "write " + ascii + " instead" }
	const space = "replace it with an ordinary space"
	switch r {
	case '\u00a0', '\u2007', '\u202f':
		return "a no-break space", space
	case '\u1680', '\u205f', '\u3000':
		return "a space of an unusual width", space
	case '\u200b':
		return "a zero-width space, which is invisible", "delete it"
	case '\ufeff':
		return "a byte order mark, which is invisible, in the middle of a file", "delete it"
	case '\u00ad', '\u034f', '\u061c', '\u115f', '\u1160', '\u2800', '\u3164', '\uffa0':
		return "an invisible character", "delete it"
	case '\u0085', '\u2028', '\u2029':
		return "an invisible line separator", "replace it with an ordinary line break or a space"
	case '“', '”', '„', '‟', '″', '«', '»', '❝', '❞', '〝', '〞':
		return "a typographic quotation mark", instead(`a straight "`)
	case '‘', '’', '‚', '‛', '′', '´', '‹', '›', '❛', '❜':
		return "a typographic quotation mark", instead("a straight '")
	case '‐', '‑', '‒', '–', '—', '―', '−', '﹣':
		return "a dash that is not the - of the keyboard", instead("-")
	case '•', '‣', '·', '●', '▪', '∙', '◦', '⁃', '➢', '➤', '►', '■', '○', '\uf0b7':
		return "a bullet, not the - that begins an item of a list", instead("-")
	case '…':
		return "an ellipsis in one character", instead("...")
	case '∶', '꞉', '։', '︰', 'ː', '׃':
		return "a character that looks like a colon", instead(":")
	case '、':
		return "an ideographic comma", instead(",")
	case '。':
		return "an ideographic full stop", instead(".")
	}
	switch {
	case r >= '\u2000' && r <= '\u200a':
		return "a space of an unusual width", space
	case r >= '\u200c' && r <= '\u200f', r >= '\u202a' && r <= '\u202e', r >= '\u2060' && r <= '\u206f',
		r >= '\u180b' && r <= '\u180f', r >= '\ufe00' && r <= '\ufe0f', r >= '\U000e0000' && r <= '\U000e0fff':
		return "an invisible character", "delete it"
	case r >= '！' && r <= '～': // the ASCII characters from ! to ~ at the width of a Chinese one
		ascii := string(r - '！' + '!')
		return "a full-width " + ascii, instead(ascii)
	}
	if i := strings.IndexRune(foreignLetters, r); i >= 0 {
		latin := likeLatin[utf8.RuneCountInString(foreignLetters[:i])]
		return fmt.Sprintf("a letter of another script that looks like %c", latin), instead(string(latin))
	}
	// Mathematical letters, numbers in circles, small forms and the like are another shape of what the keyboard has.
	if plain := norm.NFKD.String(string(r)); !strings.ContainsFunc(plain, func(r rune) bool {
		return r > unicode.MaxASCII || r <= ' '
	}) {
		return "another form of " + plain, instead(plain)
	}
	return "", ""
}

const (
	foreignLetters = "аеорсухіјѕԁһԛԝАВЕКМНОРСТХІЈЅοαρνΑΒΕΖΗΙΚΜΝΟΡΤΥΧϲıǀꓲ"
	likeLatin      = "aeopcyxijsdhqwABEKMHOPCTXIJSoapvABEZHIKMNOPTYXcilI"
)

// firstLookalike finds the first such character. A foreign letter is one only among Latin letters.
func firstLookalike(s string) (rune, bool) {
	for i := 0; i < len(s); i++ {
		if s[i] < utf8.RuneSelf {
			continue
		}
		latin := strings.ContainsFunc(s, func(r rune) bool { return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' })
		for _, r := range s[i:] {
			if what, _ := lookalike(r); what != "" && (latin || !strings.ContainsRune(foreignLetters, r)) {
				return r, true
			}
		}
		return 0, false
	}
	return 0, false
}

// invisible reports whether a character cannot be seen, or not be distinguished from a space.
func invisible(r rune) bool {
	what, _ := lookalike(r)
	return what != "" && !unicode.IsGraphic(r) || what != "" && unicode.IsSpace(r)
}

// shown is a character as a message can show it: an invisible one by its number alone.
func shown(r rune) string {
	if invisible(r) {
		return fmt.Sprintf("U+%04X", r)
	}
	return fmt.Sprintf("%c (U+%04X)", r, r)
}

// looker looks for such characters where they change what an object means: in the names of fields, and in values that
// name something. Whoever writes a text (an annotation, a description, an argument) may use them.
type looker struct {
	r    *report
	text []byte // of the file
	path fieldPath
}

// lookalikes reports these characters in the object, and whether there are any.
func (r *report) lookalikes(text []byte) bool {
	l := looker{r: r, text: text}
	before := len(r.findings.list)
	kind, _ := stringField(r.doc.root, "kind")
	l.mapping(r.doc.root, func(key string) scope {
		switch {
		case key == "apiVersion" || key == "kind":
			return everyText
		case key == "metadata":
			return fieldsOf
		case MeansPolicy(kind) && (key == "spec" || key == "specs"):
			return everyText
		case Known(kind) && key != "status":
			return fieldsOf
		}
		return nothing
	})
	found := len(r.findings.list) > before
	if _, meta := lookup(r.doc.root, "metadata"); found && meta != nil && resolveAlias(meta).kind == mappingNode {
		r.object.Name, _ = stringField(resolveAlias(meta), "name")
		r.object.Namespace, _ = stringField(resolveAlias(meta), "namespace")
	}
	return found
}

// scope is what of a value is looked at.
type scope int

const (
	nothing  scope = iota
	fieldsOf       // the names of fields, and what stands in those that name something
	everyText
)

// below says what is looked at in the value of a field, given what is in the mapping around it.
func below(key string, in scope) scope {
	switch key {
	case "annotations", "managedFields", "description", "data", "stringData", "binaryData", "command", "args":
		return nothing
	case "name", "namespace", "labels", "matchLabels", "selector", "port", "targetPort", "containerPort", "protocol",
		"serviceAccountName":
		return everyText
	}
	return in
}

func (l *looker) mapping(n *node, look func(key string) scope) {
	for i := 0; i+1 < len(n.content); i += 2 {
		k, v := n.content[i], n.content[i+1]
		if k.kind != scalarNode {
			continue
		}
		l.path.pushKey(k.value)
		l.scalar(k)
		if in := look(k.value); in != nothing {
			l.value(v, in)
		}
		l.path.pop()
	}
}

func (l *looker) value(n *node, in scope) {
	switch n.kind { // what an alias stands for is looked at where it is
	case mappingNode:
		l.mapping(n, func(key string) scope { return below(key, in) })
	case sequenceNode:
		for i, item := range n.content {
			l.path.pushIndex(i)
			l.value(item, in)
			l.path.pop()
		}
	case scalarNode:
		if in == everyText {
			l.scalar(n)
		}
	}
}

func (l *looker) scalar(n *node) {
	r, found := firstLookalike(n.value)
	if !found {
		return
	}
	if l.r.findings.full() {
		l.r.findings.more++
		return
	}
	line := l.r.doc.line(n)
	message := describeLookalike(r)
	_, hint := lookalike(r)
	if at, column := findRune(l.text, line, r); column > 0 {
		line, message = at, fmt.Sprintf("column %d: %s", column, message)
	}
	l.r.findings.add(finding{line: line, field: l.path.String(), message: message, hint: hint})
}

func describeLookalike(r rune) string {
	what, _ := lookalike(r)
	return shown(r) + " is " + what
}

// findRune returns the line from the given one on, and the column, where r stands; 0 if it is not there as such.
func findRune(text []byte, line int, r rune) (at, column int) {
	text = bytes.TrimPrefix(text, utf8BOM)
	for range line - 1 {
		i := bytes.IndexByte(text, '\n')
		if i < 0 {
			return 0, 0
		}
		text = text[i+1:]
	}
	i := bytes.IndexRune(text, r)
	if i < 0 {
		return 0, 0
	}
	line += bytes.Count(text[:i], []byte("\n"))
	start := bytes.LastIndexByte(text[:i], '\n') + 1
	return line, 1 + utf8.RuneCount(text[start:i])
}

// lookalikeNear finds such a character outside of comments on the line of a syntax error or one next to it, otherwise
// at the beginning of a line before it.
func lookalikeNear(lines [][]byte, line int) (at, column int, r rune) {
	for _, n := range []int{line, line - 1, line + 1, line - 2} {
		if n < 1 || n > len(lines) {
			continue
		}
		text, _, _ := strings.Cut(string(lines[n-1]), " #")
		if strings.HasPrefix(strings.TrimSpace(text), "#") {
			continue
		}
		if r, found := firstLookalike(text); found {
			return n, 1 + utf8.RuneCountInString(text[:strings.IndexRune(text, r)]), r
		}
	}
	// The parser may notice much later that a line is not indented as those around it.
	for n := min(line, len(lines)); n > 0; n-- {
		text := bytes.TrimLeft(lines[n-1], " ")
		r, _ := utf8.DecodeRune(text)
		if what, _ := lookalike(r); what != "" {
			return n, 1 + len(lines[n-1]) - len(text), r
		}
	}
	return 0, 0, 0
}

// The lines that people paste along with YAML.
var (
	fenceLine   = regexp.MustCompile("^\\s*(```|~~~)")
	heredocLine = regexp.MustCompile(`<<-?\s*['"\\]?([A-Za-z_]\w*)`)
	promptLine  = regexp.MustCompile(`^(\S+@\S+[:\s].*?[$#%] |PS [A-Za-z]:\\[^>]*>)`)
	shellLine   = regexp.MustCompile(`^\s*[$>%]?\s*(sudo\s+)?((kubectl|cat|tee|oc|k)\s+(-|<|>|apply|create|get|edit|describe|replace|delete)|echo\s+['"])`)
	headLine    = `["']?(apiVersion|kind|metadata|spec)["']?\s*:`
	numberLine  = regexp.MustCompile(`^\s*\d{1,4}\s*[.:|)]?\s*` + headLine)
	diffLine    = regexp.MustCompile(`^(diff --git |index [0-9a-f]+\.\.|@@ -|\+\+\+ |[+>|]\s*` + headLine + `)`)
	mergeLine   = regexp.MustCompile(`^(<{7}|={7}|>{7}|\|{7})( |$)`)
	webLine     = regexp.MustCompile(
		`&(nbsp|quot|amp|lt|gt|#\d+|#x[0-9a-f]+);|</?(p|br|div|span|pre|code|html|body)\b[^>]*>`)
	endLine    = regexp.MustCompile(`^\s*(EOF|EOT|EOL|END|YAML|EOM)\s*$`)
	outputLine = regexp.MustCompile(`^\S+\.(networking\.k8s\.io|cilium\.io)/\S+ (created|configured|unchanged)\s*$`)
)

// pasted says what a line is that is no YAML but was pasted along; empty if it is none of these.
func pasted(line string) (message, hint string) {
	heredoc := heredocLine.FindStringSubmatch(line)
	switch {
	case promptLine.MatchString(line):
		return "a command after the prompt of a shell, not YAML", "delete the line"
	case numberLine.MatchString(line):
		return "a line with its number before it, which is not YAML", "copy the text without line numbers"
	case diffLine.MatchString(line):
		return "a line of a diff or of quoted text, not YAML", "submit the file itself"
	case mergeLine.MatchString(line):
		return "the mark of a merge conflict, not YAML", "keep one of the two sides, and delete the marks"
	case webLine.MatchString(line):
		return "a piece of a web page, not YAML", "copy the text as it is shown, or submit the file itself"
	case fenceLine.MatchString(line):
		return "a Markdown code fence, not YAML", "delete the line, and the fence at the other end"
	case heredoc != nil && (shellLine.MatchString(line) || strings.Contains(line, "kubectl")):
		return "a shell command (a here-document), not YAML",
			fmt.Sprintf("delete the line, and the closing %s", heredoc[1])
	case shellLine.MatchString(line):
		return "a shell command, not YAML", "delete the line"
	case endLine.MatchString(line):
		return fmt.Sprintf("%s is the end of a shell here-document, not YAML", strings.TrimSpace(line)),
			"delete the line, and the command at the beginning"
	case outputLine.MatchString(line):
		return "what kubectl printed, not YAML", "delete the line"
	case strings.Contains(line, "{{") && strings.Contains(line, "}}"):
		return "a template, which a program such as Helm must render first", `use the output of "helm template"`
	}
	return "", ""
}

// pastedNear finds such a line in text that does not parse: at its beginning, where such lines do most harm, or at the
// error.
func pastedNear(lines [][]byte, line int) (at int, message, hint string) {
	first := 0
	for first < len(lines) && (len(bytes.TrimSpace(lines[first])) == 0 || isSeparator(lines[first])) {
		first++
	}
	for _, n := range []int{first + 1, line, line - 1, line + 1, len(lines)} {
		if n < 1 || n > len(lines) || len(lines[n-1]) > 1000 {
			continue
		}
		if message, hint := pasted(strings.TrimRight(string(lines[n-1]), "\r\n")); message != "" {
			return n, message, hint
		}
	}
	return 0, "", ""
}

// forAnotherProgram refuses what is written for a program other than the API server.
func (r *report) forAnotherProgram() bool {
	apiVersion, _ := stringField(r.doc.root, "apiVersion")
	kind, _ := stringField(r.doc.root, "kind")
	name := strings.ToLower(path.Base(r.object.File))
	switch {
	case strings.HasPrefix(apiVersion, "kustomize.config.k8s.io/"), kind == "Kustomization" && apiVersion == "",
		kind == "" && (name == "kustomization.yaml" || name == "kustomization.yml"):
		r.add("kind", "a Kustomization is read by kustomize, and the API server does not know it",
			`replace it with the output of "kubectl kustomize DIRECTORY"`)
	case kind == "" && (name == "chart.yaml" || name == "values.yaml"):
		r.add("kind", "this file is part of a Helm chart, and the API server does not know it",
			`replace it with the output of "helm template"`)
	default:
		return false
	}
	return true
}
