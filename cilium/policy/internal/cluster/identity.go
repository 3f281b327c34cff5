package cluster

import (
	"maps"
	"slices"
	"strings"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
)

// LabelMetadataName is the label that Kubernetes puts on every namespace.
const LabelMetadataName = "kubernetes.io/metadata.name"

// Identity is what policies see of an endpoint: its security-relevant labels. Endpoints with the same
// labels share one.
type Identity struct {
	Index  int // place in the cluster's list; what caches are indexed by
	Labels labels.LabelArray
	Kind   identityKind
}

type identityKind uint8

const (
	PodIdentity identityKind = iota
	HostIdentity
	RemoteNodeIdentity
	WorldIdentity
)

// Identities is a list of distinct identities. It grows while a cluster is built.
type Identities struct {
	List  []*Identity
	byKey map[string]*Identity
	// relevant remembers for each label key whether Cilium's filter keeps it.
	relevant map[string]bool
}

func newIdentities() *Identities {
	return &Identities{byKey: map[string]*Identity{}, relevant: map[string]bool{}}
}

// Extend returns a list that begins with the same identities and can grow by append.
func (ids *Identities) Extend() *Identities {
	return &Identities{List: slices.Clip(ids.List), relevant: maps.Clone(ids.relevant)}
}

// Append adds an identity that is not there yet.
func (ids *Identities) Append(kind identityKind, array labels.LabelArray) *Identity {
	id := &Identity{Index: len(ids.List), Labels: array, Kind: kind}
	ids.List = append(ids.List, id)
	return id
}

func (ids *Identities) add(kind identityKind, array labels.LabelArray) *Identity {
	array.Sort()
	var key strings.Builder
	array.BuildString(&key)
	if id, ok := ids.byKey[key.String()]; ok {
		return id
	}
	id := ids.Append(kind, array)
	ids.byKey[key.String()] = id
	return id
}

// pod returns the identity of a pod: its labels without Cilium's own, the labels and name of its
// namespace, its service account and the cluster, as far as Cilium's label filter lets them count.
func (ids *Identities) pod(podLabels map[string]string, namespace string, namespaceLabels map[string]string,
	serviceAccount, cluster string) *Identity {
	return ids.add(PodIdentity, ids.PodLabels(podLabels, namespace, namespaceLabels, serviceAccount, cluster))
}

// PodLabels are the labels of a pod's identity.
func (ids *Identities) PodLabels(podLabels map[string]string, namespace string, namespaceLabels map[string]string,
	serviceAccount, cluster string) labels.LabelArray {
	array := ids.OwnLabels(podLabels, serviceAccount)
	for k, v := range namespaceLabels {
		array = ids.appendKept(array, ciliumio.PodNamespaceMetaLabelsPrefix+k, v)
	}
	array = ids.appendKept(array, ciliumio.PodNamespaceLabel, namespace)
	return ids.appendKept(array, ciliumio.PolicyLabelCluster, cluster)
}

// OwnLabels are those of a pod's labels that have nothing to do with its namespace and cluster.
func (ids *Identities) OwnLabels(podLabels map[string]string, serviceAccount string) labels.LabelArray {
	array := make(labels.LabelArray, 0, len(podLabels)+6)
	for k, v := range podLabels {
		if !strings.HasPrefix(k, ciliumio.LabelPrefix) && k != ciliumio.PodNamespaceLabel {
			array = ids.appendKept(array, k, v)
		}
	}
	if serviceAccount != "" {
		array = ids.appendKept(array, ciliumio.PolicyLabelServiceAccount, serviceAccount)
	}
	return array
}

func (ids *Identities) appendKept(array labels.LabelArray, key, value string) labels.LabelArray {
	if !ids.keeps(key) {
		return array
	}
	return append(array, labels.NewLabel(key, value, labels.LabelSourceK8s))
}

// keeps reports whether a label is part of an identity. Cilium's filter looks at the key only.
func (ids *Identities) keeps(key string) bool {
	kept, known := ids.relevant[key]
	if !known {
		in, _ := labelsfilter.Filter(labels.Labels{key: labels.NewLabel(key, "", labels.LabelSourceK8s)})
		_, kept = in[key]
		ids.relevant[key] = kept
	}
	return kept
}

func Reserved(name string) labels.Label {
	return labels.NewLabel(name, "", labels.LabelSourceReserved)
}

// node returns how a node is seen: as the host by the pods on it, as a remote node by all others.
func (ids *Identities) node(kind identityKind, apiServer bool) *Identity {
	array := labels.LabelArray{Reserved(labels.IDNameRemoteNode)}
	if kind == HostIdentity {
		array[0] = Reserved(labels.IDNameHost)
	}
	if apiServer {
		array = append(array, Reserved(labels.IDNameKubeAPIServer))
	}
	return ids.add(kind, array)
}

// world returns the identity of everything outside, as far as labels go: addresses and names are
// compared apart. With both address families Cilium tells the two worlds apart.
func (ids *Identities) world(v6, dualStack, apiServer bool) *Identity {
	name := labels.IDNameWorld
	if dualStack {
		name = labels.IDNameWorldIPv4
		if v6 {
			name = labels.IDNameWorldIPv6
		}
	}
	array := labels.LabelArray{Reserved(name)}
	if apiServer {
		array = append(array, Reserved(labels.IDNameKubeAPIServer))
	}
	return ids.add(WorldIdentity, array)
}

// nodeSubject returns a node as the policies that select nodes see it: the host with the node's labels.
func (ids *Identities) nodeSubject(n *Node, cluster string) *Identity {
	array := labels.LabelArray{Reserved(labels.IDNameHost)}
	if n.APIServer {
		array = append(array, Reserved(labels.IDNameKubeAPIServer))
	}
	for k, v := range n.labels {
		array = append(array, labels.NewLabel(k, v, labels.LabelSourceK8s))
	}
	array = append(array, labels.NewLabel(ciliumio.PolicyLabelCluster, cluster, labels.LabelSourceK8s))
	return ids.add(HostIdentity, array)
}

// LabelsOfStep is among how many labels one is looked for in a step.
const LabelsOfStep = 16

// LabelSteps is what it costs to look for a label of the identity.
func (id *Identity) LabelSteps() int { return 1 + len(id.Labels)/LabelsOfStep }

// NodeIdentity is that of a node without a subject's labels: local if it is the other end's own.
func (c *Cluster) NodeIdentity(local, apiServer bool) *Identity {
	switch {
	case local && apiServer:
		return c.hostAPI
	case local:
		return c.host
	case apiServer:
		return c.RemoteAPI
	}
	return c.RemoteNode
}

// NamespaceLabel returns the name of the namespace label behind an identity label's key.
func NamespaceLabel(key string) (string, bool) {
	return strings.CutPrefix(key, ciliumio.PodNamespaceMetaLabelsPrefix)
}
