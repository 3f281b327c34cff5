package labs

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	ctyyaml "github.com/zclconf/go-cty-yaml"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
	"go.yaml.in/yaml/v3"
)

// FunctionNames returns the names of the functions that expressions can call, sorted.
func FunctionNames() []string { return sortedKeys(functions(newSource(nil, ""), 0)) }

// functions are what expressions can call. None of them runs anything, reads the environment or the
// clock, or leaves the lab directory; so equal files and variables make equal labs.
func functions(src *source, depth int) map[string]function.Function {
	funcs := map[string]function.Function{
		"abs":             stdlib.AbsoluteFunc,
		"ceil":            stdlib.CeilFunc,
		"chomp":           stdlib.ChompFunc,
		"chunklist":       stdlib.ChunklistFunc,
		"coalesce":        stdlib.CoalesceFunc,
		"coalescelist":    stdlib.CoalesceListFunc,
		"compact":         stdlib.CompactFunc,
		"concat":          stdlib.ConcatFunc,
		"contains":        stdlib.ContainsFunc,
		"csvdecode":       stdlib.CSVDecodeFunc,
		"distinct":        stdlib.DistinctFunc,
		"element":         stdlib.ElementFunc,
		"flatten":         stdlib.FlattenFunc,
		"floor":           stdlib.FloorFunc,
		"format":          bounded(stdlib.FormatFunc, maxCallBytes),
		"formatlist":      bounded(stdlib.FormatListFunc, maxCallBytes),
		"indent":          bounded(stdlib.IndentFunc, maxCallBytes),
		"join":            stdlib.JoinFunc,
		"jsondecode":      stdlib.JSONDecodeFunc,
		"jsonencode":      stdlib.JSONEncodeFunc,
		"keys":            stdlib.KeysFunc,
		"length":          stdlib.LengthFunc,
		"log":             stdlib.LogFunc,
		"lookup":          stdlib.LookupFunc,
		"lower":           stdlib.LowerFunc,
		"max":             stdlib.MaxFunc,
		"merge":           stdlib.MergeFunc,
		"min":             stdlib.MinFunc,
		"parseint":        stdlib.ParseIntFunc,
		"pow":             stdlib.PowFunc,
		"range":           stdlib.RangeFunc,
		"regex":           stdlib.RegexFunc,
		"regexall":        stdlib.RegexAllFunc,
		"regexreplace":    bounded(stdlib.RegexReplaceFunc, maxCallBytes),
		"replace":         bounded(stdlib.ReplaceFunc, maxCallBytes),
		"reverse":         stdlib.ReverseListFunc,
		"setintersection": stdlib.SetIntersectionFunc,
		"setproduct":      bounded(stdlib.SetProductFunc, maxCallItems),
		"setsubtract":     stdlib.SetSubtractFunc,
		"setunion":        stdlib.SetUnionFunc,
		"signum":          stdlib.SignumFunc,
		"slice":           stdlib.SliceFunc,
		"sort":            stdlib.SortFunc,
		"split":           stdlib.SplitFunc,
		"strlen":          stdlib.StrlenFunc,
		"strrev":          stdlib.ReverseFunc,
		"substr":          stdlib.SubstrFunc,
		"title":           stdlib.TitleFunc,
		"tobool":          stdlib.MakeToFunc(cty.Bool),
		"tolist":          stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)),
		"tomap":           stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
		"tonumber":        stdlib.MakeToFunc(cty.Number),
		"toset":           stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)),
		"tostring":        stdlib.MakeToFunc(cty.String),
		"trim":            stdlib.TrimFunc,
		"trimprefix":      stdlib.TrimPrefixFunc,
		"trimspace":       stdlib.TrimSpaceFunc,
		"trimsuffix":      stdlib.TrimSuffixFunc,
		"upper":           stdlib.UpperFunc,
		"values":          stdlib.ValuesFunc,
		"yamldecode":      yamlDecodeFunc,
		"yamlencode":      ctyyaml.YAMLEncodeFunc,
		"zipmap":          stdlib.ZipmapFunc,

		"can": tryfunc.CanFunc,
		"try": tryfunc.TryFunc,

		"cidrhost":     cidrHostFunc,
		"cidrsubnet":   cidrSubnetFunc,
		"cidrcontains": cidrContainsFunc,

		"file":       fileFunc(src),
		"fileexists": fileExistsFunc(src),
		"fileset":    fileSetFunc(src),

		"dns":    dnsFunc,
		"entity": entityFunc,
		"node":   nodeFunc,
	}
	funcs["templatefile"] = templateFileFunc(src, depth)
	return funcs
}

