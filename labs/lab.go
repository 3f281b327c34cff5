// Package labs is the lab language: it reads the HCL files of a lab directory, evaluates and checks
// them, and hands out a Lab in which every reference is resolved. It knows nothing of clusters, and a
// lab file can neither run a command nor read outside its directory.
package labs

import (
	"io/fs"
	"strconv"

	"github.com/hashicorp/hcl/v2"
)

// Lab is a lab directory, decoded and checked.
type Lab struct {
	Name            string // the lab block's label
	Title           string
	Description     string
	RequiredVersion string  // constraint on labctl's version, such as ">= 0.1.0"
	PassMark        float64 // percent of the points; default 70
	Layout          Layout  // how submissions are laid out; default LayoutCheckpoints

	Dir    string // where the lab was read from, for messages; the name for a shipped lab
	FS     fs.FS  // the lab's files
	Digest string // "sha256:…" over the names and contents of the lab's files and the variables' values

	Clusters   []Cluster // the first is the default
	Cilium     Cilium
	Namespaces []Namespace
	Apps       []App
	Externals  []External
	Submission Submission
	Late       Late     // of a class
	Attempts   Attempts // of a class
	Tasks      []Task   // in file order; each a checkpoint
	Samples    []Sample
	Tampered   Tampered // what becomes of a running lab that is not as it was deployed; default TamperedRefuse
	Starter    string   // path of the submission that students start from; empty: nothing at all
}

// Tampered says what becomes of the grade of a running lab that is not as it was deployed.
type Tampered string

const (
	TamperedRefuse Tampered = "refuse" // nothing is graded
	TamperedReport Tampered = "report" // it is graded all the same, and the report says what was found
)

// Layout says what a submission looks like.
type Layout string

const (
	LayoutCheckpoints Layout = "checkpoints" // one folder a task
	LayoutFlat        Layout = "flat"        // everything in force at once
	LayoutEither      Layout = "either"      // whichever the submission uses
)

// Cluster is a cluster block. Provider is its label; Settings holds the attributes that it gives, checked,
// under their names in docs/lab-language.md: string, int, bool, map[string]string. The port_mapping blocks
// of kind are "port_mappings", a []map[string]any with all of their attributes.
type Cluster struct {
	Provider string // kind, gke, minikube, existing
	Settings map[string]any
	Range    hcl.Range
}

// Cilium is the cilium block.
type Cilium struct {
	Version string // chart version; default DefaultCiliumVersion
	Values  map[string]any
	Relay   bool   // Hubble relay; default true
	Chart   string // path or archive of the chart, for closed networks; empty: the chart repository
}

// Namespace is a namespace block.
type Namespace struct {
	Name   string
	Labels map[string]string
	Range  hcl.Range
}

// App is an app block: a Deployment and a Service of the same name, or the given manifests.
type App struct {
	Name      string
	Namespace string // default "default"
	Labels    map[string]string
	Replicas  int    // default 1
	Image     string // empty: the demo image (agnhost)
	Command   []string
	Args      []string
	Env       map[string]string
	Node      string // node name to pin the pods to; empty: anywhere
	Ports     []Port
	Manifests []string // paths in the lab directory; then Ports and Labels are read from them
	Service   string   // the service's name; default Name; empty with manifests that have none
	Range     hcl.Range
}

// Port is a port of an app.
type Port struct {
	Name       string
	Port       int    // the service's port
	TargetPort int    // the container's; default Port
	Protocol   string // TCP (default), UDP, SCTP
}

// External is something outside the cluster. With a closed network a stand-in takes its place.
type External struct {
	Name     string
	Host     string   // DNS name; or
	CIDR     string   // an address range
	Addrs    []string // addresses the host resolves to, for the offline engine; default: documentation addresses
	Port     int
	Protocol string
	Range    hcl.Range
}

// Submission says what a student may hand in; everything else is refused by name.
type Submission struct {
	Kinds      []string // default: NetworkPolicy
	Namespaces []string // where policies may stand; default: the namespaces of the lab's apps and blocks
	MayLabel   []string // namespaces whose labels are part of the answer
	Range      hcl.Range
}

// Visibility says when a student sees a task or objective.
type Visibility string

const (
	Visible  Visibility = "visible"
	Hidden   Visibility = "hidden"
	AfterDue Visibility = "after_due"
)

// Task is a checkpoint: what is to be done, and the objectives graded against the state at its end.
type Task struct {
	Name         string
	Title        string
	Instructions string // Markdown
	DependsOn    []string
	Visibility   Visibility
	Hints        []Hint
	Setup        []Setup
	Objectives   []Objective
	Range        hcl.Range
}

// Hint is a help that a student may ask for; Cost points are taken off the task's score for it.
type Hint struct {
	Name string
	Text string
	Cost float64
}

// Setup changes the lab when its task begins. Objects only: nothing is run.
type Setup struct {
	Action    string            // apply, label, delete
	Manifests []string          // apply, delete: paths in the lab directory
	Namespace string            // label: the namespace to label
	Labels    map[string]string // label
	Range     hcl.Range
}

