package labs

import (
	"net/netip"
	"path"
	"slices"
	"strings"
	"time"

	version "github.com/hashicorp/go-version"
	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"

	"github.com/labctl/labctl/cilium/policy/manifest"
)

// This file decodes the blocks about the lab as a whole: lab, cluster, cilium, submission, sample, starter.

func (s *scope) lab(n *node, lab *Lab, opts LoadOptions) {
	lab.Name = n.name
	if problem := checkLabel(n.name); problem != "" {
		s.errorf(n.labelRange(), "Invalid name", "%q cannot be the name of a lab: %s.", n.name, problem)
	}
	lab.Title = n.str("title", n.name)
	lab.Description = n.str("description", "")
	lab.PassMark = n.num("pass_mark", 0, 100, 70)
	lab.RequiredVersion = n.str("required_version", "")
	if !n.has("required_version") {
		return
	}
	constraint, err := version.NewConstraint(lab.RequiredVersion)
	if err != nil {
		s.errorf(n.rng("required_version"), "Invalid version constraint", "%q is no constraint such as \">= 0.1.0\" or \"~> 1.2\".", lab.RequiredVersion)
		return
	}
	tool, err := version.NewVersion(opts.ToolVersion)
	if err != nil { // built without a version
		return
	}
	if !constraint.Check(tool.Core()) {
		s.errorf(n.rng("required_version"), "Unsupported version of labctl", "The lab needs labctl %s; this is %s. Install a version that fits.", lab.RequiredVersion, opts.ToolVersion)
	}
}

func (s *scope) clusters(blocks hcl.Blocks, lab *Lab) {
	schemas := clusterSchema()
	for _, b := range blocks {
		spec, ok := schemas[b.Labels[0]]
		if !ok {
			names := sortedKeys(schemas)
			s.errorf(b.LabelRanges[0], "Unknown provider", "A cluster is %s; this is %q.%s", oneOf(names), b.Labels[0], didYouMean(b.Labels[0], names))
			continue
		}
		if i := slices.IndexFunc(lab.Clusters, func(c Cluster) bool { return c.Provider == b.Labels[0] }); i >= 0 {
			s.errorf(b.LabelRanges[0], "Duplicate cluster", "There is a cluster %q already, on line %d.", b.Labels[0], lab.Clusters[i].Range.Start.Line)
			continue
		}
		nodes, _ := s.instances(b, spec, nil)
		for _, n := range nodes {
			lab.Clusters = append(lab.Clusters, Cluster{Provider: b.Labels[0], Settings: n.clusterSettings(), Range: b.DefRange})
		}
	}
}

