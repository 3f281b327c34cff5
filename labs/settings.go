package labs

import (
	"fmt"
	"path"
	"slices"
	"strings"

	version "github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/labctl/labctl/cilium/policy/manifest"
	"github.com/labctl/labctl/internal/wording"
	"github.com/labctl/labctl/labs/schema"
)

// This file decodes the blocks about the lab as a whole: lab, cluster, cilium, submission, sample, starter.

func (s *scope) lab(n *node, lab *Lab, opts LoadOptions) {
	lab.Name = n.name
	n.checkName()
	lab.Title = n.strOr("title", n.name)
	lab.Description = n.str("description")
	lab.PassMark = n.num("pass_mark")
	lab.RequiredVersion = n.str("required_version")
	if !n.has("required_version") {
		return
	}
	constraint, err := version.NewConstraint(lab.RequiredVersion)
	if err != nil {
		s.errorf(n.rng("required_version"), "Invalid version constraint",
			"%q is not a constraint such as \">= 0.1.0\" or \"~> 1.2\".", lab.RequiredVersion)
		return
	}
	tool, err := version.NewVersion(opts.ToolVersion)
	if err != nil { // built without a version
		return
	}
	if !constraint.Check(tool.Core()) {
		s.errorf(n.rng("required_version"), "Unsupported version of labctl",
			"The lab needs labctl %s; this is %s. Install a matching version.", lab.RequiredVersion, opts.ToolVersion)
	}
}

func (s *scope) clusters(blocks hcl.Blocks, lab *Lab) {
	for _, b := range blocks {
		spec := schema.Provider(b.Labels[0])
		if spec == nil {
			names := schema.Providers()
			s.errorf(b.LabelRanges[0], "Unknown provider", "The provider of a cluster must be %s, not %q.%s",
				anyOf(names), b.Labels[0], wording.DidYouMean(b.Labels[0], names))
			continue
		}
		if i := slices.IndexFunc(lab.Clusters, func(c Cluster) bool { return c.Provider == b.Labels[0] }); i >= 0 {
			s.errorf(b.LabelRanges[0], "Duplicate cluster", "There is already a cluster %q, on line %d.",
				b.Labels[0], lab.Clusters[i].Range.Start.Line)
			continue
		}
		nodes, _ := s.instances(b, spec, nil)
		for _, n := range nodes {
			lab.Clusters = append(lab.Clusters,
				Cluster{Provider: b.Labels[0], Settings: n.clusterSettings(), Range: b.DefRange})
		}
	}
}

// clusterSettings are the attributes that a cluster block gives, and its nested blocks with all of theirs: what the
// state of an instance remembers. Defaults are left to schema.DecodeCluster, so that a new one does not change
// clusters that exist.
func (n *node) clusterSettings() map[string]any {
	settings := map[string]any{}
	for _, spec := range n.spec.Attributes {
		if v, ok := n.vals[spec.Name]; ok {
			settings[spec.Name] = settingValue(&spec, v)
		}
	}
	for _, nested := range n.spec.Blocks {
		var list []map[string]any
		for _, c := range n.children(nested.Type) {
			one := map[string]any{}
			for _, spec := range nested.Attributes {
				one[spec.Name] = spec.Default
				if v, ok := c.vals[spec.Name]; ok {
					one[spec.Name] = settingValue(&spec, v)
				}
			}
			list = append(list, one)
		}
		if len(list) > 0 {
			settings[schema.SettingsKey(nested.Type)] = list
		}
	}
	return settings
}

func settingValue(spec *schema.Attribute, v cty.Value) any {
	if spec.Type == schema.StringMap {
		return stringsOf(v)
	}
	return goValue(v)
}

func (s *scope) cilium(n *node, lab *Lab) {
	c := &lab.Cilium
	c.Version = n.str("version")
	c.Chart = n.str("chart")
	c.Values = map[string]any{}
	if v, ok := n.vals["values"]; ok {
		values, isMap := goValue(v).(map[string]any)
		if _, isRef := refOf(v); !isMap || isRef {
			s.errorf(n.rng("values"), "Wrong type", "values is a map of Helm values; this is %s.", describe(v))
		} else {
			c.Values = values
		}
	}
	c.Relay = n.child("hubble").bool("relay")
}

