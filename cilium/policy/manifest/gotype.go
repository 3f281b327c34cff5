package manifest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/intstr"
)

// schemaOf returns the schema of a Go type as encoding/json reads it. It is only needed for an object
// that does not decode, to say everything that is wrong with it and where.
func schemaOf(t reflect.Type) *schema {
	return buildSchema(t, map[reflect.Type]*schema{})
}

func buildSchema(t reflect.Type, open map[reflect.Type]*schema) *schema {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if s, ok := open[t]; ok {
		return s
	}
	s := &schema{goType: t.String()}
	open[t] = s
	if t == reflect.TypeFor[intstr.IntOrString]() {
		s.IntOrString, s.Format = true, "int32"
		return s
	}
	if reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		s.accepts = func(data []byte) error {
			return json.Unmarshal(data, reflect.New(t).Interface())
		}
		return s
	}
	switch t.Kind() {
	case reflect.Bool:
		s.Type = "boolean"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		s.Type = "integer"
		s.Format = t.Kind().String()
	case reflect.Float32, reflect.Float64:
		s.Type = "number"
	case reflect.String:
		s.Type = "string"
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			s.Type = "string" // base64
			break
		}
		s.Type = "array"
		s.Items = buildSchema(t.Elem(), open)
	case reflect.Map:
		s.Type = "object"
		s.Values = buildSchema(t.Elem(), open)
	case reflect.Struct:
		s.Type = "object"
		s.Properties = map[string]*schema{}
		addFields(s, t, open)
	default:
		s.Anything = true
	}
	return s
}

func addFields(s *schema, t reflect.Type, open map[reflect.Type]*schema) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "-" || (!f.IsExported() && !f.Anonymous) {
			continue
		}
		if f.Anonymous && (name == "" || strings.Contains(options, "inline")) {
			ft := f.Type
			for ft.Kind() == reflect.Pointer {
				ft = ft.Elem()
			}
			addFields(s, ft, open)
			continue
		}
		if name == "" {
			name = f.Name
		}
		s.Properties[name] = buildSchema(f.Type, open)
	}
}

// checkGo is check for the schema of a Go type: types and unknown fields, as encoding/json reports them.
func (c *checker) checkGo(s *schema, key, n *node, got string) {
	if got == "null" {
		return
	}
	if s.accepts != nil {
		conv := converter{doc: c.doc}
		conv.value(n)
		if err := s.accepts(conv.buf); err != nil {
			c.typeError(key, n, got, s, err.Error())
		}
		return
	}
	if !s.allows(got) {
		c.typeError(key, n, got, s, unexpected(got, s))
		return
	}
	switch got {
	case "object":
		c.enter(s, n)
		eachField(n, func(name string, k, v *node) {
			child := s.Properties[name]
			if child == nil {
				child = s.Values
			}
			c.path.pushKey(name)
			if child != nil {
				c.check(child, k, v)
			} else {
				c.unknownField(name, k, v)
			}
			c.path.pop()
		})
		c.levels = c.levels[:len(c.levels)-1]
	case "array":
		for i, item := range n.content {
			c.path.pushIndex(i)
			c.check(s.Items, item, item)
			c.path.pop()
		}
	case "integer":
		if _, text, _ := resolveScalar(n); !fitsInto(text, s.Format) {
			c.typeError(key, n, got, s, fmt.Sprintf("the number %s is too large or too small", shorten(text, maxShownKey)))
		}
	}
}

func (c *checker) typeError(key, n *node, got string, s *schema, message string) {
	c.misfit(n)
	if c.findings.full() {
		c.findings.more++
		return
	}
	c.findings.add(finding{
		line: c.doc.line(key), field: c.path.String(), message: strings.TrimPrefix(message, "json: "),
		hint: typeHint(&c.path, n, got, s),
	})
}

func fitsInto(number, goKind string) bool {
	bits := 64
	if i := strings.IndexAny(goKind, "123456789"); i >= 0 {
		bits, _ = strconv.Atoi(goKind[i:])
	}
	var err error
	if strings.HasPrefix(goKind, "u") {
		_, err = strconv.ParseUint(number, 10, bits)
	} else if strings.HasPrefix(goKind, "int") {
		_, err = strconv.ParseInt(number, 10, bits)
	}
	return err == nil
}
