package labs

import (
	"fmt"
	"io/fs"
	"path"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
)

// LoadOptions are what the user adds to a lab's files. The zero value adds nothing.
type LoadOptions struct {
	// Vars are values of variables, as on the command line: text for a variable of type string, else an
	// HCL expression.
	Vars map[string]string
	// VarFiles are files with values, on the user's machine: "name = value" lines, or JSON (*.json). A
	// later file wins over an earlier one, and Vars over all of them.
	VarFiles []string
	// ToolVersion is checked against required_version. Empty, or no version at all ("dev"): not checked.
	ToolVersion string
}

// Load reads the lab at the root of fsys. Dir is what messages call it: the directory as the user named
// it, "" or "." for the current one. All problems of all files are returned at once; with an error among
// them there is no lab.
func Load(fsys fs.FS, dir string, opts LoadOptions) (lab *Lab, diags *Diagnostics) {
	diags = newDiagnostics()
	defer func() {
		// Lab files come from strangers: a panic in a parser must not take a whole run down.
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
	if len(files) == 0 {
		return nil, diags
	}

	s := newScope(src, diags)
	s.partial = diags.HasErrors()
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
	return &scope{
		src: src, diags: diags, funcs: functions(src, 0),
		vars: map[string]cty.Value{}, locals: map[string]*hcl.Attribute{},
		decls:  map[string]map[string]*decl{"namespace": {}, "app": {}, "external": {}},
		labels: map[string][]string{}, order: map[string][]string{},
		values:     map[string]cty.Value{},
		namespaces: map[string]*Namespace{}, apps: map[string]*App{}, externals: map[string]*External{},
		appNodes: map[string]*node{}, objectiveNodes: map[string]*node{},
	}
}

// collect sorts the blocks of all files by type.
func (s *scope) collect(files []*hcl.File) map[string]hcl.Blocks {
	schema := labSchema()
	blocks := map[string]hcl.Blocks{}
	for _, f := range files {
		content, diags := f.Body.Content(schema.hclSchema())
		s.diags.add(diags...)
		for _, b := range content.Blocks {
			spec := schema.block(b.Type)
			if spec.once && len(blocks[b.Type]) > 0 {
				first := blocks[b.Type][0].DefRange
				s.errorf(b.DefRange, "Block repeated", "A lab has one %s block; there is one in %s on line %d.", b.Type, first.Filename, first.Start.Line)
				continue
			}
			blocks[b.Type] = append(blocks[b.Type], b)
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
				s.errorf(attrs[name].NameRange, "Duplicate local value", "%q is defined already, in %s on line %d.", name, old.Range.Filename, old.Range.Start.Line)
				continue
			}
			s.locals[name] = attrs[name]
		}
	}
}

func (s *scope) collectDecls(blocks map[string]hcl.Blocks) {
	for _, typ := range []string{"namespace", "app", "external"} {
		spec := labSchema().block(typ)
		for _, b := range blocks[typ] {
			label := b.Labels[0]
			if old := s.decls[typ][label]; old != nil {
				s.errorf(b.LabelRanges[0], "Duplicate "+typ, "There is %s %q already, in %s on line %d.", article(typ), label, old.block.DefRange.Filename, old.block.DefRange.Start.Line)
				continue
			}
			s.decls[typ][label] = &decl{spec: spec, block: b}
			s.labels[typ] = append(s.labels[typ], label)
		}
	}
}

// decode turns the blocks into a Lab. What cannot be decoded is reported and left out.
func (s *scope) decode(blocks map[string]hcl.Blocks, opts LoadOptions) *Lab {
	lab := &Lab{
		PassMark: 70, Layout: LayoutCheckpoints, Late: DefaultLate(), Attempts: DefaultAttempts(),
		Cilium: Cilium{Version: DefaultCiliumVersion, Values: map[string]any{}, Relay: true},
	}
	for _, typ := range []string{"namespace", "app", "external"} {
		for _, label := range s.labels[typ] {
			s.resolve(typ, label, s.decls[typ][label].block.DefRange)
		}
	}
	for _, name := range sortedKeys(s.locals) {
		s.resolve("local", name, s.locals[name].Range)
	}
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

	each := func(typ string, f func(n *node)) {
		spec := labSchema().block(typ)
		for _, b := range blocks[typ] {
			nodes, _ := s.instances(b, spec, nil)
			for _, n := range nodes {
				f(n)
			}
		}
	}
	if len(blocks["lab"]) == 0 && !s.partial {
		s.diags.add(errorDiag(s.startOfFile(), "No lab block", `A lab begins with its name: lab "NAME" { … }.`))
	}
	each("lab", func(n *node) { s.lab(n, lab, opts) })
	s.clusters(blocks["cluster"], lab)
	each("cilium", func(n *node) { s.cilium(n, lab) })
	lab.Submission = s.defaultSubmission(lab)
	each("submission", func(n *node) { s.submission(n, lab) })
	each("integrity", func(n *node) {
		lab.Tampered = Tampered(n.oneOf("tampered", string(TamperedRefuse), string(TamperedRefuse), string(TamperedReport)))
	})
	each("late", func(n *node) { s.late(n, lab) })
	each("attempts", func(n *node) { s.attempts(n, lab) })
	each("task", func(n *node) { s.task(n, lab) })
	each("starter", func(n *node) { lab.Starter = s.submissionPath(n) })
	each("sample", func(n *node) { s.sample(n, lab) })
	s.checkTasks(lab, len(blocks["task"]) > 0 || s.partial)
	return lab
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

// checkApps checks what needs all apps and namespaces.
func (s *scope) checkApps() {
	declared := slices.Clone(systemNamespaces)
	for name := range s.namespaces {
		declared = append(declared, name)
	}
	slices.Sort(declared)
	type key struct{ namespace, name string }
	services := map[key]string{}
	for _, name := range s.order["app"] {
		app, n := s.apps[name], s.appNodes[name]
		if n.has("namespace") && !n.given("manifests") && !slices.Contains(declared, app.Namespace) {
			s.errorf(n.rng("namespace"), "Unknown namespace", "The lab has no namespace %q.%s", app.Namespace, declareNamespace(app.Namespace, declared))
		}
		if app.Service == "" {
			continue
		}
		k := key{app.Namespace, app.Service}
		if other, ok := services[k]; ok && !slices.Equal(app.Manifests, s.apps[other].Manifests) {
			s.errorf(n.nameRange(), "Duplicate service", "The apps %q and %q both have the service %s/%s.", other, name, k.namespace, k.name)
			continue
		}
		services[k] = name
	}
}
