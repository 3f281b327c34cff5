package manifest

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// converter writes a tree of nodes as JSON, the way sigs.k8s.io/yaml does, and notes what is wrong with
// it on the way: keys that occur twice, values that JSON cannot hold. The tree has been surveyed.
type converter struct {
	doc      document
	buf      []byte
	path     fieldPath
	depth    int
	findings findings
	leaveOut map[*node]bool
	typeMeta typeMeta // what the object is said to be by the list around it
	second   bool     // a second object was found in the document

	// What the limits of policies count; in other objects it means nothing.
	rules, entries int
}

func (c *converter) report(n *node, message, hint string) {
	c.findings.add(finding{line: c.doc.line(n), field: c.path.String(), message: message, hint: hint})
}

// twice reports a key that the mapping has already. A second kind or apiVersion of the document is the beginning of
// another object: all its keys would occur twice for want of one line.
func (c *converter) twice(k *node, key string, first int) {
	hint := "keep one of the two"
	if c.depth == 1 {
		if c.second {
			return
		}
		if c.second = key == "apiVersion" || key == "kind"; c.second {
			hint = "if another object begins here, put a line with --- before it"
		}
	}
	c.path.pushKey(key)
	c.report(k, fmt.Sprintf("the key %q occurs twice in the same mapping, first on line %d", key, c.doc.offset+first), hint)
	c.path.pop()
}

func (c *converter) value(n *node) {
	c.depth++
	defer func() { c.depth-- }()
	switch n.kind {
	case mappingNode:
		c.mapping(n)
	case sequenceNode:
		c.list(n)
		c.buf = append(c.buf, '[')
		for i, item := range n.content {
			if i > 0 {
				c.buf = append(c.buf, ',')
			}
			if c.leaveOut[resolveAlias(item)] {
				c.buf = append(c.buf, "null"...) // keeps the indices of the others
				continue
			}
			c.path.pushIndex(i)
			c.value(item)
			c.path.pop()
		}
		c.buf = append(c.buf, ']')
	case aliasNode:
		c.value(n.alias)
	case scalarNode:
		c.scalar(n)
	}
}

// list counts the items of a list: the rules of a policy, or what stands in them.
func (c *converter) list(n *node) {
	switch c.path.last() {
	case "ingress", "egress", "ingressDeny", "egressDeny":
		c.rules += len(n.content)
	default:
		c.entries += len(n.content)
	}
}

func (c *converter) mapping(n *node) {
	if c.path.last() == "matchLabels" {
		c.entries += len(n.content) / 2
	}
	c.buf = append(c.buf, '{')
	keys := keySet{}
	first := true
	if c.depth == 1 && c.typeMeta.kind != "" {
		if _, v := lookup(n, "apiVersion"); v == nil {
			c.buf = append(c.buf, `"apiVersion":`...)
			c.buf = append(appendJSONString(c.buf, c.typeMeta.apiVersion), ',')
		}
		if _, v := lookup(n, "kind"); v == nil {
			c.buf = append(c.buf, `"kind":`...)
			c.buf = append(appendJSONString(c.buf, c.typeMeta.kind), ',')
		}
		first = c.buf[len(c.buf)-1] != ','
		if !first {
			c.buf = c.buf[:len(c.buf)-1]
		}
	}
	var merges []*node
	for i := 0; i+1 < len(n.content); i += 2 {
		k, v := n.content[i], n.content[i+1]
		if isMergeKey(k) {
			merges = append(merges, v)
			continue
		}
		key, ok := c.key(k)
		if !ok {
			continue
		}
		if line, dup := keys.add(key, k.line); dup {
			c.twice(k, key, line)
			continue
		}
		first = c.entry(key, v, first)
	}
	for _, m := range merges {
		first = c.merge(m, &keys, first)
	}
	c.buf = append(c.buf, '}')
}

func (c *converter) entry(key string, v *node, first bool) bool {
	if c.leaveOut[resolveAlias(v)] {
		return first
	}
	if !first {
		c.buf = append(c.buf, ',')
	}
	c.buf = appendJSONString(c.buf, key)
	c.buf = append(c.buf, ':')
	c.path.pushKey(key)
	c.value(v)
	c.path.pop()
	return false
}

// merge adds the keys of a "<<" value that the mapping does not have itself.
func (c *converter) merge(m *node, keys *keySet, first bool) bool {
	switch m.kind {
	case aliasNode:
		first = c.merge(m.alias, keys, first)
	case sequenceNode:
		for _, item := range m.content {
			first = c.merge(item, keys, first)
		}
	case mappingNode:
		for i := 0; i+1 < len(m.content); i += 2 {
			k, v := m.content[i], m.content[i+1]
			if isMergeKey(k) {
				first = c.merge(v, keys, first)
				continue
			}
			key, ok := c.key(k)
			if !ok {
				continue
			}
			if _, dup := keys.add(key, k.line); !dup {
				first = c.entry(key, v, first)
			}
		}
	default:
		c.report(m, `the merge key "<<" takes a mapping or a list of mappings`, "")
	}
	return first
}

func isMergeKey(k *node) bool {
	return k.kind == scalarNode && k.value == "<<" && k.tag == mergeTag
}

