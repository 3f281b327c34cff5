package policy

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	ciliumio "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/labelsfilter"
)

// labelMetadataName is the label that Kubernetes puts on every namespace.
const labelMetadataName = "kubernetes.io/metadata.name"

// identity is what policies see of an endpoint: its security-relevant labels. Endpoints with the same
// labels share one.
type identity struct {
	index  int // place in the cluster's list; what caches are indexed by
	labels labels.LabelArray
	kind   identityKind
}

type identityKind uint8

const (
	identityPod identityKind = iota
	identityHost
	identityRemoteNode
	identityWorld
)

// identities is a list of distinct identities. It grows while a cluster is built.
type identities struct {
	list  []*identity
	byKey map[string]*identity
	// relevant remembers for each label key whether Cilium's filter keeps it.
	relevant map[string]bool
}

func newIdentities() *identities {
	return &identities{byKey: map[string]*identity{}, relevant: map[string]bool{}}
}

// extend returns a list that begins with the same identities and can grow by append.
func (ids *identities) extend() *identities {
	return &identities{list: slices.Clip(ids.list), relevant: maps.Clone(ids.relevant)}
}

// append adds an identity that is not there yet.
func (ids *identities) append(kind identityKind, array labels.LabelArray) *identity {
	id := &identity{index: len(ids.list), labels: array, kind: kind}
	ids.list = append(ids.list, id)
	return id
}

func (ids *identities) add(kind identityKind, array labels.LabelArray) *identity {
	array.Sort()
	var key strings.Builder
	array.BuildString(&key)
	if id, ok := ids.byKey[key.String()]; ok {
		return id
	}
	id := ids.append(kind, array)
	ids.byKey[key.String()] = id
	return id
}

// pod returns the identity of a pod: its labels without Cilium's own, the labels and name of its
// namespace, its service account and the cluster, as far as Cilium's label filter lets them count.
func (ids *identities) pod(podLabels map[string]string, namespace string, namespaceLabels map[string]string, serviceAccount, cluster string) *identity {
	return ids.add(identityPod, ids.podLabels(podLabels, namespace, namespaceLabels, serviceAccount, cluster))
}

// podLabels are the labels of a pod's identity.
func (ids *identities) podLabels(podLabels map[string]string, namespace string, namespaceLabels map[string]string, serviceAccount, cluster string) labels.LabelArray {
	array := ids.ownLabels(podLabels, serviceAccount)
	for k, v := range namespaceLabels {
		array = ids.appendKept(array, ciliumio.PodNamespaceMetaLabelsPrefix+k, v)
	}
	array = ids.appendKept(array, ciliumio.PodNamespaceLabel, namespace)
	return ids.appendKept(array, ciliumio.PolicyLabelCluster, cluster)
}

// ownLabels are those of a pod's labels that have nothing to do with its namespace and cluster.
func (ids *identities) ownLabels(podLabels map[string]string, serviceAccount string) labels.LabelArray {
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

func (ids *identities) appendKept(array labels.LabelArray, key, value string) labels.LabelArray {
	if !ids.keeps(key) {
		return array
	}
	return append(array, labels.NewLabel(key, value, labels.LabelSourceK8s))
}

// keeps reports whether a label is part of an identity. Cilium's filter looks at the key only.
func (ids *identities) keeps(key string) bool {
	kept, known := ids.relevant[key]
	if !known {
		in, _ := labelsfilter.Filter(labels.Labels{key: labels.NewLabel(key, "", labels.LabelSourceK8s)})
		_, kept = in[key]
		ids.relevant[key] = kept
	}
	return kept
}

func reserved(name string) labels.Label {
	return labels.NewLabel(name, "", labels.LabelSourceReserved)
}

// node returns how a node is seen: as the host by the pods on it, as a remote node by all others.
func (ids *identities) node(kind identityKind, apiServer bool) *identity {
	array := labels.LabelArray{reserved(labels.IDNameRemoteNode)}
	if kind == identityHost {
		array[0] = reserved(labels.IDNameHost)
	}
	if apiServer {
		array = append(array, reserved(labels.IDNameKubeAPIServer))
	}
	return ids.add(kind, array)
}

// world returns the identity of everything outside, as far as labels go: addresses and names are
// compared apart. With both address families Cilium tells the two worlds apart.
func (ids *identities) world(v6, dualStack, apiServer bool) *identity {
	name := labels.IDNameWorld
	if dualStack {
		name = labels.IDNameWorldIPv4
		if v6 {
			name = labels.IDNameWorldIPv6
		}
	}
	array := labels.LabelArray{reserved(name)}
	if apiServer {
		array = append(array, reserved(labels.IDNameKubeAPIServer))
	}
	return ids.add(identityWorld, array)
}

// end is one end of a connection as the policies of the other end see it.
type end struct {
	id   *identity
	pod  *pod       // nil for anything but a pod
	addr netip.Addr // zero for an entity without an address
}

// nodeSubject returns a node as the policies that select nodes see it: the host with the node's labels.
func (ids *identities) nodeSubject(n *node, cluster string) *identity {
	array := labels.LabelArray{reserved(labels.IDNameHost)}
	if n.apiServer {
		array = append(array, reserved(labels.IDNameKubeAPIServer))
	}
	for k, v := range n.labels {
		array = append(array, labels.NewLabel(k, v, labels.LabelSourceK8s))
	}
	array = append(array, labels.NewLabel(ciliumio.PolicyLabelCluster, cluster, labels.LabelSourceK8s))
	return ids.add(identityHost, array)
}
