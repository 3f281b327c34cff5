// Package labs is the lab language: it reads the HCL files of a lab directory, evaluates and checks them, and
// returns a Lab in which every reference is resolved and every default is filled in. What attributes there are is
// data in package schema. A lab file can neither run a command nor read a file outside its directory.
package labs

import (
	"io/fs"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/labctl/labctl/labs/schema"
)

// Lab is a lab directory, decoded and checked. It is complete: nothing that reads it applies defaults.
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
	Submission SubmissionRules
	Late       Late      // of a class
	Attempts   Attempts  // of a class
	Tasks      []Task    // in file order; each a checkpoint
	Mistakes   []Mistake // of all tasks
	Samples    []Sample
	Tampered   Tampered // how to grade a running lab that was changed after it was deployed; default TamperedRefuse
	Starter    string   // path of the submission that students start from; empty: an empty submission
	// StarterRange is where Starter is written, or without one where the lab's name is.
	StarterRange hcl.Range
}

// Tampered is how to grade a running lab that was changed after it was deployed.
type Tampered string

const (
	TamperedRefuse Tampered = "refuse" // nothing is graded
	TamperedReport Tampered = "report" // it is graded, and the report lists what was found
)

// Layout is how submissions are laid out.
type Layout string

const (
	LayoutCheckpoints Layout = "checkpoints" // one folder per task
	LayoutFlat        Layout = "flat"        // everything in force at once
	LayoutEither      Layout = "either"      // whichever of these the submission uses
)

// Cluster is a cluster block. Provider is its label; Settings holds the attributes that it gives, checked, under
// their names in docs/lab-language.md: string, int, bool, map[string]string. The port_mapping blocks of kind are
// "port_mappings", a []map[string]any with all of their attributes. schema.DecodeCluster adds the defaults.
type Cluster struct {
	Provider string // kind, gke, minikube, existing
	Settings map[string]any
	Range    hcl.Range
}

// TaskIndex returns the index of the task with a name, or -1.
func (l *Lab) TaskIndex(name string) int {
	for i := range l.Tasks { // not slices.IndexFunc, which copies each task
		if l.Tasks[i].Name == name {
			return i
		}
	}
	return -1
}

// App returns the app with a name, or nil.
func (l *Lab) App(name string) *App {
	for i := range l.Apps {
		if l.Apps[i].Name == name {
			return &l.Apps[i]
		}
	}
	return nil
}

// FindTask returns the index of the task with a name: the task's own, or that of a folder for it, which may
// have a number before it ("02-allow-dns"). It is -1 if there is none.
func (l *Lab) FindTask(name string) int {
	if i := l.TaskIndex(name); i >= 0 {
		return i
	}
	rest := strings.TrimLeft(name, "0123456789")
	if rest == name || len(rest) < 2 || !strings.ContainsRune("-_.", rune(rest[0])) {
		return -1
	}
	return l.TaskIndex(rest[1:])
}

// ResolveTask returns the index of the task that a person means: by its name or folder (see FindTask), or by its number,
// where 1 is the first. It is -1 if there is none.
func (l *Lab) ResolveTask(ref string) int {
	if i := l.FindTask(ref); i >= 0 {
		return i
	}
	if n, err := strconv.Atoi(ref); err == nil && n >= 1 && n <= len(l.Tasks) {
		return n - 1
	}
	return -1
}

// Workers is how many nodes that run pods the lab's default cluster has. A lab without a cluster block, and a
// cluster that exists, counts as having one.
func (l *Lab) Workers() int {
	if len(l.Clusters) == 0 {
		return 1
	}
	return schema.Nodes(l.Clusters[0].Provider, l.Clusters[0].Settings)
}

// NodeNames are the names of the default cluster's nodes, as the lab refers to them. It is nil if only the cluster
// itself knows them.
func (l *Lab) NodeNames() []string {
	if len(l.Clusters) == 0 {
		return nil
	}
	return schema.NodeNames(l.Clusters[0].Provider, l.Clusters[0].Settings)
}

// Cilium is the cilium block.
type Cilium struct {
	Version string // chart version; default DefaultCiliumVersion
	Values  map[string]any
	Relay   bool   // Hubble relay; default true
	Chart   string // path or archive of the chart, for closed networks; empty: the chart repository
}

// HostFirewall reports whether the values switch Cilium's host firewall on, which makes policies with a
// nodeSelector count.
func (c *Cilium) HostFirewall() bool {
	firewall, _ := c.Values["hostFirewall"].(map[string]any)
	on, _ := firewall["enabled"].(bool)
	return on
}

// Namespace is a namespace block.
type Namespace struct {
	Name   string
	Labels map[string]string
	Range  hcl.Range
}

