// Package representative makes a pod for each set of pods that the selectors of policies can distinguish.
package representative

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	slimv1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/policy/types"

	"github.com/labctl/labctl/cilium/policy/internal/cluster"
)

// maxCombinations bounds the label combinations that are tried.
const maxCombinations = 10_000

// collectSteps is what it costs to note a requirement once, in steps of evaluation.
const collectSteps = 4

// termsOfStep is how many requirements a step has where selectors are compared with one pod after the other: most do
// not match by the first.
const termsOfStep = 4

// Pod is a pod that stands for all that the selectors cannot tell from it.
type Pod struct {
	*cluster.Pod
	NamespaceLabels map[string]string
	NewNamespace    bool     // its namespace is not in the cluster
	Signature       string   // which selectors match it
	LikePods        []string // pods of the cluster whose labels it has, as far as selectors look
	LikeNamespaces  []string // namespaces of the cluster whose labels its own has, likewise
}

// Input is what policies can tell pods apart by.
type Input struct {
	Cluster   *cluster.Cluster
	Labels    Labels                  // that the selectors mention
	Selectors []*types.LabelSelector  // each once
	Terms     int                     // what all of them ask for
	Texts     []*slimv1.LabelSelector // those of all rules
	Spend     func(steps int)         // gets the cost of the work; panics to stop it
}

// Pods makes the representatives, and the cluster in which they are.
func Pods(in Input) ([]Pod, *cluster.Cluster) {
	c := *in.Cluster
	c.IDs = in.Cluster.IDs.Extend()
	m := &maker{Input: &in, c: &c, made: map[string]bool{}, elsewhere: &cluster.Node{}}
	namespaces := maps.Clone(c.NamespaceLabels)
	for _, name := range in.Labels.namesOfNamespaces() {
		if namespaces[name] == nil {
			namespaces[name] = map[string]string{cluster.LabelMetadataName: name}
		}
	}
	newNamespaces := combinations(in.Labels.namespace)
	if newNamespaces == nil {
		newNamespaces = in.reducedCombinations(in.Labels.namespace)
	}
	podLabels := combinations(in.Labels.pod)
	if podLabels == nil || len(podLabels)*(len(namespaces)+len(newNamespaces)) > maxCombinations {
		podLabels = in.reducedCombinations(in.Labels.pod)
	}
	templates := make([]template, len(podLabels))
	for i, l := range podLabels {
		templates[i] = m.template(l)
	}
	for _, name := range slices.Sorted(maps.Keys(namespaces)) {
		m.namespace(name, namespaces[name], in.Cluster.NamespaceLabels[name] == nil, templates)
	}
	for i, l := range newNamespaces {
		l = maps.Clone(l)
		l[cluster.LabelMetadataName] = madeUp + strconv.Itoa(i+1)
		m.namespace(l[cluster.LabelMetadataName], l, true, templates)
	}
	return m.pods, &c
}

// madeUp begins the names of namespaces that no policy mentions.
const madeUp = "any-namespace-"

// IsMadeUp reports whether the name of a pod's namespace is one that no policy mentions.
func IsMadeUp(namespace string) bool { return strings.HasPrefix(namespace, madeUp) }

// maker makes the pods of one namespace after the other.
type maker struct {
	*Input
	c         *cluster.Cluster
	pods      []Pod
	made      map[string]bool   // what tells apart the pods so far
	elsewhere *cluster.Node     // where they run: on none of the cluster's nodes
	array     labels.LabelArray // room for one pod's labels
	key       []byte            // room for what tells one pod apart
}

// template is what representatives in several namespaces have in common.
type template struct {
	labels  map[string]string
	account string
	array   labels.LabelArray // of their identities
	like    []*cluster.Pod    // the pods of the cluster whose labels they have
}