// bounded refuses calls whose result could be out of all proportion to the arguments.
func bounded(f function.Function, limit float64) function.Function {
	params := f.Params()
	for i := range params {
		params[i].AllowDynamicType = true
	}
	check := func(args []cty.Value) error {
		size := 1.0
		for _, arg := range args {
			if arg.IsNull() || !arg.IsWhollyKnown() {
				continue
			}
			switch {
			case arg.Type() == cty.String:
				s := arg.AsString()
				size *= float64(len(s) + 1)
				if longWidth(s) {
					return errors.New("the format asks for a width or precision above 999")
				}
			case arg.Type() == cty.Number:
				if n, _ := arg.AsBigFloat().Float64(); n > 1 {
					size *= n
				}
			case arg.CanIterateElements():
				size *= float64(arg.LengthInt() + 1)
			}
		}
		if size > limit {
			return errors.New("the result could be too large for a lab")
		}
		return nil
	}
	return function.New(&function.Spec{
		Description: f.Description(),
		Params:      params,
		VarParam:    f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := check(args); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

// These bound the product of the sizes of a bounded function's arguments.
const (
	maxCallBytes = 1 << 24
	maxCallItems = 1 << 15
)

// yamlDecodeFunc refuses documents whose aliases could make them explode ("billion laughs").
var yamlDecodeFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "src", Type: cty.String}},
	Type: func(args []cty.Value) (cty.Type, error) {
		if !args[0].IsKnown() {
			return cty.DynamicPseudoType, nil
		}
		text := args[0].AsString()
		// So many aliases can at most multiply a document so often: three to a level, level upon level.
		aliases := len(yamlAlias.FindAllStringIndex(text, -1))
		if float64(len(text))*math.Pow(3, float64(aliases)/3) > maxCallBytes {
			return cty.NilType, function.NewArgErrorf(0, "the document has too many aliases (*NAME); write it out")
		}
		// cty takes time that grows with the square of the depth.
		var doc yaml.Node
		if err := yaml.Unmarshal([]byte(text), &doc); err == nil && deeper(&doc, maxYAMLDepth) {
			return cty.NilType, function.NewArgErrorf(0, "the document is nested more than %d levels deep",
				maxYAMLDepth)
		} else if err != nil && strings.Contains(err.Error(), "exceeded max depth") {
			return cty.NilType, function.NewArgErrorf(0, "%s", err)
		}
		return ctyyaml.YAMLDecodeFunc.ReturnTypeForValues(args)
	},
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return ctyyaml.YAMLDecodeFunc.Call(args) },
})

const maxYAMLDepth = 200

// deeper reports whether a value holds others more than so many levels deep, aliases not followed.
func deeper(n *yaml.Node, levels int) bool {
	if levels < 0 {
		return true
	}
	return slices.ContainsFunc(n.Content, func(child *yaml.Node) bool { return deeper(child, levels-1) })
}

var yamlAlias = regexp.MustCompile(`(^|[\s\[\]{},:?-])\*[^\s*]`)

// longWidth reports a %-verb with a width or precision of more than three digits.
func longWidth(s string) bool {
	for {
		i := strings.IndexByte(s, '%')
		if i < 0 {
			return false
		}
		s = s[i+1:]
		digits := 0
		for _, c := range s {
			if c >= '0' && c <= '9' {
				if digits++; digits > 3 {
					return true
				}
				continue
			}
			if strings.ContainsRune("+-# .[]", c) {
				if c != '-' && c != '+' && c != '#' && c != ' ' {
					digits = 0
				}
				continue
			}
			break
		}
	}
}

var pathParam = function.Parameter{Name: "path", Type: cty.String}

// readText reads a file of the lab as text.
func readText(src *source, name string) (string, error) {
	data, err := src.read(name, maxFileBytes)
	if err != nil {
		return "", function.NewArgErrorf(0, "%q cannot be read: %v", name, err)
	}
	if !utf8.Valid(data) {
		return "", function.NewArgErrorf(0, "%q is not UTF-8 text", name)
	}
	return string(data), nil
}

func fileFunc(src *source) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{pathParam},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			text, err := readText(src, args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(text), nil
		},
	})
}

func fileExistsFunc(src *source) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{pathParam},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			name, err := src.clean(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "%q: %v", args[0].AsString(), err)
			}
			info, err := src.stat(name)
			return cty.BoolVal(err == nil && info.Mode().IsRegular()), nil
		},
	})
}

