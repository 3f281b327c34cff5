package manifest

import "fmt"

// survey goes through each document once before anything else does. It counts what is in it, with every use of
// an alias in full, and refuses what would make a later walk long, deep or endless. After it nothing has to watch
// its step: an alias leads to no cycle, and following all of them visits no more values than the limit allows.
type survey struct {
	lim     Limits
	values  int   // of all documents so far
	bytes   int64 // of their text
	deepest int   // level reached below the value that is being measured
	extents map[*node]extent
}

// extent is what an anchored value is counted for wherever an alias stands for it.
type extent struct {
	values int // 0 while it is being measured
	bytes  int64
	levels int
}

// refusal says why a document is not looked at any further.
type refusal struct {
	at  *node
	err error
}

// document surveys one document; what its aliases stand for is in it.
func (s *survey) document(root *node) *refusal {
	s.deepest, s.extents = 0, nil
	return s.visit(root, 0)
}

func (s *survey) visit(n *node, level int) *refusal {
	if n.kind == aliasNode {
		return s.alias(n, level)
	}
	if r := s.count(n, 1, int64(len(n.value)), level); r != nil || n.kind == scalarNode {
		return r
	}
	if !n.anchored {
		return s.children(n, level)
	}
	if s.extents == nil {
		s.extents = map[*node]extent{}
	}
	s.extents[n] = extent{}
	values, bytes, deepest := s.values-1, s.bytes, s.deepest
	s.deepest = level
	if r := s.children(n, level); r != nil {
		return r
	}
	s.extents[n] = extent{values: s.values - values, bytes: s.bytes - bytes, levels: s.deepest - level}
	s.deepest = max(s.deepest, deepest)
	return nil
}

func (s *survey) children(n *node, level int) *refusal {
	for i, child := range n.content {
		var r *refusal
		if key := n.kind == mappingNode && i%2 == 0; key && child.kind == scalarNode {
			r = s.count(child, 0, int64(len(child.value)), level)
		} else {
			r = s.visit(child, level+1)
		}
		if r != nil {
			return r
		}
	}
	return nil
}

// alias counts what an alias stands for, which came before it.
func (s *survey) alias(n *node, level int) *refusal {
	if n.alias.kind == scalarNode {
		return s.count(n, 2, int64(len(n.alias.value)), level)
	}
	e, measured := s.extents[n.alias]
	switch {
	case !measured: // it does not come before: no parser gives that
		return &refusal{n, fmt.Errorf("the alias *%s has no anchor", n.value)}
	case e.values == 0:
		return &refusal{n, fmt.Errorf("the alias *%s contains itself", n.value)}
	}
	return s.count(n, 1+e.values, e.bytes, level+e.levels)
}

func (s *survey) count(at *node, values int, bytes int64, level int) *refusal {
	s.values += values
	s.bytes += bytes
	s.deepest = max(s.deepest, level)
	switch {
	case level > s.lim.Depth:
		return &refusal{at, exceeds("max-depth", "the document is nested more than %d levels deep", s.lim.Depth)}
	case s.values > s.lim.Nodes:
		return &refusal{at, exceeds("max-values", "more than %d values, with aliases expanded", s.lim.Nodes)}
	case s.bytes > s.lim.TotalBytes:
		return &refusal{at, exceeds("max-bytes", "more than %d bytes of text, with aliases expanded", s.lim.TotalBytes)}
	}
	return nil
}
