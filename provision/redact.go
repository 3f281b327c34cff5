package provision

import (
	"bytes"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclparse"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// userInfo is the user and password in a URL.
var userInfo = regexp.MustCompile(`(://)[^/?#\s"'@]+@`)

// authorization is the value of a header that authenticates.
var authorization = regexp.MustCompile(`(?i)(authorization"?\s*[:=]\s*"?(?:basic|bearer)\s+)[^\s"',]+`)

// RedactURLs replaces the user and password of URLs in a text.
func RedactURLs(text string) string { return userInfo.ReplaceAllString(text, "${1}***@") }

// redactor removes from files what is nobody else's business.
type redactor struct{ values [][]byte } // of the lab's variables, the longest first

// newRedactor removes these values of variables. Values that occur everywhere by chance, such as "true" and "3", are
// left: they give nothing away.
func newRedactor(variables []string) *redactor {
	r := &redactor{}
	for _, v := range variables {
		_, notNumber := strconv.ParseFloat(v, 64)
		_, notBool := strconv.ParseBool(v)
		if len(v) >= 4 && (notNumber != nil || len(v) >= 6) && notBool != nil {
			r.values = append(r.values, []byte(v))
		}
	}
	slices.SortFunc(r.values, func(a, b []byte) int { return len(b) - len(a) })
	return r
}

func (r *redactor) redact(data []byte) []byte {
	for _, v := range r.values {
		data = bytes.ReplaceAll(data, v, []byte("***"))
	}
	data = userInfo.ReplaceAll(data, []byte("${1}***@"))
	return authorization.ReplaceAll(data, []byte("${1}***"))
}

// values are the values that the user gave the lab's variables. A file that cannot be read any more gives none.
func (r *LabRef) values() []string {
	values := slices.Collect(maps.Values(r.Vars))
	parser := hclparse.NewParser()
	for _, path := range r.VarFiles {
		parse := parser.ParseHCLFile
		if strings.HasSuffix(path, ".json") {
			parse = parser.ParseJSONFile
		}
		file, diags := parse(path)
		if diags.HasErrors() {
			continue
		}
		attrs, _ := file.Body.JustAttributes()
		for _, attr := range attrs {
			values = append(values, texts(attr)...)
		}
	}
	return values
}

// texts are the strings and numbers in the value of an attribute.
func texts(attr *hcl.Attribute) (all []string) {
	value, diags := attr.Expr.Value(nil)
	if diags.HasErrors() {
		return nil
	}
	_ = cty.Walk(value, func(_ cty.Path, v cty.Value) (bool, error) {
		if v.IsKnown() && !v.IsNull() && v.Type().IsPrimitiveType() {
			if text, err := convert.Convert(v, cty.String); err == nil {
				all = append(all, text.AsString())
			}
		}
		return true, nil
	})
	return all
}

// public is the state without values of variables, and without the contents of objects that others own.
func (st *State) public() *State {
	public := *st
	public.Lab.Vars = maps.Clone(st.Lab.Vars)
	for name := range public.Lab.Vars {
		public.Lab.Vars[name] = "***"
	}
	if st.Before != nil {
		before := *st.Before
		before.Objects = nil
		for _, obj := range st.Before.Objects {
			named := &unstructured.Unstructured{}
			named.SetGroupVersionKind(obj.GroupVersionKind())
			named.SetNamespace(obj.GetNamespace())
			named.SetName(obj.GetName())
			before.Objects = append(before.Objects, named)
		}
		public.Before = &before
	}
	return &public
}
