package labs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// scope is what expressions see. Locals, namespaces, apps and externals are evaluated when something
// first refers to them, so that they may be in any order and refer to each other.
type scope struct {
	src   *source
	diags *Diagnostics
	funcs map[string]function.Function
	// declare decodes the instances of a block that others refer to.
	declare func(*decl) cty.Value
	// misspelt are invalid names, and the labels of blocks of unknown types, as plainName. They have been reported, and what
	// refers to them means those.
	misspelt map[string]bool
	// written are the types of blocks at the top level, also of those that have errors or are misspelt.
	written map[string]bool
	// blocks and connections count against maxBlocks and maxConnections.
	blocks, connections int

	vars     map[string]cty.Value
	declared []*variable // as in the files
	locals   map[string]*hcl.Attribute
	decls    map[string]map[string]*decl // "namespace", "app", "external" → label
	labels   map[string][]string         // the labels of decls in the order of the files

	// What has been evaluated: "local.x", "app.backend". A value that could not be had, which has been
	// reported, is unknown, and so is everything made of it.
	values map[string]cty.Value
	busy   []string            // being evaluated now, outermost first
	order  map[string][]string // names of the namespaces, apps and externals in the order of the files
	// The nodes behind what has been decoded, for checks that need everything.
	appNodes       map[string]*node
	taskNodes      []*node          // as Lab.Tasks
	objectiveNodes map[string]*node // by range and name
	mistakeRanges  map[string]hcl.Range

	clusterNodes []string // names of the default cluster's nodes; nil: the lab does not say
	hostFirewall bool     // policies can select nodes

	namespaces map[string]*Namespace
	apps       map[string]*App
	externals  map[string]*External
}

// variable is a variable block.
type variable struct {
	name     string
	typ      cty.Type // cty.DynamicPseudoType: any
	optional *typeexpr.Defaults
	node     *node
	value    cty.Value
	set      bool
}

// decl is a block that others can refer to.
type decl struct {
	spec  *schema.Block
	block *hcl.Block
	keys  []string // with for_each: the keys of its instances
}

// each is the instance of a for_each.
type each struct {
	key, value cty.Value
}

func (s *scope) errorf(rng hcl.Range, summary, format string, args ...any) {
	s.diags.add(errorDiag(&rng, summary, fmt.Sprintf(format, args...)))
}

func (s *scope) warnf(rng hcl.Range, summary, format string, args ...any) {
	s.diags.add(warningDiag(&rng, summary, fmt.Sprintf(format, args...)))
}

// eval evaluates an expression. What it cannot, it reports; the result is then unknown.
func (s *scope) eval(expr hcl.Expression, in *each) cty.Value {
	ctx, ok := s.context(expr, in)
	if !ok {
		return cty.DynamicVal
	}
	v, diags := expr.Value(ctx)
	for _, d := range diags {
		d.EvalContext = nil // the values are long; the snippet says enough
		rewordCall(d)
		if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallUnknownDiagExtra](d); ok {
			// HCL's suggestion is whichever near name its map yields first.
			name := call.CalledFunctionName()
			d.Detail = fmt.Sprintf("There is no function %q.%s", name, wording.DidYouMean(name, sortedKeys(s.funcs)))
		}
	}
	s.diags.add(diags...)
	if diags.HasErrors() {
		return cty.DynamicVal
	}
	if problem := tooLarge(v); problem != "" {
		s.errorf(expr.Range(), "Value too large", "The result %s.", problem)
		return cty.DynamicVal
	}
	return v
}

// rewordCall puts an error about the arguments of a function into plain words.
func rewordCall(d *hcl.Diagnostic) {
	name := ""
	if call, ok := hcl.DiagnosticExtra[hclsyntax.FunctionCallDiagExtra](d); ok {
		name = call.CalledFunctionName()
	}
	switch d.Summary {
	case "Invalid function argument":
		rest, ok := strings.CutPrefix(d.Detail, `Invalid value for "`)
		param, problem, cut := strings.Cut(rest, `" parameter: `)
		if !ok || !cut {
			return
		}
		if want, have, ok := strings.Cut(strings.TrimSuffix(problem, "."), " required, but have "); ok {
			problem = fmt.Sprintf("%s takes %s as its argument %s, not %s.", name, ctyWords.Replace(want), param,
				ctyWords.Replace(have))
		}
		if !strings.HasPrefix(problem, `"`) && !strings.HasPrefix(problem, name+" ") {
			problem = name + ": " + problem
		}
		d.Detail = problem
	case "Error in function call":
		_, problem, ok := strings.Cut(d.Detail, "failed: ")
		if ok && name != "" {
			d.Detail = fmt.Sprintf("%s: %s", name, strings.Replace(problem, "EOF.", "the text ends too early.", 1))
		}
	case "Too many function arguments", "Not enough function arguments":
		d.Detail = strings.ReplaceAll(d.Detail, "(s)", "s")
		d.Detail = strings.ReplaceAll(d.Detail, " 1 arguments", " 1 argument")
	}
}