// Objective earns Points when what it asks for holds.
type Objective struct {
	Name        string
	Title       string
	Description string
	Points      float64
	Bonus       bool       // points above the maximum
	Partial     Partial    // default PartialAll
	Visibility  Visibility // default the task's
	// DependsOn names objectives ("isolated", or "task/objective" of an earlier task) that must be met
	// before this one earns: what holds anyway is no achievement.
	DependsOn []string
	Hints     []Hint

	Expect     []Expectation
	Matrices   []Matrix
	Invariants []Invariant
	Objects    []ObjectAssertion
	Range      hcl.Range
}

// Partial says how an objective with several checks earns.
type Partial string

const (
	PartialAll          Partial = "all"          // everything or nothing
	PartialProportional Partial = "proportional" // the share of checks that hold
)

// Verdict is what an expectation wants, or a probe found.
type Verdict string

const (
	Allowed    Verdict = "allowed"
	Dropped    Verdict = "dropped"
	Rejected   Verdict = "rejected"
	DNSFailed  Verdict = "dns_failed"
	AppError   Verdict = "app_error"
	ProbeError Verdict = "probe_error" // never expected: the probe itself failed
	Denied     Verdict = "denied"      // only in expectations: dropped or rejected
)

// Meets reports whether the verdict found meets the one expected.
func (found Verdict) Meets(want Verdict) bool {
	if want == Denied {
		return found == Dropped || found == Rejected
	}
	return found == want
}

// Expectation is an expect block: every source to every target must have the verdict.
type Expectation struct {
	Verdict Verdict
	From    []Source
	To      []Target
	Because string // the author's sentence, shown when it misses
	Range   hcl.Range
}

// Source is where a probe starts: exactly one field is set.
type Source struct {
	App      string
	External string
	Node     string
}

func (s Source) String() string {
	switch {
	case s.App != "":
		return s.App
	case s.External != "":
		return "external " + s.External
	}
	return "node " + s.Node
}

// Via says how a target is addressed.
type Via string

const (
	ViaService Via = "service" // by the service's DNS name: needs DNS (default for apps)
	ViaIP      Via = "ip"      // by the pods' addresses
	ViaCluster Via = "cluster_ip"
)

// Target is where a probe goes: one of App, External, Node, DNS and IP is set; IP may come with External.
type Target struct {
	App      string
	External string
	Node     string
	IP       string // an address or, for External with a CIDR, one in it
	DNS      string // a name to look up at the cluster's DNS

	Via      Via
	PortName string
	Port     int    // as the client dials it: the service's port by service, the container's by IP
	Protocol string // TCP, UDP, SCTP, ICMP
	ICMPType *int
	HTTP     *HTTP
}

// HTTP is a request and the answer it must get.
type HTTP struct {
	Method  string
	Path    string
	Headers map[string]string
	Status  int // default 200
}

// Matrix is a truth table over sources × targets: the pairs of Allow are allowed, all others Otherwise.
type Matrix struct {
	From      []Source
	To        []Target
	Allow     []Pair
	Otherwise Verdict // default denied
	Range     hcl.Range
}

// Pair is one cell of a Matrix.
type Pair struct {
	From Source
	To   Target
}

// Invariant says that nothing but what it excepts reaches To (or is reached from From), on any port,
// by any peer: proved offline, sampled live.
type Invariant struct {
	Name             string
	To               []string // apps; ingress
	From             []string // apps; egress
	ExceptNamespaces []string
	ExceptApps       []string
	ExceptPorts      []int
	Protocols        []string // default TCP, UDP, SCTP
	Range            hcl.Range
}

// ObjectAssertion is an object block: a CEL expression over the objects in force.
type ObjectAssertion struct {
	Name      string
	Kind      string // "NetworkPolicy"
	Namespace string
	Condition string // CEL; variables: objects (list), namespaces (map of labels)
	Message   string
	Range     hcl.Range
}

// Sample is a submission that ships with the lab, with the percent it must score.
type Sample struct {
	Name        string
	Path        string
	Score       float64 // percent
	Solution    bool    // default: the sample is named "solution"
	Description string
	Range       hcl.Range
}

// PodLabels are the labels of the app's pods; an app without any gets its name, so that it can be selected.
func (a *App) PodLabels() map[string]string {
	if len(a.Labels) == 0 {
		return map[string]string{"app": a.Name}
	}
	return a.Labels
}

// DefaultCiliumVersion is the chart that labs get that name none; it is also the rule model's version.
const DefaultCiliumVersion = "1.20.2"

// String names the target as reports show it: "backend:http", "external internet:443", "dns kubernetes.io".
func (t Target) String() string {
	name := t.IP
	switch {
	case t.App != "":
		name = t.App
	case t.External != "":
		name = "external " + t.External
	case t.Node != "":
		name = "node " + t.Node
	case t.DNS != "":
		return "dns " + t.DNS
	}
	switch {
	case t.Protocol == "ICMP":
		return name + " (ICMP)"
	case t.PortName != "":
		name += ":" + t.PortName
	case t.Port != 0:
		name += ":" + strconv.Itoa(t.Port)
	}
	if t.Via == ViaIP && t.App != "" {
		name += " (by IP)"
	}
	return name
}