// key returns the JSON key that k becomes. Numbers and booleans become their text, as for the API server.
func (c *converter) key(k *node) (string, bool) {
	if k.kind == aliasNode {
		k = k.alias
	}
	if k.kind != scalarNode {
		c.report(k, "a key must be a string, not a list or mapping", "a value that begins with { or [ must be quoted")
		return "", false
	}
	kind, text, ok := resolveScalar(k)
	switch {
	case !ok:
		c.report(k, fmt.Sprintf("the key %s is not a string", k.value), "quote it")
		return "", false
	case kind == scalarNull:
		c.report(k, "a key must be a string, not null", "quote it")
		return "", false
	}
	return text, true
}

func (c *converter) scalar(n *node) {
	kind, text, ok := resolveScalar(n)
	if !ok {
		c.report(n, fmt.Sprintf("%s cannot be expressed in JSON, which Kubernetes uses", n.value),
			"quote it if it is text")
		c.buf = append(c.buf, "null"...)
		return
	}
	if kind == scalarString {
		c.buf = appendJSONString(c.buf, text)
		return
	}
	c.buf = append(c.buf, text...)
}

// resolveScalar is resolvePlain for any scalar: quoted, tagged, or read from JSON.
func resolveScalar(n *node) (kind scalarKind, text string, ok bool) {
	switch n.tag {
	case "":
		if n.quoted {
			return scalarString, n.value, true
		}
		return resolvePlain(n.value)
	case jsonNumberTag:
		return scalarNumber, n.value, true
	case "!!bool", "!!int", "!!float", "!!null":
		kind, text, ok = resolvePlain(n.value)
		want := map[string]scalarKind{
			"!!bool": scalarBool, "!!int": scalarNumber, "!!float": scalarNumber, "!!null": scalarNull,
		}[n.tag]
		return kind, text, ok && kind == want
	case "!!binary":
		data, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(n.value), ""))
		return scalarString, string(data), err == nil && utf8.Valid(data)
	}
	return scalarString, n.value, true
}

// keySet finds keys that occur twice: by comparing for the few keys that mappings usually have.
type keySet struct {
	keys  []string
	lines []int
	index map[string]int
}

func (s *keySet) add(key string, line int) (firstLine int, dup bool) {
	if s.index != nil {
		if l, ok := s.index[key]; ok {
			return l, true
		}
		s.index[key] = line
		return 0, false
	}
	for i, k := range s.keys {
		if k == key {
			return s.lines[i], true
		}
	}
	s.keys, s.lines = append(s.keys, key), append(s.lines, line)
	if len(s.keys) > 32 {
		s.index = make(map[string]int, 2*len(s.keys))
		for i, k := range s.keys {
			s.index[k] = s.lines[i]
		}
	}
	return 0, false
}

const hexDigits = "0123456789abcdef"

// appendJSONString appends s as a JSON string, as encoding/json does but for the escapes for HTML.
func appendJSONString(buf []byte, s string) []byte {
	buf = append(buf, '"')
	start := 0
	for i := 0; i < len(s); {
		b := s[i]
		if b >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				buf = append(append(buf, s[start:i]...), `\ufffd`...)
				start = i + 1
			}
			i += n
			continue
		}
		if b >= 0x20 && b != '"' && b != '\\' {
			i++
			continue
		}
		buf = append(buf, s[start:i]...)
		switch b {
		case '"', '\\':
			buf = append(buf, '\\', b)
		case '\n':
			buf = append(buf, '\\', 'n')
		case '\t':
			buf = append(buf, '\\', 't')
		case '\r':
			buf = append(buf, '\\', 'r')
		default:
			buf = append(buf, '\\', 'u', '0', '0', hexDigits[b>>4], hexDigits[b&15])
		}
		i++
		start = i
	}
	return append(append(buf, s[start:]...), '"')
}

// fieldPath is where in an object one is: "spec.ingress[0].from". A key that contains a dot or a bracket
// is written as metadata.labels[app.kubernetes.io/name], as the API server does.
type fieldPath struct{ elems []pathElem }

type pathElem struct {
	key   string
	index int // if key is ""
	isKey bool
}

func (p *fieldPath) pushKey(k string) { p.elems = append(p.elems, pathElem{key: k, isKey: true}) }
func (p *fieldPath) pushIndex(i int)  { p.elems = append(p.elems, pathElem{index: i}) }
func (p *fieldPath) pop()             { p.elems = p.elems[:len(p.elems)-1] }

// last is the key that is looked into, or "" in the items of a list.
func (p *fieldPath) last() string {
	if len(p.elems) == 0 {
		return ""
	}
	return p.elems[len(p.elems)-1].key
}

// above is the key of the object that the last key is in, or "".
func (p *fieldPath) above() string {
	if len(p.elems) < 2 {
		return ""
	}
	return p.elems[len(p.elems)-2].key
}

func (p fieldPath) String() string {
	var b strings.Builder
	for _, e := range p.elems {
		e.key = shorten(e.key, maxShownKey)
		switch {
		case !e.isKey:
			b.WriteString("[" + strconv.Itoa(e.index) + "]")
		case strings.ContainsAny(e.key, ".[]/"):
			b.WriteString("[" + e.key + "]")
		default:
			if b.Len() > 0 {
				b.WriteByte('.')
			}
			b.WriteString(e.key)
		}
	}
	return b.String()
}