// declaredNamespaces are the namespaces of the lab's apps and namespace blocks.
func declaredNamespaces(lab *Lab) []string {
	var names []string
	for _, a := range lab.Apps {
		names = append(names, a.Namespace)
	}
	for _, ns := range lab.Namespaces {
		names = append(names, ns.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (s *scope) submission(n *node, lab *Lab) {
	sub := &lab.Submission
	sub.Range = n.block.DefRange
	sub.Kinds = n.strs("kinds")
	sub.Namespaces = declaredNamespaces(lab)
	if n.has("kinds") {
		for i, kind := range sub.Kinds {
			s.checkKind(kind, n.elementRange("kinds", i))
			if slices.Contains(sub.Kinds[:i], kind) {
				s.errorf(n.elementRange("kinds", i), "Kind repeated", "%q is already in the list.", kind)
			}
		}
		if len(sub.Kinds) == 0 {
			s.errorf(n.rng("kinds"), "No kind",
				"A submission without any kind of object cannot answer anything. Leave out kinds for NetworkPolicy.")
		}
	}
	if n.has("namespaces") {
		sub.Namespaces = s.namespaceNames(n, "namespaces")
	}
	sub.MayLabel = s.namespaceNames(n, "may_label")
	lab.Layout = Layout(n.str("layout"))
}

// submissionKinds are what a submission may be made of.
func submissionKinds() []string {
	var kinds []string
	for _, k := range manifest.PolicyKinds() {
		kinds = append(kinds, k.Name)
	}
	return append(kinds, "Namespace", "Pod", "Service", "EndpointSlice", "Deployment", "StatefulSet", "DaemonSet",
		"ReplicaSet", "Job")
}

func (s *scope) checkKind(kind string, rng hcl.Range) {
	kinds := submissionKinds()
	if slices.Contains(kinds, kind) && manifest.Known(kind) {
		return
	}
	s.errorf(rng, "Unknown kind", "There is no kind %q.%s The kinds are %s.", kind, wording.DidYouMean(kind, kinds),
		wording.And(kinds))
}

// submissionPath checks the path of a sample or starter, which is the value of an attribute.
func (s *scope) submissionPath(n *node, attribute string) string {
	if !n.has(attribute) {
		return ""
	}
	name := n.str(attribute)
	clean, err := s.src.clean(name)
	if err != nil {
		s.errorf(n.rng(attribute), "Outside the lab directory",
			"%q: %v. Put the submission below the lab directory.", name, err)
		return ""
	}
	if clean == "." {
		s.errorf(n.rng(attribute), "Not below the lab",
			"A submission is a separate directory below the lab directory, such as \"samples/solution\".")
		return ""
	}
	if err := s.src.walk(clean); err != nil {
		s.errorf(n.rng(attribute), "Cannot read a submission", "%q: %v.", name, err)
	}
	return path.Clean(clean)
}

func (s *scope) starter(n *node, lab *Lab) {
	if lab.Starter = s.submissionPath(n, "path"); lab.Starter != "" {
		lab.StarterRange = n.rng("path")
	}
}

func (s *scope) sample(n *node, lab *Lab) {
	sample := Sample{
		Name:        n.name,
		Path:        s.submissionPath(n, "path"),
		Base:        s.submissionPath(n, "base"),
		Score:       n.optionalNum("score"),
		Points:      n.optionalNum("points"),
		Mistake:     n.str("mistake"),
		Solution:    n.boolOr("solution", n.name == "solution"),
		Description: n.str("description"),
		Range:       n.block.DefRange,
		written:     map[string]hcl.Range{},
	}
	for attr, a := range n.attrs {
		sample.written[attr] = a.Expr.Range()
	}
	if sample.Base != "" && sample.Path != "" {
		if info, err := s.src.stat(sample.Path); err == nil && !info.IsDir() {
			s.errorf(n.rng("path"), "Not a directory",
				"%q is a file. With base, give a directory that is laid out like %q.", sample.Path, sample.Base)
		}
	}
	if n.has("missed") {
		sample.Missed = append([]string{}, n.strs("missed")...)
		s.checkMissed(n, lab, sample.Missed)
	}
	if !n.bad && !n.given("score") && !n.given("points") && !n.given("missed") {
		s.errorf(n.block.DefRange, "Nothing to check",
			"The sample %q does not say how it must be graded. Give its score in percent, its points, or the objectives that it must miss (missed).",
			n.name)
	}
	n.checkName()
	for _, old := range lab.Samples {
		if old.Name == sample.Name {
			s.duplicate(n, "sample", old.Range.Filename, old.Range.Start.Line)
		}
	}
	lab.Samples = append(lab.Samples, sample)
}

// checkMissed checks the objectives that a sample must miss.
func (s *scope) checkMissed(n *node, lab *Lab, missed []string) {
	var all []string
	for i := range lab.Tasks {
		for j := range lab.Tasks[i].Objectives {
			all = append(all, lab.Tasks[i].Name+"/"+lab.Tasks[i].Objectives[j].Name)
		}
	}
	for i, name := range missed {
		at := n.elementRange("missed", i)
		switch {
		case slices.Contains(missed[:i], name):
			s.errorf(at, "Objective repeated", "%q is already in the list.", name)
		case !slices.Contains(all, name) && !s.misspeltObjective(name):
			s.errorf(at, "Unknown objective", "%s", noSuchObjective(lab, name, all))
		}
	}
}

// misspeltObjective reports whether the block of an objective, or of its task, was reported as misspelt.
func (s *scope) misspeltObjective(name string) bool {
	task, objective, _ := strings.Cut(name, "/")
	return s.refused(task) || s.refused(objective)
}

// noSuchObjective says that no objective has the name, which is to be "task/objective", and which ones have a name like it.
func noSuchObjective(lab *Lab, name string, all []string) string {
	task, objective, full := strings.Cut(name, "/")
	if !full {
		var candidates []string
		for _, known := range all {
			if t, o, _ := strings.Cut(known, "/"); o == name || t == name {
				candidates = append(candidates, known)
			}
		}
		text := fmt.Sprintf("An objective is named by its task and its own name, as \"TASK/OBJECTIVE\"; this is %q.", name)
		if len(candidates) > 0 {
			text += fmt.Sprintf(" Did you mean %s?", anyOf(candidates))
		}
		return text
	}
	i := lab.TaskIndex(task)
	if i < 0 {
		return fmt.Sprintf("The lab has no task %q, so no objective %q.%s", task, name, wording.DidYouMean(name, all))
	}
	var own []string
	for j := range lab.Tasks[i].Objectives {
		own = append(own, lab.Tasks[i].Objectives[j].Name)
	}
	return fmt.Sprintf("The task %q has no objective %q.%s It has %s.", task, objective,
		wording.DidYouMean(objective, own), allOf(own))
}
