package labs

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// LoadOptions are what the user adds to a lab's files. The zero value adds nothing.
type LoadOptions struct {
	// Vars are values of variables, as on the command line: text for a variable of type string, otherwise an HCL
	// expression.
	Vars map[string]string
	// VarFiles are files with values on the user's machine: "name = value" lines, or JSON (*.json). A later file
	// overrides an earlier one, and Vars override all of them.
	VarFiles []string
	// ToolVersion is checked against required_version. Empty, or no version at all ("dev"): not checked.
	ToolVersion string
}

// Load reads the lab at the root of fsys. Dir is its name in messages: the directory as the user named it, "" or
// "." for the current one. It returns all problems of all files at once; if there is an error among them, the lab
// is nil.
func Load(fsys fs.FS, dir string, opts LoadOptions) (lab *Lab, diags *Diagnostics) {
	diags = newDiagnostics()
	defer func() {
		// Lab files are untrusted: a panic in a parser must not end a whole run.
		if r := recover(); r != nil {
			diags.add(errorDiag(nil, "Cannot read the lab", fmt.Sprintf("Internal error: %v. Please report it.", r)))
		}
		diags.sort()
		if diags.HasErrors() {
			lab = nil
		}
	}()

	src := newSource(fsys, dir)
	files, parsed := parseDir(src)
	diags.merge(parsed)
	if len(files) == 0 || diags.HasErrors() { // what cannot be parsed is missing from the rest, which is not worth checking
		return nil, diags
	}

	s := newScope(src, diags)
	blocks := s.collect(files)
	given := s.variables(blocks["variable"], opts)
	s.collectLocals(blocks["locals"])
	s.collectDecls(blocks)
	s.validate()

	lab = s.decode(blocks, opts)
	lab.FS, lab.Dir = fsys, dir
	if !diags.HasErrors() {
		lab.Digest = src.digest(given)
	}
	return lab, diags
}

func newScope(src *source, diags *Diagnostics) *scope {
	s := &scope{
		src: src, diags: diags, funcs: functions(src, 0),
		vars: map[string]cty.Value{}, locals: map[string]*hcl.Attribute{},
		decls:  map[string]map[string]*decl{"namespace": {}, "app": {}, "external": {}},
		labels: map[string][]string{}, order: map[string][]string{},
		values:     map[string]cty.Value{},
		namespaces: map[string]*Namespace{}, apps: map[string]*App{}, externals: map[string]*External{},
		appNodes: map[string]*node{}, objectiveNodes: map[string]*node{}, mistakeRanges: map[string]hcl.Range{},
		misspelt: map[string]bool{}, written: map[string]bool{},
	}
	s.declare = s.declareBlock
	return s
}

// collect sorts the blocks of all files by type.
func (s *scope) collect(files []*hcl.File) map[string]hcl.Blocks {
	file := schema.Lab()
	blocks := map[string]hcl.Blocks{}
	for _, f := range files {
		content := s.content(f.Body, file)
		for _, typ := range []string{"lab", "task"} {
			s.written[typ] = s.written[typ] || hasLeftOut(f.Body, file, typ)
		}
		for _, b := range content.Blocks {
			spec := file.Block(b.Type)
			if spec.Once && len(blocks[b.Type]) > 0 {
				first := blocks[b.Type][0].DefRange
				s.errorf(b.DefRange, "Block repeated", "A lab can have only one %s block; the first is in %s on line %d.",
					b.Type, first.Filename, first.Start.Line)
				continue
			}
			blocks[b.Type] = append(blocks[b.Type], b)
			s.written[b.Type] = true
		}
	}
	return blocks
}

func (s *scope) collectLocals(blocks hcl.Blocks) {
	for _, b := range blocks {
		attrs, diags := b.Body.JustAttributes()
		s.diags.add(diags...)
		for _, name := range sortedKeys(attrs) {
			if old := s.locals[name]; old != nil {
				s.errorf(attrs[name].NameRange, "Duplicate local value", "%q is already defined, in %s on line %d.",
					name, old.Range.Filename, old.Range.Start.Line)
				continue
			}
			s.locals[name] = attrs[name]
		}
	}
}

func (s *scope) collectDecls(blocks map[string]hcl.Blocks) {
	for _, typ := range []string{"namespace", "app", "external"} {
		spec := schema.Lab().Block(typ)
		for _, b := range blocks[typ] {
			label := b.Labels[0]
			if old := s.decls[typ][label]; old != nil {
				s.errorf(b.LabelRanges[0], "Duplicate "+typ, "There is already %s %q, in %s on line %d.",
					wording.Article(typ), label, old.block.DefRange.Filename, old.block.DefRange.Start.Line)
				continue
			}
			s.decls[typ][label] = &decl{spec: spec, block: b}
			s.labels[typ] = append(s.labels[typ], label)
		}
	}
}