// App is an app block: a workload and a Service of the same name, or the given manifests.
type App struct {
	Name        string
	Namespace   string // default "default"
	Labels      map[string]string
	Workload    string // what makes the pods, by kind and name: "Deployment/web"
	Replicas    int    // default 1; of a DaemonSet: 1, whatever the number of nodes
	Image       string // empty: the demo image (agnhost)
	Command     []string
	Args        []string
	Env         map[string]string
	Node        string // node name to pin the pods to; empty: anywhere
	HostNetwork bool   // the pods are in the network of their node
	Ports       []Port
	Manifests   []string    // paths in the lab directory, which the rest is then read from
	Service     string      // the service's name; default Name; empty with manifests that have none
	ServiceType ServiceType // empty without a service
	Readiness   *HealthCheck
	Liveness    *HealthCheck
	Range       hcl.Range
}

// ServiceType is how the Service of an app is reached.
type ServiceType string

const (
	ServiceClusterIP    ServiceType = "ClusterIP"
	ServiceNodePort     ServiceType = "NodePort"
	ServiceLoadBalancer ServiceType = "LoadBalancer"
	ServiceHeadless     ServiceType = "Headless" // no address: its name leads to the pods
)

// The kinds of workload that an app block makes.
const (
	KindDeployment  = "Deployment"
	KindDaemonSet   = "DaemonSet"
	KindStatefulSet = "StatefulSet"
	KindPod         = "Pod"
)

// Kind is the kind of the app's workload.
func (a *App) Kind() string {
	kind, _, _ := strings.Cut(a.Workload, "/")
	return kind
}

// SinglePod reports whether the app has one pod, or none.
func (a *App) SinglePod() bool { return a.Replicas <= 1 && a.Kind() != KindDaemonSet }

// Dialed is the number of an app's port for a client: the Service's, or the container's by IP. A headless Service only
// has a name, which leads to the pods.
func (a *App) Dialed(p Port, via Via) int {
	if via == ViaIP || a.ServiceType == ServiceHeadless {
		return p.TargetPort
	}
	return p.Port
}

// Port is a port of an app.
type Port struct {
	Name       string
	Port       int    // the service's port
	TargetPort int    // the container's; default Port
	Protocol   string // TCP (default), UDP, SCTP
	NodePort   int    // the nodes'; 0: none, or one that the cluster chooses
}

// HealthCheck is how the kubelet checks a container. With a Command it runs it; otherwise it requests Path from Port or,
// without a Path, connects to Port.
type HealthCheck struct {
	Command      []string
	Path         string
	Port         int // the container's
	InitialDelay time.Duration
	Period       time.Duration
	Timeout      time.Duration
	Failures     int // checks in a row that must fail
}

// External is something outside the cluster. In a closed network a stand-in takes its place.
type External struct {
	Name      string
	Host      string   // DNS name, in which a wildcard is replaced by a name that it matches; or
	CIDR      string   // an address range
	MoreHosts []string // its other DNS names; Hosts returns all of them
	Addrs     []string // addresses the hosts resolve to, for the offline engine; default: documentation addresses
	Port      int
	Protocol  string
	Range     hcl.Range
}

// Hosts are the DNS names of an external. Every one of them has to behave alike.
func (e *External) Hosts() []string {
	if e.Host == "" {
		return nil
	}
	return append([]string{e.Host}, e.MoreHosts...)
}

// SubmissionRules is what a submission may contain; everything else is rejected by name.
type SubmissionRules struct {
	Kinds      []string // default: NetworkPolicy
	Namespaces []string // that its objects may be in; default: those of the lab's apps and namespace blocks
	MayLabel   []string // namespaces whose labels are part of the answer
	Range      hcl.Range
}

// Late is the late block: the penalty for submitting after the due date. The zero value has no penalty.
type Late struct {
	Grace   time.Duration // after the due date in which a submission is not late
	Penalty float64       // percent of the maximum, for every Per that has begun since the due date
	Per     time.Duration // default 24 hours
	Max     float64       // percent that the penalty never exceeds; default 100
	Cutoff  time.Duration // after the due date from which a submission scores 0; 0: never
}

// Attempts is the attempts block: which of several submissions of one student counts.
type Attempts struct {
	Limit  int    // only the first so many count; 0: all of them
	Counts Counts // default CountsLatest
}

// Counts says which attempt counts.
type Counts string

const (
	CountsLatest Counts = "latest"
	CountsBest   Counts = "best"
)

// Visibility says when a student sees a task or objective.
type Visibility string

const (
	Visible  Visibility = "visible"
	Hidden   Visibility = "hidden"
	AfterDue Visibility = "after_due"
)

// Task is a checkpoint: what to do, and the objectives that are graded against the state at its end.
type Task struct {
	Name         string
	Title        string
	Instructions string // Markdown
	DependsOn    []string
	Visibility   Visibility
	Hints        []Hint
	Setup        []Setup
	Mistakes     []Mistake // of all its objectives
	Objectives   []Objective
	Range        hcl.Range
}

