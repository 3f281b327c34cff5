package manifest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"io"
	"strconv"
	"strings"
)

// positions is the parsed text of an object, in which the line of a field is looked up on demand.
type positions struct {
	root   *node
	offset int
}

// LineOf returns the line (from 1) of a field, given its path as Problem.Field and
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
func (p positions) find(path string) (*node, int) {
	n := p.root
	line := n.line + p.offset
	for depth := 0; path != "" && depth < 1000; depth++ {
		n = resolveAlias(n)
		var elem string
		elem, path = nextElem(path)
		key, value := child(n, elem)
		if value == nil {
			return nil, line
		}
		n = value
		line = key.line + p.offset
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
func child(n *node, elem string) (key, value *node) {
	name := elem
	if strings.HasPrefix(elem, "[") && strings.HasSuffix(elem, "]") {
		name = elem[1 : len(elem)-1]
		if n.kind == sequenceNode {
			i, err := strconv.Atoi(name)
			if err != nil || i < 0 || i >= len(n.content) {
				return nil, nil
			}
			return n.content[i], n.content[i]
		}
	}
	if n.kind != mappingNode {
		return nil, nil
	}
	return lookup(n, name)
}

// lookup finds a key of a mapping, then of the mappings merged into it.
func lookup(n *node, name string) (key, value *node) {
	budget := 10_000 // merged mappings: a document of merges of merges must not take forever
	return lookupMerged(n, name, &budget)
}

func lookupMerged(n *node, name string, budget *int) (key, value *node) {
	if *budget--; *budget < 0 {
		return nil, nil
	}
	merges := false
	for i := 0; i+1 < len(n.content); i += 2 {
		k := resolveAlias(n.content[i])
		if isMergeKey(k) {
			merges = true
		} else if k.value == name {
			return n.content[i], n.content[i+1]
		}
	}
	for i := 0; merges && i+1 < len(n.content); i += 2 {
		if !isMergeKey(n.content[i]) {
			continue
		}
		merged := []*node{n.content[i+1]}
		if m := resolveAlias(n.content[i+1]); m.kind == sequenceNode {
			merged = m.content
		}
		for _, m := range merged {
			if m = resolveAlias(m); m.kind == mappingNode {
				if k, v := lookupMerged(m, name, budget); v != nil {
					return k, v
				}
			}
		}
	}
	return nil, nil
}

func resolveAlias(n *node) *node {
	for i := 0; n.kind == aliasNode && n.alias != nil && i < 100; i++ {
		n = n.alias
	}
	return n
}

// Layout is a digest of the position of everything in the object: two objects with equal JSON and equal layouts are the
// same but for comments, and LineOf says the same of both. It is false where an alias makes that hard to tell.
func (o *Object) Layout() (digest [sha256.Size]byte, ok bool) {
	var places bytes.Buffer
	places.Write(binary.AppendUvarint(nil, uint64(o.Line)))
	if root := o.positions.root; root != nil && !root.appendPlaces(&places, o.positions.offset) {
		return digest, false
	}
	io.WriteString(&places, o.File)
	return sha256.Sum256(places.Bytes()), true
}

// appendPlaces writes what stands on which line, and so on for what is in it; false: there is an alias in it.
func (n *node) appendPlaces(to *bytes.Buffer, offset int) bool {
	if n.kind == aliasNode {
		return false
	}
	to.WriteByte(byte(n.kind))
	to.Write(binary.AppendUvarint(to.AvailableBuffer(), uint64(n.line+offset)))
	to.Write(binary.AppendUvarint(to.AvailableBuffer(), uint64(len(n.content))))
	if n.kind == scalarNode {
		to.Write(binary.AppendUvarint(to.AvailableBuffer(), uint64(len(n.value))))
		to.WriteString(n.value)
	}
	for _, child := range n.content {
		if !child.appendPlaces(to, offset) {
			return false
		}
	}
	return true
}
