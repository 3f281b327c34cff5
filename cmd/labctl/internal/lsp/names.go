package lsp

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/labctl/labctl/labs/schema"
)

// name is what can be referred to in a lab.
type name struct {
	kind   string // var, local, namespace, app, external, task, objective, port
	parent string // the task of an objective, the app of a port
	label  string
}

// occurrence is a place where a name stands: its text, without quotes.
type occurrence struct {
	name
	file       string
	start, end int
	decl       bool
	detail     string // of a declaration: its title or description
}

// index is where the names of a lab stand.
type index struct {
	all     []occurrence
	forEach map[name]bool // declared by a block with for_each
}

// indexFiles finds the names in the files of a lab, as far as they parse.
func indexFiles(files map[string]*hcl.File) *index {
	x := &index{forEach: map[name]bool{}}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if body, ok := files[file].Body.(*hclsyntax.Body); ok {
			x.declarations(file, body, "")
		}
	}
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if body, ok := files[file].Body.(*hclsyntax.Body); ok {
			w := walker{index: x, file: file, src: files[file].Bytes}
			w.body(body, nil)
		}
	}
	slices.SortStableFunc(x.all, func(a, b occurrence) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.start, b.start))
	})
	return x
}

// declarations notes the names that blocks declare, before anything refers to them.
func (x *index) declarations(file string, body *hclsyntax.Body, parent string) {
	for _, b := range body.Blocks {
		if b.Type == "locals" && parent == "" {
			for label, a := range b.Body.Attributes {
				x.declare(occurrence{name: name{kind: "local", label: label}, file: file,
					start: a.NameRange.Start.Byte, end: a.NameRange.End.Byte})
			}
			continue
		}
		if len(b.Labels) == 0 {
			continue
		}
		n := name{kind: b.Type, label: b.Labels[0]}
		switch {
		case parent == "" && n.kind == "variable":
			n.kind = "var"
		case parent == "" && slices.Contains([]string{"namespace", "app", "external", "task"}, n.kind):
		case n.kind == "objective" || n.kind == "port":
			n.parent = parent
		default:
			continue
		}
		start, end := b.LabelRanges[0].Start.Byte, b.LabelRanges[0].End.Byte
		if end-start == len(n.label)+2 { // in quotes
			start, end = start+1, end-1
		}
		x.forEach[n] = b.Body.Attributes["for_each"] != nil
		x.declare(occurrence{name: n, file: file, start: start, end: end, detail: detailOf(b)})
		if n.kind == "task" || n.kind == "app" {
			x.declarations(file, b.Body, n.label)
		}
	}
}

func (x *index) declare(o occurrence) {
	o.decl = true
	x.all = append(x.all, o)
}

// detailOf returns the title or description of a block, if it is a plain string.
func detailOf(b *hclsyntax.Block) string {
	for _, attr := range []string{"title", "description"} {
		if a := b.Body.Attributes[attr]; a != nil {
			if text, _, ok := literal(a.Expr); ok {
				return text
			}
		}
	}
	return ""
}

// literal returns the text of a string without interpolations, and where it begins.
func literal(expr hclsyntax.Expression) (text string, start int, ok bool) {
	t, isTemplate := expr.(*hclsyntax.TemplateExpr)
	if !isTemplate || !t.IsStringLiteral() {
		return "", 0, false
	}
	lit, ok := t.Parts[0].(*hclsyntax.LiteralValueExpr)
	if !ok || lit.Val.Type() != cty.String {
		return "", 0, false
	}
	return lit.Val.AsString(), lit.SrcRange.Start.Byte, true
}

// declared returns the declarations of a kind, in their order.
func (x *index) declared(kind string) []occurrence {
	var list []occurrence
	for _, o := range x.all {
		if o.decl && o.kind == kind {
			list = append(list, o)
		}
	}
	return list
}

func (x *index) declaration(n name) *occurrence {
	for i := range x.all {
		if x.all[i].decl && x.all[i].name == n {
			return &x.all[i]
		}
	}
	return nil
}

// at returns the name at a place.
func (x *index) at(file string, offset int) *occurrence {
	for i := range x.all {
		if o := &x.all[i]; o.file == file && o.start <= offset && offset <= o.end {
			return o
		}
	}
	return nil
}

// of returns the places of a name.
func (x *index) of(n name) []occurrence {
	var list []occurrence
	for _, o := range x.all {
		if o.name == n {
			list = append(list, o)
		}
	}
	return list
}

// walker notes the references in a file.
type walker struct {
	*index
	file string
	src  []byte
}

func (w *walker) refer(n name, start, end int) {
	if start >= 0 && end <= len(w.src) && string(w.src[start:end]) == n.label {
		w.all = append(w.all, occurrence{name: n, file: w.file, start: start, end: end})
	}
}

func (w *walker) body(body *hclsyntax.Body, blocks []openBlock) {
	spec := schemaOf(blocks)
	for _, a := range body.Attributes {
		for _, tr := range a.Expr.Variables() {
			w.traversal(tr)
		}
		if spec != nil {
			w.strings(spec.Attribute(a.Name), a.Expr, blocks)
		}
	}
	for _, b := range body.Blocks {
		if b.Type == "label" && len(b.Labels) == 1 && len(blocks) > 0 && blocks[len(blocks)-1].typ == "setup" {
			w.namespace(b.Labels[0], b.LabelRanges[0].Start.Byte+1)
		}
		w.body(b.Body, append(slices.Clip(blocks), openBlock{b.Type, b.Labels}))
	}
}

