package manifest

import lru "github.com/hashicorp/golang-lru/v2"

// Memory keeps what small objects without a problem were decoded to. Most of a class write the same objects, and then
// only where they stand is another each time. What it keeps is given out again and again: nobody may change an Object's
// Value or Labels. It is safe for concurrent use; nil is a memory that keeps nothing.
type Memory struct {
	objects *lru.Cache[said, Object] // without their places
}

// said is all that an object's decoding depends on.
type said struct {
	inherited typeMeta
	json      string
}

// mostRemembered bounds the JSON of an object that is kept, in bytes.
const mostRemembered = 4 << 10

// NewMemory keeps that many objects, those that were met last; it must be a positive number.
func NewMemory(objects int) *Memory {
	// The only error is a size that is not positive.
	cache, _ := lru.New[said, Object](objects)
	return &Memory{cache}
}

// Parser returns a Parser that keeps what it decodes in the memory, and takes what is there from it.
func (m *Memory) Parser(lim Limits) *Parser {
	return &Parser{memory: m, counts: &counts{survey: survey{lim: lim.orDefault()}}}
}

// recall completes an object that has its JSON, if its like was met before.
func (m *Memory) recall(o *Object, inherited typeMeta) bool {
	if m == nil || len(o.JSON) > mostRemembered {
		return false
	}
	like, ok := m.objects.Get(said{inherited, string(o.JSON)})
	if ok {
		like.File, like.Line, like.JSON, like.positions = o.File, o.Line, o.JSON, o.positions
		*o = like
	}
	return ok
}

// keep remembers an object that has no problem.
func (m *Memory) keep(o *Object, inherited typeMeta) {
	if m == nil || len(o.JSON) > mostRemembered {
		return
	}
	like := *o
	like.File, like.Line, like.JSON, like.positions = "", 0, nil, positions{}
	m.objects.Add(said{inherited, string(o.JSON)}, like)
}