// ctyWords are the names that HCL has for types.
var ctyWords = strings.NewReplacer("string", "a string", "number", "a number", "bool", "true or false",
	"tuple", "a list", "object", "a map", "list of ", "a list of ", "map of ", "a map of ")

// context holds what the expression refers to, and no more.
func (s *scope) context(expr hcl.Expression, in *each) (*hcl.EvalContext, bool) {
	roots := map[string]map[string]cty.Value{}
	ok := true
	for _, tr := range expr.Variables() {
		if !s.reference(tr, in, roots) {
			ok = false
		}
	}
	ctx := &hcl.EvalContext{Functions: s.funcs, Variables: map[string]cty.Value{}}
	for root, attrs := range roots {
		ctx.Variables[root] = cty.ObjectVal(attrs)
	}
	return ctx, ok
}

// reference evaluates what a traversal refers to and puts it into roots.
func (s *scope) reference(tr hcl.Traversal, in *each, roots map[string]map[string]cty.Value) bool {
	root := tr.RootName()
	if root == "each" && in == nil {
		s.errorf(tr.SourceRange(), "No for_each",
			"each.key and each.value exist only in a block with for_each, and in the blocks within it.")
		return false
	}
	names, known := s.names(root, in)
	if !known {
		rng := tr.SourceRange()
		detail := fmt.Sprintf("There is no %q to refer to. References begin with var, local, namespace, app, external or, with for_each, each.", root)
		s.errorf(rng, "Unknown reference", "%s%s", detail, s.meantBy(tr))
		return false
	}
	if roots[root] == nil {
		roots[root] = map[string]cty.Value{}
	}
	if len(tr) == 1 { // the whole, as in app[each.key] or keys(var)
		ok := true
		for _, name := range names {
			if !s.load(root, name, in, tr.SourceRange(), roots) {
				ok = false
			}
		}
		return ok
	}
	name, static := stepName(tr[1])
	if !static {
		s.errorf(tr.SourceRange(), "Unknown reference", "%s must be followed by a name: %s.NAME.", root, root)
		return false
	}
	if !slices.Contains(names, name) {
		s.unknownName(root, name, names, hcl.RangeBetween(tr[0].SourceRange(), tr[1].SourceRange()))
		return false
	}
	if !s.load(root, name, in, tr.SourceRange(), roots) {
		return false
	}
	return s.checkSteps(root, name, roots[root][name], tr)
}

// meantBy guesses what a reference that leads nowhere was meant to be.
func (s *scope) meantBy(tr hcl.Traversal) string {
	root := tr.RootName()
	switch root {
	case "node":
		return ` A node is node("NAME").`
	case "yes", "no", "on", "off":
		return " Write true or false."
	case "task", "objective", "sample", "hint", "mistake":
		return fmt.Sprintf(" The name of %s is in quotes.", wording.Article(root))
	}
	for _, kind := range []string{"app", "external", "namespace"} {
		if s.decls[kind][root] != nil {
			return fmt.Sprintf(" Did you mean %s.%s?", kind, root)
		}
	}
	for _, kind := range []string{"app", "external", "namespace"} {
		if name, ok := strings.CutPrefix(root, kind+"-"); ok && s.decls[kind][name] != nil {
			return fmt.Sprintf(" Did you mean %s.%s?", kind, name)
		}
	}
	text := ""
	if len(tr) == 1 {
		text = " Text goes in quotes."
	}
	return text + wording.DidYouMean(root, referenceRoots)
}

func (s *scope) unknownName(root, name string, names []string, rng hcl.Range) {
	if s.refused(name) {
		return
	}
	names = s.valid(names)
	what := root
	switch root {
	case "var":
		what = "variable"
	case "local":
		what = "local value"
	case "each":
		s.errorf(rng, "Unknown reference", "There are each.key and each.value, but no each.%s.", name)
		return
	}
	hint := wording.DidYouMean(name, names)
	if hint == "" && len(names) > 0 && len(names) <= 12 {
		hint = fmt.Sprintf(" It has %s.", allOf(names))
	}
	s.errorf(rng, "Unknown "+what, "The lab has no %s %q.%s", what, name, hint)
}