// traversal notes what app.NAME, app.NAME.port.NAME and the like refer to.
func (w *walker) traversal(tr hcl.Traversal) {
	root := tr.RootName()
	if !slices.Contains(referenceRoots, root) || len(tr) < 2 {
		return
	}
	label, start, end, ok := w.step(tr[1])
	if !ok {
		return
	}
	n := name{kind: root, label: label}
	w.refer(n, start, end)
	if root != "app" {
		return
	}
	rest := tr[2:]
	if w.forEach[n] && len(rest) > 0 { // the key of an instance
		rest = rest[1:]
	}
	if len(rest) < 2 {
		return
	}
	if attr, _, _, ok := w.step(rest[0]); ok && attr == "port" {
		if port, start, end, ok := w.step(rest[1]); ok {
			w.refer(name{"port", label, port}, start, end)
		}
	}
}

var referenceRoots = []string{"var", "local", "namespace", "app", "external"}

// step returns the name in .NAME or ["NAME"], and where it stands.
func (w *walker) step(step hcl.Traverser) (label string, start, end int, ok bool) {
	switch step := step.(type) {
	case hcl.TraverseAttr:
		end := step.SrcRange.End.Byte
		return step.Name, end - len(step.Name), end, true
	case hcl.TraverseIndex:
		if step.Key.Type() != cty.String || !step.Key.IsKnown() || step.Key.IsNull() {
			return "", 0, 0, false
		}
		label := step.Key.AsString()
		if step.SrcRange.End.Byte > len(w.src) {
			return "", 0, 0, false
		}
		i := strings.Index(string(w.src[step.SrcRange.Start.Byte:step.SrcRange.End.Byte]), `"`+label+`"`)
		if i < 0 {
			return "", 0, 0, false
		}
		start := step.SrcRange.Start.Byte + i + 1
		return label, start, start + len(label), true
	}
	return "", 0, 0, false
}

// strings notes the names in strings: of tasks and objectives in depends_on, and of namespaces.
func (w *walker) strings(attr *schema.Attribute, expr hclsyntax.Expression, blocks []openBlock) {
	if attr == nil {
		return
	}
	exprs := []hclsyntax.Expression{expr}
	if list, ok := expr.(*hclsyntax.TupleConsExpr); ok {
		exprs = list.Exprs
	}
	for _, e := range exprs {
		text, start, ok := literal(e)
		switch {
		case !ok:
		case attr.Type == schema.Namespace || attr.Type == schema.Namespaces:
			w.namespace(text, start)
		case attr.Name == "depends_on" && len(blocks) == 1:
			w.refer(name{kind: "task", label: text}, start, start+len(text))
		case attr.Name == "depends_on" && len(blocks) == 2 && len(blocks[0].labels) > 0:
			w.dependency(text, start, blocks[0].labels[0])
		}
	}
}

// dependency notes "OBJECTIVE" or "TASK/OBJECTIVE".
func (w *walker) dependency(text string, start int, task string) {
	objective := text
	if before, after, ok := strings.Cut(text, "/"); ok {
		task, objective = before, after
		w.refer(name{kind: "task", label: task}, start, start+len(task))
		start += len(task) + 1
	}
	n := name{"objective", task, objective}
	if w.declaration(n) == nil {
		// An instance of an objective with for_each: LABEL-KEY.
		for _, o := range w.declared("objective") {
			if o.parent == task && w.forEach[o.name] && strings.HasPrefix(objective, o.label+"-") {
				n = o.name
			}
		}
	}
	w.refer(n, start, start+len(n.label))
}

// namespace notes the name of a namespace that a block of the lab declares.
func (w *walker) namespace(text string, start int) {
	if n := (name{kind: "namespace", label: text}); w.declaration(n) != nil {
		w.refer(n, start, start+len(text))
	}
}

// checkRename returns why a name cannot be given to what n is, or "".
func (x *index) checkRename(n name, to string) string {
	switch n.kind {
	case "var", "local":
		if !hclsyntax.ValidIdentifier(to) {
			return fmt.Sprintf(`%q is not a name: use letters, digits, "_" and "-", beginning with a letter`, to)
		}
	case "port":
		if problems := validation.IsValidPortName(to); len(problems) > 0 {
			return fmt.Sprintf("%q cannot be the name of a port: %s", to, problems[0])
		}
	default:
		if problems := validation.IsDNS1123Label(to); len(problems) > 0 {
			return fmt.Sprintf("%q cannot be the name of %s: %s", to, n.kind, problems[0])
		}
	}
	if n.kind != "task" && n.kind != "objective" && !hclsyntax.ValidIdentifier(to) {
		return fmt.Sprintf("%q does not begin with a letter, so references cannot name it", to)
	}
	if x.declaration(name{n.kind, n.parent, to}) != nil {
		return fmt.Sprintf("the lab already has %s %q", n.kind, to)
	}
	return ""
}
