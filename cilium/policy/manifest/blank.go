package manifest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/labctl/labctl/internal/wording"
)

// blank is what a lab's skeletons leave for a student to fill in, or a longer one.
const blank = "____"

// maxBlanks is how many fields with blanks a message names.
const maxBlanks = 5

func unfilled(n *node) bool {
	return n.kind == scalarNode && len(n.value) >= len(blank) && strings.Trim(n.value, "_") == ""
}

// mayHaveBlanks reports whether "____" can only be a blank in an object of a kind: it is none in the environment of a
// container or the data of a ConfigMap.
func mayHaveBlanks(kind string) bool {
	return IsPolicy(kind) || kind == "Namespace" || kind == "" || strings.HasPrefix(kind, blank)
}

// isFreeText reports whether a field of these kinds takes any text.
func isFreeText(field string) bool {
	return field == "metadata.annotations" || field == "spec.description"
}

// blanks notes in one finding which fields of a skeleton are not filled in, and reports whether there are any. Nothing
// else is checked then: what Kubernetes says about the value "____" helps nobody.
func (r *report) blanks() bool {
	if !bytes.Contains(r.object.JSON, []byte(`"`+blank)) {
		return false
	}
	if kind, _ := stringField(r.doc.root, "kind"); !mayHaveBlanks(kind) {
		return false
	}
	var fields []string
	line := 0
	found := func(n *node, field string) {
		if line == 0 {
			line = r.doc.line(n)
		}
		if !slices.Contains(fields, field) {
			fields = append(fields, field)
		}
	}
	var walk func(n *node, path string)
	walk = func(n *node, path string) {
		switch n.kind {
		case mappingNode:
			for i := 0; i+1 < len(n.content); i += 2 {
				key, value := n.content[i], n.content[i+1]
				if unfilled(key) {
					found(key, path)
					continue
				}
				if field := strings.TrimPrefix(path+"."+shorten(key.value, maxShownKey), "."); !isFreeText(field) {
					walk(value, field)
				}
			}
		case sequenceNode:
			for i, item := range n.content {
				walk(item, fmt.Sprintf("%s[%d]", path, i))
			}
		case scalarNode:
			if unfilled(n) {
				found(n, path)
			}
		}
	}
	walk(r.doc.root, "")
	if len(fields) == 0 {
		return false
	}
	named := fields[:min(maxBlanks, len(fields))]
	if more := len(fields) - len(named); more > 0 {
		named = append(slices.Clip(named), fmt.Sprintf("%d more", more))
	}
	message := "a blank (____) is left: " + named[0]
	if len(fields) > 1 {
		message = "blanks (____) are left: " + wording.And(named)
	}
	r.findings.add(finding{line: line, message: message, hint: "fill in every blank"})
	return true
}