// AllHints goes through the hints of a task, by their names, and of its objectives, as "objective/name".
func (t *Task) AllHints() iter.Seq2[string, Hint] {
	return func(yield func(string, Hint) bool) {
		for _, h := range t.Hints {
			if !yield(h.Name, h) {
				return
			}
		}
		for i := range t.Objectives {
			o := &t.Objectives[i]
			for _, h := range o.Hints {
				if !yield(o.Name+"/"+h.Name, h) {
					return
				}
			}
		}
	}
}

// Hint is help that a student can ask for. It costs Cost points of the task's score.
type Hint struct {
	Name string
	Text string
	Cost float64
}

// Setup changes objects of the lab when its task begins. It runs no commands.
type Setup struct {
	Action    string            // apply, label, delete
	Manifests []string          // apply, delete: paths in the lab directory
	Namespace string            // label: the namespace to label
	Labels    map[string]string // label
	Range     hcl.Range
}

// Objective earns Points when its checks pass.
type Objective struct {
	Name        string
	Title       string
	Description string
	Points      float64
	Bonus       bool       // points above the maximum
	Partial     Partial    // default PartialAll
	Visibility  Visibility // default the task's
	// DependsOn names objectives ("isolated", or "task/objective" of an earlier task) that must be met before this
	// one earns points: a check that passes anyway is not an achievement.
	DependsOn []string
	Hints     []Hint
	Mistakes  []Mistake

	Checks []Check // by kind, in the order of schema.CheckKinds
	Range  hcl.Range
}

// Partial is how an objective with several checks earns points.
type Partial string

const (
	PartialAll          Partial = "all"          // everything or nothing
	PartialProportional Partial = "proportional" // the share of checks that pass
)

// Source is where a probe starts: exactly one field is set.
type Source struct {
	App      string
	External string
	Node     string
	Entity   Entity
}

func (s Source) String() string {
	switch {
	case s.App != "":
		return s.App
	case s.External != "":
		return "external " + s.External
	case s.Entity != "":
		return "entity " + string(s.Entity)
	}
	return "node " + s.Node
}

// Via is how a target is addressed.
type Via string

const (
	ViaService Via = "service" // by the service's DNS name: needs DNS (default for apps)
	ViaIP      Via = "ip"      // by the pods' addresses
	ViaCluster Via = "cluster_ip"
)

// Target is where a probe goes: one of App, External, Node, Entity, DNS and IP is set; IP may come with External.
type Target struct {
	App      string
	External string
	Node     string
	Entity   Entity // with Via: by address, or the API server by its Service
	IP       string // an address or, for External with a CIDR, one in it
	DNS      string // a name to look up at the cluster's DNS

	Via      Via
	PortName string
	Port     int    // as the client dials it: the service's port by service, the container's by IP; 0: the API server's own
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

// Sample is a submission that ships with the lab, with what its report must say.
type Sample struct {
	Name        string
	Path        string
	Base        string   // another submission, whose files count where Path has none of their name; empty: none
	Score       *float64 // percent; nil: unchecked
	Points      *float64 // nil: unchecked
	Missed      []string // the objectives that it must miss, as "task/objective"; nil: unchecked
	Mistake     string   // ID of the only mistake that its report must name; empty: unchecked
	Solution    bool     // default: the sample is named "solution"
	Description string
	Range       hcl.Range

	written map[string]hcl.Range
}

// Written is where an attribute of the block is written; without the attribute, the block's header.
func (s *Sample) Written(attr string) hcl.Range {
	if at, ok := s.written[attr]; ok {
		return at
	}
	return s.Range
}

// jobName is the label that the cluster gives the pods of a Job.
const jobName = "batch.kubernetes.io/job-name"

// Owns reports whether a pod of the app's namespace is one of the app's: by its labels or, where the manifests
// give it none, by its name, and for a Job or CronJob by the label that the cluster gives its pods.
func (a *App) Owns(podName string, podLabels map[string]string) bool {
	kind, name, _ := strings.Cut(a.Workload, "/")
	switch {
	case len(a.Labels) > 0:
		return labels.SelectorFromSet(a.Labels).Matches(labels.Set(podLabels))
	case kind == "Job":
		return podLabels[jobName] == name
	case kind == "CronJob":
		return strings.HasPrefix(podLabels[jobName], name+"-")
	}
	return kind == "Pod" && podName == name
}

// Schema describes the lab language: its blocks and their attributes. It is shared: do not change it.
func Schema() *schema.Block { return schema.Lab() }

// DefaultCiliumVersion is the chart that labs get that name none; it is also the rule model's version.
const DefaultCiliumVersion = schema.DefaultCiliumVersion

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
	case t.Entity != "" && (t.Via == ViaService || t.Via == ViaCluster):
		name = "service " + APIServiceName
	case t.Entity != "":
		name = "entity " + string(t.Entity)
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

// SystemNamespaces are the namespaces that Kubernetes makes in every cluster.
func SystemNamespaces() []string {
	return []string{corev1.NamespaceDefault, corev1.NamespaceNodeLease, metav1.NamespacePublic, metav1.NamespaceSystem}
}