// clusterSettings checks the attributes of a provider and returns those that have a value.
func (n *node) clusterSettings() map[string]any {
	settings := map[string]any{}
	for _, spec := range n.spec.attrs {
		v, ok := n.vals[spec.name]
		if !ok {
			continue
		}
		settings[spec.name] = goValue(v)
		if spec.typ == stringMap {
			settings[spec.name] = n.strMap(spec.name)
		}
		if spec.typ == cty.String && v.AsString() == "" {
			n.s.errorf(n.rng(spec.name), "Empty value", "%s is empty. Leave it out, or set it to null, for the default.", spec.name)
		}
	}
	switch n.block.Labels[0] {
	case "kind":
		n.int("control_planes", 1, 9, 1)
		n.int("workers", 0, 50, 1)
		n.int("api_port", 1, 65535, 0)
		n.versionNumber("kubernetes_version")
		n.oneOf("kube_proxy", "iptables", "iptables", "ipvs", "nftables", "none")
		n.oneOf("ip_family", "ipv4", "ipv4", "ipv6", "dual")
		n.subnets("pod_subnet")
		n.subnets("service_subnet")
		if n.has("node_image") && n.has("kubernetes_version") {
			n.s.errorf(n.rng("kubernetes_version"), "Version given twice", "node_image says which version of Kubernetes it is; leave out kubernetes_version.")
		}
		var mappings []map[string]any
		for _, c := range n.children("port_mapping") {
			m := map[string]any{
				"container_port": c.int("container_port", 1, 65535, 0),
				"host_port":      c.int("host_port", 0, 65535, 0),
				"listen_address": c.str("listen_address", ""),
				"protocol":       c.oneOf("protocol", "TCP", transport...),
			}
			if c.has("listen_address") {
				if _, err := netip.ParseAddr(c.str("listen_address", "")); err != nil {
					c.s.errorf(c.rng("listen_address"), "Invalid address", "%q is no IP address.", c.str("listen_address", ""))
				}
			}
			mappings = append(mappings, m)
		}
		if len(mappings) > 0 {
			settings["port_mappings"] = mappings
		}
	case "gke":
		n.int("nodes", 1, 100, 2)
		n.int("disk_gb", 10, 65536, 50)
		n.oneOf("release_channel", "regular", "rapid", "regular", "stable", "extended", "none")
		n.oneOf("dataplane", "v1", "v1", "v2")
		n.versionNumber("version")
		n.duration("ttl", time.Hour, 30*24*time.Hour)
		n.gkeLabels()
	case "minikube":
		n.int("nodes", 1, 20, 1)
		n.int("cpus", 1, 256, 2)
		n.versionNumber("kubernetes_version")
		if n.has("memory") && !memorySize(n.str("memory", "")) {
			n.s.errorf(n.rng("memory"), "Invalid memory", "memory is a number of megabytes, or a size such as \"4g\"; this is %q.", n.str("memory", ""))
		}
	}
	return settings
}

// versionNumber checks the version of a program: "1.34" or "1.34.2".
func (n *node) versionNumber(attr string) {
	if !n.has(attr) {
		return
	}
	if _, err := version.NewVersion(strings.TrimPrefix(n.str(attr, ""), "v")); err != nil {
		n.s.errorf(n.rng(attr), "Invalid version", "%s is a version such as \"1.34.2\"; this is %q.", attr, n.str(attr, ""))
	}
}

func (n *node) subnets(attr string) {
	if !n.has(attr) {
		return
	}
	for part := range strings.SplitSeq(n.str(attr, ""), ",") {
		if p, err := netip.ParsePrefix(part); err != nil || p.Masked() != p {
			n.s.errorf(n.rng(attr), "Invalid address range", "%s is an address range such as 10.244.0.0/16 (one of each family, separated by a comma, for two); %q is none.", attr, part)
		}
	}
}

func (n *node) duration(attr string, low, high time.Duration) {
	if !n.has(attr) {
		return
	}
	d, err := time.ParseDuration(n.str(attr, ""))
	if err != nil || d < low || d > high {
		n.s.errorf(n.rng(attr), "Invalid duration", "%s is a duration from %s to %s, such as \"8h\"; this is %q.", attr, low, high, n.str(attr, ""))
	}
}

// gkeLabels checks the labels of Google's resources, which are stricter than those of Kubernetes.
func (n *node) gkeLabels() {
	valid := func(s string, first bool) bool {
		if len(s) > 63 || first && (s == "" || s[0] < 'a' || s[0] > 'z') {
			return false
		}
		return !strings.ContainsFunc(s, func(r rune) bool {
			return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_')
		})
	}
	labels := n.strMap("labels")
	for _, k := range sortedKeys(labels) {
		if !valid(k, true) || !valid(labels[k], false) {
			n.s.errorf(n.rng("labels"), "Invalid label", "%q = %q: Google's labels have at most 63 lower-case letters, digits, - and _, and a key begins with a letter.", k, labels[k])
		}
	}
}

func memorySize(s string) bool {
	s = strings.ToLower(s)
	s = strings.TrimSuffix(s, "b")
	s = strings.TrimRight(s, "kmg")
	return s != "" && len(s) < 10 && strings.Trim(s, "0123456789") == ""
}

