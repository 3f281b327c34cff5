package labs

import (
	"fmt"
	"math/big"

	"github.com/zclconf/go-cty/cty"
)

// This file is about values of the language, whatever they stand for: their types, sizes and Go forms.

var (
	stringList = cty.List(cty.String)
	stringMap  = cty.Map(cty.String)
)

func typeName(t cty.Type) string {
	switch t {
	case cty.String:
		return "a string"
	case cty.Number:
		return "a number"
	case cty.Bool:
		return "true or false"
	case stringList:
		return "a list of strings"
	case stringMap:
		return "a map of strings"
	case cty.DynamicPseudoType:
		return "null"
	}
	switch {
	case t.IsTupleType(), t.IsListType():
		return "a list"
	case t.IsSetType():
		return "a set"
	case t.IsObjectType(), t.IsMapType():
		return "a map"
	}
	return t.FriendlyName()
}

func hasNull(v cty.Value) bool {
	if v.IsNull() {
		return true
	}
	if v.CanIterateElements() {
		for it := v.ElementIterator(); it.Next(); {
			if _, e := it.Element(); e.IsNull() {
				return true
			}
		}
	}
	return false
}

func wholeNumber(v cty.Value) (int, bool) {
	i, acc := v.AsBigFloat().Int64()
	return int(i), acc == big.Exact
}

func numberText(v cty.Value) string { return v.AsBigFloat().Text('g', 20) }

func stringsOf(v cty.Value) map[string]string {
	m := map[string]string{}
	for it := v.ElementIterator(); it.Next(); {
		k, e := it.Element()
		m[k.AsString()] = e.AsString()
	}
	return m
}

// tooLarge says in what respect a value exceeds what a lab can sensibly hold.
func tooLarge(v cty.Value) string {
	var size valueSize
	size.add(v)
	switch {
	case size.badNumber:
		return "is a number out of range"
	case size.nodes > maxValueNodes:
		return fmt.Sprintf("has more than %d parts", maxValueNodes)
	case size.bytes > maxValueBytes:
		return fmt.Sprintf("has more than %d bytes of text", maxValueBytes)
	}
	return ""
}

type valueSize struct {
	nodes, bytes int
	badNumber    bool
}

func (s *valueSize) add(v cty.Value) {
	s.nodes++
	if s.nodes > maxValueNodes || v.IsNull() || !v.IsKnown() {
		return
	}
	switch t := v.Type(); {
	case t == cty.String:
		s.bytes += len(v.AsString())
	case t == cty.Number:
		f := v.AsBigFloat()
		exp := f.MantExp(nil)
		s.badNumber = s.badNumber || f.IsInf() || exp > 1024 || exp < -1024
	case v.CanIterateElements():
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			s.add(e)
		}
	}
}

func stringMapValue(m map[string]string) cty.Value {
	if len(m) == 0 {
		return cty.MapValEmpty(cty.String)
	}
	vals := map[string]cty.Value{}
	for k, v := range m {
		vals[k] = cty.StringVal(v)
	}
	return cty.MapVal(vals)
}

// goValue turns a value into plain Go values: nil, string, bool, int, float64, []any, map[string]any.
func goValue(v cty.Value) any {
	if v == cty.NilVal || v.IsNull() || !v.IsKnown() {
		return nil
	}
	t := v.Type()
	switch {
	case t == cty.String:
		return v.AsString()
	case t == cty.Bool:
		return v.True()
	case t == cty.Number:
		f := v.AsBigFloat()
		if i, acc := f.Int64(); acc == big.Exact {
			return int(i)
		}
		n, _ := f.Float64()
		return n
	case t.IsObjectType() || t.IsMapType():
		m := map[string]any{}
		for it := v.ElementIterator(); it.Next(); {
			if k, e := it.Element(); k.AsString() != refAttr {
				m[k.AsString()] = goValue(e)
			}
		}
		return m
	case t.IsTupleType() || t.IsListType() || t.IsSetType():
		list := []any{}
		for it := v.ElementIterator(); it.Next(); {
			_, e := it.Element()
			list = append(list, goValue(e))
		}
		return list
	}
	return nil
}

func shorten(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n]) + "…"
}