func (m *maker) template(podLabels map[string]string) template {
	t := template{labels: podLabels, account: "default"}
	if a, ok := podLabels[ciliumio.PolicyLabelServiceAccount]; ok {
		t.account = a
		t.labels = maps.Clone(podLabels)
		delete(t.labels, ciliumio.PolicyLabelServiceAccount)
	}
	t.array = m.c.IDs.OwnLabels(t.labels, t.account)
	m.Spend(1 + len(podLabels) + len(m.c.PodList))
	for _, p := range m.c.PodList {
		if m.Labels.pod.include(t.labels, p.Labels) {
			t.like = append(t.like, p)
		}
	}
	return t
}

// namespace makes the pods of a namespace that selectors can tell from those so far.
func (m *maker) namespace(name string, namespaceLabels map[string]string, isNew bool, templates []template) {
	var likeNamespaces []string
	if isNew {
		likeNamespaces = m.likeNamespaces(namespaceLabels)
	}
	base := m.c.IDs.PodLabels(nil, name, namespaceLabels, "", m.c.Config.ClusterName)
	for i := range templates {
		t := &templates[i]
		m.Spend((len(m.Selectors)+m.Terms/termsOfStep)*(1+(len(base)+len(t.array))/cluster.LabelsOfStep) + len(t.like))
		m.array = append(append(m.array[:0], base...), t.array...)
		var likePods []string
		for _, p := range t.like {
			if isNew || p.Namespace == name {
				likePods = append(likePods, p.Ref)
			}
		}
		m.tellApart(name, isNew, likePods, likeNamespaces)
		if m.made[string(m.key)] {
			continue
		}
		m.made[string(m.key)] = true
		p := &cluster.Pod{
			Namespace: name, Name: "any-pod-" + strconv.Itoa(len(m.pods)+1), Labels: t.labels, Account: t.account,
			Node: m.elsewhere,
		}
		p.Ref = name + "/" + p.Name
		p.ID = m.c.IDs.Append(cluster.PodIdentity, slices.Clone(m.array))
		m.pods = append(m.pods, Pod{
			Pod: p, NamespaceLabels: namespaceLabels, NewNamespace: isNew,
			Signature: string(m.key[:len(m.Selectors)]), LikePods: likePods, LikeNamespaces: likeNamespaces,
		})
	}
}

// tellApart puts into m.key what tells the pod with the labels m.array from others: first which selectors match it.
func (m *maker) tellApart(namespace string, isNew bool, likePods, likeNamespaces []string) {
	m.key = m.key[:0]
	for _, s := range m.Selectors {
		if s.Matches(m.array) {
			m.key = append(m.key, '1')
		} else {
			m.key = append(m.key, '0')
		}
	}
	for _, ref := range likePods {
		m.key = append(append(m.key, ' '), ref...)
	}
	if !isNew {
		m.key = append(append(m.key, " at "...), namespace...)
		return
	}
	for _, name := range likeNamespaces {
		m.key = append(append(m.key, ' '), name...)
	}
}

// likeNamespaces are the namespaces of the cluster whose labels a new one has, as far as selectors look.
func (m *maker) likeNamespaces(namespaceLabels map[string]string) []string {
	return m.Labels.likeNamespaces(m.c, namespaceLabels)
}

func (l *Labels) likeNamespaces(c *cluster.Cluster, namespaceLabels map[string]string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.NamespaceLabels)) {
		if l.namespace.include(namespaceLabels, c.NamespaceLabels[name]) {
			names = append(names, name)
		}
	}
	return names
}

// Under returns the representative as it is where selectors mention other labels: with the pods and namespaces of
// the cluster whose labels it then has.
func (p Pod) Under(l Labels, c *cluster.Cluster) Pod {
	l.namesOfNamespaces()
	p.LikePods, p.LikeNamespaces = nil, nil
	for _, real := range c.PodList {
		if (p.NewNamespace || real.Namespace == p.Namespace) && l.pod.include(p.Labels, real.Labels) {
			p.LikePods = append(p.LikePods, real.Ref)
		}
	}
	if p.NewNamespace {
		p.LikeNamespaces = l.likeNamespaces(c, p.NamespaceLabels)
	}
	return p
}