var referenceRoots = []string{"var", "local", "namespace", "app", "external", "each"}

// names lists what a root has.
func (s *scope) names(root string, in *each) ([]string, bool) {
	switch root {
	case "var":
		return sortedKeys(s.vars), true
	case "local":
		return sortedKeys(s.locals), true
	case "namespace", "app", "external":
		return s.labels[root], true
	case "each":
		return []string{"key", "value"}, true
	}
	return nil, false
}

func (s *scope) load(root, name string, in *each, rng hcl.Range, roots map[string]map[string]cty.Value) bool {
	var v cty.Value
	switch root {
	case "var":
		v = s.vars[name]
	case "each":
		v = in.key
		if name == "value" {
			v = in.value
		}
	default:
		v = s.resolve(root, name, rng)
	}
	roots[root][name] = v
	return true
}

// resolve evaluates a local value, namespace, app or external, once.
func (s *scope) resolve(root, name string, rng hcl.Range) cty.Value {
	key := root + "." + name
	if v, ok := s.values[key]; ok {
		return v
	}
	if i := slices.Index(s.busy, key); i >= 0 {
		cycle := append(slices.Clone(s.busy[i:]), key)
		s.errorf(rng, "Circular reference", "%s refers to itself: %s.", key, strings.Join(cycle, " → "))
		return cty.DynamicVal
	}
	s.busy = append(s.busy, key)
	var v cty.Value
	if root == "local" {
		v = s.eval(s.locals[name].Expr, nil)
	} else {
		v = s.declare(s.decls[root][name])
	}
	s.busy = s.busy[:len(s.busy)-1]
	s.values[key] = v
	return v
}

// checkSteps checks what a reference to a block goes on with, to say more than that an object has no
// such attribute.
func (s *scope) checkSteps(root, name string, v cty.Value, tr hcl.Traversal) bool {
	typ, ok := refTypes[root]
	if !ok || !v.IsKnown() {
		return true
	}
	at, rest := root+"."+name, tr[2:]
	if _, single := refOf(v); !single && v.Type().IsObjectType() { // for_each
		if len(rest) == 0 {
			return true
		}
		keys := sortedKeys(v.Type().AttributeTypes())
		key, static := stepName(rest[0])
		if !static {
			return true
		}
		if !slices.Contains(keys, key) {
			s.errorf(tr.SourceRange(), "Unknown instance", "%s has for_each and no instance %q.%s It has %s.",
				at, key, wording.DidYouMean(key, keys), allOf(keys))
			return false
		}
		v = v.GetAttr(key)
		at, rest = fmt.Sprintf("%s[%q]", at, key), rest[1:]
		if !v.IsKnown() {
			return true
		}
	}
	if len(rest) == 0 {
		return true
	}
	attrs := slices.DeleteFunc(sortedKeys(typ.AttributeTypes()), func(a string) bool { return a == refAttr })
	attr, static := stepName(rest[0])
	if !static || !slices.Contains(attrs, attr) {
		s.errorf(tr.SourceRange(), "Unknown attribute", "%s has no %q.%s It has %s.", at, attr,
			s.meantAttribute(at, root, attr, v, attrs), allOf(attrs))
		return false
	}
	if root != "app" || attr != "port" || len(rest) == 1 {
		return true
	}
	port, static := stepName(rest[1])
	if !static {
		return true
	}
	r, _ := refOf(v)
	app := s.apps[r.name]
	if app == nil || slices.Contains(portNames(app.Ports), port) {
		return true
	}
	s.unknownPort(tr.SourceRange(), app, port)
	return false
}

// meantAttribute guesses what a reference to an attribute that a block does not have was meant to be.
func (s *scope) meantAttribute(at, root, attr string, v cty.Value, attrs []string) string {
	r, _ := refOf(v)
	if app := s.apps[r.name]; root == "app" && app != nil && slices.Contains(portNames(app.Ports), attr) {
		return fmt.Sprintf(" Did you mean %s.port.%s?", at, attr)
	}
	return wording.DidYouMean(attr, attrs)
}

// stepName is the name that a step of a traversal names: .name or ["name"].
func stepName(step hcl.Traverser) (string, bool) {
	switch step := step.(type) {
	case hcl.TraverseAttr:
		return step.Name, true
	case hcl.TraverseIndex:
		if step.Key.Type() == cty.String && step.Key.IsKnown() && !step.Key.IsNull() {
			return step.Key.AsString(), true
		}
		if step.Key.Type() == cty.Number && step.Key.IsKnown() && !step.Key.IsNull() {
			return step.Key.AsBigFloat().Text('f', -1), true
		}
	}
	return "", false
}
