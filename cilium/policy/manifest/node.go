package manifest

import "go.yaml.in/yaml/v3"

// node is a value of a YAML or JSON document together with where it stands: what is needed of yaml.Node,
// at a quarter of its size.
type node struct {
	kind     nodeKind
	quoted   bool   // a scalar in quotes, or a block scalar: a string whatever it looks like
	anchored bool   // an alias may stand for it
	flow     bool   // a mapping or sequence in brackets
	line     int    // from 1, in the text that was parsed
	value    string // of a scalar; of an alias its name
	tag      string // as written; jsonNumberTag; "!!merge" for the merge key; otherwise empty

	content []*node // of a sequence its items, of a mapping keys and values in turn
	alias   *node   // what an alias stands for
}

type nodeKind uint8

const (
	scalarNode nodeKind = iota + 1
	mappingNode
	sequenceNode
	aliasNode
)

// jsonNumberTag marks a number that stands in the text as JSON already.
const jsonNumberTag = "!!json-number"

const mergeTag = "!!merge"

// fromYAML converts what the YAML library parsed, which is at most 10,000 levels deep. done holds the nodes that
// aliases point to. An alias may stand for what it is in: survey refuses that.
func fromYAML(y *yaml.Node, done map[*yaml.Node]*node) *node {
	if n := done[y]; n != nil {
		return n
	}
	n := &node{line: y.Line, value: y.Value, anchored: y.Anchor != "", flow: y.Style&yaml.FlowStyle != 0}
	if n.anchored {
		done[y] = n
	}
	switch y.Kind {
	case yaml.ScalarNode:
		n.kind = scalarNode
		n.quoted = y.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) != 0
		if y.Style&yaml.TaggedStyle != 0 || y.Tag == mergeTag {
			n.tag = y.Tag
		}
	case yaml.MappingNode:
		n.kind = mappingNode
	case yaml.SequenceNode:
		n.kind = sequenceNode
	case yaml.AliasNode:
		n.kind = aliasNode
		n.alias = fromYAML(y.Alias, done)
	}
	for _, c := range y.Content {
		n.content = append(n.content, fromYAML(c, done))
	}
	return n
}