// decode turns the blocks into a Lab. What cannot be decoded is reported and left out.
func (s *scope) decode(blocks map[string]hcl.Blocks, opts LoadOptions) *Lab {
	lab := &Lab{}
	for _, typ := range []string{"namespace", "app", "external"} {
		for _, label := range s.labels[typ] {
			s.resolve(typ, label, s.decls[typ][label].block.DefRange)
		}
	}
	for _, name := range sortedKeys(s.locals) {
		s.resolve("local", name, s.locals[name].Range)
	}
	s.clusters(blocks["cluster"], lab)
	s.clusterNodes = lab.NodeNames()
	s.checkApps()
	for _, name := range s.order["namespace"] {
		lab.Namespaces = append(lab.Namespaces, *s.namespaces[name])
	}
	for _, name := range s.order["app"] {
		lab.Apps = append(lab.Apps, *s.apps[name])
	}
	for _, name := range s.order["external"] {
		lab.Externals = append(lab.Externals, *s.externals[name])
	}
	s.fillAddresses(lab)

	if !s.written["lab"] {
		s.diags.add(errorDiag(s.startOfFile(), "No lab block", `A lab begins with its name: lab "NAME" { … }.`))
	}
	for _, n := range s.nodes(blocks, "lab") {
		lab.StarterRange = n.block.DefRange
		s.lab(n, lab, opts)
	}
	s.cilium(s.single(blocks, "cilium"), lab)
	s.hostFirewall = lab.Cilium.HostFirewall()
	s.submission(s.single(blocks, "submission"), lab)
	lab.Tampered = Tampered(s.single(blocks, "integrity").str("tampered"))
	s.late(s.single(blocks, "late"), lab)
	s.attempts(s.single(blocks, "attempts"), lab)
	lab.Mistakes = s.mistakes(s.nodes(blocks, "mistake"))
	for _, n := range s.nodes(blocks, "task") {
		s.task(n, lab)
	}
	s.starter(s.single(blocks, "starter"), lab)
	for _, n := range s.nodes(blocks, "sample") {
		s.sample(n, lab)
	}
	s.checkTasks(lab)
	return lab
}

// nodes are the instances of the blocks of a type at the top level.
func (s *scope) nodes(blocks map[string]hcl.Blocks, typ string) []*node {
	var all []*node
	for _, b := range blocks[typ] {
		nodes, _ := s.instances(b, schema.Lab().Block(typ), nil)
		all = append(all, nodes...)
	}
	return all
}

// single is the block of a type that occurs once. Without one it is empty: everything in it has its default.
func (s *scope) single(blocks map[string]hcl.Blocks, typ string) *node {
	if nodes := s.nodes(blocks, typ); len(nodes) > 0 {
		return nodes[0]
	}
	return s.empty(schema.Lab().Block(typ))
}

// fillAddresses gives every host that has none an address of its own.
func (s *scope) fillAddresses(lab *Lab) {
	for i := range lab.Externals {
		ext := &lab.Externals[i]
		if len(ext.Addrs) == 0 {
			ext.Addrs = []string{fmt.Sprintf("%s%d", documentationAddrs[(i/250)%len(documentationAddrs)], i%250+1)}
			s.externals[ext.Name].Addrs = ext.Addrs
		}
	}
}

// startOfFile is the range of what is missing from the lab as a whole.
func (s *scope) startOfFile() *hcl.Range {
	for _, name := range sortedKeys(s.diags.files) {
		if path.Base(name) == "lab.hcl" || len(s.diags.files) == 1 {
			return &hcl.Range{Filename: name, Start: hcl.InitialPos, End: hcl.InitialPos}
		}
	}
	return nil
}

// checkNode reports a node that the default cluster is known not to have.
func (s *scope) checkNode(name string, at hcl.Range) bool {
	if s.clusterNodes == nil || slices.Contains(s.clusterNodes, name) {
		return true
	}
	s.errorf(at, "Unknown node", "The cluster has no node %q; it has %s.%s",
		name, wording.And(s.clusterNodes), wording.DidYouMean(name, s.clusterNodes))
	return false
}

// checkApps checks what needs all apps and namespaces.
func (s *scope) checkApps() {
	declared := SystemNamespaces()
	for name := range s.namespaces {
		declared = append(declared, name)
	}
	slices.Sort(declared)
	type key struct{ namespace, name string }
	services := map[key]string{}
	for _, name := range s.order["app"] {
		app, n := s.apps[name], s.appNodes[name]
		if n.has("namespace") && !n.given("manifests") && !slices.Contains(declared, app.Namespace) {
			s.errorf(n.rng("namespace"), "Unknown namespace", "The lab has no namespace %q.%s", app.Namespace,
				declareNamespace(app.Namespace, declared))
		}
		if n.has("node") {
			s.checkNode(app.Node, n.rng("node"))
		}
		if app.Service == "" {
			continue
		}
		k := key{app.Namespace, app.Service}
		if other, ok := services[k]; ok && !slices.Equal(app.Manifests, s.apps[other].Manifests) {
			s.errorf(n.nameRange(), "Duplicate service", "The apps %q and %q both have the service %s/%s.",
				other, name, k.namespace, k.name)
			continue
		}
		services[k] = name
	}
	s.checkNodePorts()
}