func (s *scope) cilium(n *node, lab *Lab) {
	c := &lab.Cilium
	c.Version = n.str("version", DefaultCiliumVersion)
	c.Chart = n.str("chart", "")
	n.versionNumber("version")
	if v, ok := n.vals["values"]; ok {
		values, isMap := goValue(v).(map[string]any)
		if _, isRef := refOf(v); !isMap || isRef {
			s.errorf(n.rng("values"), "Wrong type", "values is a map of Helm values; this is %s.", describe(v))
		} else {
			c.Values = values
		}
	}
	for _, h := range n.children("hubble") {
		c.Relay = h.bool("relay", true)
	}
}

func (s *scope) defaultSubmission(lab *Lab) Submission {
	sub := Submission{Kinds: []string{"NetworkPolicy"}}
	for _, a := range lab.Apps {
		sub.Namespaces = append(sub.Namespaces, a.Namespace)
	}
	for _, ns := range lab.Namespaces {
		sub.Namespaces = append(sub.Namespaces, ns.Name)
	}
	slices.Sort(sub.Namespaces)
	sub.Namespaces = slices.Compact(sub.Namespaces)
	return sub
}

func (s *scope) submission(n *node, lab *Lab) {
	sub := &lab.Submission
	sub.Range = n.block.DefRange
	if n.has("kinds") {
		sub.Kinds = n.strs("kinds")
		for i, kind := range sub.Kinds {
			s.checkKind(kind, n.elementRange("kinds", i))
			if slices.Contains(sub.Kinds[:i], kind) {
				s.errorf(n.elementRange("kinds", i), "Kind repeated", "%q is in the list already.", kind)
			}
		}
		if len(sub.Kinds) == 0 {
			s.errorf(n.rng("kinds"), "No kind", "A submission of no kind at all can answer nothing. Leave out kinds for NetworkPolicy.")
		}
	}
	if n.has("namespaces") {
		sub.Namespaces = s.namespaceNames(n, "namespaces")
	}
	sub.MayLabel = s.namespaceNames(n, "may_label")
	lab.Layout = Layout(n.oneOf("layout", string(LayoutCheckpoints), string(LayoutCheckpoints), string(LayoutFlat), string(LayoutEither)))
}

// policyKinds are what a submission may be made of.
var policyKinds = []string{
	"NetworkPolicy", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "CiliumCIDRGroup", "ClusterNetworkPolicy",
	"Namespace", "Pod", "Service", "EndpointSlice", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job",
}

func (s *scope) checkKind(kind string, rng hcl.Range) {
	if slices.Contains(policyKinds, kind) && manifest.Known(kind) {
		return
	}
	s.errorf(rng, "Unknown kind", "labctl knows no kind %q.%s It knows %s.", kind, didYouMean(kind, policyKinds), oneOf(policyKinds))
}

// submissionPath checks the path of a sample or starter.
func (s *scope) submissionPath(n *node) string {
	if !n.has("path") {
		return ""
	}
	name := n.str("path", "")
	clean, err := s.src.clean(name)
	if err != nil {
		s.errorf(n.rng("path"), "Outside the lab directory", "%q: %v. Put the submission below the lab directory.", name, err)
		return ""
	}
	if clean == "." {
		s.errorf(n.rng("path"), "The whole lab", "A submission is a directory of its own below the lab directory, such as \"samples/solution\".")
		return ""
	}
	if err := s.src.walk(clean); err != nil {
		s.errorf(n.rng("path"), "Cannot read a submission", "%q: %v.", name, err)
	}
	return path.Clean(clean)
}

func (s *scope) sample(n *node, lab *Lab) {
	sample := Sample{
		Name:        n.name,
		Path:        s.submissionPath(n),
		Score:       n.num("score", 0, maxPoints, 0),
		Solution:    n.bool("solution", n.name == "solution"),
		Description: n.str("description", ""),
		Range:       n.block.DefRange,
	}
	n.checkName()
	for _, old := range lab.Samples {
		if old.Name == sample.Name {
			s.duplicate(n, "sample", old.Range.Filename, old.Range.Start.Line)
		}
	}
	lab.Samples = append(lab.Samples, sample)
}