// fileSetFunc lists the files of a directory that match a pattern (path.Match), in name order.
func fileSetFunc(src *source) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{pathParam, {Name: "pattern", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Set(cty.String)),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			dir, err := src.clean(args[0].AsString())
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "%q: %v", args[0].AsString(), err)
			}
			pattern := args[1].AsString()
			if _, err := path.Match(pattern, ""); err != nil {
				return cty.NilVal, function.NewArgErrorf(1,
					"%q is not a pattern: * and ? match parts of a name, [a-z] matches a character", pattern)
			}
			if dir != "." {
				if _, err := src.stat(dir); err != nil {
					return cty.NilVal, function.NewArgErrorf(0, "%q: %v", dir, err)
				}
			}
			var found []cty.Value
			seen := 0
			err = fs.WalkDir(src.fs, dir, func(p string, e fs.DirEntry, err error) error {
				if err != nil {
					return plainError(err)
				}
				if seen++; seen > maxFiles {
					return fmt.Errorf("it has more than %d entries", maxFiles)
				}
				rel := strings.TrimPrefix(strings.TrimPrefix(p, dir), "/")
				if dir == "." {
					rel = p
				}
				if e.IsDir() && p != dir && strings.Count(rel, "/") >= strings.Count(pattern, "/") {
					return fs.SkipDir
				}
				if ok, _ := path.Match(pattern, rel); ok && e.Type().IsRegular() {
					found = append(found, cty.StringVal(rel))
				}
				return nil
			})
			if err != nil {
				return cty.NilVal, function.NewArgErrorf(0, "%q cannot be listed: %v", dir, err)
			}
			if len(found) == 0 {
				return cty.SetValEmpty(cty.String), nil
			}
			return cty.SetVal(found), nil
		},
	})
}

// templateFileFunc renders a file of the lab as an HCL template with the given variables.
func templateFileFunc(src *source, depth int) function.Function {
	render := func(args []cty.Value) (cty.Value, error) {
		if depth >= maxTemplates {
			return cty.NilVal, function.NewArgErrorf(0, "templates nest at most %d deep", maxTemplates)
		}
		name := args[0].AsString()
		text, err := readText(src, name)
		if err != nil {
			return cty.NilVal, err
		}
		vars := args[1]
		if !vars.Type().IsObjectType() && !vars.Type().IsMapType() {
			return cty.NilVal, function.NewArgErrorf(1, "the variables are a map: { name = value }")
		}
		if d := checkTokens([]byte(text), name); d != nil {
			return cty.NilVal, function.NewArgErrorf(0, "%s: %s", name, d.Detail)
		}
		expr, diags := hclsyntax.ParseTemplate([]byte(text), name, hcl.InitialPos)
		if diags.HasErrors() {
			return cty.NilVal, function.NewArgErrorf(0, "%s", templateError(diags))
		}
		ctx := &hcl.EvalContext{Variables: vars.AsValueMap(), Functions: functions(src, depth+1)}
		for _, tr := range expr.Variables() {
			if _, ok := ctx.Variables[tr.RootName()]; !ok {
				return cty.NilVal,
					function.NewArgErrorf(1, "%s line %d uses %q, which is not among the variables given",
						name, tr.SourceRange().Start.Line, tr.RootName())
			}
		}
		v, diags := expr.Value(ctx)
		if diags.HasErrors() {
			return cty.NilVal, function.NewArgErrorf(0, "%s", templateError(diags))
		}
		v, _ = v.UnmarkDeep()
		v, err = convert.Convert(v, cty.String)
		if err != nil || v.IsNull() {
			return cty.NilVal, function.NewArgErrorf(0, "%s does not produce text", name)
		}
		if problem := tooLarge(v); problem != "" {
			return cty.NilVal, function.NewArgErrorf(0, "the text of %s %s", name, problem)
		}
		return v, nil
	}
	return function.New(&function.Spec{
		Params: []function.Parameter{pathParam, {Name: "vars", Type: cty.DynamicPseudoType}},
		Type:   function.StaticReturnType(cty.String),
		Impl:   func(args []cty.Value, _ cty.Type) (cty.Value, error) { return render(args) },
	})
}

func templateError(diags hcl.Diagnostics) string {
	for _, d := range diags {
		if d.Severity != hcl.DiagError {
			continue
		}
		detail := strings.TrimRight(d.Detail, ".")
		if d.Subject == nil {
			return detail
		}
		// A template within a template: the innermost problem is the one to fix.
		if _, inner, ok := cutLast(detail, `Invalid value for "path" parameter: `); ok {
			return inner
		}
		return fmt.Sprintf("%s line %d: %s", d.Subject.Filename, d.Subject.Start.Line, detail)
	}
	return ""
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
