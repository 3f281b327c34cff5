package manifest

import (
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// positions is the parsed text of an object, in which the line of a field is looked up when asked for.
type positions struct {
	root   *yaml.Node
	offset int
}

// LineOf returns the line (from 1) on which a field stands, given its path as Problem.Field and
// policy.RuleRef write it: "spec.ingress[0].from[1]", "metadata.labels[app.kubernetes.io/name]". For a
// field that is not there it is the line of the nearest thing around it.
func (o *Object) LineOf(fieldPath string) int {
	if o.positions.root == nil {
		return o.Line
	}
	if line := o.positions.lineOf(fieldPath); line > 0 {
		return line
	}
	return o.Line
}

func (p positions) lineOf(path string) int {
	n, line := p.find(path)
	_ = n
	return line
}

// find returns the node at path and the line of its key, or of the nearest node around it; the node is
// nil if path does not exist.
func (p positions) find(path string) (*yaml.Node, int) {
	n := p.root
	line := n.Line + p.offset
	for depth := 0; path != "" && depth < 1000; depth++ {
		n = resolveAlias(n)
		var elem string
		elem, path = nextElem(path)
		key, value := child(n, elem)
		if value == nil {
			return nil, line
		}
		n = value
		line = key.Line + p.offset
	}
	return n, line
}

// nextElem cuts the first element off a path: a key, or what stands in brackets with the brackets.
func nextElem(path string) (elem, rest string) {
	if path[0] == '[' {
		end := strings.IndexByte(path, ']')
		if end < 0 {
			return path, ""
		}
		return path[:end+1], strings.TrimPrefix(path[end+1:], ".")
	}
	end := strings.IndexAny(path, ".[")
	switch {
	case end < 0:
		return path, ""
	case path[end] == '.':
		return path[:end], path[end+1:]
	}
	return path[:end], path[end:]
}

// child returns the value of a mapping's key or a list's item, and the node whose line it stands on.
func child(n *yaml.Node, elem string) (key, value *yaml.Node) {
	name := elem
	if strings.HasPrefix(elem, "[") && strings.HasSuffix(elem, "]") {
		name = elem[1 : len(elem)-1]
		if n.Kind == yaml.SequenceNode {
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(n.Content) {
				return nil, nil
			}
			return n.Content[i], n.Content[i]
		}
	}
	if n.Kind != yaml.MappingNode {
		return nil, nil
	}
	return lookup(n, name, 0)
}

// lookup finds a key of a mapping, then of the mappings merged into it.
func lookup(n *yaml.Node, name string, depth int) (key, value *yaml.Node) {
	if depth > 100 {
		return nil, nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := resolveAlias(n.Content[i])
		if k.Value == name && !isMergeKey(k) {
			return n.Content[i], n.Content[i+1]
		}
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if !isMergeKey(n.Content[i]) {
			continue
		}
		m := resolveAlias(n.Content[i+1])
		merged := []*yaml.Node{m}
		if m.Kind == yaml.SequenceNode {
			merged = m.Content
		}
		for _, m := range merged {
			if m = resolveAlias(m); m.Kind == yaml.MappingNode {
				if k, v := lookup(m, name, depth+1); v != nil {
					return k, v
				}
			}
		}
	}
	return nil, nil
}

func resolveAlias(n *yaml.Node) *yaml.Node {
	for i := 0; n.Kind == yaml.AliasNode && n.Alias != nil && i < 100; i++ {
		n = n.Alias
	}
	return n
}
